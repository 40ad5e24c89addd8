//! Directory records (ECMA-119 section 9.1) with Rock Ridge behind them (SUSP 1.12, RRIP 1.10), and times.

use super::directory::Extent;
use crate::fat;

/// The bytes before the name.
const FIXED: usize = 33;
/// The most bytes of one extent: whole sectors, below 2^32. A longer file has several records.
const EXTENT_MAX: u64 = 0xffff_f800;
const DIRECTORY: u8 = 1 << 1;
const MORE_EXTENTS: u8 = 1 << 7;
const DIRECTORY_MODE: u32 = 0o04_0555;
const FILE_MODE: u32 = 0o10_0444;
/// The last second of 2155, where a year no longer fits one byte.
const LATEST: i64 = 5_869_583_999;
const DAY: i64 = 86_400;

/// One name in a directory.
pub(super) struct Record<'a> {
    pub(super) entry: Entry<'a>,
    /// The name without Rock Ridge.
    pub(super) id: &'a [u8],
    pub(super) extent: Extent,
    pub(super) time: i64,
}

/// What the record is for.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    /// The root, in the volume descriptor.
    Descriptor,
    /// The directory itself.
    Own { is_root: bool, links: u32 },
    /// The directory above.
    Parent { links: u32 },
    /// A directory below.
    Directory { name: &'a str, links: u32 },
    /// A file.
    File { name: &'a str },
}

impl Record<'_> {
    /// One record, or several for a file that has more bytes than one extent.
    pub(super) fn encode(&self) -> Vec<Vec<u8>> {
        let Extent { mut start, size } = self.extent;
        let mut rest = size;
        let mut records = Vec::new();
        while rest > EXTENT_MAX {
            records.push(self.one(Extent { start, size: EXTENT_MAX }, MORE_EXTENTS));
            (start, rest) = (start + EXTENT_MAX, rest - EXTENT_MAX);
        }
        records.push(self.one(Extent { start, size: rest }, 0));
        records
    }

    fn one(&self, extent: Extent, flags: u8) -> Vec<u8> {
        let kind = match self.entry {
            Entry::File { .. } => 0,
            Entry::Descriptor | Entry::Own { .. } | Entry::Parent { .. } | Entry::Directory { .. } => {
                DIRECTORY
            }
        };
        let mut record = vec![0, 0];
        record.extend_from_slice(&both32(extent.sector()));
        record.extend_from_slice(&both32(extent.size as u32));
        record.extend_from_slice(&record_time(self.time));
        record.extend_from_slice(&[flags | kind, 0, 0]);
        record.extend_from_slice(&both16(1));
        record.push(self.id.len() as u8);
        record.extend_from_slice(self.id);
        record.resize(FIXED + self.id.len() + usize::from(self.id.len().is_multiple_of(2)), 0);
        self.append_rock_ridge(&mut record);
        record.resize(record.len().next_multiple_of(2), 0);
        record[0] = record.len() as u8;
        record
    }

    fn append_rock_ridge(&self, record: &mut Vec<u8>) {
        let (mode, links, name) = match self.entry {
            Entry::Descriptor => return,
            Entry::Own { links, .. } | Entry::Parent { links } => (DIRECTORY_MODE, links, None),
            Entry::Directory { name, links } => (DIRECTORY_MODE, links, Some(name)),
            Entry::File { name } => (FILE_MODE, 1, Some(name)),
        };
        let is_root = matches!(self.entry, Entry::Own { is_root: true, .. });
        if is_root {
            // "SUSP is used here", then its check bytes; nothing is to be skipped.
            record.extend_from_slice(&[b'S', b'P', 7, 1, 0xbe, 0xef, 0]);
        }
        // Mode, links, owner, group: 36 bytes in RRIP 1.10.
        record.extend_from_slice(&[b'P', b'X', 36, 1]);
        for value in [mode, links, 0, 0] {
            record.extend_from_slice(&both32(value));
        }
        if let Some(name) = name {
            record.extend_from_slice(&[b'N', b'M', name.len() as u8 + 5, 1, 0]);
            record.extend_from_slice(name.as_bytes());
        }
        if is_root {
            // Which extension: its name, without description and source.
            record.extend_from_slice(&[b'E', b'R', 18, 1, 10, 0, 0, 1]);
            record.extend_from_slice(b"RRIP_1991A");
        }
    }
}

/// ECMA-119 section 7.3.3.
pub(super) fn both32(value: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// ECMA-119 section 7.2.3.
pub(super) fn both16(value: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d]
}

/// ECMA-119 section 9.1.5: years since 1900, month, day, hour, minute, second, zone.
fn record_time(time: i64) -> [u8; 7] {
    let [year, month, day, hour, minute, second] = civil(time);
    [(year - 1900) as u8, month as u8, day as u8, hour as u8, minute as u8, second as u8, 0]
}

/// ECMA-119 section 8.4.26.1: 16 digits and the zone.
pub(super) fn volume_time(time: i64) -> Vec<u8> {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00\0").into_bytes()
}

/// Year, month, day, hour, minute and second in UTC, from 1970 to 2155.
fn civil(time: i64) -> [i64; 6] {
    let time = time.clamp(0, LATEST);
    let (year, month, day) = fat::civil(time / DAY);
    let second = time % DAY;
    [year, month, day, second / 3600, second / 60 % 60, second % 60]
}

#[cfg(test)]
mod tests {
    use super::{LATEST, record_time, volume_time};

    #[test]
    fn times_are_utc() {
        assert_eq!(volume_time(0), b"1970010100000000\0");
        assert_eq!(volume_time(951_782_399), b"2000022823595900\0");
        assert_eq!(volume_time(951_868_799), b"2000022923595900\0");
        assert_eq!(volume_time(1_735_689_599), b"2024123123595900\0");
        assert_eq!(volume_time(i64::MIN), b"1970010100000000\0");
        assert_eq!(volume_time(LATEST), b"2155123123595900\0");
        assert_eq!(record_time(i64::MAX), [255, 12, 31, 23, 59, 59, 0]);
    }
}
