//! From a hash tree and a root hash to the first block that is not the one that was hashed.

use std::io;

use basalt_types::Digest;
use rayon::prelude::*;

use super::{BLOCK_SIZE, BlockHasher, DIGEST_SIZE, Superblock, SuperblockError, levels};
use crate::ReadAt;

/// The blocks that one task reads and hashes: 1 MiB.
const TASK_BLOCKS: usize = 256;

/// Where data and root hash part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// The superblock is not one.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// The superblock counts more blocks than there are.
    #[error("{device} has {found} blocks, the superblock asks for {expected}")]
    TooShort {
        /// Which device.
        device: Device,
        /// The blocks that the superblock asks for.
        expected: u64,
        /// The blocks that are there.
        found: u64,
    },
    /// The tree holds digests of more blocks than the superblock counts, so the end of the data would not be seen.
    #[error("the superblock counts {data_blocks} data blocks, the hash tree has more")]
    Truncated {
        /// What the superblock says.
        data_blocks: u64,
    },
    /// A block has another digest than the level above says.
    #[error("block {block} of {device} is corrupt")]
    Block {
        /// Which device.
        device: Device,
        /// The number of the first bad block on it.
        block: u64,
    },
    /// A block can't be read.
    #[error("block {block} of {device} can't be read ({kind})")]
    Read {
        /// Which device.
        device: Device,
        /// The first block that was asked for.
        block: u64,
        /// Why.
        kind: io::ErrorKind,
    },
}

/// One of the two devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// What is verified.
    Data,
    /// The hash tree.
    Tree,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "the data",
            Self::Tree => "the hash tree",
        })
    }
}

/// Verifies everything: the levels from the top, then all the data, on all processors.
///
/// Memory: the leaf level (1/128 of the data) and 1 MiB for each processor; sizes are checked against the devices first.
///
/// # Errors
/// The first block that does not lead to `root`, top level first.
pub fn verify(data: &dyn ReadAt, tree: &dyn ReadAt, root: &Digest) -> Result<(), Corruption> {
    let superblock = Superblock::parse(tree)?;
    let data_blocks = superblock.data_blocks;
    let levels = levels(data_blocks);
    let short = |device, expected, source: &dyn ReadAt| {
        let found = source.size() / BLOCK_SIZE as u64;
        if found < expected { Err(Corruption::TooShort { device, expected, found }) } else { Ok(()) }
    };
    short(Device::Data, data_blocks, data)?;
    short(Device::Tree, levels.last().map_or(1, |leaf| leaf.end), tree)?;

    let hasher = BlockHasher::new(&superblock.salt);
    let mut expected = root.as_bytes().to_vec();
    for level in levels {
        let count = (level.end - level.start) as usize;
        let blocks = read(tree, Device::Tree, level.start, count)?;
        if let Some(bad) = first_bad(&hasher, &blocks, used(&expected, count, data_blocks)?) {
            return Err(Corruption::Block { device: Device::Tree, block: level.start + bad });
        }
        expected = blocks;
    }
    let leaves = used(&expected, data_blocks as usize, data_blocks)?;
    let tasks = leaves.par_chunks(TASK_BLOCKS * DIGEST_SIZE).enumerate();
    let found = tasks.find_map_first(|(task, digests)| {
        let first = (task * TASK_BLOCKS) as u64;
        let blocks = match read(data, Device::Data, first, digests.len() / DIGEST_SIZE) {
            Ok(blocks) => blocks,
            Err(error) => return Some(error),
        };
        let bad = first_bad(&hasher, &blocks, digests)?;
        Some(Corruption::Block { device: Device::Data, block: first + bad })
    });
    found.map_or(Ok(()), Err)
}

/// The digests of `count` blocks; those behind them are zeros in every tree of so many data blocks.
fn used(level: &[u8], count: usize, data_blocks: u64) -> Result<&[u8], Corruption> {
    let (used, unused) = level.split_at(count * DIGEST_SIZE);
    if unused.iter().any(|byte| *byte != 0) { Err(Corruption::Truncated { data_blocks }) } else { Ok(used) }
}

fn first_bad(hasher: &BlockHasher, blocks: &[u8], digests: &[u8]) -> Option<u64> {
    let pairs = blocks.chunks_exact(BLOCK_SIZE).zip(digests.chunks_exact(DIGEST_SIZE));
    (0..).zip(pairs).find(|(_, (block, digest))| hasher.hash(block) != **digest).map(|(index, _)| index)
}

fn read(source: &dyn ReadAt, device: Device, block: u64, count: usize) -> Result<Vec<u8>, Corruption> {
    let mut bytes = vec![0; count * BLOCK_SIZE];
    source.read_at(block * BLOCK_SIZE as u64, &mut bytes).map_err(|error| Corruption::Read {
        device,
        block,
        kind: error.kind(),
    })?;
    Ok(bytes)
}
