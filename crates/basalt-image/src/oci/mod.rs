//! The layers of an OCI image, one on top of the other, make a file tree.
//!
//! ```text
//! Layers::new(spool, store, limits)   an empty tree
//! .apply(stream, diff_id)?            decompress → read entries, file content into the spool → change the tree
//! .finish()                           the tree; its files are in the spool, store number `store`
//! ```
//!
//! Guarantees: a layer that is refused leaves the tree as it was. Every path ends inside the tree, whatever symbolic links
//! say: there is no file system below this code, only a map of names. Nothing is allocated because a number in the input
//! says so; what a layer unpacks to is bounded in bytes, in entries and in proportion to what was sent.
//!
//! Meaning (image specification 1.1, "Image Layer Filesystem Changeset"): whiteouts hide what lower layers have and
//! nothing of their own layer, wherever in the layer they stand. Where the specification leaves room, this does what
//! container runtimes do: the way to an entry follows symbolic links as if the tree were the root, its last part does not;
//! a directory on a directory merges, all else replaces; missing parents are made with mode 0755. Stricter than they are:
//! absolute paths, `..`, entries that are there twice, and devices anywhere but in `/dev` are refused.
//!
//! Not here: where layers come from (`basalt_fetch::oci`), and what a machine's image needs besides.

mod apply;
mod error;
mod layer;
mod stream;
mod tar;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use basalt_formats::tree::Tree;
use basalt_types::Digest;

pub use error::{LayerError, LayerProblem};

use stream::Plain;

/// How much an image may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all layers together, holes of sparse files counted.
    pub bytes: u64,
    /// Entries of all layers together.
    pub entries: usize,
    /// How many bytes may come out of one that was sent, once a layer has given more than [`Limits::free`].
    pub ratio: u64,
    /// What a layer may unpack to before the ratio counts.
    pub free: u64,
}

/// Layers being put on top of each other.
pub struct Layers<'s> {
    tree: Tree,
    spool: Spool<'s>,
    limits: Limits,
    /// What is left of [`Limits::bytes`] and [`Limits::entries`].
    left: (u64, usize),
    count: usize,
}

/// Where file contents go, one behind the other.
struct Spool<'s> {
    out: &'s mut dyn Write,
    store: u32,
    offset: u64,
}

impl Default for Limits {
    /// 64 GiB in 4 million entries; 200 bytes for one beyond 1 GiB. Text compresses 5 to 20 times.
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 4_000_000, ratio: 200, free: 1 << 30 }
    }
}

impl<'s> Layers<'s> {
    /// An empty tree. Contents are written to `spool`, and the tree names them as store number `store` from byte 0 on.
    pub fn new(spool: &'s mut dyn Write, store: u32, limits: Limits) -> Self {
        let spool = Spool { out: spool, store, offset: 0 };
        Self { tree: Tree::new(), spool, limits, left: (limits.bytes, limits.entries), count: 0 }
    }

    /// Puts the next layer on top: a tar archive, plain or compressed by gzip or Zstandard. `diff_id` is the digest of the
    /// archive before it was compressed, as the image's configuration names it.
    ///
    /// # Errors
    /// When it is damaged, hostile, too large or has another digest. The tree is then as it was before.
    pub fn apply(&mut self, layer: &mut dyn Read, diff_id: Option<&Digest>) -> Result<(), LayerError> {
        self.count += 1;
        let number = self.count;
        let refuse = |problem| LayerError { layer: number, problem };
        let mut plain = Plain::open(layer, self.limits, self.left.0).map_err(refuse)?;
        let mut entries = self.left.1;
        let read = layer::read(&mut plain, &mut self.spool, &mut entries).map_err(refuse)?;
        let (digest, left) = plain.finish().map_err(refuse)?;
        match diff_id {
            Some(expected) if *expected != digest => {
                Err(refuse(LayerProblem::Digest { expected: *expected, found: digest }))
            }
            Some(_) | None => {
                let mut changed = self.tree.clone();
                apply::apply(&mut changed, read).map_err(refuse)?;
                self.tree = changed;
                self.left = (left, entries);
                Ok(())
            }
        }
    }

    /// The bytes that are in the spool.
    pub const fn spooled(&self) -> u64 {
        self.spool.offset
    }

    /// The tree.
    pub fn finish(self) -> Tree {
        self.tree
    }
}

impl std::fmt::Debug for Layers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers").field("count", &self.count).field("left", &self.left).finish_non_exhaustive()
    }
}
