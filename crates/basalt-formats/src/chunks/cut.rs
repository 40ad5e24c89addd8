//! Where one chunk ends and the next begins: decided by content, so that it moves along when content moves.

use std::{io, mem};

use crate::ReadAt;

/// How something is cut. All numbers but `block` are in blocks.
///
/// A chunk ends behind the first block, from its `shortest`th on, whose CRC-32 (IEEE 802.3) is below
/// 2³² / (`mean` - `shortest`), and behind its `longest`th block in any case. So whether a block ends a chunk depends on
/// that block alone (and on how near the end before it is), and one changed block changes the chunk it is in, and rarely
/// the next. The last chunk takes what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Bytes of a block: what content is aligned to.
    pub block: usize,
    /// At least so many, but for the last chunk.
    pub shortest: usize,
    /// About so many, where content is random. More than `shortest`.
    pub mean: usize,
    /// At most so many.
    pub longest: usize,
}

/// A chunk where it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte's place in the image.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The chunks of an image, in order. Ends after an error.
pub struct Cuts<'a> {
    image: &'a dyn ReadAt,
    rule: Rule,
    /// The place of the next chunk.
    offset: u64,
    /// What was read from there on.
    ahead: Vec<u8>,
    failed: bool,
}

impl Rule {
    /// Bytes of the longest chunk.
    pub const fn longest_bytes(&self) -> usize {
        self.block * self.longest
    }

    /// Where the chunk at the start of `bytes` ends, when `bytes` are the longest chunk or all that is left.
    fn first_cut(&self, bytes: &[u8]) -> usize {
        let Self { block, shortest, mean, longest } = *self;
        let threshold = (1 << 32) / mean.saturating_sub(shortest).max(1) as u64;
        let ends = |content: &[u8]| u64::from(crc32fast::hash(content)) < threshold;
        let blocks = bytes.chunks_exact(block).take(longest).enumerate();
        let cut = blocks.skip(shortest.saturating_sub(1)).find(|(_, content)| ends(content));
        cut.map_or(bytes.len().min(self.longest_bytes()), |(number, _)| (number + 1) * block)
    }
}

impl<'a> Cuts<'a> {
    /// The chunks of `image` by `rule`.
    pub fn new(image: &'a dyn ReadAt, rule: Rule) -> Self {
        Self { image, rule, offset: 0, ahead: Vec::new(), failed: false }
    }

    fn read_ahead(&mut self) -> io::Result<()> {
        let known = self.ahead.len();
        let from = self.offset + known as u64;
        let left = usize::try_from(self.image.size().saturating_sub(from)).unwrap_or(usize::MAX);
        let wanted = (self.rule.longest_bytes() - known).min(left);
        self.ahead.resize(known + wanted, 0);
        self.image.read_at(from, &mut self.ahead[known..])
    }
}

impl Iterator for Cuts<'_> {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if let Err(error) = self.read_ahead() {
            self.failed = true;
            return Some(Err(error));
        }
        if self.ahead.is_empty() {
            return None;
        }
        let rest = self.ahead.split_off(self.rule.first_cut(&self.ahead));
        let bytes = mem::replace(&mut self.ahead, rest);
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        Some(Ok(Piece { offset, bytes }))
    }
}

impl std::fmt::Debug for Cuts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cuts").field("rule", &self.rule).field("offset", &self.offset).finish_non_exhaustive()
    }
}
