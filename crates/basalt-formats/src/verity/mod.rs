//! dm-verity hash trees, format version 1 with SHA-256 and 4 KiB blocks (Linux
//! Documentation/admin-guide/device-mapper/verity.rst; superblock: cryptsetup's "DM-Verity" on-disk specification).
//!
//! # Layout of a hash tree
//!
//! | block | holds |
//! |---|---|
//! | 0 | superblock, 512 bytes, then zeros |
//! | 1 | the top level: one block, whose digest is the root hash |
//! | … | the levels below, each 128 times as many blocks (the last is cut) |
//! | last | leaf level: the digests of the data blocks in order, 128 to a block |
//!
//! A digest is `sha256(salt ‖ block)`; unused digests of a block are zeros. One single data block has no level: its
//! digest is the root hash.
//!
//! # Flow
//!
//! [`LeafHashes::new`] → [`LeafHashes::feed`] for every range, in any order, from any thread, while the blocks pass
//! on their way to the disk → [`LeafHashes::finish`] → write [`HashTree::bytes`], put [`HashTree::root`] on the kernel
//! command line. On the machine: [`Superblock::parse`] → [`Superblock::device_mapper_target`].
//!
//! Not here: the ioctl (`basalt-exec`), signatures of root hashes, forward error correction.

mod build;
mod check;
mod superblock;

#[cfg(test)]
mod tests;

use std::ops::Range;

use sha2::{Digest as _, Sha256};

pub use build::{HashTree, LeafHashes};
pub use check::{Corruption, Device, verify};
pub use superblock::{OnCorruption, Superblock, SuperblockError, Target};

use basalt_types::Guid;

/// Bytes of a data block and of a hash block.
pub const BLOCK_SIZE: usize = 4096;
/// The digests in one hash block.
pub const DIGESTS_PER_BLOCK: u64 = (BLOCK_SIZE / DIGEST_SIZE) as u64;
const DIGEST_SIZE: usize = 32;

/// The salt of a hash tree: up to 256 bytes (the superblock's field), 32 in our images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salt(Vec<u8>);

/// What a hash tree is made from, beside the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Goes before every block that is hashed.
    pub salt: Salt,
    /// The id of the hash device, for people.
    pub uuid: Guid,
    /// How many blocks of [`BLOCK_SIZE`] bytes the data has; at least one.
    pub data_blocks: u64,
}

/// Why a tree can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerityError {
    /// The superblock has room for 256 bytes.
    #[error("a salt of {0} bytes is too long: at most 256")]
    SaltLength(usize),
    /// A device without a block can't be verified.
    #[error("there is no data to verify")]
    NoData,
    /// More blocks than a byte offset counts.
    #[error("{0} data blocks are more than a device can have")]
    TooLarge(u64),
    /// A range is not made of whole blocks.
    #[error("{0} bytes are not a whole number of 4096-byte blocks")]
    PartialBlock(usize),
    /// A range is not within the data.
    #[error("blocks {first} to {end} are not within the {data_blocks} data blocks")]
    OutOfRange {
        /// The first block.
        first: u64,
        /// Behind the last block.
        end: u64,
        /// How many blocks there are.
        data_blocks: u64,
    },
    /// A block was never fed.
    #[error("data block {0} was never hashed")]
    Missing(u64),
}

impl Salt {
    /// The longest salt, in bytes.
    pub const MAX: usize = 256;

    /// A salt of these bytes; an empty one is allowed.
    ///
    /// # Errors
    /// When there are more than [`Self::MAX`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, VerityError> {
        let bytes = bytes.into();
        if bytes.len() > Self::MAX {
            return Err(VerityError::SaltLength(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Hex digits as the kernel's table takes them; `-` for none.
    pub fn to_table(&self) -> String {
        if self.0.is_empty() {
            "-".to_owned()
        } else {
            self.0.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    }
}

impl From<[u8; 32]> for Salt {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<basalt_types::Digest> for Salt {
    fn from(digest: basalt_types::Digest) -> Self {
        Self(digest.as_bytes().to_vec())
    }
}

/// The digest of one block: `sha256(salt ‖ block)`.
pub fn hash_data_block(salt: &Salt, block: &[u8; BLOCK_SIZE]) -> [u8; 32] {
    BlockHasher::new(salt).hash(block)
}

/// Bytes of the hash tree (with its superblock) of `data_size` bytes, counted in whole blocks.
pub fn hash_tree_size(data_size: u64) -> u64 {
    let blocks = levels(data_size.div_ceil(BLOCK_SIZE as u64)).last().map_or(1, |leaf| leaf.end);
    blocks.saturating_mul(BLOCK_SIZE as u64)
}

/// SHA-256 that has seen the salt already.
#[derive(Clone, Debug)]
struct BlockHasher(Sha256);

impl BlockHasher {
    fn new(salt: &Salt) -> Self {
        Self(Sha256::new_with_prefix(salt.as_bytes()))
    }

    fn hash(&self, block: &[u8]) -> [u8; DIGEST_SIZE] {
        let mut hasher = self.0.clone();
        hasher.update(block);
        hasher.finalize().into()
    }
}

/// The blocks of each level within the tree, top first. Block 0 is the superblock's.
fn levels(data_blocks: u64) -> Vec<Range<u64>> {
    let mut counts = Vec::new();
    let mut blocks = data_blocks;
    while blocks > 1 {
        blocks = blocks.div_ceil(DIGESTS_PER_BLOCK);
        counts.push(blocks);
    }
    let mut at = 1u64;
    counts
        .into_iter()
        .rev()
        .map(|count| {
            let start = at;
            at = at.saturating_add(count);
            start..at
        })
        .collect()
}
