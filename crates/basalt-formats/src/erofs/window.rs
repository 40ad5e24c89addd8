//! Reads metadata in windows, so that a tree of many small inodes costs few reads.

use std::collections::HashMap;

use super::error::ReadError;
use crate::ReadAt;

/// Bytes of a window.
const WINDOW: u64 = 64 << 10;
/// How many windows are kept: metadata is mostly in path order, so few are needed at a time.
const KEPT: usize = 64;

/// The bytes of an image, through a cache of at most 4 MiB.
pub(super) struct Windows<'a> {
    source: &'a dyn ReadAt,
    size: u64,
    kept: HashMap<u64, Vec<u8>>,
}

impl<'a> Windows<'a> {
    /// Looks at the first `size` bytes of `source`.
    pub(super) fn new(source: &'a dyn ReadAt, size: u64) -> Self {
        Self { source, size, kept: HashMap::new() }
    }

    /// Whether the bytes are inside of the image.
    pub(super) fn contains(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size)
    }

    /// Bytes of the image.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes at `offset`. `what` and `nid` name them when they are outside of the image; nothing is allocated then.
    pub(super) fn bytes(
        &mut self,
        nid: u64,
        what: &'static str,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, ReadError> {
        if !self.contains(offset, length) {
            return Err(ReadError::Outside { nid, what, offset, length });
        }
        let mut bytes = Vec::new();
        let end = offset + length;
        let mut cursor = offset;
        while cursor < end {
            let start = cursor - cursor % WINDOW;
            let stop = end.min(start + WINDOW);
            let window = self.window(start)?;
            bytes.extend_from_slice(&window[(cursor - start) as usize..(stop - start) as usize]);
            cursor = stop;
        }
        Ok(bytes)
    }

    fn window(&mut self, start: u64) -> Result<&[u8], ReadError> {
        if self.kept.len() >= KEPT && !self.kept.contains_key(&start) {
            self.kept.clear();
        }
        match self.kept.entry(start) {
            std::collections::hash_map::Entry::Occupied(kept) => Ok(kept.into_mut()),
            std::collections::hash_map::Entry::Vacant(free) => {
                let mut window = vec![0; WINDOW.min(self.size - start) as usize];
                let read = self.source.read_at(start, &mut window);
                read.map_err(|source| ReadError::Io { offset: start, source })?;
                Ok(free.insert(window))
            }
        }
    }
}
