//! From a table to writes: at once for a fresh image, in power-cut order for a live disk.

use std::ops::RangeInclusive;

use super::{
    ENTRY_COUNT, ENTRY_SIZE, EntriesPlace, GptError, Health, Parsed, Table,
    header::{BootCode, Header, encode_entries, protective_mbr},
};

/// Bytes for a place on the disk; offset and length are multiples of the sector size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The first byte.
    pub offset: u64,
    /// What goes there.
    pub bytes: Vec<u8>,
}

/// One step of a change to a live disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Write(Write),
    /// Wait until everything written before is on the medium.
    Flush,
}

/// One of the two copies of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Primary,
    Backup,
}

impl Table {
    /// The writes of a fresh image: protective MBR, primary, backup. What else the first and last MiB hold is nothing.
    ///
    /// # Errors
    /// What [`Table::validate`] finds.
    pub fn image_writes(&self, place: EntriesPlace) -> Result<Vec<Write>, GptError> {
        self.validate()?;
        let entries = encode_entries(&self.partitions);
        let mbr = protective_mbr(&BootCode::NONE, self.sector_size, self.total_sectors);
        let [(primary_at, primary), (backup_at, backup)] = [Side::Primary, Side::Backup]
            .map(|side| (self.place_lba(side, place), self.header_sector(side, place, &entries)));
        Ok(vec![
            self.write(0, mbr),
            self.write(1, primary),
            self.write(primary_at, entries.clone()),
            self.write(backup_at, entries),
            self.write(self.last_lba(), backup),
        ])
    }

    /// The steps that bring the disk from what [`Table::parse`] found to this table; none when it is there already.
    ///
    /// 1. entries into the backup's place that no header names → flush
    /// 2. entries into the primary's place that no header names → flush
    /// 3. backup header (one sector) → flush
    /// 4. protective MBR if it is not this disk's, primary header (one sector) → flush
    ///
    /// # Guarantees
    /// Cut after any write, or with the writes between two flushes in any order or partly lost, as long as a sector is
    /// whole or not written: the disk parses as exactly the old or exactly the new table.
    ///
    /// * Up to 2, no header has changed, and nothing that a header names.
    /// * In 3, the primary is the old one and counts. When it was damaged, the backup decides, and its header is one
    ///   sector: old before, new after.
    /// * In 4, the primary header is one sector. The MBR is protective in its old and in its new form: firmware looks at
    ///   the type 0xEE and the start only, and Linux only warns about the size.
    ///
    /// When both copies were sound, not even whole sectors are needed. The disk may lose the sectors that it was writing,
    /// and their neighbours in a physical sector of 4096 bytes (512e): each group touches one copy only, so the other
    /// one decides: the old one up to 3, the new one in 4. (Who reads the table, that is. EDK II asks sector 0 first, which
    /// on such a disk is the primary header's neighbour: nothing that writes a primary header can spare it that.)
    ///
    /// Firmware reads every such disk: PartitionEntryLBA may be anywhere outside the usable range (UEFI 2.10 section
    /// 5.3.2). EDK II takes a sound primary, else the backup at the last sector, and then repairs the primary with entries
    /// at LBA 2, or the backup with entries at LastUsableLBA + 1: each is one of our places. Linux does the same with
    /// `gpt` on its command line; without it, it does not look for a backup when the primary is damaged.
    ///
    /// # Assumptions
    /// The disk is as it was parsed: parse again before every update, also after one that was cut.
    ///
    /// # Errors
    /// What [`Table::validate`] finds; when the parsed disk has another size; when the arrays in use (another tool's)
    /// leave no place.
    pub fn update_writes(&self, on_disk: &Parsed) -> Result<Vec<Step>, GptError> {
        self.validate()?;
        let (table, disk) = (self, &on_disk.table);
        if (table.total_sectors, table.sector_size) != (disk.total_sectors, disk.sector_size) {
            return Err(GptError::OtherDisk {
                table_sectors: table.total_sectors,
                table_size: table.sector_size,
                disk_sectors: disk.total_sectors,
                disk_size: disk.sector_size,
            });
        }
        if self.is_settled(on_disk) {
            return Ok(Vec::new());
        }
        let entries = encode_entries(&self.partitions);
        let [primary_place, backup_place] = [self.free_primary(on_disk)?, self.free_backup(on_disk)?];
        let mut steps = vec![
            Step::Write(self.write(self.place_lba(Side::Backup, backup_place), entries.clone())),
            Step::Flush,
            Step::Write(self.write(self.place_lba(Side::Primary, primary_place), entries.clone())),
            Step::Flush,
            Step::Write(
                self.write(self.last_lba(), self.header_sector(Side::Backup, backup_place, &entries)),
            ),
            Step::Flush,
        ];
        if !on_disk.mbr_is_current {
            let mbr = protective_mbr(&on_disk.boot_code, self.sector_size, self.total_sectors);
            steps.push(Step::Write(self.write(0, mbr)));
        }
        steps.push(Step::Write(self.write(1, self.header_sector(Side::Primary, primary_place, &entries))));
        steps.push(Step::Flush);
        Ok(steps)
    }

    /// Whether the disk holds this table in our layout, twice, and nothing is to be repaired.
    fn is_settled(&self, on_disk: &Parsed) -> bool {
        let ours = |header: &Option<Header>| header.is_some_and(|header| header.has_layout_of(self));
        on_disk.health == Health::Sound
            && on_disk.backup_at_end
            && on_disk.mbr_is_current
            && on_disk.table == *self
            && ours(&on_disk.primary)
            && ours(&on_disk.backup)
            && on_disk.primary.is_some_and(|header| header.alternate_lba == self.last_lba())
    }

    /// The place at the start that the header at LBA 1 does not name.
    fn free_primary(&self, on_disk: &Parsed) -> Result<EntriesPlace, GptError> {
        let Some(header) = &on_disk.primary else { return Ok(EntriesPlace::First) };
        let used = header.entries(self.sector_size);
        self.free_place(Side::Primary, &used).ok_or_else(|| no_free_place(&used))
    }

    /// The place at the end that the backup header does not name. When the backup is the only copy, its entries and its
    /// header must outlive the new ones' arrival; when it is not, any place will do.
    fn free_backup(&self, on_disk: &Parsed) -> Result<EntriesPlace, GptError> {
        let Some(header) = &on_disk.backup else { return Ok(EntriesPlace::First) };
        let used = header.entries(self.sector_size);
        let only_copy = match on_disk.health {
            Health::PrimaryBad(_) => true,
            Health::Sound | Health::BackupDiffers | Health::BackupBad(_) => false,
        };
        let guard = *used.start()..=(*used.end()).max(header.my_lba);
        let found =
            self.free_place(Side::Backup, if only_copy && !on_disk.backup_at_end { &guard } else { &used });
        let header_hits = header.my_lba != self.last_lba() && used.contains(&self.last_lba());
        match found {
            Some(place) if !(only_copy && header_hits) => Ok(place),
            Some(_) | None if only_copy => Err(no_free_place(&used)),
            Some(_) | None => Ok(EntriesPlace::First),
        }
    }

    fn free_place(&self, side: Side, used: &RangeInclusive<u64>) -> Option<EntriesPlace> {
        [EntriesPlace::First, EntriesPlace::Second].into_iter().find(|place| {
            let start = self.place_lba(side, *place);
            start > *used.end() || start + self.entry_sectors() <= *used.start()
        })
    }

    /// The first sector of a place.
    fn place_lba(&self, side: Side, place: EntriesPlace) -> u64 {
        let sectors = self.entry_sectors();
        match (side, place) {
            (Side::Primary, EntriesPlace::First) => 2,
            (Side::Primary, EntriesPlace::Second) => 2 + sectors,
            (Side::Backup, EntriesPlace::First) => self.last_lba() - sectors,
            (Side::Backup, EntriesPlace::Second) => self.last_lba() - 2 * sectors,
        }
    }

    fn header_sector(&self, side: Side, place: EntriesPlace, entries: &[u8]) -> Vec<u8> {
        let (my_lba, alternate_lba) = match side {
            Side::Primary => (1, self.last_lba()),
            Side::Backup => (self.last_lba(), 1),
        };
        let header = Header {
            my_lba,
            alternate_lba,
            first_usable: self.first_usable_lba(),
            last_usable: self.last_usable_lba(),
            disk_guid: self.disk_guid,
            entries_lba: self.place_lba(side, place),
            entry_count: ENTRY_COUNT,
            entry_size: ENTRY_SIZE,
            entries_crc: crc32fast::hash(entries),
        };
        header.encode(self.sector_size)
    }

    fn write(&self, lba: u64, bytes: Vec<u8>) -> Write {
        Write { offset: lba * u64::from(self.sector_size), bytes }
    }
}

fn no_free_place(used: &RangeInclusive<u64>) -> GptError {
    GptError::NoFreePlace { first_lba: *used.start(), last_lba: *used.end() }
}
