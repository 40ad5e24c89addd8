//! From a volume's bytes to its files. The bytes are hostile: chains may be circles, numbers may be anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{
    directory::{ATTR_DIRECTORY, ATTR_LONG_NAME, ATTR_VOLUME_ID, DosTime, ENTRY, LAST_PART, UNIT_OFFSETS},
    fold, names,
};
use crate::ReadAt;

/// More than an ESP has; bounds what a volume can make us keep.
const MAX_ITEMS: usize = 65_536;
/// Directories below directories.
const MAX_DEPTH: usize = 32;
/// fatgen103: 65536 entries of 32 bytes.
const MAX_DIRECTORY: u64 = 2 << 20;
/// Only 28 bits of an entry count.
const ENTRY_MASK: u32 = 0x0fff_ffff;
/// From here on an entry ends its chain; the one below marks a bad cluster.
const CHAIN_ENDS: u32 = 0x0fff_fff8;

/// A volume that was read: all names, and a way to the files.
pub struct Listing<'a> {
    volume: Opened<'a>,
    /// The label in the root directory, without padding.
    pub label: Option<String>,
    /// The serial number.
    pub volume_id: u32,
    /// By path in upper case.
    items: BTreeMap<String, Item>,
}

/// A file or directory of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The path from the root, parts separated by `/`, in the case in which it is stored.
    pub path: String,
    /// The size of a file in bytes; `None` for a directory.
    pub size: Option<u32>,
    /// When it was changed, in seconds since 1970 and taking FAT's time as UTC.
    pub modified: i64,
    cluster: u32,
}

/// Why a volume can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The source refuses.
    #[error("the FAT volume can't be read at byte {offset} ({kind})")]
    Read {
        /// From the volume's start.
        offset: u64,
        /// Why.
        kind: io::ErrorKind,
    },
    /// A field of the boot sector is not one of FAT32's, or leaves the source.
    #[error("no FAT32 volume: {field} is {value}")]
    Field {
        /// The specification's name of the field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A chain leaves the volume, goes in a circle, or does not fit the size of what it holds.
    #[error("the cluster chain of `{path}` is broken at cluster {cluster}")]
    Chain {
        /// Whose chain; empty for the root directory.
        path: String,
        /// Where.
        cluster: u32,
    },
    /// A file claims more bytes than the volume has.
    #[error("`{path}` claims {size} bytes, more than the volume has")]
    Size {
        /// Which.
        path: String,
        /// The claim.
        size: u32,
    },
    /// A name that no file can have, or one that is there twice.
    #[error("the name `{0}` is not valid or is there twice")]
    Name(String),
    /// Too much of something.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most that we take.
        limit: usize,
    },
    /// No file has this path.
    #[error("there is no file `{0}`")]
    Missing(String),
}

/// Lists the FAT32 volume that starts at byte `base` of `source`.
///
/// Time and memory are bounded by the bytes that the source has and by limits above what an ESP holds (65536 names,
/// 32 levels).
///
/// # Errors
/// When the boot sector is not FAT32's, or anything that the root leads to is broken.
pub fn read(source: &dyn ReadAt, base: u64) -> Result<Listing<'_>, ReadError> {
    let (volume, volume_id) = Opened::new(source, base)?;
    let mut listing = Listing { volume, label: None, volume_id, items: BTreeMap::new() };
    let mut seen = BTreeSet::new();
    let mut pending = vec![(String::new(), listing.volume.root, 0)];
    while let Some((path, cluster, depth)) = pending.pop() {
        if depth > MAX_DEPTH {
            return Err(ReadError::TooMany { what: "levels of directories", limit: MAX_DEPTH });
        }
        let chain = listing.volume.directory_chain(&path, cluster, &mut seen)?;
        let bytes = listing.volume.read_chain(&chain)?;
        let Scanned { label, found } = scan(&path, &bytes)?;
        if depth == 0 {
            listing.label = label;
        }
        for item in found {
            if item.size.is_none() {
                pending.push((item.path.clone(), item.cluster, depth + 1));
            }
            if listing.items.len() == MAX_ITEMS {
                return Err(ReadError::TooMany { what: "names", limit: MAX_ITEMS });
            }
            let twice = listing.items.insert(fold(&item.path), item);
            if let Some(Item { path, .. }) = twice {
                return Err(ReadError::Name(path));
            }
        }
    }
    Ok(listing)
}

impl std::fmt::Debug for Listing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { volume: _, label, volume_id, items } = self;
        f.debug_struct("Listing")
            .field("label", label)
            .field("volume_id", volume_id)
            .field("items", items)
            .finish()
    }
}

impl Listing<'_> {
    /// All names, in the order of their upper-case paths.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// The file or directory at `path`, whatever the case of its letters.
    pub fn get(&self, path: &str) -> Option<&Item> {
        self.items.get(&fold(path.trim_matches('/')))
    }

    /// The bytes of the file at `path`.
    ///
    /// # Errors
    /// When there is no such file, its chain does not fit its size, or the source refuses.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let item = self.get(path).ok_or_else(|| ReadError::Missing(path.to_owned()))?;
        let size = item.size.ok_or_else(|| ReadError::Missing(path.to_owned()))?;
        let clusters = u64::from(size).div_ceil(self.volume.cluster_size);
        if clusters > u64::from(self.volume.clusters) {
            return Err(ReadError::Size { path: item.path.clone(), size });
        }
        let mut chain = Vec::new();
        let mut cluster = item.cluster;
        let broken = |cluster| ReadError::Chain { path: item.path.clone(), cluster };
        for _ in 0..clusters {
            chain.push(cluster);
            cluster = self.volume.next(&item.path, cluster)?.unwrap_or(0);
        }
        if cluster != 0 {
            return Err(broken(cluster));
        }
        let mut bytes = self.volume.read_chain(&chain)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }
}

/// The numbers of a boot sector that was found sound.
struct Opened<'a> {
    source: &'a dyn ReadAt,
    base: u64,
    fat: u64,
    data: u64,
    cluster_size: u64,
    clusters: u32,
    root: u32,
}

impl<'a> Opened<'a> {
    fn new(source: &'a dyn ReadAt, base: u64) -> Result<(Self, u32), ReadError> {
        let mut boot = [0; 512];
        source.read_at(base, &mut boot).map_err(|error| ReadError::Read { offset: 0, kind: error.kind() })?;
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let check = |field, value: u64, sound: bool| {
            if sound { Ok(value) } else { Err(ReadError::Field { field, value }) }
        };
        check("the signature", u16_at(510), u16_at(510) == 0xaa55)?;
        let sector = check("BPB_BytsPerSec", u16_at(11), matches!(u16_at(11), 512 | 1024 | 2048 | 4096))?;
        let per_cluster = u64::from(boot[13]);
        let whole = per_cluster.is_power_of_two() && per_cluster * sector <= 65_536;
        check("BPB_SecPerClus", per_cluster, whole)?;
        let reserved = check("BPB_RsvdSecCnt", u16_at(14), u16_at(14) > 0)?;
        let fats = check("BPB_NumFATs", boot[16].into(), matches!(boot[16], 1 | 2))?;
        check("BPB_RootEntCnt", u16_at(17), u16_at(17) == 0)?;
        check("BPB_TotSec16", u16_at(19), u16_at(19) == 0)?;
        check("BPB_FATSz16", u16_at(22), u16_at(22) == 0)?;
        let room = source.size().saturating_sub(base) / sector;
        let sectors = check("BPB_TotSec32", u32_at(32), (1..=room).contains(&u32_at(32)))?;
        let fat_sectors = u32_at(36);
        let data = reserved + fats * fat_sectors;
        check("BPB_FATSz32", fat_sectors, fat_sectors > 0 && data < sectors)?;
        check("BPB_FSVer", u16_at(42), u16_at(42) == 0)?;
        // More clusters than the FAT counts are not reachable.
        let counted = (fat_sectors * sector / 4).saturating_sub(2).min(u64::from(ENTRY_MASK) - 16);
        let clusters = ((sectors - data) / per_cluster).min(counted) as u32;
        let root = check("BPB_RootClus", u32_at(44), (2..u64::from(clusters) + 2).contains(&u32_at(44)))?;
        let volume = Self {
            source,
            base,
            fat: reserved * sector,
            data: data * sector,
            cluster_size: per_cluster * sector,
            clusters,
            root: root as u32,
        };
        Ok((volume, u32_at(67) as u32))
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        self.source
            .read_at(self.base + offset, bytes)
            .map_err(|error| ReadError::Read { offset, kind: error.kind() })
    }

    /// The cluster behind `cluster`, `None` at the end of its chain.
    fn next(&self, path: &str, cluster: u32) -> Result<Option<u32>, ReadError> {
        let broken = |cluster| ReadError::Chain { path: path.to_owned(), cluster };
        if !self.holds(cluster) {
            return Err(broken(cluster));
        }
        let mut entry = [0; 4];
        self.read(self.fat + u64::from(cluster) * 4, &mut entry)?;
        match u32::from_le_bytes(entry) & ENTRY_MASK {
            CHAIN_ENDS.. => Ok(None),
            next if self.holds(next) => Ok(Some(next)),
            _ => Err(broken(cluster)),
        }
    }

    fn holds(&self, cluster: u32) -> bool {
        (2..self.clusters + 2).contains(&cluster)
    }

    /// The clusters of a directory. No cluster is in two directories, or twice in one: so this ends.
    fn directory_chain(
        &self,
        path: &str,
        first: u32,
        seen: &mut BTreeSet<u32>,
    ) -> Result<Vec<u32>, ReadError> {
        let mut chain = Vec::new();
        let mut next = Some(first);
        while let Some(cluster) = next {
            let too_long =
                (chain.len() as u64 + 1) * self.cluster_size > MAX_DIRECTORY.max(self.cluster_size);
            if !seen.insert(cluster) || too_long {
                return Err(ReadError::Chain { path: path.to_owned(), cluster });
            }
            chain.push(cluster);
            next = self.next(path, cluster)?;
        }
        Ok(chain)
    }

    /// The bytes of clusters that were found within the volume; neighbours are read at once.
    fn read_chain(&self, chain: &[u32]) -> Result<Vec<u8>, ReadError> {
        let size = self.cluster_size as usize;
        let mut bytes = vec![0; chain.len() * size];
        let mut at = 0;
        for run in chain.chunk_by(|one, next| one + 1 == *next) {
            let offset = self.data + u64::from(run[0] - 2) * self.cluster_size;
            let end = at + run.len() * size;
            self.read(offset, &mut bytes[at..end])?;
            at = end;
        }
        Ok(bytes)
    }
}

/// What the entries of one directory say.
struct Scanned {
    label: Option<String>,
    found: Vec<Item>,
}

/// The parts of a long name that were seen so far: from its end to its start.
#[derive(Default)]
struct LongName {
    units: Vec<[u16; UNIT_OFFSETS.len()]>,
    /// The ordinal that the next part must have; 0 when the name is complete.
    wanted: u8,
    checksum: u8,
}

fn scan(path: &str, bytes: &[u8]) -> Result<Scanned, ReadError> {
    let mut scanned = Scanned { label: None, found: Vec::new() };
    let mut long = LongName::default();
    for entry in bytes.chunks_exact(ENTRY) {
        let attributes = entry[11];
        match entry[0] {
            0 => break,
            0xe5 => long = LongName::default(),
            _ if attributes & 0x3f == ATTR_LONG_NAME => long.push(entry),
            b'.' if entry[..11] == *b".          " || entry[..11] == *b"..         " => {}
            _ if attributes & ATTR_VOLUME_ID != 0 => {
                let label = String::from_utf8_lossy(&entry[..11]).trim_end().to_owned();
                scanned.label = Some(label);
                long = LongName::default();
            }
            _ => {
                let name = std::mem::take(&mut long).finish(entry).unwrap_or_else(|| short_name(entry));
                names::check(&name).map_err(|_rule| ReadError::Name(name.clone()))?;
                scanned.found.push(item(path, &name, entry));
            }
        }
    }
    Ok(scanned)
}

fn item(parent: &str, name: &str, entry: &[u8]) -> Item {
    let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
    let cluster = u32::from_le_bytes([entry[26], entry[27], entry[20], entry[21]]);
    let size = u32::from_le_bytes([entry[28], entry[29], entry[30], entry[31]]);
    let is_directory = entry[11] & ATTR_DIRECTORY != 0;
    let modified = DosTime::of_entry(entry).to_unix();
    Item { path, size: (!is_directory).then_some(size), modified, cluster }
}

impl LongName {
    fn push(&mut self, entry: &[u8]) {
        let (ordinal, checksum) = (entry[0] & !LAST_PART, entry[13]);
        let starts = entry[0] & LAST_PART != 0;
        let follows = ordinal == self.wanted && checksum == self.checksum;
        if !(1..=20).contains(&ordinal) || !(starts || follows) {
            *self = Self::default();
            return;
        }
        if starts {
            *self = Self { checksum, ..Self::default() };
        }
        self.units.push(UNIT_OFFSETS.map(|at| u16::from_le_bytes([entry[at], entry[at + 1]])));
        self.wanted = ordinal - 1;
    }

    /// The name, when it is complete and belongs to this short entry.
    fn finish(self, entry: &[u8]) -> Option<String> {
        let mut short = [0; 11];
        short.copy_from_slice(&entry[..11]);
        if self.units.is_empty() || self.wanted != 0 || self.checksum != names::checksum(&short) {
            return None;
        }
        let units = self.units.iter().rev().flatten().copied().take_while(|unit| *unit != 0);
        String::from_utf16(&units.collect::<Vec<u16>>()).ok()
    }
}

/// The short name as people read it, in the case that Windows' flags in byte 12 ask for.
fn short_name(entry: &[u8]) -> String {
    let part = |bytes: &[u8], lower: bool| {
        let text: String = bytes
            .iter()
            .map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER })
            .collect();
        let text = text.trim_end();
        if lower { text.to_ascii_lowercase() } else { text.to_owned() }
    };
    let base = part(&entry[..8], entry[12] & 0x08 != 0);
    let extension = part(&entry[8..11], entry[12] & 0x10 != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}
