//! Volume descriptors (ECMA-119 section 8) and the boot catalog ("El Torito" 1.0; UEFI 2.10 section 13.3.2.1).

use super::{
    CD_SECTOR, DESCRIPTORS, SYSTEM_AREA,
    directory::{Directories, Extent},
    names::VolumeId,
    records::{both16, both32, volume_time},
};

/// What the catalog says of the machine: UEFI.
const UEFI: u8 = 0xef;
/// The most sectors of 512 bytes that a boot entry counts. Firmware takes 0 for "to the end of the volume".
const BOOT_SECTORS_MAX: u64 = u16::MAX as u64;
/// Lengths of the descriptor's text fields: volume set, publisher, preparer, application; copyright, abstract,
/// bibliography.
const TEXTS: usize = 4 * 128 + 3 * 37;

/// What the descriptors say.
pub(super) struct Volume<'a> {
    pub(super) volume_id: &'a VolumeId,
    pub(super) time: i64,
    /// Bytes of the image.
    pub(super) size: u64,
    pub(super) esp: Extent,
}

impl Volume<'_> {
    /// The sectors behind the system area: primary descriptor, boot record, terminator, boot catalog.
    pub(super) fn descriptors(
        &self,
        directories: &Directories,
        path_tables: &[Extent; 2],
        places: &[Extent],
    ) -> Vec<u8> {
        let sectors =
            [self.primary(directories, path_tables, places), boot_record(), descriptor(255), self.catalog()];
        let mut bytes = Vec::new();
        for sector in sectors {
            bytes.extend_from_slice(&sector);
            bytes.resize(bytes.len().next_multiple_of(CD_SECTOR as usize), 0);
        }
        bytes
    }

    fn primary(&self, directories: &Directories, [little, big]: &[Extent; 2], places: &[Extent]) -> Vec<u8> {
        let mut bytes = descriptor(1);
        bytes.push(0);
        append_text(&mut bytes, "LINUX", 32);
        append_text(&mut bytes, self.volume_id.as_str(), 32);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&both32((self.size / CD_SECTOR) as u32));
        bytes.extend_from_slice(&[0; 32]);
        // The first of one volume.
        bytes.extend_from_slice(&both16(1));
        bytes.extend_from_slice(&both16(1));
        bytes.extend_from_slice(&both16(CD_SECTOR as u16));
        bytes.extend_from_slice(&both32(directories.path_table_size() as u32));
        // Second copies of the tables are nowhere.
        bytes.extend_from_slice(&little.sector().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&big.sector().to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&Directories::root_record(places, self.time));
        append_text(&mut bytes, "", TEXTS);
        // Made, changed; does not expire, and may be used from the beginning.
        let time = volume_time(self.time);
        bytes.extend_from_slice(&time);
        bytes.extend_from_slice(&time);
        bytes.extend_from_slice(b"0000000000000000\0");
        bytes.extend_from_slice(&time);
        // The version of this structure.
        bytes.push(1);
        bytes
    }

    /// One entry: the ESP, not emulating anything.
    fn catalog(&self) -> Vec<u8> {
        let mut bytes = vec![1, UEFI];
        bytes.resize(30, 0);
        bytes.extend_from_slice(&[0x55, 0xaa]);
        // All words of the first entry add up to nothing.
        let words = bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
        let sum = words.fold(0u16, u16::wrapping_add);
        bytes[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
        let sectors = self.esp.size.div_ceil(512);
        let sectors = if sectors <= BOOT_SECTORS_MAX { sectors as u16 } else { 0 };
        bytes.extend_from_slice(&[0x88, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&sectors.to_le_bytes());
        bytes.extend_from_slice(&self.esp.sector().to_le_bytes());
        bytes
    }
}

/// The boot record: where the catalog is.
fn boot_record() -> Vec<u8> {
    let mut bytes = descriptor(0);
    bytes.extend_from_slice(b"EL TORITO SPECIFICATION");
    bytes.resize(0x47, 0);
    let catalog = (SYSTEM_AREA + DESCRIPTORS - 1) as u32;
    bytes.extend_from_slice(&catalog.to_le_bytes());
    bytes
}

/// The begin of every descriptor.
fn descriptor(kind: u8) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(b"CD001");
    bytes.push(1);
    bytes
}

fn append_text(bytes: &mut Vec<u8>, text: &str, length: usize) {
    let end = bytes.len() + length;
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(end, b' ');
}
