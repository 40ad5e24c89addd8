//! The bytes of directory entries (fatgen103, "FAT Directory Structure").

use super::names::{self, ShortName, UNITS_PER_ENTRY};

/// Bytes of an entry.
pub(super) const ENTRY: usize = 32;
pub(super) const ATTR_VOLUME_ID: u8 = 0x08;
pub(super) const ATTR_DIRECTORY: u8 = 0x10;
const ATTR_ARCHIVE: u8 = 0x20;
/// Read-only, hidden, system and volume id at once mark a part of a long name.
pub(super) const ATTR_LONG_NAME: u8 = 0x0f;
/// Set in the ordinal of the part that comes first and holds the name's end.
pub(super) const LAST_PART: u8 = 0x40;
/// Where an entry of a long name keeps its 13 units.
pub(super) const UNIT_OFFSETS: [usize; UNITS_PER_ENTRY] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Date and time as FAT keeps them, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DosTime {
    date: u16,
    time: u16,
}

/// What a short entry says beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The volume's label.
    Label,
    /// A directory at this cluster; 0 is the root as `..` names it.
    Directory { cluster: u32 },
    /// A file; an empty one has cluster 0.
    File { cluster: u32, size: u32 },
}

/// The short entry.
pub(super) fn short_entry(name: &ShortName, target: Target, when: DosTime) -> [u8; ENTRY] {
    let (attributes, cluster, size) = match target {
        Target::Label => (ATTR_VOLUME_ID, 0, 0),
        Target::Directory { cluster } => (ATTR_DIRECTORY, cluster, 0),
        Target::File { cluster, size } => (ATTR_ARCHIVE, cluster, size),
    };
    let [c0, c1, c2, c3] = cluster.to_le_bytes();
    let (date, time) = (when.date.to_le_bytes(), when.time.to_le_bytes());
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    entry[14..16].copy_from_slice(&time);
    entry[16..18].copy_from_slice(&date);
    entry[18..20].copy_from_slice(&date);
    entry[20..22].copy_from_slice(&[c2, c3]);
    entry[22..24].copy_from_slice(&time);
    entry[24..26].copy_from_slice(&date);
    entry[26..28].copy_from_slice(&[c0, c1]);
    entry[28..32].copy_from_slice(&size.to_le_bytes());
    entry
}

/// The entries of a long name, in their order on disk: the end of the name first.
pub(super) fn long_entries(name: &str, short: &ShortName) -> Vec<[u8; ENTRY]> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(UNITS_PER_ENTRY);
    let part = |index: usize| {
        let mut entry = [0; ENTRY];
        entry[0] = index as u8 + 1 + if index + 1 == parts { LAST_PART } else { 0 };
        entry[11] = ATTR_LONG_NAME;
        entry[13] = names::checksum(short);
        for (place, offset) in UNIT_OFFSETS.into_iter().enumerate() {
            let at = index * UNITS_PER_ENTRY + place;
            // A NUL ends the name, 0xffff fills the rest.
            let unit = units.get(at).copied().unwrap_or(if at == units.len() { 0 } else { 0xffff });
            entry[offset..offset + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entry
    };
    (0..parts).rev().map(part).collect()
}

impl DosTime {
    /// UTC, cut to even seconds and to the years 1980 to 2107.
    pub(super) fn from_unix(seconds: i64) -> Self {
        const FIRST: i64 = 315_532_800; // 1980-01-01
        const LAST: i64 = 4_354_819_198; // 2107-12-31 23:59:58
        let seconds = seconds.clamp(FIRST, LAST);
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self {
            date: (((year - 1980) << 9) | (month << 5) | day) as u16,
            time: ((hour << 11) | (minute << 5) | (second / 2)) as u16,
        }
    }

    /// Seconds since 1970, taking the fields as UTC; fields out of range count on.
    pub(super) fn to_unix(self) -> i64 {
        let (date, time) = (i64::from(self.date), i64::from(self.time));
        let days = days((date >> 9) + 1980, (date >> 5 & 15).max(1), (date & 31).max(1));
        days * 86_400 + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2
    }

    /// The modification time of a short entry.
    pub(super) fn of_entry(entry: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        Self { date: u16_at(24), time: u16_at(22) }
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar; for days that are not negative.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    // Years that start in March have their leap day at the end: count from 0000-03-01 in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
