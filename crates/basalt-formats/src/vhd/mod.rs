//! Microsoft's virtual hard disks, version 1.0 ("Virtual Hard Disk Image Format Specification", October 2006): the
//! disk with a footer, or blocks of 2 MiB that are there when they hold something.
//!
//! # Layout of a fixed image
//!
//! The disk, rounded up to whole MiB, then a footer of 512 bytes. Azure takes this one only, and only with whole MiB.
//!
//! # Layout of a dynamic image
//!
//! | from | bytes | holds |
//! |---|---|---|
//! | 0 | 512 | copy of the footer |
//! | 512 | 1024 | header |
//! | 1536 | 4 for each block, padded to 512 | block allocation table: first sector, or all ones |
//! | then | 2 MiB + 512 for each block | a bitmap of its sectors, all set; its data |
//! | last | 512 | footer |
//!
//! All numbers are big-endian. The same disk and options give the same bytes.
//!
//! Not here: differencing disks, VHDX, reading.

mod dynamic;
mod footer;

#[cfg(test)]
mod tests;

use basalt_types::Guid;

use crate::{
    ReadAt, WriteAt,
    virtual_disk::{self, SECTOR, WriteError},
};

pub use dynamic::write as write_dynamic;
use footer::{Footer, Kind};

/// What Azure wants the size of a disk to be a multiple of.
const UNIT: u64 = 1 << 20;
/// The largest disk that others make: 2040 GiB, as many as sectors of 32 bits and the tables leave.
const MAX_SIZE: u64 = 2040 << 30;

/// What an image says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The image's own id.
    pub id: Guid,
    /// When it was made, in seconds since 1970. The format counts from 2000 to 2136; others are clamped.
    pub time: i64,
}

/// Writes a disk as a fixed image to an empty file and gives the length of the file.
///
/// # Errors
/// When the disk is not made of sectors or too large, can't be read, or the image not be written.
pub fn write_fixed(disk: &dyn ReadAt, options: Options, sink: &dyn WriteAt) -> Result<u64, WriteError> {
    let size = size_of(disk)?;
    virtual_disk::copy(disk, sink)?;
    let footer = Footer { kind: Kind::Fixed, size, options }.encode();
    sink.write_at(size, &footer).map_err(WriteError::Sink)?;
    Ok(size + SECTOR)
}

/// The bytes that the image's disk has.
fn size_of(disk: &dyn ReadAt) -> Result<u64, WriteError> {
    Ok((virtual_disk::sectors(disk, "VHD", MAX_SIZE)? * SECTOR).next_multiple_of(UNIT))
}

/// The ones' complement of the sum of all bytes; its own place holds zeros.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()
}
