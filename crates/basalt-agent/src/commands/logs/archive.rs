//! Texts as a tar archive, compressed with Zstandard.

use std::io;

use basalt_formats::{
    tar::{self, TarError},
    tree::{Content, Kind, Metadata, NoStores, Node, Tree, TreeError},
};

/// A bundle is written once and sent: Zstandard's usual level.
const LEVEL: i32 = 3;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("the archive can't be made")]
    Tar(#[from] TarError),
    #[error("the archive can't be compressed")]
    Compress(#[from] io::Error),
}

/// Packs files below the folder `name`; only root may read what is unpacked.
pub(super) fn pack(name: &str, files: &[(String, String)], now: u64) -> Result<Vec<u8>, ArchiveError> {
    let mtime = now.cast_signed();
    let mut tree = Tree::new();
    for (path, text) in files {
        let metadata = Metadata { mtime, ..Metadata::root_owned(0o600) };
        let kind = Kind::File(Content::inline(text.as_bytes()));
        tree.make_directories(&format!(
            "/{name}/{}",
            path.rsplit_once('/').map_or("", |(folder, _)| folder)
        ))?;
        tree.insert(&format!("/{name}/{path}"), Node { metadata, kind })?;
    }
    let mut archive = Vec::new();
    tar::write(&tree, &NoStores, mtime, &mut archive)?;
    Ok(zstd::encode_all(archive.as_slice(), LEVEL)?)
}
