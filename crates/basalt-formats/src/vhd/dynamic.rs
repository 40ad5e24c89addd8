//! Images that hold only the blocks in which something is ("Dynamic Disk Header Format", "Block Allocation Table").

use super::{
    MAX_SIZE, Options, checksum,
    footer::{Footer, Kind},
    size_of,
};
use crate::{
    ReadAt, WriteAt,
    blocks::{BLOCK, Blocks},
    virtual_disk::{SECTOR, WriteError},
};

/// Bytes of the disk in one block: the specification's default.
const DATA: u64 = 2 << 20;
/// Bytes of the bitmap before a block's data: one bit for each of its 4096 sectors.
const BITMAP: u64 = DATA / SECTOR / 8;
const HEADER: u64 = SECTOR;
const TABLE: u64 = HEADER + 1024;
/// Where the header's checksum is.
const CHECKSUM: usize = 36;
const VERSION: u32 = 0x0001_0000;

const _: () = assert!(BITMAP == SECTOR, "a bitmap is one sector");
const _: () = assert!(MAX_SIZE / DATA * (DATA + BITMAP) / SECTOR < u32::MAX as u64, "sectors have 32 bits");

/// Writes a disk as a dynamic image to an empty file and gives the length of the file.
///
/// # Errors
/// When the disk is not made of sectors or too large, can't be read, or the image not be written.
pub fn write(disk: &dyn ReadAt, options: Options, sink: &dyn WriteAt) -> Result<u64, WriteError> {
    let size = size_of(disk)?;
    let mut table = vec![u32::MAX; size.div_ceil(DATA) as usize];
    let table_bytes = (table.len() as u64 * 4).next_multiple_of(SECTOR);
    let mut end = TABLE + table_bytes;
    let whole = |(): &mut (), _, bytes: Vec<u8>| Ok(bytes);
    Blocks::of(disk)?.each(
        || (),
        whole,
        |number, bytes| {
            let start = number * BLOCK as u64;
            let entry = &mut table[(start / DATA) as usize];
            if *entry == u32::MAX {
                *entry = (end / SECTOR) as u32;
                sink.write_at(end, &[0xff; BITMAP as usize]).map_err(WriteError::Sink)?;
                end += BITMAP + DATA;
            }
            let place = u64::from(*entry) * SECTOR + BITMAP + start % DATA;
            sink.write_at(place, &bytes).map_err(WriteError::Sink)
        },
    )?;
    let mut table_image: Vec<u8> = table.iter().flat_map(|entry| entry.to_be_bytes()).collect();
    table_image.resize(table_bytes as usize, 0xff);
    let footer = Footer { kind: Kind::Dynamic { header: HEADER }, size, options }.encode();
    for (place, bytes) in [(TABLE, table_image), (end, footer.clone()), (HEADER, header(&table)), (0, footer)]
    {
        sink.write_at(place, &bytes).map_err(WriteError::Sink)?;
    }
    Ok(end + SECTOR)
}

fn header(table: &[u32]) -> Vec<u8> {
    let mut bytes = b"cxsparse".to_vec();
    // Where a next structure is: nowhere.
    bytes.extend_from_slice(&u64::MAX.to_be_bytes());
    bytes.extend_from_slice(&TABLE.to_be_bytes());
    for word in [VERSION, table.len() as u32, DATA as u32] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.resize((TABLE - HEADER) as usize, 0);
    let sum = checksum(&bytes);
    bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_be_bytes());
    bytes
}
