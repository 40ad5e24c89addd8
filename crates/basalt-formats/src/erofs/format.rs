//! The on-disk structures: superblock and inode headers. All numbers are little-endian.
//!
//! Source: Linux `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst`.

use basalt_types::Guid;

use super::crc32c;
pub(super) use super::features::Features;

/// Log2 of the block size that the writer uses.
pub(super) const BLOCK_BITS: u8 = 12;
/// Bytes of a block that the writer makes; the reader also takes 512 bytes to 64 KiB.
pub(super) const BLOCK: u64 = 1 << BLOCK_BITS;
/// Where the superblock starts.
pub(super) const SUPER_OFFSET: u64 = 1024;
/// Bytes of the superblock.
pub(super) const SUPER_SIZE: usize = 128;
/// Bytes that one node number (nid) stands for: the address of an inode is `nid * 32` in the metadata area.
pub(super) const SLOT: u64 = 32;
/// Bytes of a compact inode.
pub(super) const COMPACT_SIZE: u64 = 32;
/// Bytes of an extended inode.
pub(super) const EXTENDED_SIZE: u64 = 64;
/// `EROFS_SUPER_MAGIC_V1`.
const MAGIC: u32 = 0xe0f5_e1e2;

/// `EROFS_FEATURE_COMPAT_SB_CHKSUM`: the superblock's block has a checksum.
pub(super) const COMPAT_CHECKSUM: u32 = 0x1;
/// `EROFS_FEATURE_COMPAT_MTIME`: times are modification times.
pub(super) const COMPAT_MTIME: u32 = 0x2;
/// What the superblock says about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The volume's id.
    pub uuid: Guid,
    /// The volume's name, at most 16 bytes; empty when there is none.
    pub label: Vec<u8>,
    /// The time of every compact inode, in seconds since 1970.
    pub epoch: i64,
    /// The nanoseconds of that time.
    pub epoch_nanos: u32,
    /// How many inodes the image has.
    pub inodes: u64,
    /// How many blocks the image has.
    pub blocks: u32,
    /// Log2 of the block size.
    pub block_bits: u8,
    /// The node number of the root directory.
    pub(super) root_nid: u16,
    /// The block that node number 0 starts in.
    pub(super) meta_block: u32,
    /// The block that shared attribute 0 starts in.
    pub(super) xattr_block: u32,
    /// What a reader must know to read it.
    pub(super) features: Features,
}

/// Why a superblock was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// The magic number is another one.
    #[error("no EROFS file system: the magic number is {found:#010x}, expected {MAGIC:#010x}")]
    Magic {
        /// The number found.
        found: u32,
    },
    /// The checksum does not fit the content.
    #[error("the superblock has checksum {stored:#010x}, its content gives {computed:#010x}")]
    Checksum {
        /// What the superblock carries.
        stored: u32,
        /// What its block gives.
        computed: u32,
    },
    /// The block size is not one that this reader takes.
    #[error("block size 2^{bits} is not supported: expected 2^9 to 2^16")]
    BlockSize {
        /// Log2 of the block size.
        bits: u8,
    },
    /// The image needs features that this reader lacks (several devices, 48-bit addresses, …).
    #[error("the image needs features {features:#x} (EROFS_FEATURE_INCOMPAT_*), which are not supported")]
    Features {
        /// The unsupported bits of `feature_incompat`.
        features: u32,
    },
    /// A field that this reader needs to be zero is not.
    #[error("the superblock's field `{field}` is not supported when it is not zero")]
    Field {
        /// Which field.
        field: &'static str,
    },
}

/// How an inode's data is stored (`EROFS_INODE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLayout {
    /// In whole blocks.
    Plain,
    /// Compressed, with full indices.
    CompressedFull,
    /// In whole blocks, and the last part directly after the inode.
    Inline,
    /// Compressed, with compacted indices.
    CompressedCompact,
    /// In chunks with an address each.
    Chunked,
}

/// The header of an inode, compact or extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) layout: DataLayout,
    /// `i_xattr_icount`: 0, or 1 + the 4-byte units after the 12-byte header of the attributes.
    pub(super) xattr_count: u16,
    /// `st_mode`, with the type.
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) size: u64,
    /// First block, or device number.
    pub(super) union: u32,
    /// The number for `stat` on 32-bit systems.
    pub(super) ino: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// `None`: the superblock's epoch, which needs no extended inode.
    pub(super) mtime: Option<(i64, u32)>,
}

impl Superblock {
    /// The superblock's 128 bytes; the checksum is zero until [`seal`].
    pub(super) fn encode(&self) -> [u8; SUPER_SIZE] {
        let mut bytes = [0; SUPER_SIZE];
        put(&mut bytes, 0, &MAGIC.to_le_bytes());
        put(&mut bytes, 8, &(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        put(&mut bytes, 12, &[self.block_bits]);
        put(&mut bytes, 14, &self.root_nid.to_le_bytes());
        put(&mut bytes, 16, &self.inodes.to_le_bytes());
        put(&mut bytes, 24, &self.epoch.to_le_bytes());
        put(&mut bytes, 32, &self.epoch_nanos.to_le_bytes());
        put(&mut bytes, 36, &self.blocks.to_le_bytes());
        put(&mut bytes, 40, &self.meta_block.to_le_bytes());
        put(&mut bytes, 44, &self.xattr_block.to_le_bytes());
        put(&mut bytes, 48, self.uuid.as_bytes());
        put(&mut bytes, 64, &self.label);
        put(&mut bytes, 80, &self.features.incompatible.to_le_bytes());
        put(&mut bytes, 84, &self.features.algorithms.to_le_bytes());
        put(&mut bytes, 96, &self.features.packed_nid.to_le_bytes());
        bytes
    }

    /// Reads a superblock from its 128 bytes. The checksum is the caller's: it spans the whole block.
    pub(super) fn decode(bytes: &[u8; SUPER_SIZE]) -> Result<Self, SuperblockError> {
        let magic = u32_at(bytes, 0);
        if magic != MAGIC {
            return Err(SuperblockError::Magic { found: magic });
        }
        let block_bits = bytes[12];
        if !(9..=16).contains(&block_bits) {
            return Err(SuperblockError::BlockSize { bits: block_bits });
        }
        let features = Features::decode(bytes).map_err(|features| SuperblockError::Features { features })?;
        for (field, value) in
            [("extra_devices", u32::from(u16_at(bytes, 86))), ("dirblkbits", bytes[90].into())]
        {
            if value != 0 {
                return Err(SuperblockError::Field { field });
            }
        }
        let label = &bytes[64..80];
        let label_end = label.iter().position(|b| *b == 0).unwrap_or(label.len());
        Ok(Self {
            uuid: Guid::from_bytes(array_at(bytes, 48)),
            label: label[..label_end].to_vec(),
            epoch: i64::from_le_bytes(array_at(bytes, 24)),
            epoch_nanos: u32_at(bytes, 32),
            inodes: u64::from_le_bytes(array_at(bytes, 16)),
            blocks: u32_at(bytes, 36),
            block_bits,
            root_nid: u16_at(bytes, 14),
            meta_block: u32_at(bytes, 40),
            xattr_block: u32_at(bytes, 44),
            features,
        })
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u64 {
        1 << self.block_bits
    }

    /// Bytes of the image.
    pub fn image_size(&self) -> u64 {
        u64::from(self.blocks) << self.block_bits
    }
}

/// Puts the checksum into `block`, the image's first block with everything else in it.
pub(super) fn seal(block: &mut [u8]) {
    let sum = checksum(block);
    put(block, SUPER_OFFSET as usize + 4, &sum.to_le_bytes());
}

/// Checks the checksum of the image's first block (from the superblock to the block's end), if it says it has one.
pub(super) fn verify(from_superblock: &[u8]) -> Result<(), SuperblockError> {
    if u32_at(from_superblock, 8) & COMPAT_CHECKSUM == 0 {
        return Ok(());
    }
    let stored = u32_at(from_superblock, 4);
    let computed = checksum_from(from_superblock);
    if stored == computed { Ok(()) } else { Err(SuperblockError::Checksum { stored, computed }) }
}

fn checksum(block: &[u8]) -> u32 {
    checksum_from(&block[SUPER_OFFSET as usize..])
}

/// The kernel sums from the superblock to the end of its block, with the checksum itself taken as zero.
fn checksum_from(from_superblock: &[u8]) -> u32 {
    let mut bytes = from_superblock.to_vec();
    put(&mut bytes, 4, &[0; 4]);
    crc32c::register_after(&bytes)
}

impl DataLayout {
    const fn number(self) -> u16 {
        match self {
            Self::Plain => 0,
            Self::CompressedFull => 1,
            Self::Inline => 2,
            Self::CompressedCompact => 3,
            Self::Chunked => 4,
        }
    }

    const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::CompressedFull),
            2 => Some(Self::Inline),
            3 => Some(Self::CompressedCompact),
            4 => Some(Self::Chunked),
            _reserved => None,
        }
    }
}

impl Inode {
    /// Bytes of the header that this inode needs.
    pub(super) fn header_size(&self) -> u64 {
        let compact = self.mtime.is_none()
            && u16::try_from(self.uid).is_ok()
            && u16::try_from(self.gid).is_ok()
            && u16::try_from(self.links).is_ok()
            && u32::try_from(self.size).is_ok();
        if compact { COMPACT_SIZE } else { EXTENDED_SIZE }
    }

    /// The header's bytes: 32 when everything fits, else 64. `epoch` is the superblock's time.
    pub(super) fn encode(&self, epoch: i64) -> Vec<u8> {
        let size = self.header_size();
        let extended = size == EXTENDED_SIZE;
        let mut bytes = vec![0; size as usize];
        let format = self.layout.number() << 1 | u16::from(extended);
        put(&mut bytes, 0, &format.to_le_bytes());
        put(&mut bytes, 2, &self.xattr_count.to_le_bytes());
        put(&mut bytes, 4, &self.mode.to_le_bytes());
        put(&mut bytes, 16, &self.union.to_le_bytes());
        put(&mut bytes, 20, &self.ino.to_le_bytes());
        if extended {
            let (seconds, nanos) = self.mtime.unwrap_or((epoch, 0));
            put(&mut bytes, 8, &self.size.to_le_bytes());
            put(&mut bytes, 24, &self.uid.to_le_bytes());
            put(&mut bytes, 28, &self.gid.to_le_bytes());
            put(&mut bytes, 32, &seconds.to_le_bytes());
            put(&mut bytes, 40, &nanos.to_le_bytes());
            put(&mut bytes, 44, &self.links.to_le_bytes());
        } else {
            put(&mut bytes, 6, &self.links.to_le_bytes()[..2]);
            put(&mut bytes, 8, &self.size.to_le_bytes()[..4]);
            put(&mut bytes, 24, &self.uid.to_le_bytes()[..2]);
            put(&mut bytes, 26, &self.gid.to_le_bytes()[..2]);
        }
        bytes
    }

    /// Whether the inode that starts with these bytes is extended.
    pub(super) fn is_extended(start: &[u8]) -> bool {
        start[0] & 1 != 0
    }

    /// Reads a header from its 32 or 64 bytes. `Err` is the `i_format` that no one knows.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, u16> {
        let format = u16_at(bytes, 0);
        let layout = DataLayout::from_number(format >> 1).ok_or(format)?;
        let common = Self {
            layout,
            xattr_count: u16_at(bytes, 2),
            mode: u16_at(bytes, 4),
            links: u16_at(bytes, 6).into(),
            size: u32_at(bytes, 8).into(),
            union: u32_at(bytes, 16),
            ino: u32_at(bytes, 20),
            uid: u16_at(bytes, 24).into(),
            gid: u16_at(bytes, 26).into(),
            mtime: None,
        };
        if !Self::is_extended(bytes) {
            return Ok(common);
        }
        Ok(Self {
            links: u32_at(bytes, 44),
            size: u64::from_le_bytes(array_at(bytes, 8)),
            uid: u32_at(bytes, 24),
            gid: u32_at(bytes, 28),
            mtime: Some((i64::from_le_bytes(array_at(bytes, 32)), u32_at(bytes, 40))),
            ..common
        })
    }
}

/// Copies `value` over `bytes` from `offset` on. The offsets are this module's constants.
pub(super) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

pub(super) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, offset))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

#[cfg(test)]
mod tests;
