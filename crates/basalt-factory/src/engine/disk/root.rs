//! The root file system and its hash tree, in one pass.

use std::io;

use basalt_formats::{
    WriteAt, erofs,
    tree::Tree,
    verity::{self, BLOCK_SIZE, HashTree, LeafHashes, Salt},
};
use basalt_image::layout::Extent;
use basalt_types::{ByteSize, Digest};

use super::{DiskError, Request, derived};
use crate::engine::output::PartialFile;

/// A root that was written.
pub(super) struct Root {
    pub(super) hash_tree: HashTree,
    pub(super) size: ByteSize,
}

/// Passes blocks on to the disk and hashes them on the way.
struct Hashing<'a> {
    disk: &'a PartialFile,
    start: u64,
    leaves: &'a LeafHashes,
}

/// How the root's EROFS is made. The label is what `lsblk` shows, cut to what EROFS has room for.
pub(super) fn options(request: &Request<'_>) -> erofs::Options {
    let label: String = request.recipe.name.as_str().chars().take(15).collect();
    erofs::Options { uuid: derived(request.id, "root"), label, epoch: request.epoch }
}

/// Writes the root into its place.
pub(super) fn write(
    request: &Request<'_>,
    tree: &Tree,
    disk: &PartialFile,
    place: Extent,
) -> Result<Root, DiskError> {
    let layout = erofs::Layout::plan(tree, &options(request))?;
    let size = layout.image_size();
    let salt = Digest::of(format!("{} salt", request.id).as_bytes());
    let params = verity::Params {
        salt: Salt::new(*salt.as_bytes())?,
        uuid: derived(request.id, "verity"),
        data_blocks: size / BLOCK_SIZE as u64,
    };
    let leaves = LeafHashes::new(params)?;
    layout.write(request.content, &Hashing { disk, start: place.start, leaves: &leaves })?;
    Ok(Root { hash_tree: leaves.finish()?, size: ByteSize::bytes(size) })
}

impl WriteAt for Hashing<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.leaves.feed(offset / BLOCK_SIZE as u64, bytes).map_err(io::Error::other)?;
        self.disk.write_at(self.start + offset, bytes)
    }
}
