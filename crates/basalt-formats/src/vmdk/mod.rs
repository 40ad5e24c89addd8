//! VMware's stream-optimized disks (VMware "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents"):
//! what OVF packages carry and vSphere imports.
//!
//! # Layout of an image
//!
//! In sectors of 512 bytes:
//!
//! | sector | holds |
//! |---|---|
//! | 0 | header, which says that the grain directory is at the end |
//! | 1 to 20 | descriptor, a text |
//! | 128 … | grains of 64 KiB in the disk's order, each with a marker in front and compressed, and behind the last one of each 32 MiB their grain table |
//! | then | grain directory: the place of each grain table, or 0 |
//! | last three | footer marker, footer (the header with the directory's place), end of stream |
//!
//! All numbers are little-endian. A grain of zeros is in no table. The image is written from front to back, so it can
//! go through a pipe. The same disk and options give the same bytes, whatever the number of cores.
//!
//! Not here: OVF and OVA, other kinds of extents, reading.

mod descriptor;
mod stream;

use std::io::Write;

use crate::{
    ReadAt,
    blocks::{BLOCK, Blocks},
    deflate::{Deflater, Wrapper},
    virtual_disk::{self, SECTOR, WriteError},
};

pub use descriptor::Adapter;
use stream::Stream;

/// Sectors of a grain.
const GRAIN: u64 = BLOCK as u64 / SECTOR;
/// Grains that one table knows.
const TABLE_GRAINS: u64 = 512;
/// What vSphere allows: 62 TiB. The image itself must stay under 2 TiB, where its sectors of 32 bits end.
const MAX_SIZE: u64 = 62 << 40;

/// What an image says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the disk is attached to.
    pub adapter: Adapter,
    /// The content's id (`CID`), which changes with the content: the first bytes of a digest of it. The two highest
    /// values mean something else and are lowered.
    pub content_id: u32,
}

/// Writes a disk as an image and gives its length. The disk is rounded up to whole grains of 64 KiB.
///
/// # Errors
/// When the disk is not made of sectors or too large, can't be read, or the image not be written.
pub fn write(disk: &dyn ReadAt, options: Options, sink: &mut (dyn Write + Send)) -> Result<u64, WriteError> {
    let sectors = virtual_disk::sectors(disk, "VMDK", MAX_SIZE)?.next_multiple_of(GRAIN);
    let descriptor = descriptor::text(sectors, options);
    let mut stream = Stream::begin(sink, sectors, &descriptor).map_err(WriteError::Sink)?;
    let deflated =
        |deflater: &mut Deflater, _, bytes: Vec<u8>| deflater.stream(&bytes).map_err(WriteError::Compress);
    Blocks::of(disk)?.each(
        || Deflater::new(Wrapper::Zlib),
        deflated,
        |number, grain| stream.put(number, &grain).map_err(WriteError::Sink),
    )?;
    stream.finish().map_err(WriteError::Sink)
}
