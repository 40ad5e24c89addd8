//! The compressors, each with what EROFS asks of it: as much input as fits into whole blocks.

use std::io;

use flate2::{FlushCompress, Status};
use serde::{Deserialize, Serialize};
use zstd::{bulk, zstd_safe::CParameter};

use super::{cut, format::BLOCK};
use crate::deflate::Streams;

/// Input of one cluster at most: what a reader of one page may have to decompress. Linux takes up to 12 MiB
/// (`Z_EROFS_PCLUSTER_MAX_DSIZE`).
pub(super) const MAX_RUN: usize = 1 << 20;
/// Physical bytes of one cluster at most (`Z_EROFS_PCLUSTER_MAX_SIZE`).
pub(super) const MAX_CLUSTER: u32 = 1 << 20;
/// A cluster that wastes less than this share of itself is not tried again: 1/256.
const GOOD_FILL: usize = 256;
/// Log2 of the distances in DEFLATE (RFC 1951 section 2): 32 KiB.
const DEFLATE_WINDOW: u8 = 15;
/// How often one cluster is compressed at most, before the best is taken.
const TRIES: usize = 4;

/// A compression method of EROFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// LZ4, quickly. Linux 4.19 and later.
    Lz4,
    /// LZ4, searched for long; read as quickly as the other.
    Lz4hc,
    /// DEFLATE. Linux 6.6 and later.
    Deflate,
    /// Zstandard. Linux 6.10 and later.
    Zstd,
}

/// How file data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Compression {
    /// The method.
    pub algorithm: Algorithm,
    /// The method's level; see [`Algorithm::levels`].
    pub level: u8,
    /// Bytes of a physical cluster: a multiple of 4096, at most 1 MiB. Larger ones compress better and make reading a
    /// single page slower.
    pub cluster: u32,
}

/// Why a [`Compression`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionProblem {
    /// The method has no such level.
    #[error("{algorithm:?} has no level {level}: expected {} to {}", .algorithm.levels().0, .algorithm.levels().1)]
    Level {
        /// The method.
        algorithm: Algorithm,
        /// The level.
        level: u8,
    },
    /// Clusters of this size are not possible.
    #[error("clusters of {cluster} bytes are not possible: expected a multiple of 4096, at most 1048576")]
    Cluster {
        /// Bytes of a cluster.
        cluster: u32,
    },
}

/// Input and output of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// Bytes of input that were taken.
    pub(super) read: usize,
    /// Bytes of output.
    pub(super) wrote: usize,
}

/// A compressor with its memory. What it gives depends on its input alone, never on what it did before.
pub(super) struct Codec {
    engine: Engine,
    cluster: usize,
    /// The output of the last [`Self::fill`] or [`Self::whole`], and room for attempts.
    output: Vec<u8>,
    attempt: Vec<u8>,
}

enum Engine {
    Lz4,
    Lz4hc(i32),
    Deflate(Streams),
    Zstd(bulk::Compressor<'static>),
}

impl Algorithm {
    /// The lowest and the highest level.
    pub const fn levels(self) -> (u8, u8) {
        match self {
            Self::Lz4 => (1, 1),
            Self::Lz4hc => (2, 12),
            Self::Deflate => (1, 9),
            Self::Zstd => (1, 22),
        }
    }

    /// The number in `h_algorithmtype` and the bit in `available_compr_algs` (`Z_EROFS_COMPRESSION_*`).
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Lz4 | Self::Lz4hc => 0,
            Self::Deflate => 2,
            Self::Zstd => 3,
        }
    }
}

impl Compression {
    /// A method at the level that `mkfs.erofs` takes for it, in clusters of 64 KiB.
    pub const fn new(algorithm: Algorithm) -> Self {
        let level = match algorithm {
            Algorithm::Lz4 => 1,
            Algorithm::Lz4hc => 9,
            Algorithm::Deflate => 6,
            Algorithm::Zstd => 3,
        };
        Self { algorithm, level, cluster: 64 << 10 }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When level or cluster size is not possible.
    pub fn check(&self) -> Result<(), CompressionProblem> {
        let Self { algorithm, level, cluster } = *self;
        let (lowest, highest) = algorithm.levels();
        if !(lowest..=highest).contains(&level) {
            return Err(CompressionProblem::Level { algorithm, level });
        }
        if cluster == 0 || cluster > MAX_CLUSTER || !u64::from(cluster).is_multiple_of(BLOCK) {
            return Err(CompressionProblem::Cluster { cluster });
        }
        Ok(())
    }

    /// Log2 of the window that a reader needs, from 10 (1 KiB) to 20 (1 MiB): eight clusters, as `mkfs.erofs` takes.
    pub(super) const fn window_bits(&self) -> u8 {
        let wanted = (self.cluster as u64 * 8).ilog2();
        if wanted > 20 { 20 } else { wanted as u8 }
    }
}

impl Codec {
    pub(super) fn new(compression: &Compression) -> io::Result<Self> {
        let level = compression.level;
        let engine = match compression.algorithm {
            Algorithm::Lz4 => Engine::Lz4,
            Algorithm::Lz4hc => Engine::Lz4hc(level.into()),
            Algorithm::Deflate => Engine::Deflate(Streams::new(level.into(), false, DEFLATE_WINDOW)),
            Algorithm::Zstd => {
                let mut compressor = bulk::Compressor::new(level.into())?;
                compressor.set_parameter(CParameter::WindowLog(compression.window_bits().into()))?;
                Engine::Zstd(compressor)
            }
        };
        let cluster = compression.cluster as usize;
        Ok(Self { engine, cluster, output: Vec::new(), attempt: Vec::new() })
    }

    /// Physical bytes of a cluster at most.
    pub(super) fn cluster(&self) -> usize {
        self.cluster
    }

    /// The output of the last successful call.
    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Compresses a start of `input` (at most [`MAX_RUN`] bytes of it) into at most `budget` bytes, a multiple of 4096:
    /// as much as fits for LZ4; for the others an amount that nearly fills some number of blocks.
    ///
    /// `ratio` is what input became output before; it says where to start looking and is brought up to date. `None`
    /// when hardly anything fits.
    pub(super) fn fill(&mut self, input: &[u8], budget: usize, ratio: &mut f64) -> io::Result<Option<Fill>> {
        let input = &input[..input.len().min(MAX_RUN)];
        match self.engine {
            Engine::Lz4 => self.fixed(input, budget, lzzzz::lz4::compress_fill),
            Engine::Lz4hc(level) => {
                self.fixed(input, budget, |input, output| lzzzz::lz4_hc::compress_fill(input, output, level))
            }
            Engine::Deflate(_) | Engine::Zstd(_) => self.search(input, budget, ratio),
        }
    }

    /// Compresses all of `input` into at most `budget` bytes; `None` when that is not enough.
    pub(super) fn whole(&mut self, input: &[u8], budget: usize) -> io::Result<Option<Fill>> {
        let mut attempt = std::mem::take(&mut self.attempt);
        let done = self.attempt(input, budget, &mut attempt)?;
        self.attempt = std::mem::replace(&mut self.output, attempt);
        Ok(done.then_some(Fill { read: input.len(), wrote: self.output.len() }))
    }

    /// Compresses less of `input`, all of which the last output holds: what fits `budget` bytes, a multiple of 4096. `None`
    /// when nothing does.
    pub(super) fn shorten(&mut self, input: &[u8], budget: usize) -> io::Result<Option<Fill>> {
        match self.engine {
            Engine::Lz4 | Engine::Lz4hc(_) => {
                let read = cut::shorten(&mut self.output, input, budget);
                Ok(read.map(|read| Fill { read, wrote: self.output.len() }))
            }
            Engine::Deflate(_) | Engine::Zstd(_) => {
                let mut wrote = self.output.len();
                let mut amount = input.len();
                for _ in 0..2 {
                    // What does not fill the blocks goes into the tail, so a wide margin costs little.
                    let target = budget - budget / 256 - 24;
                    amount = ((amount as f64) * target as f64 / wrote as f64) as usize;
                    match self.whole(&input[..amount], budget * 2)? {
                        Some(fill) if fill.wrote <= budget => return Ok(Some(fill)),
                        Some(fill) => wrote = fill.wrote,
                        None => return Ok(None),
                    }
                }
                Ok(None)
            }
        }
    }

    fn fixed(
        &mut self,
        input: &[u8],
        budget: usize,
        compress: impl Fn(&[u8], &mut [u8]) -> lzzzz::Result<(usize, usize)>,
    ) -> io::Result<Option<Fill>> {
        self.output.resize(budget, 0);
        let (read, wrote) = compress(input, &mut self.output).map_err(io::Error::other)?;
        self.output.truncate(wrote);
        Ok(Some(Fill { read, wrote }))
    }

    /// Tries amounts of input until the output nearly fills its last block, and keeps the best.
    fn search(&mut self, input: &[u8], budget: usize, ratio: &mut f64) -> io::Result<Option<Fill>> {
        let block = BLOCK as usize;
        let mut best: Option<(Fill, usize)> = None;
        let mut amount = ((budget as f64 * *ratio * 0.97) as usize).clamp(block, input.len().max(block));
        let mut attempt = std::mem::take(&mut self.attempt);
        for _ in 0..TRIES {
            amount = amount.min(input.len());
            // Twice the budget is not enough where bytes do not compress at all, or change abruptly.
            while !self.attempt(&input[..amount], budget * 2, &mut attempt)? && amount > budget {
                amount = (amount / 2).max(budget);
            }
            if attempt.is_empty() {
                break;
            }
            let wrote = attempt.len();
            let blocks = wrote.div_ceil(block);
            *ratio = amount as f64 / wrote as f64;
            let fits = wrote <= budget;
            let better = best.is_none_or(|(kept, of)| amount * of > kept.read * blocks);
            if fits && better {
                best = Some((Fill { read: amount, wrote }, blocks));
                std::mem::swap(&mut self.output, &mut attempt);
            }
            let waste = blocks * block - wrote;
            if fits && (amount == input.len() || waste * GOOD_FILL <= wrote) {
                break;
            }
            amount = next_amount(amount, wrote, budget);
        }
        self.attempt = attempt;
        Ok(best.map(|(fill, _)| fill))
    }

    /// Compresses all of `input`; false when it takes more than `budget` bytes.
    fn attempt(&mut self, input: &[u8], budget: usize, output: &mut Vec<u8>) -> io::Result<bool> {
        output.resize(budget, 0);
        let wrote = match &mut self.engine {
            Engine::Lz4 => whole_or_nothing(input, lzzzz::lz4::compress_fill(input, output)),
            Engine::Lz4hc(level) => {
                whole_or_nothing(input, lzzzz::lz4_hc::compress_fill(input, output, *level))
            }
            Engine::Deflate(streams) => deflate(streams, input, output)?,
            Engine::Zstd(compressor) => match compressor.compress_to_buffer(input, output.as_mut_slice()) {
                Ok(wrote) => Some(wrote),
                // The crate gives only zstd's text; the other errors are of parameters, which were checked.
                Err(_) if budget < zstd::zstd_safe::compress_bound(input.len()) => None,
                Err(error) => return Err(error),
            },
        };
        output.truncate(wrote.unwrap_or(0));
        Ok(wrote.is_some())
    }
}

/// The amount of input that should end a little before a block does, when `amount` gave `wrote` bytes.
fn next_amount(amount: usize, wrote: usize, budget: usize) -> usize {
    let block = BLOCK as usize;
    let nearest = ((wrote + block / 2) / block).max(1) * block;
    let target = nearest.min(budget);
    // The further away, the less is known about how much it will be.
    let margin = 24 + wrote.abs_diff(target) / 16;
    ((amount as f64) * (target - margin) as f64 / wrote as f64) as usize
}

fn whole_or_nothing(input: &[u8], filled: lzzzz::Result<(usize, usize)>) -> Option<usize> {
    match filled {
        Ok((read, wrote)) if read == input.len() => Some(wrote),
        Ok(_) | Err(_) => None,
    }
}

fn deflate(streams: &mut Streams, input: &[u8], output: &mut [u8]) -> io::Result<Option<usize>> {
    let compress = streams.begin();
    let status = compress.compress(input, output, FlushCompress::Finish).map_err(io::Error::other)?;
    let wrote = compress.total_out() as usize;
    match status {
        // A stored block that is not the last starts with a zero byte, which readers take for padding; the bits behind
        // its header mean nothing, so one of them marks the start.
        Status::StreamEnd => {
            if let Some(first) = output.first_mut().filter(|first| **first == 0) {
                *first = 1 << 3;
            }
            Ok(Some(wrote))
        }
        Status::Ok | Status::BufError => {
            streams.give_up();
            Ok(None)
        }
    }
}
