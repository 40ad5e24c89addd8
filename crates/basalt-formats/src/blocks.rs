//! What writers of containers have in common: a disk's blocks that hold something, worked on by all cores and taken in
//! order, with bounded memory and the same result for any number of cores.

use std::{io, mem, ops::Range};

use rayon::prelude::*;

use crate::{ReadAt, virtual_disk::WriteError};

/// Bytes of a block: a cluster of qcow2, a grain of VMDK, and what others read at a time.
pub(crate) const BLOCK: usize = 64 << 10;
/// Blocks that are in memory at a time, twice: one batch is made while the one before is written.
const BATCH: usize = 64;

/// Makes something of each item on all cores and gives it to `take` in the order of the items. `state` is made once in
/// a while and handed from item to item: only a cache may be in it.
///
/// At most `2 * batch` results are in memory.
pub(crate) fn in_order<I: Send, S, T: Send, E: Send>(
    (mut items, batch): (impl Iterator<Item = I>, usize),
    state: impl Fn() -> S + Sync + Send,
    make: impl Fn(&mut S, I) -> Result<T, E> + Sync + Send,
    mut take: impl FnMut(T) -> Result<(), E> + Send,
) -> Result<(), E> {
    let mut made: Vec<T> = Vec::new();
    loop {
        let wanted: Vec<I> = items.by_ref().take(batch).collect();
        let is_last = wanted.is_empty();
        let ready = mem::take(&mut made);
        let (next, taken) = rayon::join(
            || wanted.into_par_iter().map_init(&state, &make).collect::<Result<Vec<T>, E>>(),
            || ready.into_iter().try_for_each(&mut take),
        );
        taken?;
        made = next?;
        if is_last {
            return Ok(());
        }
    }
}

/// The blocks of a disk that are not zeros.
pub(crate) struct Blocks<'a> {
    disk: &'a dyn ReadAt,
    /// Numbers of blocks that may hold something, ascending, apart from each other.
    ranges: Vec<Range<u64>>,
}

impl<'a> Blocks<'a> {
    /// Looks where the disk has data.
    pub(crate) fn of(disk: &'a dyn ReadAt) -> Result<Self, WriteError> {
        let size = BLOCK as u64;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for Range { start, end } in disk.data_ranges().map_err(WriteError::Disk)? {
            let (start, end) = (start / size, end.div_ceil(size));
            match ranges.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                Some(_) | None => ranges.push(start..end),
            }
        }
        Ok(Self { disk, ranges })
    }

    /// Makes something of each block that is not all zeros, on all cores, and gives number and result to `take` in
    /// order. A last part of a block is filled with zeros.
    pub(crate) fn each<S, T: Send>(
        &self,
        state: impl Fn() -> S + Sync + Send,
        make: impl Fn(&mut S, u64, Vec<u8>) -> Result<T, WriteError> + Sync + Send,
        mut take: impl FnMut(u64, T) -> Result<(), WriteError> + Send,
    ) -> Result<(), WriteError> {
        let numbers = self.ranges.iter().cloned().flatten();
        let make_one = |state: &mut S, number| {
            let bytes = self.read(number)?;
            if is_zero(&bytes) { Ok(None) } else { Ok(Some((number, make(state, number, bytes)?))) }
        };
        in_order((numbers, BATCH), state, make_one, |made| match made {
            Some((number, made)) => take(number, made),
            None => Ok(()),
        })
    }

    fn read(&self, number: u64) -> Result<Vec<u8>, WriteError> {
        let mut bytes = vec![0; BLOCK];
        let start = number * BLOCK as u64;
        let length = self.disk.size().saturating_sub(start).min(BLOCK as u64) as usize;
        self.disk.read_at(start, &mut bytes[..length]).map_err(WriteError::Disk)?;
        Ok(bytes)
    }
}

/// Whether all bytes are zeros: as one comparison of memory, which is quick in every build.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        Some((first, rest)) => *first == 0 && *rest == bytes[..rest.len()],
        None => true,
    }
}

/// Writes `bytes` and zeros up to a multiple of `unit`; gives the length of both.
pub(crate) fn write_padded(sink: &mut dyn io::Write, bytes: &[u8], unit: usize) -> io::Result<u64> {
    let whole = bytes.len().next_multiple_of(unit);
    sink.write_all(bytes)?;
    sink.write_all(&vec![0; whole - bytes.len()])?;
    Ok(whole as u64)
}

#[cfg(test)]
mod tests {
    use super::{in_order, is_zero};

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let mut taken = Vec::new();
        let double = |_: &mut (), item: u32| Ok::<_, ()>(item * 2);
        in_order(
            (0..1000, 7),
            || (),
            double,
            |item| {
                taken.push(item);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..1000).map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_of_either_side_ends_the_work() {
        let make = |_: &mut (), item: u32| if item == 500 { Err("make") } else { Ok(item) };
        assert_eq!(in_order((0..1000, 7), || (), make, |_| Ok(())), Err("make"));
        let take = |item: u32| if item == 20 { Err("take") } else { Ok(()) };
        assert_eq!(in_order((0..1000, 7), || (), make, take), Err("take"));
    }

    #[test]
    fn zeros_are_told_from_everything_else() {
        assert!(is_zero(&[]) && is_zero(&[0]) && is_zero(&[0; 1000]));
        for place in 0..9 {
            let mut bytes = [0; 9];
            bytes[place] = 1;
            assert!(!is_zero(&bytes), "{place}");
        }
    }
}
