//! Which chunks a release consists of, and where each lies.
//!
//! Little-endian; the whole is one zstd frame (RFC 8878).
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `BSLTCIDX` |
//! | 4 | version, 1 |
//! | 4, 4, 4 | number of packs `p`, chunks `c`, parts `n` |
//! | 44 `p` | packs: SHA-256 of the blob, its bytes (8), how many chunks it holds (4) |
//! | 32 `c` | chunks: SHA-256 of the bytes, in the order of first use |
//! | 4 `c` | chunks: bytes |
//! | 4 `c` | chunks: bytes in the pack: 0 (all are zeros), fewer (a zstd frame), or equally many (as they are) |
//! | 16 `n` | parts: kind (4), number of its chunks `m` (4), bytes (8) |
//! | 4 Σ`m` | the chunks of each part, by number, in order |
//!
//! The chunks lie in the packs one behind the other, in order.

use std::{collections::HashSet, io::Read as _};

use basalt_types::Digest;

use super::{Part, error::IndexError};

/// An index whose parts add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    packs: Vec<Pack>,
    chunks: Vec<Chunk>,
    parts: Vec<PartChunks>,
    /// Of each chunk.
    places: Vec<Option<Place>>,
}

/// A blob of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The digest of the blob.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// How many chunks are in it.
    pub chunks: u32,
}

/// Some bytes of a release, wherever and however often it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The digest of the bytes.
    pub digest: Digest,
    /// How many they are: 1 to [`Index::LONGEST_CHUNK`].
    pub length: u32,
    /// How many bytes of its pack it takes; 0 when they are zeros.
    pub stored: u32,
}

/// A part as chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartChunks {
    /// Which one.
    pub part: Part,
    /// Its bytes.
    pub size: u64,
    /// The numbers of its chunks, in order.
    pub chunks: Vec<u32>,
}

/// Where a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which pack, from 0.
    pub pack: u32,
    /// From which byte on.
    pub offset: u64,
}

const MAGIC: &[u8; 8] = b"BSLTCIDX";
const HEADER: u64 = 24;
const PACK: u64 = 44;
const CHUNK: u64 = 40;
const PART: u64 = 16;
const REFERENCE: u64 = 4;
/// Digests do not get smaller: what is won are lengths and references, and any level finds them.
const LEVEL: i32 = 9;

impl Index {
    /// The version of the format.
    pub const VERSION: u32 = 1;
    /// The largest index before packing, in bytes: of a release of some 20 GB.
    pub const LIMIT: u64 = 64 << 20;
    /// The longest chunk, in bytes. Every [`Part::rule`] stays within.
    pub const LONGEST_CHUNK: u32 = 1 << 20;

    /// Checks that everything adds up.
    ///
    /// # Errors
    /// When it does not.
    pub fn new(packs: Vec<Pack>, chunks: Vec<Chunk>, parts: Vec<PartChunks>) -> Result<Self, IndexError> {
        check_chunks(&chunks)?;
        let places = place(&packs, &chunks)?;
        check_parts(&chunks, &parts)?;
        Ok(Self { packs, chunks, parts, places })
    }

    /// The packs in order.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// The chunks in the order of first use.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The parts in the order of [`Part::ALL`].
    pub fn parts(&self) -> &[PartChunks] {
        &self.parts
    }

    /// Where chunk `number` is stored; `None` when it is zeros, or not there.
    pub fn place(&self, number: u32) -> Option<Place> {
        self.places.get(number as usize).copied().flatten()
    }

    /// The bytes of all packs.
    pub fn stored_size(&self) -> u64 {
        self.packs.iter().map(|pack| pack.size).sum()
    }

    /// The index as the artifact has it: packed.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn to_packed(&self) -> std::io::Result<Vec<u8>> {
        zstd::bulk::compress(&self.to_bytes(), LEVEL)
    }

    /// Reads a packed index.
    ///
    /// # Errors
    /// When it is not a zstd frame, or what comes out is refused by [`Index::parse`].
    pub fn parse_packed(packed: &[u8]) -> Result<Self, IndexError> {
        let fail = |source| IndexError::Packing { limit: Self::LIMIT, source };
        let mut bytes = Vec::new();
        let decoder = zstd::Decoder::new(packed).map_err(fail)?;
        decoder.take(Self::LIMIT + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > Self::LIMIT {
            return Err(fail(std::io::ErrorKind::FileTooLarge.into()));
        }
        Self::parse(&bytes)
    }

    /// The index before packing.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { packs, chunks, parts, places: _ } = self;
        let mut bytes = MAGIC.to_vec();
        let mut word = |word: u32| bytes.extend_from_slice(&word.to_le_bytes());
        let counts = [packs.len(), chunks.len(), parts.len()];
        word(Self::VERSION);
        counts.map(count).into_iter().for_each(&mut word);
        for Pack { digest, size, chunks } in packs {
            bytes.extend_from_slice(digest.as_bytes());
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&chunks.to_le_bytes());
        }
        chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk.digest.as_bytes()));
        chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.length.to_le_bytes()));
        chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.stored.to_le_bytes()));
        for PartChunks { part, size, chunks } in parts {
            bytes.extend_from_slice(&part.number().to_le_bytes());
            bytes.extend_from_slice(&count(chunks.len()).to_le_bytes());
            bytes.extend_from_slice(&size.to_le_bytes());
        }
        for number in parts.iter().flat_map(|part| &part.chunks) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads an index that is not packed.
    ///
    /// # Errors
    /// When it is none, or does not add up.
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(bytes);
        if fields.take(MAGIC.len())? != MAGIC {
            return Err(IndexError::Magic);
        }
        let version = fields.word()?;
        if version != Self::VERSION {
            return Err(IndexError::Version(version));
        }
        let (packs, chunks, parts) = (fields.word()?, fields.word()?, fields.word()?);
        // Nothing is reserved before the bytes are known to be there.
        let known = HEADER + PACK * u64::from(packs) + CHUNK * u64::from(chunks) + PART * u64::from(parts);
        if known > bytes.len() as u64 {
            return Err(IndexError::Length { expected: known, found: bytes.len() as u64 });
        }
        let packs = (0..packs).map(|_| fields.pack()).collect::<Result<Vec<_>, _>>()?;
        let chunks = fields.chunks(chunks)?;
        let heads = (0..parts).map(|_| fields.part()).collect::<Result<Vec<_>, _>>()?;
        let expected = known + heads.iter().map(|head| REFERENCE * u64::from(head.1)).sum::<u64>();
        if expected != bytes.len() as u64 {
            return Err(IndexError::Length { expected, found: bytes.len() as u64 });
        }
        let parts = heads.into_iter().map(|(part, count, size)| {
            let chunks = (0..count).map(|_| fields.word()).collect::<Result<_, _>>()?;
            Ok(PartChunks { part, size, chunks })
        });
        Self::new(packs, chunks, parts.collect::<Result<Vec<_>, IndexError>>()?)
    }
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], IndexError> {
        let short = IndexError::Length { expected: length as u64, found: self.0.len() as u64 };
        let (head, rest) = self.0.split_at_checked(length).ok_or(short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn word(&mut self) -> Result<u32, IndexError> {
        self.array().map(u32::from_le_bytes)
    }

    fn digest(&mut self) -> Result<Digest, IndexError> {
        self.array().map(Digest::from_bytes)
    }

    fn pack(&mut self) -> Result<Pack, IndexError> {
        let (digest, size) = (self.digest()?, self.array().map(u64::from_le_bytes)?);
        Ok(Pack { digest, size, chunks: self.word()? })
    }

    fn chunks(&mut self, count: u32) -> Result<Vec<Chunk>, IndexError> {
        let digests = (0..count).map(|_| self.digest()).collect::<Result<Vec<_>, _>>()?;
        let lengths = (0..count).map(|_| self.word()).collect::<Result<Vec<_>, _>>()?;
        let chunks = digests.into_iter().zip(lengths);
        chunks.map(|(digest, length)| Ok(Chunk { digest, length, stored: self.word()? })).collect()
    }

    fn part(&mut self) -> Result<(Part, u32, u64), IndexError> {
        let (number, count) = (self.word()?, self.word()?);
        let part = Part::ALL.into_iter().find(|part| part.number() == number);
        let size = self.array().map(u64::from_le_bytes)?;
        Ok((part.ok_or(IndexError::Part(number))?, count, size))
    }
}

fn check_chunks(chunks: &[Chunk]) -> Result<(), IndexError> {
    let mut known = HashSet::with_capacity(chunks.len());
    for (number, Chunk { digest, length, stored }) in chunks.iter().enumerate() {
        let (length, stored, limit) = (*length, *stored, Index::LONGEST_CHUNK);
        if length == 0 || length > limit || stored > length {
            return Err(IndexError::Chunk { number, length, stored, limit });
        }
        if !known.insert(digest) {
            return Err(IndexError::Repeated { number, digest: *digest });
        }
    }
    Ok(())
}

/// The place of each chunk that has bytes.
fn place(packs: &[Pack], chunks: &[Chunk]) -> Result<Vec<Option<Place>>, IndexError> {
    let mut places = Vec::with_capacity(chunks.len());
    for (number, pack) in packs.iter().enumerate() {
        let Pack { digest: _, size, chunks: holds } = *pack;
        let from = places.len();
        let inside = chunks.iter().skip(from).take(holds as usize);
        let mut found = 0;
        for chunk in inside {
            let place = Place { pack: count(number), offset: found };
            places.push((chunk.stored > 0).then_some(place));
            found += u64::from(chunk.stored);
        }
        if found != size || size == 0 || places.len() - from != holds as usize {
            return Err(IndexError::Pack { number, size, chunks: holds, found });
        }
    }
    let rest = chunks.iter().enumerate().skip(places.len());
    for (number, chunk) in rest {
        if chunk.stored > 0 {
            return Err(IndexError::Unpacked(number));
        }
        places.push(None);
    }
    Ok(places)
}

fn check_parts(chunks: &[Chunk], parts: &[PartChunks]) -> Result<(), IndexError> {
    // How many chunks have been used: a new one is always the next.
    let mut used = 0;
    let mut last = 0;
    for PartChunks { part, size, chunks: numbers } in parts {
        if part.number() <= last {
            return Err(IndexError::Part(part.number()));
        }
        last = part.number();
        let mut found: u64 = 0;
        for number in numbers {
            let chunk = chunks.get(*number as usize).filter(|_| *number as usize <= used);
            let chunk = chunk.ok_or(IndexError::Order { part: *part, number: *number })?;
            used = used.max(*number as usize + 1);
            found += u64::from(chunk.length);
        }
        if found != *size {
            return Err(IndexError::PartSize { part: *part, size: *size, found });
        }
    }
    if used < chunks.len() { Err(IndexError::Unused(used)) } else { Ok(()) }
}

/// Everything that is counted here is bounded by [`Index::LIMIT`].
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
