//! A release as chunks: what a machine fetches of it is what it has not got.
//!
//! ```text
//! write(parts, sink)        cut ─► digest, compress ─► packs (blobs of a few MiB) and one Index        (the factory)
//! Owned::add(old image)     cut the running release by the same rules: digest → where it is            (the machine)
//! Plan::new(index, owned)   what is copied from the old release, which ranges of packs are fetched     (pure)
//! assemble(…)               the parts again, every chunk verified, from the copies and the ranges
//! ```
//!
//! Guarantees: equal parts give equal packs and index, whatever the number of cores. Where a chunk lies is not written
//! anywhere but follows from the order of the chunks, so chunks can't overlap and can't leave their pack. An index that
//! [`Index::parse`] accepts has parts that add up exactly; reading it takes memory in proportion to its own bytes.
//!
//! Not here: fetching, the OCI manifest around it (`docs/formats/update-artifact.md`), and the hash tree of the root,
//! which is not sent: it is a function of the root, and the root hash says whether it came out right.

mod assemble;
mod cut;
mod error;
mod index;
mod plan;
mod write;

#[cfg(test)]
mod tests;

pub use assemble::{Assembly, FetchRange, assemble};
pub use cut::{Cuts, Piece, Rule};
pub use error::{AssembleError, IndexError, WriteError};
pub use index::{Chunk, Index, Pack, PartChunks, Place};
pub use plan::{Coalescing, CopyStep, FetchStep, Owned, Plan, Stored};
pub use write::write;

/// What a release consists of, each part with its own stream of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The root file system: EROFS, whose content is aligned to blocks of 4096 bytes.
    Root,
    /// The unified kernel image: PE, whose sections are aligned to 512 bytes in the file.
    Uki,
}

impl Part {
    /// All of them, in the order of an index.
    pub const ALL: [Self; 2] = [Self::Root, Self::Uki];

    /// How it is cut. The numbers are measured: `docs/decisions/012-update-artifact.md`.
    pub const fn rule(self) -> Rule {
        match self {
            Self::Root => Rule { block: 4096, shortest: 1, mean: 4, longest: 16 },
            Self::Uki => Rule { block: 512, shortest: 8, mean: 32, longest: 128 },
        }
    }

    /// What it is called in an index.
    const fn number(self) -> u32 {
        match self {
            Self::Root => 1,
            Self::Uki => 2,
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Uki => "uki",
        })
    }
}
