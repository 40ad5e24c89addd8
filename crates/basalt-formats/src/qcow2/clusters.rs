//! Which cluster of the image holds what: L1, L2 and refcount tables, filled while clusters arrive in order.

use std::{io, mem};

use super::{CLUSTER, CLUSTER_BITS, L2_ENTRIES, Tables};
use crate::WriteAt;

/// Bit 63 of an L1 or L2 entry: the refcount is exactly one.
const COPIED: u64 = 1 << 63;
/// Bit 62 of an L2 entry: a compressed cluster.
const COMPRESSED: u64 = 1 << 62;
/// The lowest bit of the number of further sectors in a compressed cluster's entry.
const SECTORS_SHIFT: u32 = 62 - (CLUSTER_BITS - 8);
/// The unit in which the length of compressed data is counted.
const SECTOR: u64 = 512;
/// The refcounts of 16 bits that one block holds.
const REFCOUNTS: u64 = CLUSTER / 2;

/// The image so far. Clusters of the disk come in ascending order.
pub(super) struct Clusters<'a> {
    sink: &'a dyn WriteAt,
    /// For each cluster of the image; their number is where the image ends.
    refcounts: Vec<u16>,
    /// Where the next compressed bytes may go: within a cluster that was begun, or at the end of one.
    free_byte: u64,
    l1: Vec<u64>,
    l2: Option<L2>,
}

/// The L2 table that is being filled.
struct L2 {
    index: u64,
    place: u64,
    entries: Vec<u64>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(sink: &'a dyn WriteAt, l1_entries: u64) -> Self {
        let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
        Self {
            sink,
            refcounts: vec![1; 1 + l1_clusters as usize],
            free_byte: 0,
            l1: vec![0; l1_entries as usize],
            l2: None,
        }
    }

    /// Stores a cluster as it is.
    pub(super) fn put_plain(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        self.open_l2(number)?;
        let place = self.allocate(1, 1);
        self.sink.write_at(place, bytes)?;
        self.enter(number, place | COPIED);
        Ok(())
    }

    /// Stores a cluster's compressed bytes, fewer than a cluster, behind those before.
    pub(super) fn put_compressed(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        self.open_l2(number)?;
        let length = bytes.len() as u64;
        let room = self.free_byte.next_multiple_of(CLUSTER) - self.free_byte;
        let grows = self.free_byte.next_multiple_of(CLUSTER) == self.end();
        let place = if length <= room {
            self.free_byte
        } else if grows && room > 0 {
            // The next cluster of the image is free and follows: bytes may run over into it.
            self.allocate(1, 0);
            self.free_byte
        } else {
            self.allocate(1, 0)
        };
        let last = place + length - 1;
        for cluster in place / CLUSTER..=last / CLUSTER {
            self.refcounts[cluster as usize] += 1;
        }
        self.free_byte = place + length;
        self.sink.write_at(place, bytes)?;
        let further_sectors = last / SECTOR - place / SECTOR;
        self.enter(number, COMPRESSED | further_sectors << SECTORS_SHIFT | place);
        Ok(())
    }

    /// Writes all tables.
    pub(super) fn finish(mut self) -> io::Result<Tables> {
        self.close_l2()?;
        self.write_table(CLUSTER, &self.l1)?;
        // The refcounts count their own clusters too.
        let used = self.refcounts.len() as u64;
        let (mut blocks, mut table) = (0, 0);
        while blocks * REFCOUNTS < used + blocks + table {
            blocks += 1;
            table = (blocks * 8).div_ceil(CLUSTER);
        }
        let first_block = self.allocate(blocks, 1);
        let refcount_table = self.allocate(table, 1);
        let mut place = first_block;
        for counts in self.refcounts.chunks(REFCOUNTS as usize) {
            let mut bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
            bytes.resize(CLUSTER as usize, 0);
            self.sink.write_at(place, &bytes)?;
            place += CLUSTER;
        }
        let places: Vec<u64> = (0..blocks).map(|block| first_block + block * CLUSTER).collect();
        self.write_table(refcount_table, &places)?;
        Ok(Tables {
            l1_entries: self.l1.len() as u32,
            refcount_table,
            refcount_table_clusters: table as u32,
            image_size: self.end(),
        })
    }

    fn end(&self) -> u64 {
        self.refcounts.len() as u64 * CLUSTER
    }

    /// Makes the image longer; gives the first byte of what is new.
    fn allocate(&mut self, clusters: u64, refcount: u16) -> u64 {
        let place = self.end();
        self.refcounts.resize(self.refcounts.len() + clusters as usize, refcount);
        place
    }

    fn enter(&mut self, number: u64, entry: u64) {
        if let Some(l2) = &mut self.l2 {
            l2.entries[(number % L2_ENTRIES) as usize] = entry;
        }
    }

    /// Makes the table that knows this cluster the current one.
    fn open_l2(&mut self, number: u64) -> io::Result<()> {
        let index = number / L2_ENTRIES;
        if self.l2.as_ref().is_none_or(|l2| l2.index != index) {
            self.close_l2()?;
            let place = self.allocate(1, 1);
            self.l1[index as usize] = place | COPIED;
            self.l2 = Some(L2 { index, place, entries: vec![0; L2_ENTRIES as usize] });
        }
        Ok(())
    }

    fn close_l2(&mut self) -> io::Result<()> {
        match mem::take(&mut self.l2) {
            Some(L2 { index: _, place, entries }) => self.write_table(place, &entries),
            None => Ok(()),
        }
    }

    /// Writes entries and the zeros to the end of their last cluster.
    fn write_table(&self, place: u64, entries: &[u64]) -> io::Result<()> {
        let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(CLUSTER as usize), 0);
        self.sink.write_at(place, &bytes)
    }
}
