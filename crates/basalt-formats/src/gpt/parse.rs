//! From a disk's bytes to a table. The bytes are hostile: every number is checked before it is used.

use std::{io, ops::RangeInclusive};

use super::{
    GptError, Partition, Table,
    header::{self, BootCode, Header},
};
use crate::ReadAt;

/// More entries than any tool writes; a bound on what a header can make us read (with [`MAX_ENTRY_SIZE`], 4 MiB).
const MAX_ENTRIES: u32 = 1024;
/// Entries are 128 × 2ⁿ bytes (UEFI 2.10 table 5-5).
const MAX_ENTRY_SIZE: u32 = 4096;

/// What a disk holds: the table, and how well it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The table: the primary's when it can be used, else the backup's.
    pub table: Table,
    /// Which copies can be used.
    pub health: Health,
    /// Whether the backup is used at the disk's last sector. It is not after an image was written to a larger disk.
    pub backup_at_end: bool,
    /// The header sector at LBA 1, when it is one (its entries may still be bad).
    pub(super) primary: Option<Header>,
    /// The header sector of the backup, when it is one.
    pub(super) backup: Option<Header>,
    /// What sector 0 holds before the partition records.
    pub(super) boot_code: BootCode,
    /// Whether sector 0 is the protective MBR for this size of disk.
    pub(super) mbr_is_current: bool,
}

/// Which copies of the table can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Both, and they say the same.
    Sound,
    /// Both, but the backup says something else: an update was cut. The primary counts.
    BackupDiffers,
    /// Only the backup.
    PrimaryBad(CopyError),
    /// Only the primary.
    BackupBad(CopyError),
}

/// Why one copy of a table can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The device refuses.
    #[error("sector {lba} can't be read ({kind})")]
    Read {
        /// The first sector that was asked for.
        lba: u64,
        /// Why.
        kind: io::ErrorKind,
    },
    /// There is no header.
    #[error("no `EFI PART` at sector {0}")]
    Signature(u64),
    /// HeaderSize is below 92 or above a sector.
    #[error("HeaderSize is {0}")]
    HeaderSize(u32),
    /// HeaderCRC32 does not fit the bytes.
    #[error("HeaderCRC32 is {found:08x} and should be {expected:08x}")]
    HeaderChecksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The field.
        found: u32,
    },
    /// MyLBA is not where the header was found.
    #[error("MyLBA is {found}, the header is at {expected}")]
    MyLba {
        /// Where the header is.
        expected: u64,
        /// The field.
        found: u64,
    },
    /// FirstUsableLBA and LastUsableLBA are no range inside the disk.
    #[error("FirstUsableLBA {first} and LastUsableLBA {last} are no range inside the disk")]
    UsableRange {
        /// FirstUsableLBA.
        first: u64,
        /// LastUsableLBA.
        last: u64,
    },
    /// NumberOfPartitionEntries is nil or unreasonable.
    #[error("NumberOfPartitionEntries is {0}")]
    EntryCount(u32),
    /// SizeOfPartitionEntry is not 128 × 2ⁿ up to 4096.
    #[error("SizeOfPartitionEntry is {0}")]
    EntrySize(u32),
    /// The entries would lie outside the disk, in the usable range, or over a header.
    #[error("PartitionEntryLBA is {0}: the entries would not be in a place of their own")]
    EntriesLba(u64),
    /// PartitionEntryArrayCRC32 does not fit the entries.
    #[error("PartitionEntryArrayCRC32 is {found:08x} and should be {expected:08x}")]
    EntriesChecksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The field.
        found: u32,
    },
    /// A partition leaves the usable range or ends before it starts.
    #[error("partition {0} is not within the usable range")]
    PartitionBounds(u32),
    /// Two partitions share a sector.
    #[error("partitions {0} and {1} overlap")]
    PartitionOverlap(u32, u32),
    /// A partition's name is no text.
    #[error("the name of partition {0} is no text")]
    Label(u32),
}

/// One copy that can be used.
struct Copy {
    header: Header,
    partitions: Vec<Partition>,
}

impl Table {
    /// Reads the table of a disk with logical sectors of `sector_size` bytes.
    ///
    /// The primary counts when it can be used; else the backup, at the primary's AlternateLBA when that header is
    /// sound, or at the last sector, as firmware and Linux (with `gpt`) look for it. Sector 0 is not asked for its
    /// opinion.
    ///
    /// # Errors
    /// When neither copy can be used, with the reasons for both.
    pub fn parse(disk: &dyn ReadAt, sector_size: u32) -> Result<Parsed, GptError> {
        if !matches!(sector_size, 512 | 4096) {
            return Err(GptError::SectorSize(sector_size));
        }
        let disk = Disk { source: disk, sector_size, sectors: disk.size() / u64::from(sector_size) };
        if disk.sectors < 6 {
            return Err(GptError::DiskTooSmall(disk.sectors));
        }
        let mbr = disk.read(0, sector_size as usize).map_err(|error| GptError::ReadMbr(error.kind()))?;
        let boot_code = BootCode::of(&mbr);
        let mbr_is_current = mbr == header::protective_mbr(&boot_code, sector_size, disk.sectors);

        let primary_header = disk.header(1);
        let alternate = primary_header.as_ref().ok().map(|header| header.alternate_lba);
        let primary = primary_header.clone().and_then(|header| disk.entries(header));
        let (backup_header, backup) = disk.backup(alternate);

        let primary_header = primary_header.ok();
        let health = health(&primary, &backup)?;
        let backup_at_end = backup.as_ref().is_ok_and(|copy| copy.header.my_lba == disk.sectors - 1);
        let Some(Copy { header, partitions }) = primary.ok().or(backup.ok()) else {
            return Err(GptError::DiskTooSmall(disk.sectors)); // `health` has refused this
        };
        let table =
            Table { disk_guid: header.disk_guid, sector_size, total_sectors: disk.sectors, partitions };
        let backup = backup_header;
        Ok(Parsed {
            table,
            health,
            backup_at_end,
            primary: primary_header,
            backup,
            boot_code,
            mbr_is_current,
        })
    }
}

fn health(primary: &Result<Copy, CopyError>, backup: &Result<Copy, CopyError>) -> Result<Health, GptError> {
    match (primary, backup) {
        (Ok(primary), Ok(backup)) => {
            let facts = |copy: &Copy| {
                let Header { first_usable, last_usable, disk_guid, .. } = copy.header;
                (first_usable, last_usable, disk_guid)
            };
            let same = facts(primary) == facts(backup) && primary.partitions == backup.partitions;
            Ok(if same { Health::Sound } else { Health::BackupDiffers })
        }
        (Ok(_), Err(error)) => Ok(Health::BackupBad(error.clone())),
        (Err(error), Ok(_)) => Ok(Health::PrimaryBad(error.clone())),
        (Err(primary), Err(backup)) => {
            Err(GptError::NoTable { primary: primary.clone(), backup: backup.clone() })
        }
    }
}

/// A disk that is counted in sectors.
struct Disk<'a> {
    source: &'a dyn ReadAt,
    sector_size: u32,
    sectors: u64,
}

impl Disk<'_> {
    fn read(&self, lba: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let offset = lba.checked_mul(u64::from(self.sector_size)).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.source.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The backup where the primary says it is, else at the last sector; with the header even if its entries are bad.
    fn backup(&self, alternate: Option<u64>) -> (Option<Header>, Result<Copy, CopyError>) {
        let last = self.sectors - 1;
        let at = |lba: u64| {
            let header = self.header(lba);
            (header.as_ref().ok().copied(), header.and_then(|header| self.entries(header)))
        };
        match alternate.filter(|lba| (2..last).contains(lba)).map(at) {
            Some(found @ (_, Ok(_))) => found,
            Some((_, Err(_))) | None => at(last),
        }
    }

    /// The header sector at `lba`, with everything checked that can be without its entries.
    fn header(&self, lba: u64) -> Result<Header, CopyError> {
        let sector = self
            .read(lba, self.sector_size as usize)
            .map_err(|error| CopyError::Read { lba, kind: error.kind() })?;
        if &sector[..8] != header::SIGNATURE {
            return Err(CopyError::Signature(lba));
        }
        let size = header::u32_at(&sector, 12);
        if size < header::HEADER_SIZE || size > self.sector_size {
            return Err(CopyError::HeaderSize(size));
        }
        let mut covered = sector[..size as usize].to_vec();
        covered[16..20].fill(0);
        let (expected, found) = (crc32fast::hash(&covered), header::u32_at(&sector, 16));
        if expected != found {
            return Err(CopyError::HeaderChecksum { expected, found });
        }
        let header = Header::decode(&sector);
        if header.my_lba != lba {
            return Err(CopyError::MyLba { expected: lba, found: header.my_lba });
        }
        let (first, last) = (header.first_usable, header.last_usable);
        if first > last || last >= self.sectors || (first..=last).contains(&lba) {
            return Err(CopyError::UsableRange { first, last });
        }
        if header.entry_count == 0 || header.entry_count > MAX_ENTRIES {
            return Err(CopyError::EntryCount(header.entry_count));
        }
        if !(128..=MAX_ENTRY_SIZE).contains(&header.entry_size) || !header.entry_size.is_power_of_two() {
            return Err(CopyError::EntrySize(header.entry_size));
        }
        let entries = header.entries(self.sector_size);
        let (start, end) = (*entries.start(), *entries.end());
        let own_place = start >= 2 && end < self.sectors && !entries.contains(&lba);
        if !own_place || !(end < first || start > last) {
            return Err(CopyError::EntriesLba(start));
        }
        Ok(header)
    }

    /// The entries that a sound header leads to.
    fn entries(&self, header: Header) -> Result<Copy, CopyError> {
        let length = header.entry_count as usize * header.entry_size as usize;
        let bytes = self
            .read(header.entries_lba, length)
            .map_err(|error| CopyError::Read { lba: header.entries_lba, kind: error.kind() })?;
        let (expected, found) = (crc32fast::hash(&bytes), header.entries_crc);
        if expected != found {
            return Err(CopyError::EntriesChecksum { expected, found });
        }
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(bytes.chunks_exact(header.entry_size as usize)) {
            partitions.extend(header::decode_entry(number, entry).map_err(CopyError::Label)?);
        }
        let usable = header.first_usable..=header.last_usable;
        let outside = |partition: &&Partition| {
            let Partition { first_lba, last_lba, .. } = **partition;
            first_lba > last_lba || !usable.contains(&first_lba) || !usable.contains(&last_lba)
        };
        if let Some(partition) = partitions.iter().find(outside) {
            return Err(CopyError::PartitionBounds(partition.number));
        }
        if let Some((one, other)) = super::overlap(&partitions) {
            return Err(CopyError::PartitionOverlap(one, other));
        }
        Ok(Copy { header, partitions })
    }
}

impl Header {
    /// The sectors of the entry array; an end that 64 bits can't count is cut, so that it fails the bounds.
    pub(super) fn entries(&self, sector_size: u32) -> RangeInclusive<u64> {
        let bytes = u64::from(self.entry_count) * u64::from(self.entry_size);
        let sectors = bytes.div_ceil(u64::from(sector_size));
        self.entries_lba..=self.entries_lba.saturating_add(sectors).saturating_sub(1)
    }

    /// Whether the header belongs to the table and the layout that we would write.
    pub(super) fn has_layout_of(&self, table: &Table) -> bool {
        let &Self { first_usable, last_usable, entry_count, entry_size, .. } = self;
        (first_usable, last_usable) == (table.first_usable_lba(), table.last_usable_lba())
            && (entry_count, entry_size) == (super::ENTRY_COUNT, super::ENTRY_SIZE)
    }
}
