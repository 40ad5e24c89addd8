//! A small sparse image in memory.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use basalt_formats::{ReadAt, WriteAt};

const PAGE: usize = 64 * 1024;

/// Bytes at positions; what was never written reads as zeros and takes no memory.
#[derive(Debug)]
pub(super) struct MemoryImage {
    size: u64,
    pages: Mutex<BTreeMap<u64, Box<[u8]>>>,
}

impl MemoryImage {
    /// Nothing but zeros.
    pub(super) fn new(size: u64) -> Self {
        Self { size, pages: Mutex::new(BTreeMap::new()) }
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<u64, Box<[u8]>>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `each` for every page that `offset..offset + length` touches: its number, the place in it, the place in the
    /// range.
    fn split(
        &self,
        offset: u64,
        length: usize,
        mut each: impl FnMut(u64, Range<usize>, Range<usize>),
    ) -> io::Result<()> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let within = usize::try_from(at % PAGE as u64).map_err(io::Error::other)?;
            let take = (PAGE - within).min(length - done);
            each(at / PAGE as u64, within..within + take, done..done + take);
            done += take;
        }
        Ok(())
    }
}

impl ReadAt for MemoryImage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let pages = self.pages();
        self.split(offset, buffer.len(), |page, inside, outside| match pages.get(&page) {
            Some(bytes) => buffer[outside].copy_from_slice(&bytes[inside]),
            None => buffer[outside].fill(0),
        })
    }

    fn data_ranges(&self) -> io::Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for page in self.pages().keys() {
            let (start, end) = (page * PAGE as u64, ((page + 1) * PAGE as u64).min(self.size));
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                Some(_) | None => ranges.push(start..end),
            }
        }
        Ok(ranges)
    }
}

impl WriteAt for MemoryImage {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut pages = self.pages();
        self.split(offset, bytes.len(), |page, inside, outside| {
            let page = pages.entry(page).or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            page[inside].copy_from_slice(&bytes[outside]);
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_the_rest_is_a_hole() {
        let image = MemoryImage::new(1 << 20);
        let start = 2 * PAGE as u64 - 2;
        image.write_at(start, b"word").unwrap();
        let mut buffer = [1; 8];
        image.read_at(start - 2, &mut buffer).unwrap();
        assert_eq!(&buffer, b"\0\0word\0\0");
        let (page, pages) = (PAGE as u64, 3 * PAGE as u64);
        assert_eq!(image.data_ranges().unwrap(), vec![page..pages]);
        assert!(image.write_at((1 << 20) - 1, b"ab").is_err(), "behind the end");
    }
}
