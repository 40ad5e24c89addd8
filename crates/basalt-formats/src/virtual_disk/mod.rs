//! A disk that nobody has written: parts at their places, zeros elsewhere. Every container is made from one, so the root
//! file system is read from where it was built and never copied.
//!
//! [`VirtualDisk`] is a [`ReadAt`] that knows its holes. [`copy`] makes a raw image of it.
//!
//! Not here: where the parts go (`basalt-image`), the table in front (`gpt`).

#[cfg(test)]
mod tests;

use std::{fmt, io, ops::Range};

use crate::{
    ReadAt, WriteAt,
    blocks::{BLOCK, Blocks},
};

/// Bytes of a sector, in which every container counts.
pub const SECTOR: u64 = 512;

/// Bytes that lie at a place of the disk.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    /// The first byte on the disk.
    pub start: u64,
    /// What lies there.
    pub content: &'a dyn ReadAt,
}

/// Segments over zeros.
#[derive(Clone, Debug)]
pub struct VirtualDisk<'a> {
    size: u64,
    /// Ascending, none empty, none over another.
    segments: Vec<Segment<'a>>,
}

/// Why segments make no disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A segment leaves the disk.
    #[error("bytes {start} to {end} are not within a disk of {size} bytes")]
    Outside {
        /// Its first byte.
        start: u64,
        /// Behind its last byte.
        end: u64,
        /// Bytes of the disk.
        size: u64,
    },
    /// Two segments share bytes.
    #[error("the segments at bytes {0} and {1} overlap")]
    Overlap(u64, u64),
}

/// Why a disk could not be written in a container.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk's bytes can't be had.
    #[error("the disk could not be read")]
    Disk(#[source] io::Error),
    /// The container's bytes can't be put.
    #[error("the container could not be written")]
    Sink(#[source] io::Error),
    /// A block could not be compressed.
    #[error("a block could not be compressed")]
    Compress(#[source] io::Error),
    /// The disk ends within a sector.
    #[error("a disk of {0} bytes is not made of sectors of 512 bytes")]
    PartialSector(u64),
    /// No container holds a disk without a sector.
    #[error("the disk is empty")]
    Empty,
    /// More than the format can count.
    #[error("a disk of {size} bytes is too large for {format}: at most {max}")]
    TooLarge {
        /// The container's format.
        format: &'static str,
        /// Bytes of the disk.
        size: u64,
        /// Bytes that the format can hold.
        max: u64,
    },
}

impl Segment<'_> {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.content.size())
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end())
    }
}

impl<'a> VirtualDisk<'a> {
    /// A disk of `size` bytes with these segments, in any order.
    ///
    /// # Errors
    /// When a segment leaves the disk or lies over another one.
    pub fn new(size: u64, segments: Vec<Segment<'a>>) -> Result<Self, LayoutError> {
        let mut segments = segments;
        segments.retain(|segment| segment.content.size() > 0);
        segments.sort_by_key(|segment| segment.start);
        for segment in &segments {
            let start = segment.start;
            let end = start.checked_add(segment.content.size());
            if end.is_none_or(|end| end > size) {
                return Err(LayoutError::Outside { start, end: end.unwrap_or(u64::MAX), size });
            }
        }
        match segments.windows(2).find(|pair| pair[1].start < pair[0].end()) {
            Some(pair) => Err(LayoutError::Overlap(pair[0].start, pair[1].start)),
            None => Ok(Self { size, segments }),
        }
    }
}

impl ReadAt for VirtualDisk<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.fill(0);
        let first = self.segments.partition_point(|segment| segment.end() <= offset);
        for segment in self.segments[first..].iter().take_while(|segment| segment.start < end) {
            let (from, to) = (segment.start.max(offset), segment.end().min(end));
            let part = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            segment.content.read_at(from - segment.start, part)?;
        }
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for segment in &self.segments {
            for Range { start, end } in segment.content.data_ranges()? {
                let (start, end) = (segment.start + start, segment.start + end);
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    Some(_) | None => ranges.push(start..end),
                }
            }
        }
        Ok(ranges)
    }
}

/// Writes the blocks of a disk that are not zeros at their places, on all cores: a raw image, when `sink` is an empty
/// file that the caller makes as long as the disk.
///
/// # Errors
/// When the disk can't be read or the sink not be written.
pub fn copy(disk: &dyn ReadAt, sink: &dyn WriteAt) -> Result<(), WriteError> {
    let put = |(): &mut (), number: u64, bytes: Vec<u8>| {
        let start = number * BLOCK as u64;
        let length = (disk.size() - start).min(BLOCK as u64) as usize;
        sink.write_at(start, &bytes[..length]).map_err(WriteError::Sink)
    };
    Blocks::of(disk)?.each(|| (), put, |_, ()| Ok(()))
}

/// The sectors of a disk that a container can hold.
pub(crate) fn sectors(disk: &dyn ReadAt, format: &'static str, max: u64) -> Result<u64, WriteError> {
    match disk.size() {
        0 => Err(WriteError::Empty),
        size if !size.is_multiple_of(SECTOR) => Err(WriteError::PartialSector(size)),
        size if size > max => Err(WriteError::TooLarge { format, size, max }),
        size => Ok(size / SECTOR),
    }
}
