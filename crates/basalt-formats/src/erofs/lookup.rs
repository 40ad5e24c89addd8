//! Finds the run that holds a byte of a compressed file, in the index of an image that may be hostile.
//!
//! Nothing of the index is kept: a look-up reads the entries around the byte, as Linux does, and ends after as many as
//! the longest run that Linux takes can have.

use std::io;

use super::{
    codec::MAX_CLUSTER,
    decode::{DecodeError, Method},
    format::{u16_at, u32_at},
    map::{
        ADVISE_BIG_1, ADVISE_BIG_2, ADVISE_INLINE, ADVISE_SIXTEEN, BLOCK_COUNT, HEAD, HEADER, LOW_BITS,
        NON_HEAD, PLAIN, Packs,
    },
};
use crate::ReadAt;

/// `Z_EROFS_ADVISE_INTERLACED_PCLUSTER`: plain blocks hold each byte at its place in its page.
const ADVISE_INTERLACED: u16 = 0x10;
/// `Z_EROFS_ADVISE_FRAGMENT_PCLUSTER`: the last run is in the packed file.
const ADVISE_FRAGMENT: u16 = 0x20;
/// The bit of `h_clusterbits` that says that the whole file is in the packed file.
const WHOLE_FRAGMENT: u8 = 0x80;

/// `Z_EROFS_LI_PARTIAL_REF`: the blocks hold more than the run.
const PARTIAL: u16 = 1 << 15;
/// Bytes of an entry that is not packed.
const FULL_ENTRY: u64 = 8;
/// Bytes of a run at most (`Z_EROFS_PCLUSTER_MAX_DSIZE`).
const MAX_RUN: u64 = 12 << 20;

/// Where the index of a file is, and how it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    /// Bytes of the file.
    pub(super) size: u64,
    block_bits: u8,
    /// The index, in bytes of the image; `None` when the whole file is in the packed file.
    index: Option<u64>,
    /// How entries are packed; `None`: they are not.
    packs: Option<Packs>,
    advise: u16,
    methods: [Option<Method>; 2],
    /// Bytes of an inline tail, or 0.
    inline: u16,
    /// Where the last run starts in the packed file.
    fragment: Option<u64>,
    padded: bool,
}

/// A run of a file, and where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first byte of the file.
    pub(super) start: u64,
    /// The byte behind the last one.
    pub(super) end: u64,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In bytes of the image, as they are, from `turn` on and around the end.
    Plain { offset: u64, length: u64, turn: u64 },
    /// In bytes of the image, compressed.
    Compressed { offset: u64, length: u64, method: Method, partial: bool },
    /// In the packed file from this byte on.
    Fragment { offset: u64 },
}

/// Why the data of a compressed file could not be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The index is not possible.
    #[error("the index is damaged at entry {entry}: {what}")]
    Index {
        /// Which entry.
        entry: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A run is longer than Linux takes.
    #[error("a run of {length} bytes is too long")]
    RunLength {
        /// Bytes of the run.
        length: u64,
    },
    /// A run is stored outside of the image, or in a way that it can't be.
    #[error("a run of {length} bytes is stored at byte {offset}, where it can't be")]
    Place {
        /// Where it would be stored.
        offset: u64,
        /// Bytes of the image.
        length: u64,
    },
    /// A method is unknown.
    #[error("its compression method is not supported")]
    Method,
    /// The index has a form that this reader lacks.
    #[error("the header of its index ({advise:#06x}, {bits:#04x}) is not supported")]
    Header {
        /// `h_advise`.
        advise: u16,
        /// `h_clusterbits`.
        bits: u8,
    },
    /// Compressed data is damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A part lies in the packed file, which is not there.
    #[error("a part of it is in a packed file, which is not there")]
    Fragment,
    /// The image could not be read.
    #[error("the image could not be read: {0}")]
    Io(String),
}

/// One entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A run starts at this byte.
    Start { kind: u16, at: u64, block: u64, partial: bool },
    /// A run goes on; the first of these counts its blocks.
    More { blocks: Option<u64> },
}

/// The inode's part of what a look-up needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) size: u64,
    pub(super) block_bits: u8,
    /// Where the header is, in bytes of the image.
    pub(super) header: u64,
    /// Whether entries are packed.
    pub(super) packed: bool,
    /// Whether compressed bytes have zeros in front; without, they may have anything behind.
    pub(super) padded: bool,
}

impl Lookup {
    /// Reads the 8 bytes of the header.
    pub(super) fn new(inode: Indexed, header: &[u8]) -> Result<Self, ClusterError> {
        let Indexed { size, block_bits, header: at, packed, padded } = inode;
        let (advise, bits) = (u16_at(header, 4), header[7]);
        let mut lookup = Self {
            size,
            block_bits,
            index: None,
            packs: None,
            advise,
            methods: [None, None],
            inline: 0,
            fragment: None,
            padded,
        };
        if bits & WHOLE_FRAGMENT != 0 {
            let [a, b, c, d, e, f, g, h] = *header else { return Err(ClusterError::Header { advise, bits }) };
            lookup.fragment = Some(u64::from_le_bytes([a, b, c, d, e, f, g, h ^ WHOLE_FRAGMENT]));
            return Ok(lookup);
        }
        let extents = !packed && advise & ADVISE_SIXTEEN != 0;
        let uneven = packed && (advise & ADVISE_BIG_1 == 0) != (advise & ADVISE_BIG_2 == 0);
        if bits != 0 || extents || uneven || packed && block_bits > 14 {
            return Err(ClusterError::Header { advise, bits });
        }
        lookup.methods = [header[6] & 15, header[6] >> 4].map(Method::from_number);
        if advise & ADVISE_FRAGMENT != 0 {
            lookup.fragment = Some(u32_at(header, 0).into());
        } else if advise & ADVISE_INLINE != 0 {
            lookup.inline = u16_at(header, 2);
        }
        let total = size.div_ceil(1 << block_bits) as usize;
        let index = at + HEADER as u64 + if packed { 0 } else { FULL_ENTRY };
        lookup.index = Some(index);
        lookup.packs =
            packed.then(|| Packs::new(index, total, advise & ADVISE_SIXTEEN != 0 && block_bits <= 12));
        Ok(lookup)
    }

    /// Bytes of the index and where it starts; an inline tail follows it.
    pub(super) fn index(&self) -> Option<(u64, u64)> {
        let size = match &self.packs {
            Some(packs) => packs.size() as u64,
            None => self.entries() * FULL_ENTRY,
        };
        self.index.map(|index| (index, size))
    }

    /// How long the packed file must be at least, if a part of this file is in it; the inner `None` is too much.
    pub(super) fn fragment_end(&self) -> Option<Option<u64>> {
        let fragment = self.fragment?;
        // How long the last run is, only its index tells; reading it checks that.
        Some(fragment.checked_add(if self.index.is_none() { self.size } else { 1 }))
    }

    /// The run that holds byte `position`, which is inside the file.
    pub(super) fn run(&self, source: &dyn ReadAt, position: u64) -> Result<Run, ClusterError> {
        let Some(index) = self.index else {
            let place = Place::Fragment { offset: self.fragment.unwrap_or_default() };
            return Ok(Run { start: 0, end: self.size, place });
        };
        let mut entries = Entries { lookup: self, source, index, pack: None };
        let block = 1_u64 << self.block_bits;
        let longest = MAX_RUN >> self.block_bits;
        let (first, kind, at, stored, partial) = {
            let asked = position >> self.block_bits;
            let mut number = asked;
            loop {
                if let Entry::Start { kind, at, block: stored, partial } = entries.get(number)?
                    && (number < asked || at <= position % block)
                {
                    break (number, kind, at, stored, partial);
                }
                if number == 0 || asked - number > longest {
                    return Err(ClusterError::Index { entry: number, what: "no run starts before it" });
                }
                number -= 1;
            }
        };
        let start = first * block + at;
        let mut next = first + 1;
        let mut end = self.size;
        let mut blocks = 1;
        while next < self.entries() {
            match entries.get(next)? {
                Entry::Start { at, .. } => {
                    end = end.min(next * block + at);
                    break;
                }
                Entry::More { blocks: Some(count) } if next == first + 1 => blocks = count,
                Entry::More { .. } => {}
            }
            next += 1;
            if next - first > longest + 1 {
                break;
            }
        }
        if end - start > MAX_RUN {
            return Err(ClusterError::RunLength { length: end - start });
        }
        let big = if kind == HEAD { ADVISE_BIG_1 } else { ADVISE_BIG_2 };
        if self.advise & big == 0 {
            blocks = 1;
        }
        let run = Found { start, end, kind, block: stored, blocks, partial };
        Ok(Run { start, end, place: self.place(&run, source.size())? })
    }

    fn place(&self, run: &Found, image: u64) -> Result<Place, ClusterError> {
        let last = run.end == self.size;
        if let (true, Some(offset)) = (last, self.fragment) {
            return Ok(Place::Fragment { offset });
        }
        let mut offset = run.block << self.block_bits;
        let mut length = run.blocks << self.block_bits;
        if last && self.inline > 0 {
            (offset, length) = (self.behind_last(), self.inline.into());
        }
        let wrong = ClusterError::Place { offset, length };
        let outside = offset.checked_add(length).is_none_or(|end| end > image);
        if length == 0 || length > u64::from(MAX_CLUSTER) || outside {
            return Err(wrong);
        }
        let decoded = run.end - run.start;
        let method = match run.kind {
            PLAIN if decoded > length => return Err(wrong),
            PLAIN => {
                let turned = self.advise & ADVISE_INTERLACED != 0 && !(last && self.inline > 0);
                let turn = if turned { run.start % length.min(1 << self.block_bits) } else { 0 };
                return Ok(Place::Plain { offset, length, turn });
            }
            HEAD => self.methods[0],
            _second => self.methods[1],
        };
        let method = method.ok_or(ClusterError::Method)?;
        Ok(Place::Compressed { offset, length, method, partial: run.partial || !self.padded })
    }

    fn entries(&self) -> u64 {
        self.size.div_ceil(1 << self.block_bits)
    }

    /// The byte behind the pack of the last entry, or behind that itself.
    fn behind_last(&self) -> u64 {
        self.index().map_or(0, |(start, size)| start + size)
    }
}

struct Found {
    start: u64,
    end: u64,
    kind: u16,
    block: u64,
    blocks: u64,
    partial: bool,
}

/// Reads entries, and keeps the pack of the last one.
struct Entries<'a> {
    lookup: &'a Lookup,
    source: &'a dyn ReadAt,
    index: u64,
    pack: Option<(usize, [u8; 32])>,
}

impl Entries<'_> {
    fn get(&mut self, number: u64) -> Result<Entry, ClusterError> {
        match self.lookup.packs {
            Some(packs) => self.packed(&packs, number as usize),
            None => self.full(number),
        }
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ClusterError> {
        let failed = |error: io::Error| ClusterError::Io(error.to_string());
        self.source.read_at(self.index + offset, bytes).map_err(failed)
    }

    fn full(&self, number: u64) -> Result<Entry, ClusterError> {
        let mut bytes = [0; FULL_ENTRY as usize];
        self.read(number * FULL_ENTRY, &mut bytes)?;
        let advise = u16_at(&bytes, 0);
        if advise & 3 == NON_HEAD {
            let back = u16_at(&bytes, 4);
            return Ok(Entry::More { blocks: count_of(back) });
        }
        let at = self.checked(number, u16_at(&bytes, 2))?;
        Ok(Entry::Start {
            kind: advise & 3,
            at,
            block: u32_at(&bytes, 4).into(),
            partial: advise & PARTIAL != 0,
        })
    }

    fn packed(&mut self, packs: &Packs, number: usize) -> Result<Entry, ClusterError> {
        let pack = packs.holding(number);
        let bytes = match self.pack {
            Some((first, bytes)) if first == pack.first => bytes,
            Some(_) | None => {
                let mut bytes = [0; 32];
                self.read(pack.offset as u64, &mut bytes[..pack.size()])?;
                self.pack = Some((pack.first, bytes));
                bytes
            }
        };
        let low_bits = LOW_BITS.max(self.lookup.block_bits.into());
        let entry = |index: usize| {
            let at = index * pack.bits();
            let value = u32_at(&bytes[at / 8..], 0) >> (at % 8);
            ((value >> low_bits & 3) as u16, (value & ((1 << low_bits) - 1)) as u16)
        };
        let index = number - pack.first;
        let (kind, low) = entry(index);
        if kind == NON_HEAD {
            return Ok(Entry::More { blocks: count_of(low) });
        }
        let base = u64::from(u32_at(&bytes, pack.size() - 4));
        let big = self.lookup.advise & ADVISE_BIG_1 != 0;
        let before: u64 = (0..index)
            .map(|index| match entry(index) {
                (NON_HEAD, low) => count_of(low).filter(|_| big).unwrap_or(0),
                // Its blocks are counted by the entry that follows it, if that goes on with it.
                (_, _) if big && matches!(entry(index + 1), (NON_HEAD, low) if low & BLOCK_COUNT != 0) => 0,
                (_, _) => 1,
            })
            .sum();
        let at = self.checked(number as u64, low)?;
        Ok(Entry::Start { kind, at, block: base + before + u64::from(!big), partial: false })
    }

    fn checked(&self, entry: u64, at: u16) -> Result<u64, ClusterError> {
        if u64::from(at) >> self.lookup.block_bits == 0 {
            Ok(at.into())
        } else {
            Err(ClusterError::Index { entry, what: "a run starts outside of it" })
        }
    }
}

fn count_of(low: u16) -> Option<u64> {
    (low & BLOCK_COUNT != 0).then(|| u64::from(low & !BLOCK_COUNT))
}

#[cfg(test)]
mod tests;
