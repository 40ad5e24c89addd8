use std::io;

use basalt_formats::ReadAt;

/// A part of a disk, such as one of its partitions.
pub(crate) struct Window<'a> {
    /// The disk.
    pub(crate) whole: &'a dyn ReadAt,
    /// The first byte.
    pub(crate) start: u64,
    /// How many bytes.
    pub(crate) size: u64,
}

impl ReadAt for Window<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.whole.read_at(self.start + offset, buffer)
    }
}
