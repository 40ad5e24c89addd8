//! From parts to packs and an index, in one pass, on all cores.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
};

use basalt_types::Digest;
use zstd::bulk::Compressor;

use super::{Chunk, Cuts, Index, Pack, Part, PartChunks, Piece, error::WriteError};
use crate::{
    ReadAt,
    blocks::{in_order, is_zero},
};

/// Higher ones gain less than 1 % of what is sent: nearly all of a root is compressed already.
const LEVEL: i32 = 6;
/// Chunks that are in memory at a time, twice: at most 16 MiB of the longest of them.
const BATCH: usize = 256;
/// A pack ends behind a chunk whose digest says so (about one of 128), if it has so many bytes…
const SHORTEST_PACK: usize = 4 << 20;
/// …or before it would have more than so many.
const LONGEST_PACK: usize = 32 << 20;

/// Cuts `parts`, which are in the order of [`Part::ALL`], and gives the packs to `sink` one by one.
///
/// Which pack a chunk is in depends on content, too: a release that shares a long stretch with another shares packs with
/// it, which registries keep once and caches have already.
///
/// # Errors
/// When a part can't be read, `sink` refuses, or a part comes twice or out of order.
pub fn write(
    parts: &[(Part, &dyn ReadAt)],
    sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<Index, WriteError> {
    let mut packer = Packer::default();
    for (part, bytes) in parts {
        let cuts = Cuts::new(*bytes, part.rule());
        let read = |source| WriteError::Read { part: *part, source };
        let make = |state: &mut Option<Compressor<'static>>, piece: io::Result<Piece>| {
            Packed::of(&piece.map_err(read)?.bytes, state)
        };
        let (mut size, mut chunks) = (0, Vec::new());
        in_order(
            (cuts, BATCH),
            || None,
            make,
            |packed| {
                size += u64::from(packed.length);
                chunks.push(packer.add(packed, sink)?);
                Ok(())
            },
        )?;
        packer.parts.push(PartChunks { part: *part, size, chunks });
    }
    packer.end_pack(sink)?;
    let Packer { packs, chunks, parts, .. } = packer;
    Ok(Index::new(packs, chunks, parts)?)
}

/// A chunk, ready for a pack.
struct Packed {
    digest: Digest,
    length: u32,
    stored: Vec<u8>,
}

impl Packed {
    fn of(bytes: &[u8], state: &mut Option<Compressor<'static>>) -> Result<Self, WriteError> {
        let digest = Digest::of(bytes);
        // A rule's longest chunk is far from overflowing; Index::new would refuse it.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if is_zero(bytes) {
            return Ok(Self { digest, length, stored: Vec::new() });
        }
        let compressor = match state {
            Some(compressor) => compressor,
            None => state.insert(Compressor::new(LEVEL).map_err(WriteError::Compress)?),
        };
        let compressed = compressor.compress(bytes).map_err(WriteError::Compress)?;
        let stored = if compressed.len() < bytes.len() { compressed } else { bytes.to_vec() };
        Ok(Self { digest, length, stored })
    }
}

/// Puts chunks one behind the other.
#[derive(Default)]
struct Packer {
    packs: Vec<Pack>,
    chunks: Vec<Chunk>,
    parts: Vec<PartChunks>,
    known: HashMap<Digest, u32>,
    /// The pack that is being filled.
    pack: Vec<u8>,
    /// How many chunks are in full packs.
    packed: usize,
}

impl Packer {
    /// The number of a chunk, which is added unless it is known.
    fn add(
        &mut self,
        packed: Packed,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<u32, WriteError> {
        let Packed { digest, length, stored } = packed;
        let number = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        match self.known.entry(digest) {
            Entry::Occupied(known) => return Ok(*known.get()),
            Entry::Vacant(new) => new.insert(number),
        };
        if self.pack.len() + stored.len() > LONGEST_PACK {
            self.end_pack(sink)?;
        }
        self.pack.extend_from_slice(&stored);
        let stored = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        self.chunks.push(Chunk { digest, length, stored });
        let ends = digest.as_bytes()[0] < 2;
        if ends && self.pack.len() >= SHORTEST_PACK {
            self.end_pack(sink)?;
        }
        Ok(number)
    }

    fn end_pack(&mut self, sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send)) -> Result<(), WriteError> {
        if self.pack.is_empty() {
            return Ok(());
        }
        sink(&self.pack).map_err(WriteError::Sink)?;
        let chunks = u32::try_from(self.chunks.len() - self.packed).unwrap_or(u32::MAX);
        self.packs.push(Pack { digest: Digest::of(&self.pack), size: self.pack.len() as u64, chunks });
        self.packed = self.chunks.len();
        self.pack.clear();
        Ok(())
    }
}
