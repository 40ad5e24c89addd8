//! GUID partition tables (UEFI specification 2.10, section 5.3): a value, its bytes, and a way to change it on a live
//! disk that a power cut cannot break.
//!
//! * [`Table`] is the value: what [`Table::parse`] gives and what a planner edits.
//! * [`Table::image_writes`] gives a fresh image's protective MBR and both copies.
//! * [`Table::update_writes`] gives the steps that bring a live disk from what was parsed to this table.
//!
//! # Layout
//!
//! In sectors of 512 bytes (`A` is the sectors of one entry array: 32; 4 where sectors have 4096 bytes):
//!
//! | LBA | holds |
//! |---|---|
//! | 0 | protective MBR |
//! | 1 | primary header |
//! | 2 to 1+A | place [`EntriesPlace::First`] for the primary's entries |
//! | 2+A to 1+2A | place [`EntriesPlace::Second`] |
//! | 1 MiB to last−2A−1 | partitions |
//! | last−2A to last−A−1 | place `Second` for the backup's entries |
//! | last−A to last−1 | place `First` |
//! | last | backup header |
//!
//! Only one place at each end is in use. The other one takes the next table's entries, so that the header sector alone
//! decides which table is there.
//!
//! Not here: choosing where a partition goes (`basalt-image`, `basalt-node`), telling the kernel (`basalt-exec`).

mod header;
mod parse;
pub mod types;
mod update;

#[cfg(test)]
mod tests;

use std::ops::Range;

use basalt_types::{Guid, PartLabel};

pub use parse::{CopyError, Health, Parsed};
pub use update::{Step, Write};

/// The number of entries that we write; the specification asks for at least 16 KiB of them.
pub const ENTRY_COUNT: u32 = 128;

/// The bytes of an entry that we write; Linux accepts no other size (`block/partitions/efi.c`).
pub const ENTRY_SIZE: u32 = 128;

/// The first byte that a partition may have, and the alignment of every partition: 1 MiB.
pub const ALIGNMENT: u64 = 1 << 20;

/// A partition table as people think of it: no place, no checksum, no copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's own id.
    pub disk_guid: Guid,
    /// Bytes of a logical sector: 512 or 4096.
    pub sector_size: u32,
    /// Sectors of the whole disk.
    pub total_sectors: u64,
    /// The partitions, by number.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number from 1 on, as in `/dev/vda1`: the place of the entry in the array.
    pub number: u32,
    /// What it is for: one of [`types`].
    pub type_guid: Guid,
    /// Its own id, `PARTUUID=` in Linux.
    pub guid: Guid,
    /// The first sector.
    pub first_lba: u64,
    /// The last sector, which belongs to the partition.
    pub last_lba: u64,
    /// Attribute bits.
    pub attributes: Attributes,
    /// Its name; a partition that another tool made may have none.
    pub label: Option<PartLabel>,
}

/// The attribute bits of a partition (UEFI 2.10 table 5-7; bits 48 to 63 belong to the type, here to UAPI.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(u64);

/// Which of the two places holds the entries of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntriesPlace {
    /// Next to the header, where other tools put them.
    First,
    /// Behind (for the backup: before) the first place.
    Second,
}

/// Why a table can't be written, or a disk has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    /// Logical sectors are 512 or 4096 bytes.
    #[error("a sector of {0} bytes is not supported: expected 512 or 4096")]
    SectorSize(u32),
    /// Both copies and one aligned partition don't fit.
    #[error("a disk of {0} sectors is too small for a partition table")]
    DiskTooSmall(u64),
    /// Neither copy can be used.
    #[error("no partition table: primary: {primary}; backup: {backup}")]
    NoTable {
        /// What is wrong at LBA 1.
        primary: CopyError,
        /// What is wrong at the last LBA.
        backup: CopyError,
    },
    /// Sector 0 can't be read.
    #[error("sector 0 can't be read ({0})")]
    ReadMbr(std::io::ErrorKind),
    /// The partition's number has no entry, or is used twice.
    #[error("partition number {0} is used twice or not within 1 to {ENTRY_COUNT}")]
    Number(u32),
    /// The partition's id is nil or that of another partition.
    #[error("partition {number}: the id {guid} is nil or used by another partition")]
    DuplicateGuid {
        /// Its number.
        number: u32,
        /// Its id.
        guid: Guid,
    },
    /// The nil type means "no partition".
    #[error("partition {0}: the type is nil, which marks an unused entry")]
    NilType(u32),
    /// The partition ends before it starts, or leaves the usable range.
    #[error(
        "partition {number}: sectors {first_lba} to {last_lba} are not within {usable_first} to {usable_last}"
    )]
    Bounds {
        /// Its number.
        number: u32,
        /// Its first sector.
        first_lba: u64,
        /// Its last sector.
        last_lba: u64,
        /// The first sector that may be used.
        usable_first: u64,
        /// The last sector that may be used.
        usable_last: u64,
    },
    /// The partition does not start at a multiple of 1 MiB.
    #[error("partition {number}: its start at sector {first_lba} is not a multiple of 1 MiB")]
    Alignment {
        /// Its number.
        number: u32,
        /// Its first sector.
        first_lba: u64,
    },
    /// Two partitions share sectors.
    #[error("partitions {0} and {1} overlap")]
    Overlap(u32, u32),
    /// The table was made for another disk than the one that was parsed.
    #[error(
        "the table is for {table_sectors} sectors of {table_size} bytes, the disk has {disk_sectors} of {disk_size}"
    )]
    OtherDisk {
        /// Sectors in the table.
        table_sectors: u64,
        /// Bytes of a sector in the table.
        table_size: u32,
        /// Sectors of the disk.
        disk_sectors: u64,
        /// Bytes of a sector of the disk.
        disk_size: u32,
    },
    /// The entry array that is in use covers both places, so none is free for the next one.
    #[error("the entries at sectors {first_lba} to {last_lba} leave no free place for new ones")]
    NoFreePlace {
        /// First sector of the array that is in use.
        first_lba: u64,
        /// Last sector of it.
        last_lba: u64,
    },
}

impl Attributes {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// The platform needs the partition (bit 0).
    pub const REQUIRED: Self = Self(1);
    /// Firmware must not offer a file system on it (bit 1).
    pub const NO_BLOCK_IO: Self = Self(1 << 1);
    /// A BIOS may boot from it (bit 2).
    pub const LEGACY_BOOT: Self = Self(1 << 2);
    /// Grow the file system to the partition when it is mounted (UAPI.2, bit 59).
    pub const GROW_FILE_SYSTEM: Self = Self(1 << 59);
    /// Mount read-only (UAPI.2, bit 60).
    pub const READ_ONLY: Self = Self(1 << 60);
    /// Don't mount by itself (UAPI.2, bit 63).
    pub const NO_AUTO: Self = Self(1 << 63);

    /// The bits as the entry stores them.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as the entry stores them.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// These bits and those of `other`.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::Not for EntriesPlace {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl Partition {
    /// Whether the partition has this label.
    pub fn is_labelled(&self, label: &str) -> bool {
        self.label.as_ref().is_some_and(|own| own.as_str() == label)
    }

    /// How many sectors it has; a partition that ends before it starts has none.
    pub fn sectors(&self) -> u64 {
        (self.last_lba.saturating_add(1)).saturating_sub(self.first_lba)
    }

    /// The bytes of the disk that it covers, for sectors of `sector_size` bytes.
    pub fn bytes(&self, sector_size: u32) -> Range<u64> {
        let size = u64::from(sector_size);
        let start = self.first_lba.saturating_mul(size);
        start..start.saturating_add(self.sectors().saturating_mul(size))
    }
}

impl Table {
    /// The sectors of one entry array: 32 of 512 bytes, 4 of 4096.
    pub fn entry_sectors(&self) -> u64 {
        u64::from(ENTRY_COUNT * ENTRY_SIZE / self.sector_size.max(1))
    }

    /// The sectors of 1 MiB: every partition starts at a multiple.
    pub fn alignment(&self) -> u64 {
        ALIGNMENT / u64::from(self.sector_size.max(1))
    }

    /// The first sector that a partition may have: at 1 MiB, behind both places.
    pub fn first_usable_lba(&self) -> u64 {
        self.alignment()
    }

    /// The last sector that a partition may have: before both places of the backup.
    pub fn last_usable_lba(&self) -> u64 {
        self.total_sectors.saturating_sub(2 + 2 * self.entry_sectors())
    }

    /// The sector of the backup header.
    pub fn last_lba(&self) -> u64 {
        self.total_sectors.saturating_sub(1)
    }

    /// The partition with this number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    /// The first partition with this label.
    pub fn labelled(&self, label: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.is_labelled(label))
    }

    /// Checks what [`Self::image_writes`] and [`Self::update_writes`] rely on.
    ///
    /// # Errors
    /// The first of: sector size, disk size, numbers, types, ids, bounds, alignment, overlaps.
    pub fn validate(&self) -> Result<(), GptError> {
        if !matches!(self.sector_size, 512 | 4096) {
            return Err(GptError::SectorSize(self.sector_size));
        }
        if self.last_usable_lba() < self.first_usable_lba() {
            return Err(GptError::DiskTooSmall(self.total_sectors));
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            self.validate_one(partition, &self.partitions[..index])?;
        }
        match overlap(&self.partitions) {
            Some((one, other)) => Err(GptError::Overlap(one, other)),
            None => Ok(()),
        }
    }

    fn validate_one(&self, partition: &Partition, before: &[Partition]) -> Result<(), GptError> {
        let &Partition { number, type_guid, guid, first_lba, last_lba, attributes: _, label: _ } = partition;
        if !(1..=ENTRY_COUNT).contains(&number) || before.iter().any(|other| other.number == number) {
            return Err(GptError::Number(number));
        }
        if type_guid == Guid::NIL {
            return Err(GptError::NilType(number));
        }
        if guid == Guid::NIL || before.iter().any(|other| other.guid == guid) {
            return Err(GptError::DuplicateGuid { number, guid });
        }
        let (usable_first, usable_last) = (self.first_usable_lba(), self.last_usable_lba());
        if first_lba > last_lba || first_lba < usable_first || last_lba > usable_last {
            return Err(GptError::Bounds { number, first_lba, last_lba, usable_first, usable_last });
        }
        if !first_lba.is_multiple_of(self.alignment()) {
            return Err(GptError::Alignment { number, first_lba });
        }
        Ok(())
    }
}

/// The numbers of two partitions that share a sector.
fn overlap(partitions: &[Partition]) -> Option<(u32, u32)> {
    let mut by_start: Vec<&Partition> = partitions.iter().collect();
    by_start.sort_by_key(|partition| partition.first_lba);
    by_start
        .windows(2)
        .find(|pair| pair[1].first_lba <= pair[0].last_lba)
        .map(|pair| (pair[0].number, pair[1].number))
}
