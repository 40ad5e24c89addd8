//! The superblock of a hash device, and the kernel's table made from it.

use std::io;

use basalt_types::{Digest, Guid};

use super::{BLOCK_SIZE, Params, Salt};
use crate::ReadAt;

const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 6] = b"sha256";
/// Bytes of the superblock within its block.
const LENGTH: usize = 512;
/// Offset of the salt, of 256 bytes.
const SALT: usize = 88;

/// What block 0 of a hash device says. It is not covered by the root hash. A changed salt makes every block fail; a
/// changed number of data blocks does too, or makes the device shorter, which [`verify`](super::verify) refuses and the
/// kernel does not see. No other data gets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The id of the hash device.
    pub uuid: Guid,
    /// How many blocks the data has.
    pub data_blocks: u64,
    /// Goes before every block that is hashed.
    pub salt: Salt,
}

/// What the kernel does when a block is not the one that was signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCorruption {
    /// The read fails with an I/O error.
    Fail,
    /// The machine restarts.
    Restart,
    /// The kernel panics, and restarts if `panic=` says so.
    Panic,
}

/// A `verity` target for device-mapper: what `dmsetup table` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Length of the device in sectors of 512 bytes; the target starts at sector 0.
    pub sectors: u64,
    /// The parameter string.
    pub parameters: String,
}

/// Why a block is no superblock that we support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// The device refuses.
    #[error("the verity superblock can't be read ({0})")]
    Read(io::ErrorKind),
    /// No signature.
    #[error("there is no verity superblock")]
    Signature,
    /// Only version 1.
    #[error("verity superblock version {0} is not supported: expected 1")]
    Version(u32),
    /// Only type 1: salt first.
    #[error("verity hash type {0} is not supported: expected 1")]
    HashType(u32),
    /// Only SHA-256.
    #[error("the verity hash algorithm is not sha256")]
    Algorithm,
    /// Only 4096 for both.
    #[error("verity blocks of {data} and {hash} bytes are not supported: expected 4096 and 4096")]
    BlockSizes {
        /// Bytes of a data block.
        data: u32,
        /// Bytes of a hash block.
        hash: u32,
    },
    /// None, or more than bytes can be counted.
    #[error("a verity device of {0} data blocks can't be")]
    DataBlocks(u64),
    /// Longer than its field.
    #[error("a verity salt of {0} bytes does not fit its field of 256")]
    SaltLength(u16),
}

impl Superblock {
    pub(super) fn of(params: &Params) -> Self {
        let Params { salt, uuid, data_blocks } = params.clone();
        Self { uuid, data_blocks, salt }
    }

    /// Block 0 of the hash device. The UUID is stored in the order of its text.
    pub fn encode(&self) -> [u8; BLOCK_SIZE] {
        let Self { uuid, data_blocks, salt } = self;
        let salt = salt.as_bytes();
        let mut block = [0; BLOCK_SIZE];
        block[..8].copy_from_slice(SIGNATURE);
        block[8..12].copy_from_slice(&1u32.to_le_bytes());
        block[12..16].copy_from_slice(&1u32.to_le_bytes());
        block[16..32].copy_from_slice(uuid.as_bytes());
        block[32..38].copy_from_slice(ALGORITHM);
        block[64..68].copy_from_slice(&(BLOCK_SIZE as u32).to_le_bytes());
        block[68..72].copy_from_slice(&(BLOCK_SIZE as u32).to_le_bytes());
        block[72..80].copy_from_slice(&data_blocks.to_le_bytes());
        block[80..82].copy_from_slice(&(salt.len() as u16).to_le_bytes());
        block[SALT..SALT + salt.len()].copy_from_slice(salt);
        block
    }

    /// Reads block 0 of a hash device.
    ///
    /// # Errors
    /// When it can't be read, or is not of the one kind that we support; the error names the field.
    pub fn parse(tree: &dyn ReadAt) -> Result<Self, SuperblockError> {
        let mut bytes = [0; LENGTH];
        tree.read_at(0, &mut bytes).map_err(|error| SuperblockError::Read(error.kind()))?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[..8] != SIGNATURE {
            return Err(SuperblockError::Signature);
        }
        if u32_at(8) != 1 {
            return Err(SuperblockError::Version(u32_at(8)));
        }
        if u32_at(12) != 1 {
            return Err(SuperblockError::HashType(u32_at(12)));
        }
        if &bytes[32..38] != ALGORITHM || bytes[38..64].iter().any(|byte| *byte != 0) {
            return Err(SuperblockError::Algorithm);
        }
        let (data, hash) = (u32_at(64), u32_at(68));
        if (data, hash) != (BLOCK_SIZE as u32, BLOCK_SIZE as u32) {
            return Err(SuperblockError::BlockSizes { data, hash });
        }
        let data_blocks = u64::from(u32_at(72)) | u64::from(u32_at(76)) << 32;
        if data_blocks == 0 || data_blocks > i64::MAX as u64 / BLOCK_SIZE as u64 {
            return Err(SuperblockError::DataBlocks(data_blocks));
        }
        let length = u16::from_le_bytes([bytes[80], bytes[81]]);
        let salt = bytes
            .get(SALT..SALT + usize::from(length))
            .filter(|salt| salt.len() <= Salt::MAX)
            .ok_or(SuperblockError::SaltLength(length))?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        Ok(Self { uuid: Guid::from_bytes(uuid), data_blocks, salt: Salt(salt.to_vec()) })
    }

    /// The device-mapper target that verifies `data_device` by `hash_device` (paths, or `MAJOR:MINOR`).
    ///
    /// Parameters in the order of verity.rst: version, devices, block sizes, data blocks, first hash block, algorithm,
    /// root hash, salt, options.
    pub fn device_mapper_target(
        &self,
        data_device: &str,
        hash_device: &str,
        root: &Digest,
        on_corruption: OnCorruption,
    ) -> Target {
        let Self { uuid: _, data_blocks, salt } = self;
        let option = match on_corruption {
            OnCorruption::Fail => "",
            OnCorruption::Restart => " 1 restart_on_corruption",
            OnCorruption::Panic => " 1 panic_on_corruption",
        };
        let (root, salt) = (root.hex(), salt.to_table());
        let parameters = format!(
            "1 {data_device} {hash_device} {BLOCK_SIZE} {BLOCK_SIZE} {data_blocks} 1 sha256 {root} {salt}{option}"
        );
        Target { sectors: data_blocks * (BLOCK_SIZE as u64 / 512), parameters }
    }
}
