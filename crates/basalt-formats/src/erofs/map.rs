//! The index of a compressed file: which blocks hold which of its bytes.
//!
//! A file is seen in *logical clusters* of 4096 bytes, each with one entry. A run of bytes starts in the entry of type
//! plain (stored as it is) or head (compressed), at a byte of it; it goes on over entries of type non-head to the next
//! start. The first non-head entry counts the run's blocks; a run without one has a single block. Where the file's end
//! is inside a logical cluster, a plain entry there ends the last run, unless that starts in it.
//!
//! Entries are packed: two into 8 bytes until the address is a multiple of 32, then sixteen into 32 bytes, the rest again
//! two into 8. A pack ends with a block number; the runs behind the first in it follow one another from there.
//!
//! Source: Linux `fs/erofs/zmap.c`, `fs/erofs/erofs_fs.h` (`z_erofs_map_header`, `Z_EROFS_LI_*`).

use super::{
    format::{BLOCK, put},
    squeeze::{Cluster, Tail},
};

/// Bytes of the header before the index (`struct z_erofs_map_header`).
pub(super) const HEADER: usize = 8;
/// `Z_EROFS_ADVISE_COMPACTED_2B`: packs of sixteen are in use.
pub(super) const ADVISE_SIXTEEN: u16 = 0x1;
/// `Z_EROFS_ADVISE_BIG_PCLUSTER_1`: compressed clusters may have several blocks.
pub(super) const ADVISE_BIG_1: u16 = 0x2;
/// `Z_EROFS_ADVISE_BIG_PCLUSTER_2`; with packed entries the same as the other.
pub(super) const ADVISE_BIG_2: u16 = 0x4;
/// `Z_EROFS_ADVISE_INLINE_PCLUSTER`: the last run is behind the index.
pub(super) const ADVISE_INLINE: u16 = 0x8;
/// `Z_EROFS_LI_D0_CBLKCNT`: the entry counts blocks.
pub(super) const BLOCK_COUNT: u16 = 1 << 11;
/// Bits of a packed entry before its type.
pub(super) const LOW_BITS: u32 = 12;

/// The type of an entry (`Z_EROFS_LCLUSTER_TYPE_*`).
pub(super) const PLAIN: u16 = 0;
pub(super) const HEAD: u16 = 1;
pub(super) const NON_HEAD: u16 = 2;

/// One entry before it is packed.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    kind: u16,
    /// Of a start the byte that it is at, of the first non-head the number of blocks, else the distance to the start.
    low: u16,
    /// The distance to the next start.
    next: u16,
    /// The block where the run is stored that starts here or goes on here.
    block: u32,
}

/// How entries are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packs {
    /// Entries in pairs, before the large packs.
    pub(super) first: usize,
    /// Entries in packs of sixteen.
    pub(super) sixteens: usize,
    /// All entries.
    pub(super) total: usize,
}

/// A pack of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pack {
    /// The first entry.
    pub(super) first: usize,
    /// How many entries it has room for: 2 or 16.
    pub(super) room: usize,
    /// Where it starts, in bytes from the start of the index.
    pub(super) offset: usize,
}

/// What the index of a file is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped<'a> {
    pub(super) clusters: &'a [Cluster],
    pub(super) tail: Option<&'a Tail>,
    /// The number of the first block.
    pub(super) block: u32,
    /// `h_algorithmtype`.
    pub(super) algorithm: u8,
}

impl Packs {
    /// The groups of `total` entries whose index starts `offset` bytes behind a multiple of 32 (a multiple of 8).
    pub(super) fn new(offset: u64, total: usize, large: bool) -> Self {
        let first = ((32 - offset % 32) / 4 % 8) as usize;
        let sixteens = if large && first < total { (total - first) / 16 * 16 } else { 0 };
        Self { first, sixteens, total }
    }

    /// The pack that holds an entry.
    pub(super) fn holding(&self, entry: usize) -> Pack {
        let behind = self.first + self.sixteens;
        let (start, offset, room) = if entry < self.first {
            (0, 0, 2)
        } else if entry < behind {
            (self.first, self.first * 4, 16)
        } else {
            (behind, self.first * 4 + self.sixteens * 2, 2)
        };
        let number = (entry - start) / room;
        let size = if room == 2 { 8 } else { 32 };
        Pack { first: start + number * room, room, offset: offset + number * size }
    }

    /// Bytes of all packs.
    pub(super) fn size(&self) -> usize {
        if self.total == 0 {
            return 0;
        }
        let last = self.holding(self.total - 1);
        last.offset + last.size()
    }
}

impl Pack {
    /// Bytes of the pack.
    pub(super) fn size(&self) -> usize {
        if self.room == 2 { 8 } else { 32 }
    }

    /// Bits of an entry.
    pub(super) fn bits(&self) -> usize {
        if self.room == 2 { 16 } else { 14 }
    }
}

/// Bytes of header and index of a file of `size` bytes, when they start `offset` bytes behind a multiple of 32.
pub(super) fn size(offset: u64, size: u64) -> u64 {
    let packs = Packs::new(offset + HEADER as u64, size.div_ceil(BLOCK) as usize, true);
    (HEADER + packs.size()) as u64
}

/// Header and index, which start `offset` bytes behind a multiple of 32 (a multiple of 8).
pub(super) fn encode(mapped: &Mapped<'_>, offset: u64) -> Vec<u8> {
    let entries = entries(mapped);
    let packs = Packs::new(offset + HEADER as u64, entries.len(), true);
    let mut bytes = vec![0; HEADER + packs.size()];
    let mut advise = ADVISE_SIXTEEN | ADVISE_BIG_1 | ADVISE_BIG_2;
    if let Some(tail) = mapped.tail {
        advise |= ADVISE_INLINE;
        put(&mut bytes, 2, &(tail.bytes.len() as u16).to_le_bytes());
    }
    put(&mut bytes, 4, &advise.to_le_bytes());
    bytes[6] = mapped.algorithm;
    let mut next = 0;
    while next < entries.len() {
        let pack = packs.holding(next);
        let here = &entries[next..entries.len().min(next + pack.room)];
        let at = HEADER + pack.offset;
        encode_pack(&pack, here, &mut bytes[at..at + pack.size()]);
        next += pack.room;
    }
    bytes
}

fn encode_pack(pack: &Pack, entries: &[Entry], bytes: &mut [u8]) {
    for (index, entry) in entries.iter().enumerate() {
        // The last of a pack tells the way forward, for the way back follows from the one before it.
        let last = index + 1 == pack.room && entry.kind == NON_HEAD && entry.low & BLOCK_COUNT == 0;
        let low = if last { entry.next } else { entry.low };
        let value = u32::from(entry.kind << LOW_BITS | low) << (index * pack.bits() % 8);
        let at = index * pack.bits() / 8;
        for (byte, part) in bytes[at..].iter_mut().zip(value.to_le_bytes()) {
            *byte |= part;
        }
    }
    // A reader counts the blocks of what starts or is counted in this pack, from this block on.
    let counted = |entry: &&Entry| entry.kind != NON_HEAD || entry.low & BLOCK_COUNT != 0;
    let block = entries.iter().find(counted).map_or(0, |entry| entry.block);
    put(bytes, pack.size() - 4, &block.to_le_bytes());
}

fn entries(mapped: &Mapped<'_>) -> Vec<Entry> {
    let tail =
        mapped.tail.map(|tail| Cluster { length: tail.length, blocks: 1, compressed: tail.compressed });
    let mut entries = Vec::new();
    let mut block = mapped.block;
    let mut position = 0_u64;
    for run in mapped.clusters.iter().copied().chain(tail) {
        let kind = if run.compressed { HEAD } else { PLAIN };
        let start = position / BLOCK;
        let low = (position % BLOCK) as u16;
        position += u64::from(run.length);
        let count = (position / BLOCK - start).max(1);
        for done in 0..count {
            let to_next = (count - done).min(u64::from(BLOCK_COUNT) - 1) as u16;
            entries.push(match done {
                0 => Entry { kind, low, next: to_next, block },
                1 => Entry { kind: NON_HEAD, low: BLOCK_COUNT | run.blocks as u16, next: to_next, block },
                _ => {
                    let back = done.min(u64::from(BLOCK_COUNT) - 1) as u16;
                    Entry { kind: NON_HEAD, low: back, next: to_next, block }
                }
            });
        }
        block += run.blocks;
    }
    if (entries.len() as u64) < position.div_ceil(BLOCK) {
        entries.push(Entry { kind: PLAIN, low: (position % BLOCK) as u16, next: 0, block });
    }
    entries
}
