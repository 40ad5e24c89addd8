//! The bytes of the protective MBR, of a header sector and of an entry (UEFI 2.10 tables 5-3, 5-5 and 5-6).

use basalt_types::{Guid, PartLabel};

use super::{Attributes, ENTRY_COUNT, ENTRY_SIZE, Partition};

/// Bytes of the header that the specification defines.
pub(super) const HEADER_SIZE: u32 = 92;
pub(super) const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
/// Bytes of sector 0 before the MBR's partition records.
const BOOT_CODE: usize = 446;

/// What sector 0 holds before the partition records: boot code and disk signature, which are not ours to lose.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BootCode([u8; BOOT_CODE]);

/// The fields of a header that differ between tables and copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) my_lba: u64,
    pub(super) alternate_lba: u64,
    pub(super) first_usable: u64,
    pub(super) last_usable: u64,
    pub(super) disk_guid: Guid,
    pub(super) entries_lba: u64,
    pub(super) entry_count: u32,
    pub(super) entry_size: u32,
    pub(super) entries_crc: u32,
}

impl BootCode {
    pub(super) const NONE: Self = Self([0; BOOT_CODE]);

    pub(super) fn of(sector: &[u8]) -> Self {
        Self(array_at(sector, 0))
    }
}

impl std::fmt::Debug for BootCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::NONE { "BootCode(none)" } else { "BootCode(some)" })
    }
}

impl Header {
    /// The header's sector.
    pub(super) fn encode(&self, sector_size: u32) -> Vec<u8> {
        let Self { my_lba, alternate_lba, first_usable, last_usable, disk_guid, .. } = *self;
        let Self { entries_lba, entry_count, entry_size, entries_crc, .. } = *self;
        let mut bytes = Vec::with_capacity(sector_size as usize);
        bytes.extend_from_slice(SIGNATURE);
        for word in [REVISION, HEADER_SIZE, 0, 0] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for lba in [my_lba, alternate_lba, first_usable, last_usable] {
            bytes.extend_from_slice(&lba.to_le_bytes());
        }
        bytes.extend_from_slice(&disk_guid.to_gpt());
        bytes.extend_from_slice(&entries_lba.to_le_bytes());
        for word in [entry_count, entry_size, entries_crc] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(sector_size as usize, 0);
        bytes
    }

    /// Reads the fields; the caller has checked signature, size and checksum.
    pub(super) fn decode(sector: &[u8]) -> Self {
        Self {
            my_lba: u64_at(sector, 24),
            alternate_lba: u64_at(sector, 32),
            first_usable: u64_at(sector, 40),
            last_usable: u64_at(sector, 48),
            disk_guid: guid_at(sector, 56),
            entries_lba: u64_at(sector, 72),
            entry_count: u32_at(sector, 80),
            entry_size: u32_at(sector, 84),
            entries_crc: u32_at(sector, 88),
        }
    }
}

/// The entry array: [`ENTRY_COUNT`] entries of [`ENTRY_SIZE`] bytes. Numbers were validated.
pub(super) fn encode_entries(partitions: &[Partition]) -> Vec<u8> {
    let size = ENTRY_SIZE as usize;
    let mut bytes = vec![0; ENTRY_COUNT as usize * size];
    for partition in partitions {
        let index = partition.number.saturating_sub(1) as usize;
        if let Some(entry) = bytes.chunks_exact_mut(size).nth(index) {
            encode_entry(partition, entry);
        }
    }
    bytes
}

fn encode_entry(partition: &Partition, entry: &mut [u8]) {
    let Partition { number: _, type_guid, guid, first_lba, last_lba, attributes, label } = partition;
    entry[..16].copy_from_slice(&type_guid.to_gpt());
    entry[16..32].copy_from_slice(&guid.to_gpt());
    entry[32..40].copy_from_slice(&first_lba.to_le_bytes());
    entry[40..48].copy_from_slice(&last_lba.to_le_bytes());
    entry[48..56].copy_from_slice(&attributes.bits().to_le_bytes());
    let units = label.iter().flat_map(|label| label.as_str().encode_utf16());
    for (place, unit) in entry[56..128].chunks_exact_mut(2).zip(units) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
}

/// Reads one entry of at least 128 bytes; `None` when it is unused, the number when its label is no text.
pub(super) fn decode_entry(number: u32, entry: &[u8]) -> Result<Option<Partition>, u32> {
    let type_guid = guid_at(entry, 0);
    if type_guid == Guid::NIL {
        return Ok(None);
    }
    let units: Vec<u16> = entry[56..128]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    let label = match String::from_utf16(&units).map(|text| (text.is_empty(), text.parse::<PartLabel>())) {
        Ok((true, _)) => None,
        Ok((false, Ok(label))) => Some(label),
        Ok((false, Err(_))) | Err(_) => return Err(number),
    };
    Ok(Some(Partition {
        number,
        type_guid,
        guid: guid_at(entry, 16),
        first_lba: u64_at(entry, 32),
        last_lba: u64_at(entry, 40),
        attributes: Attributes::from_bits(u64_at(entry, 48)),
        label,
    }))
}

/// Sector 0: one record of type 0xEE over the whole disk, or as much as 32 bits count (UEFI 2.10 section 5.2.3).
pub(super) fn protective_mbr(boot_code: &BootCode, sector_size: u32, total_sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; sector_size as usize];
    bytes[..BOOT_CODE].copy_from_slice(&boot_code.0);
    let size = u32::try_from(total_sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    bytes[446..454].copy_from_slice(&[0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
    bytes[454..458].copy_from_slice(&1u32.to_le_bytes());
    bytes[458..462].copy_from_slice(&size.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}

fn guid_at(bytes: &[u8], offset: usize) -> Guid {
    Guid::from_gpt(array_at(bytes, offset))
}
