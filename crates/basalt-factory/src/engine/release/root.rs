//! The root file system and its hash tree.

use std::io;

use basalt_formats::{
    ReadAt, WriteAt, erofs,
    tree::Tree,
    verity::{self, BLOCK_SIZE, HashTree, LeafHashes, Salt, VerityError},
};
use basalt_image::{
    kernel::{self, Kernel},
    layout::LayoutSpec,
};
use basalt_spec::ImageInfo;
use basalt_types::Digest;
use thiserror::Error;

use super::{ReleaseError, Request, derived};

/// How much is hashed at a time: enough to keep all processors busy.
const PIECE: usize = 4 << 20;

/// How the root is packed: as the recipe says, and as the kernel of `tree` can read it.
pub(super) fn options(
    request: &Request<'_>,
    tree: &Tree,
    kernel: &Kernel,
) -> Result<erofs::PackOptions, ReleaseError> {
    let algorithm = kernel::root_compression(tree, request.content, kernel, request.recipe.disk.compression)?;
    // The label is what `lsblk` shows, cut to what EROFS has room for.
    let label: String = request.recipe.name.as_str().chars().take(15).collect();
    Ok(erofs::PackOptions {
        image: erofs::Options { uuid: derived(request.id, "root"), label, epoch: request.epoch },
        compression: algorithm.map(erofs::Compression::new),
        late: Some(ImageInfo::<LayoutSpec>::PATH.to_owned()),
    })
}

/// Why there is no hash tree.
#[derive(Debug, Error)]
pub enum HashTreeError {
    /// The file system could not be read.
    #[error("the file system that was written can't be read back")]
    Read(#[source] io::Error),
    /// It is empty, or was not read whole.
    #[error("the hash tree can't be made")]
    Verity(#[from] VerityError),
}

/// The hash tree of a file system; salt and ids come from `id`.
///
/// # Errors
/// When the file system can't be read or is empty.
pub fn hash_tree(id: Digest, root: &dyn ReadAt) -> Result<HashTree, HashTreeError> {
    let salt = Digest::of(format!("{id} salt").as_bytes());
    let params = verity::Params {
        salt: Salt::new(*salt.as_bytes())?,
        uuid: derived(id, "verity"),
        data_blocks: root.size() / BLOCK_SIZE as u64,
    };
    let leaves = LeafHashes::new(params)?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    while offset < root.size() {
        let length = usize::try_from(root.size() - offset).unwrap_or(PIECE).min(PIECE);
        root.read_at(offset, &mut piece[..length]).map_err(HashTreeError::Read)?;
        leaves.feed(offset / BLOCK_SIZE as u64, &piece[..length])?;
        offset += length as u64;
    }
    Ok(leaves.finish()?)
}

/// The file that a root is written into.
pub(super) struct Sink<'a>(pub(super) &'a std::fs::File);

impl WriteAt for Sink<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self.0, bytes, offset)
    }
}
