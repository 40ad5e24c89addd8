//! From data blocks to a hash tree.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;

use super::{BLOCK_SIZE, BlockHasher, DIGEST_SIZE, Params, Superblock, VerityError, levels};

/// The blocks that one task hashes: 1 MiB is some 0.5 ms of work, far above what scheduling it costs.
const TASK_BLOCKS: usize = 256;

/// Collects the digests of data blocks while they pass. Each block is to be fed once; feeding it again replaces its
/// digest.
#[derive(Debug)]
pub struct LeafHashes {
    params: Params,
    hasher: BlockHasher,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The leaf level: 32 bytes for each data block.
    digests: Vec<u8>,
    /// Which blocks were fed.
    fed: Vec<bool>,
}

/// A finished tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashTree {
    /// Superblock and levels, as they go to the hash device; a whole number of blocks.
    pub bytes: Vec<u8>,
    /// The digest that stands for all the data.
    pub root: basalt_types::Digest,
}

impl LeafHashes {
    /// A collector that has seen nothing.
    ///
    /// # Errors
    /// When there is no data block, or more than a device can have.
    pub fn new(params: Params) -> Result<Self, VerityError> {
        let blocks = params.data_blocks;
        if blocks == 0 {
            return Err(VerityError::NoData);
        }
        let too_large = |_| VerityError::TooLarge(blocks);
        let count = usize::try_from(blocks).map_err(too_large)?;
        let length = count
            .checked_mul(BLOCK_SIZE)
            .map(|_| count * DIGEST_SIZE)
            .ok_or(VerityError::TooLarge(blocks))?;
        let hasher = BlockHasher::new(&params.salt);
        let state = Mutex::new(State { digests: vec![0; length], fed: vec![false; count] });
        Ok(Self { params, hasher, state })
    }

    /// Hashes `data`, which starts at data block `first`, on all processors when it is large.
    ///
    /// # Errors
    /// When `data` is not made of whole blocks, or leaves the data.
    pub fn feed(&self, first: u64, data: &[u8]) -> Result<(), VerityError> {
        let range = self.range(first, data.len() / BLOCK_SIZE)?;
        if !data.len().is_multiple_of(BLOCK_SIZE) {
            return Err(VerityError::PartialBlock(data.len()));
        }
        let mut digests = vec![0; range.len() * DIGEST_SIZE];
        digests
            .par_chunks_mut(TASK_BLOCKS * DIGEST_SIZE)
            .zip(data.par_chunks(TASK_BLOCKS * BLOCK_SIZE))
            .for_each(|(digests, data)| self.hasher.hash_all(data, digests));
        self.store(range, |place| place.copy_from_slice(&digests));
        Ok(())
    }

    /// Takes `count` blocks of zeros from data block `first` on: a hole, which needs no reading and one hash.
    ///
    /// # Errors
    /// When the range leaves the data.
    pub fn feed_zeros(&self, first: u64, count: u64) -> Result<(), VerityError> {
        let end = first.saturating_add(count);
        let out_of_range = |_| VerityError::OutOfRange { first, end, data_blocks: self.params.data_blocks };
        let range = self.range(first, usize::try_from(count).map_err(out_of_range)?)?;
        let digest = self.hasher.hash(&[0; BLOCK_SIZE]);
        self.store(range, |place| {
            place.chunks_exact_mut(DIGEST_SIZE).for_each(|d| d.copy_from_slice(&digest))
        });
        Ok(())
    }

    /// Builds the levels above.
    ///
    /// # Errors
    /// When a block was never fed.
    pub fn finish(self) -> Result<HashTree, VerityError> {
        let State { digests, fed } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(missing) = fed.iter().position(|fed| !fed) {
            return Err(VerityError::Missing(missing as u64));
        }
        let levels = levels(self.params.data_blocks);
        let blocks = levels.last().map_or(1, |leaf| leaf.end) as usize;
        let mut bytes = vec![0; blocks * BLOCK_SIZE];
        bytes[..BLOCK_SIZE].copy_from_slice(&Superblock::of(&self.params).encode());
        let mut below = digests;
        for level in levels.iter().rev() {
            let start = level.start as usize * BLOCK_SIZE;
            bytes[start..start + below.len()].copy_from_slice(&below);
            let end = level.end as usize * BLOCK_SIZE;
            let mut digests = vec![0; (end - start) / BLOCK_SIZE * DIGEST_SIZE];
            self.hasher.hash_all(&bytes[start..end], &mut digests);
            below = digests;
        }
        let mut root = [0; DIGEST_SIZE];
        root.copy_from_slice(&below);
        Ok(HashTree { bytes, root: basalt_types::Digest::from_bytes(root) })
    }

    fn range(&self, first: u64, count: usize) -> Result<Range<usize>, VerityError> {
        let data_blocks = self.params.data_blocks;
        let end = first.saturating_add(count as u64);
        if end > data_blocks {
            return Err(VerityError::OutOfRange { first, end, data_blocks });
        }
        Ok(first as usize..end as usize)
    }

    /// Hashing is done: this lock is held for one copy.
    fn store(&self, range: Range<usize>, write: impl FnOnce(&mut [u8])) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut state.digests[range.start * DIGEST_SIZE..range.end * DIGEST_SIZE]);
        state.fed[range].fill(true);
    }
}

impl BlockHasher {
    /// The digests of whole blocks, one after the other.
    pub(super) fn hash_all(&self, blocks: &[u8], digests: &mut [u8]) {
        for (block, digest) in blocks.chunks_exact(BLOCK_SIZE).zip(digests.chunks_exact_mut(DIGEST_SIZE)) {
            digest.copy_from_slice(&self.hash(block));
        }
    }
}
