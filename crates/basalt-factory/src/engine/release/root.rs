//! The root file system and its hash tree.

use std::io;

use basalt_formats::{
    ReadAt as _, WriteAt, erofs,
    tree::Tree,
    verity::{self, BLOCK_SIZE, HashTree, LeafHashes, Salt},
};
use basalt_types::Digest;

use super::{ReleaseError, Request, derived};
use crate::engine::stores::OpenFile;

/// How much is hashed at a time: enough to keep all processors busy.
const PIECE: usize = 4 << 20;

/// How the root's EROFS is made. The label is what `lsblk` shows, cut to what EROFS has room for.
pub(super) fn options(request: &Request<'_>) -> erofs::Options {
    let label: String = request.recipe.name.as_str().chars().take(15).collect();
    erofs::Options { uuid: derived(request.id, "root"), label, epoch: request.epoch }
}

/// Writes the root file system of `tree`.
pub(super) fn write(request: &Request<'_>, tree: &Tree, sink: &dyn WriteAt) -> Result<(), ReleaseError> {
    let layout = erofs::Layout::plan(tree, &options(request))?;
    layout.write(request.content, sink)?;
    Ok(())
}

/// Hashes the root that was written.
pub(super) fn hash(request: &Request<'_>, root: &OpenFile) -> Result<HashTree, ReleaseError> {
    let salt = Digest::of(format!("{} salt", request.id).as_bytes());
    let params = verity::Params {
        salt: Salt::new(*salt.as_bytes())?,
        uuid: derived(request.id, "verity"),
        data_blocks: root.size() / BLOCK_SIZE as u64,
    };
    let leaves = LeafHashes::new(params)?;
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    while offset < root.size() {
        let length = usize::try_from(root.size() - offset).unwrap_or(PIECE).min(PIECE);
        root.read_at(offset, &mut piece[..length])?;
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
