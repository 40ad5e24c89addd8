//! What a machine copies from the release it has, and what it fetches.

use std::{collections::BTreeMap, io};

use basalt_types::Digest;
use serde::Serialize;

use super::{Chunk, Cuts, Index, Piece, Rule};
use crate::{ReadAt, blocks::in_order};

/// Chunks that are hashed at a time.
const BATCH: usize = 256;

/// The chunks that a machine has: what its old release gives when it is cut by the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned(BTreeMap<Digest, Stored>);

/// Where a machine has a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// In which of its images: whoever plans gives the number its meaning.
    pub image: u32,
    /// From which byte on.
    pub offset: u64,
}

/// How ranges are joined: a request costs about as much as so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// Ranges with at most so many bytes between them are fetched as one.
    pub gap: u64,
    /// But none grows beyond this by joining: what is fetched is held in memory.
    pub longest: u64,
}

/// How a release is put together on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Chunks that are only zeros.
    pub zeros: Vec<u32>,
    /// Chunks that the machine has.
    pub copies: Vec<CopyStep>,
    /// Ranges that it fetches, ascending.
    pub fetches: Vec<FetchStep>,
}

/// Takes a chunk from an old image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyStep {
    /// Which chunk.
    pub chunk: u32,
    /// Where it is.
    pub from: Stored,
}

/// Fetches a range of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchStep {
    /// Which pack.
    pub pack: u32,
    /// From which byte on.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// The chunks that are wanted of it, ascending.
    pub chunks: Vec<u32>,
}

impl Owned {
    /// Adds all chunks of `bytes`, the image with this number. What is known already stays where it was found.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn add(&mut self, image: u32, bytes: &dyn ReadAt, rule: Rule) -> io::Result<()> {
        let digest = |_: &mut (), piece: io::Result<Piece>| {
            piece.map(|Piece { offset, bytes }| (Digest::of(&bytes), offset))
        };
        in_order(
            (Cuts::new(bytes, rule), BATCH),
            || (),
            digest,
            |(digest, offset)| {
                self.insert(digest, Stored { image, offset });
                Ok(())
            },
        )
    }

    /// Adds a chunk that is known to be somewhere.
    pub fn insert(&mut self, digest: Digest, place: Stored) {
        self.0.entry(digest).or_insert(place);
    }

    /// Forgets a chunk, such as one that turned out to be damaged: the next plan fetches it.
    pub fn forget(&mut self, digest: &Digest) {
        self.0.remove(digest);
    }

    /// Where a chunk is.
    pub fn find(&self, digest: &Digest) -> Option<Stored> {
        self.0.get(digest).copied()
    }
}

impl Coalescing {
    /// At 50 ms a request and 10 Mbit/s, a request costs as much as 64 KB; half of it, because more requests than one can
    /// be under way.
    pub const DEFAULT: Self = Self { gap: 32 << 10, longest: 8 << 20 };
}

impl Plan {
    /// Plans to put together what `index` describes, on a machine that has `owned`.
    pub fn new(index: &Index, owned: &Owned, coalescing: Coalescing) -> Self {
        let mut plan = Self::default();
        for (chunk, number) in index.chunks().iter().zip(0..) {
            match (owned.find(&chunk.digest), index.place(number)) {
                (_, None) => plan.zeros.push(number),
                (Some(from), Some(_)) => plan.copies.push(CopyStep { chunk: number, from }),
                (None, Some(place)) => {
                    let alone = FetchStep {
                        pack: place.pack,
                        offset: place.offset,
                        length: u64::from(chunk.stored),
                        chunks: vec![number],
                    };
                    plan.fetch(alone, coalescing);
                }
            }
        }
        plan
    }

    /// The bytes that are fetched, those between wanted chunks too.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetches.iter().map(|fetch| fetch.length).sum()
    }

    /// The bytes that are wanted of those that are fetched.
    pub fn wanted_bytes(&self, index: &Index) -> u64 {
        let wanted = self.fetches.iter().flat_map(|fetch| &fetch.chunks);
        wanted.filter_map(|number| index.chunks().get(*number as usize)).map(stored).sum()
    }

    /// Whether the machine has everything.
    pub fn fetches_nothing(&self) -> bool {
        self.fetches.is_empty()
    }

    fn fetch(&mut self, next: FetchStep, Coalescing { gap, longest }: Coalescing) {
        let end = next.offset + next.length;
        match self.fetches.last_mut() {
            Some(last)
                if last.pack == next.pack
                    && next.offset - (last.offset + last.length) <= gap
                    && end - last.offset <= longest =>
            {
                last.length = end - last.offset;
                last.chunks.extend(next.chunks);
            }
            Some(_) | None => self.fetches.push(next),
        }
    }
}

fn stored(chunk: &Chunk) -> u64 {
    u64::from(chunk.stored)
}
