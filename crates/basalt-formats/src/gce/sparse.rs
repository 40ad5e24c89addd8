//! Sparse files in GNU's old format (GNU tar manual, "Storing Sparse Files", old format; `struct sparse_header`).

use std::{io, ops::Range};

use crate::{
    ReadAt,
    tar::header::{BLOCK, Flavour, Header, octal_or_binary, sealed},
    virtual_disk::SECTOR,
};

/// Google asks for this name.
const NAME: &[u8] = b"disk.raw";
/// Where the places are, in the header and in the blocks behind it, how many, and where it says that more follow.
const IN_HEADER: Places = Places { start: 386, count: 4, more: 482 };
const IN_BLOCK: Places = Places { start: 0, count: 21, more: 504 };
/// Where the header has the size of the whole file.
const REAL_SIZE: usize = 483;
/// Bytes of a number.
const NUMBER: usize = 12;

struct Places {
    start: usize,
    count: usize,
    more: usize,
}

/// Where the disk may have data, in whole sectors.
pub(super) fn ranges(disk: &dyn ReadAt) -> io::Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for Range { start, end } in disk.data_ranges()? {
        let (start, end) = (start / SECTOR * SECTOR, end.next_multiple_of(SECTOR));
        match ranges.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            Some(_) | None => ranges.push(start..end),
        }
    }
    Ok(ranges)
}

/// The headers of a disk of `size` bytes, of which `ranges` are in the archive.
pub(super) fn headers(ranges: &[Range<u64>], size: u64, time: i64) -> Vec<u8> {
    let stored = ranges.iter().map(|range| range.end - range.start).sum();
    let mut places: Vec<(u64, u64)> =
        ranges.iter().map(|range| (range.start, range.end - range.start)).collect();
    if ranges.last().is_none_or(|last| last.end < size) {
        // A hole at the end is a place without data.
        places.push((size, 0));
    }
    let time = u64::try_from(time).unwrap_or(0);
    let header = Header {
        flavour: Flavour::OldGnu,
        name: NAME,
        size: stored,
        mtime: time,
        kind: b'S',
        ..Header::EMPTY
    };
    let mut block = header.unsealed();
    let mut rest = IN_HEADER.fill(&mut block, &places);
    octal_or_binary(&mut block[REAL_SIZE..REAL_SIZE + NUMBER], size);
    let mut bytes = sealed(block).to_vec();
    while !rest.is_empty() {
        let mut block = [0; BLOCK];
        rest = IN_BLOCK.fill(&mut block, rest);
        bytes.extend_from_slice(&block);
    }
    bytes
}

impl Places {
    /// Puts in as many as there is room for; gives the others.
    fn fill<'a>(&self, block: &mut [u8; BLOCK], places: &'a [(u64, u64)]) -> &'a [(u64, u64)] {
        let (now, later) = places.split_at(places.len().min(self.count));
        for ((start, length), place) in now.iter().zip(block[self.start..].chunks_exact_mut(2 * NUMBER)) {
            let (first, second) = place.split_at_mut(NUMBER);
            octal_or_binary(first, *start);
            octal_or_binary(second, *length);
        }
        block[self.more] = u8::from(!later.is_empty());
        later
    }
}
