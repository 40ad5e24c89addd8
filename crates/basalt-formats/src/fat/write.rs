//! From a volume to positioned writes.

use std::sync::Arc;

use basalt_types::ByteSize;

use super::{
    Directory, Entry, FatError, Volume,
    directory::{DosTime, ENTRY, Target, long_entries, short_entry},
    geometry::{Geometry, ROOT_CLUSTER},
    names,
};
use crate::WriteAt;

/// The last cluster of a chain.
const END_OF_CHAIN: u32 = 0x0fff_ffff;
/// The first entries of a FAT: media byte, and "cleanly unmounted, no error".
const FAT_START: [u32; 2] = [0x0fff_fff8, 0x0fff_ffff];
/// What is all zeros in pieces of this size is not written.
const PIECE: usize = 4096;
/// fatgen103: a directory has at most 65536 entries.
const MAX_ENTRIES: usize = 65_536;

impl Volume {
    /// Writes the volume at byte `base` of `target`: what is not zero, piece by piece of 4 KiB. The target must read as
    /// zeros where nothing was written.
    ///
    /// Everything is checked before the first write.
    ///
    /// # Errors
    /// When the size is not one of FAT32's, the files don't fit, or the target refuses.
    pub fn write_to(&self, target: &dyn WriteAt, base: u64) -> Result<(), FatError> {
        let geometry = Geometry::new(self.size, base)?;
        let Content { fat, pieces } = Content::of(self, &geometry)?;
        let used = fat.len() as u32 - ROOT_CLUSTER;
        let fat: Vec<u8> = fat.into_iter().flat_map(u32::to_le_bytes).collect();
        for (offset, bytes) in geometry.boot_sectors(self, used) {
            write_sparse(target, base + offset, &bytes)?;
        }
        for offset in geometry.fat_offsets() {
            write_sparse(target, base + offset, &fat)?;
        }
        for Piece { cluster, bytes } in pieces {
            write_sparse(target, base + geometry.cluster_offset(cluster), &bytes)?;
        }
        Ok(())
    }
}

/// What fills the clusters.
struct Content {
    /// One entry for each cluster that is used, and two before them.
    fat: Vec<u32>,
    pieces: Vec<Piece>,
}

/// Bytes for a run of clusters.
struct Piece {
    cluster: u32,
    bytes: Arc<[u8]>,
}

/// Hands out clusters, one run after the other.
struct Allocator {
    cluster_size: u64,
    when: DosTime,
    content: Content,
}

impl Content {
    fn of(volume: &Volume, geometry: &Geometry) -> Result<Self, FatError> {
        let cluster_size = geometry.cluster_size();
        let needed = clusters_needed(&volume.root, cluster_size, true)?;
        if needed > u64::from(geometry.clusters) {
            let bytes = |clusters: u64| ByteSize::bytes(clusters * cluster_size);
            return Err(FatError::Full { needed: bytes(needed), room: bytes(geometry.clusters.into()) });
        }
        let content = Self { fat: FAT_START.to_vec(), pieces: Vec::new() };
        let mut allocator = Allocator { cluster_size, when: DosTime::from_unix(volume.epoch), content };
        let root = allocator.take(directory_size(&volume.root, true));
        let label = short_entry(&volume.label.padded(), Target::Label, allocator.when);
        allocator.place(&volume.root, root, label.to_vec());
        Ok(allocator.content)
    }
}

impl Allocator {
    /// A run of clusters for `size` bytes; nothing for nothing, which entries show as cluster 0.
    fn take(&mut self, size: u64) -> u32 {
        let count = size.div_ceil(self.cluster_size) as usize;
        if count == 0 {
            return 0;
        }
        let fat = &mut self.content.fat;
        let first = fat.len();
        fat.extend((first + 1..first + count).map(|next| next as u32));
        fat.push(END_OF_CHAIN);
        first as u32
    }

    /// Lays out what is in `directory`, which starts at `cluster` with the entries `head`.
    fn place(&mut self, directory: &Directory, cluster: u32, head: Vec<u8>) {
        let shorts = names::short_names(directory.entries().map(|(name, _)| name));
        let mut bytes = head;
        for ((name, entry), short) in directory.entries().zip(shorts) {
            let target = match entry {
                Entry::File(content) => {
                    let size = content.len() as u32; // `clusters_needed` has refused more
                    let first = self.take(size.into());
                    if size > 0 {
                        self.content.pieces.push(Piece { cluster: first, bytes: content.clone() });
                    }
                    Target::File { cluster: first, size }
                }
                Entry::Directory(below) => {
                    let first = self.take(directory_size(below, false));
                    self.place(below, first, self.dots(first, cluster));
                    Target::Directory { cluster: first }
                }
            };
            if names::exact(name).is_none() {
                bytes.extend(long_entries(name, &short).concat());
            }
            bytes.extend(short_entry(&short, target, self.when));
        }
        self.content.pieces.push(Piece { cluster, bytes: bytes.into() });
    }

    /// `.` and `..`; the root is cluster 0 to its children.
    fn dots(&self, own: u32, parent: u32) -> Vec<u8> {
        let parent = if parent == ROOT_CLUSTER { 0 } else { parent };
        let entry = |name, cluster| short_entry(name, Target::Directory { cluster }, self.when);
        [entry(b".          ", own), entry(b"..         ", parent)].concat()
    }
}

/// Bytes of a directory's entries: the label in the root, `.` and `..` elsewhere, then the names.
fn directory_size(directory: &Directory, is_root: bool) -> u64 {
    (entry_count(directory, is_root) * ENTRY) as u64
}

fn entry_count(directory: &Directory, is_root: bool) -> usize {
    let head = if is_root { 1 } else { 2 };
    head + directory.entries().map(|(name, _)| names::entry_count(name)).sum::<usize>()
}

/// The clusters of a directory and of all below.
fn clusters_needed(directory: &Directory, cluster_size: u64, is_root: bool) -> Result<u64, FatError> {
    let entries = entry_count(directory, is_root);
    if entries > MAX_ENTRIES {
        return Err(FatError::DirectoryTooLarge(entries));
    }
    let mut clusters = directory_size(directory, is_root).div_ceil(cluster_size);
    for (name, entry) in directory.entries() {
        clusters += match entry {
            Entry::Directory(below) => clusters_needed(below, cluster_size, false)?,
            Entry::File(content) => {
                let size = content.len() as u64;
                if u32::try_from(size).is_err() {
                    return Err(FatError::FileTooLarge {
                        name: name.to_owned(),
                        size: ByteSize::bytes(size),
                    });
                }
                size.div_ceil(cluster_size)
            }
        };
    }
    Ok(clusters)
}

/// Writes the runs of pieces that are not all zeros.
fn write_sparse(target: &dyn WriteAt, offset: u64, bytes: &[u8]) -> Result<(), FatError> {
    const ZEROS: [u8; PIECE] = [0; PIECE];
    let write = |start: usize, end: usize| {
        let at = offset + start as u64;
        target
            .write_at(at, &bytes[start..end])
            .map_err(|error| FatError::Write { offset: at, kind: error.kind() })
    };
    let mut run = None;
    for (index, piece) in bytes.chunks(PIECE).enumerate() {
        let start = index * PIECE;
        match (run, *piece == ZEROS[..piece.len()]) {
            (None, true) | (Some(_), false) => {}
            (None, false) => run = Some(start),
            (Some(first), true) => {
                write(first, start)?;
                run = None;
            }
        }
    }
    run.map_or(Ok(()), |first| write(first, bytes.len()))
}
