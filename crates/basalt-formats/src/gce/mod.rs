//! Disks for Google Compute Engine: `disk.raw` in a tar archive of GNU's old format, compressed with gzip ("Import boot disk
//! images manually": the name, `--format=oldgnu`, and a disk of whole GiB; sparse with `-S`).
//!
//! # Layout of an image
//!
//! One gzip member (RFC 1952) that holds
//!
//! | bytes | what |
//! |---|---|
//! | 512 | header of a sparse file (type `S`), the first 4 of its data's places |
//! | 512 each | 21 more places, as many as there are |
//! | the rest | the data in the disk's order, padded to 512; two blocks of zeros |
//!
//! The holes are those that the disk knows ([`ReadAt::data_ranges`]): it is read once, from front to back. Pieces of 1 MiB
//! are compressed apart from each other, on all cores. The image can go through a pipe. The same disk gives the same bytes,
//! whatever the number of cores.
//!
//! Not here: unpacking, other sparse formats of tar.

mod gzip;
mod sparse;

use std::{
    io::{self, Write},
    ops::Range,
};

use crate::{
    ReadAt,
    virtual_disk::{self, WriteError},
};

/// What the size of a disk is a multiple of.
const UNIT: u64 = 1 << 30;
/// The largest disk that Compute Engine attaches: 64 TiB.
const MAX_SIZE: u64 = 64 << 40;

/// Writes a disk as an image and gives the image's length. The disk is rounded up to whole GiB. `time` is in seconds since
/// 1970; earlier ones become 1970.
///
/// # Errors
/// When the disk is not made of sectors or too large, can't be read, or the image not be written.
pub fn write(disk: &dyn ReadAt, time: i64, sink: &mut (dyn Write + Send)) -> Result<u64, WriteError> {
    let sectors = virtual_disk::sectors(disk, "a Compute Engine image", MAX_SIZE)?;
    let size = (sectors * virtual_disk::SECTOR).next_multiple_of(UNIT);
    let ranges = sparse::ranges(disk).map_err(WriteError::Disk)?;
    let archive = Archive { disk, headers: sparse::headers(&ranges, size, time), ranges };
    gzip::write(archive.length(), |place, buffer| archive.read(place, buffer), sink)
}

/// The archive as bytes at places.
struct Archive<'a> {
    disk: &'a dyn ReadAt,
    headers: Vec<u8>,
    /// The data, made of whole sectors, ascending.
    ranges: Vec<Range<u64>>,
}

impl Archive<'_> {
    /// Bytes of headers, data and the end.
    fn length(&self) -> u64 {
        let data: u64 = self.ranges.iter().map(|range| range.end - range.start).sum();
        self.headers.len() as u64 + data + 2 * virtual_disk::SECTOR
    }

    fn read(&self, place: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        let end = place + buffer.len() as u64;
        let headers = self.headers.len() as u64;
        if place < headers {
            let part = &self.headers[place as usize..end.min(headers) as usize];
            buffer[..part.len()].copy_from_slice(part);
        }
        let mut at = headers;
        for range in &self.ranges {
            let next = at + range.end - range.start;
            let (from, to) = (place.max(at), end.min(next));
            if from < to {
                let part = &mut buffer[(from - place) as usize..(to - place) as usize];
                self.disk.read_at(range.start + (from - at), part)?;
            }
            at = next;
        }
        Ok(())
    }
}
