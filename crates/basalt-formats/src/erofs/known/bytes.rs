//! The index as bytes, to be kept beside its image.
//!
//! ```text
//! "basaltE1" | method, level (1 byte each), cluster size, revision, zstd (4 each) | contents… | SHA-256 of all before
//! content: SHA-256 | size | first block | CRC-32 | number of clusters | cluster… | tail
//! cluster: bytes of the file | blocks * 2 + (1 when compressed)
//! tail: 0, or its byte in the image | bytes of the file | bytes of the image * 2 + (1 when compressed)
//! ```
//! Numbers in a content are LEB128: seven bits a byte, the low ones first.

use std::collections::BTreeMap;

use basalt_types::Digest;

use super::{Index, Known, KnownTail, Made};
use crate::erofs::{
    codec::{Algorithm, Compression},
    format::{BLOCK, u32_at},
    squeeze::{Cluster, MAX_TAIL},
};

const MAGIC: &[u8; 8] = b"basaltE1";
const HEADER: usize = 22;
const DIGEST: usize = 32;

/// Why bytes are no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// They are something else, cut off or changed.
    #[error("this is no index of an image, or a damaged one")]
    Damaged,
    /// They are intact and say what can't be.
    #[error("the index says what can't be, at its byte {at}")]
    Content {
        /// Where.
        at: usize,
    },
}

impl Index {
    /// The index as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Made { compression, revision, zstd } = self.made;
        let (method, level, cluster) = match compression {
            Some(Compression { algorithm, level, cluster }) => (1 + algorithm as u8, level, cluster),
            None => (0, 0, 0),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[method, level]);
        [cluster, revision, zstd].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        for (digest, known) in &self.files {
            bytes.extend_from_slice(digest.as_bytes());
            known.write(&mut bytes);
        }
        let digest = Digest::of(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads the bytes of [`Self::to_bytes`].
    ///
    /// # Errors
    /// When they are not an index, or not whole.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        let (body, sum) = bytes.split_last_chunk::<DIGEST>().ok_or(IndexError::Damaged)?;
        if !body.starts_with(MAGIC) || body.len() < HEADER || Digest::of(body).as_bytes() != sum {
            return Err(IndexError::Damaged);
        }
        let compression = match body[8] {
            0 => None,
            method => {
                let known = [Algorithm::Lz4, Algorithm::Lz4hc, Algorithm::Deflate, Algorithm::Zstd];
                let algorithm = *known.get(usize::from(method) - 1).ok_or(IndexError::Content { at: 8 })?;
                let found = Compression { algorithm, level: body[9], cluster: u32_at(body, 10) };
                found.check().or(Err(IndexError::Content { at: 9 }))?;
                Some(found)
            }
        };
        let made = Made { compression, revision: u32_at(body, 14), zstd: u32_at(body, 18) };
        let mut files = BTreeMap::new();
        let mut numbers = Numbers { bytes: body, at: HEADER };
        while numbers.at < body.len() {
            let at = numbers.at;
            let read = numbers.content().filter(|(_, known)| known.is_sound());
            let (digest, known) = read.ok_or(IndexError::Content { at })?;
            if files.insert(digest, known).is_some() {
                return Err(IndexError::Content { at });
            }
        }
        Ok(Self { made, files })
    }
}

impl Known {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { size, block, clusters, tail, sum } = self;
        [*size, u64::from(*block), u64::from(*sum), clusters.len() as u64]
            .iter()
            .for_each(|number| write(bytes, *number));
        for Cluster { length, blocks, compressed } in clusters {
            write(bytes, u64::from(*length));
            write(bytes, u64::from(*blocks) << 1 | u64::from(*compressed));
        }
        match tail {
            Some(KnownTail { offset, length, stored, compressed }) => {
                write(bytes, *offset);
                write(bytes, u64::from(*length));
                write(bytes, u64::from(*stored) << 1 | u64::from(*compressed));
            }
            None => write(bytes, 0),
        }
    }

    /// Whether the numbers fit one another as the writer makes them.
    fn is_sound(&self) -> bool {
        let runs = self.clusters.iter();
        let lengths: u64 = runs.clone().map(|cluster| u64::from(cluster.length)).sum();
        let tail = self.tail.as_ref();
        let all = lengths + tail.map_or(0, |tail| u64::from(tail.length));
        let blocks = |cluster: &Cluster| {
            let stored = u64::from(cluster.blocks) * BLOCK;
            let length = u64::from(cluster.length);
            (1..=256).contains(&cluster.blocks)
                && if cluster.compressed { stored < length } else { length <= BLOCK && cluster.blocks == 1 }
        };
        runs.clone().all(blocks)
            && tail.is_none_or(|tail| (1..=MAX_TAIL).contains(&usize::from(tail.stored)) && tail.length > 0)
            && (self.is_plain() || all == self.size)
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Numbers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Numbers<'_> {
    fn content(&mut self) -> Option<(Digest, Known)> {
        let digest = Digest::from_bytes(*self.bytes.get(self.at..)?.first_chunk::<DIGEST>()?);
        self.at += DIGEST;
        let size = self.number()?;
        let (block, sum) = (self.small()?, self.small()?);
        let count = self.number()?;
        let mut clusters = Vec::new();
        for _ in 0..count {
            let length = self.small()?;
            let blocks = self.small()?;
            clusters.push(Cluster { length, blocks: blocks >> 1, compressed: blocks & 1 != 0 });
        }
        let tail = match self.number()? {
            0 => None,
            offset => {
                let (length, stored) = (self.small()?, self.small()?);
                let compressed = stored & 1 != 0;
                Some(KnownTail { offset, length, stored: u16::try_from(stored >> 1).ok()?, compressed })
            }
        };
        Some((digest, Known { size, block, clusters, tail, sum }))
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
