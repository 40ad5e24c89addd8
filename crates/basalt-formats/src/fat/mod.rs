//! FAT32 volumes (Microsoft "FAT32 File System Specification" 1.03, fatgen103; UEFI 2.10 section 13.3): an ESP from a
//! value, and back.
//!
//! * [`Volume::write_to`] writes what is not zero and nothing else, so an ESP of 1 GiB costs what its files cost.
//! * [`read`] lists a volume that anybody wrote, and reads its files.
//!
//! The same value gives the same bytes: names are written in the order of their upper-case form, clusters are handed out
//! in that order without gaps, and all times are the volume's epoch in UTC.
//!
//! Not here: FAT12 and FAT16 (an ESP on a disk is FAT32), sectors other than 512 bytes when writing, changing a volume
//! in place (a running system mounts it).

mod directory;
mod geometry;
mod names;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, io, str::FromStr, sync::Arc};

use basalt_types::ByteSize;

pub(crate) use directory::civil;
pub use read::{Item, Listing, ReadError, read};

/// A FAT32 volume that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Size of the whole volume, a multiple of 512 bytes, at least [`Volume::MIN_SIZE`].
    pub size: ByteSize,
    /// The volume's name.
    pub label: VolumeLabel,
    /// The serial number; Linux shows it as `UUID=XXXX-XXXX`.
    pub volume_id: u32,
    /// The time of every file in seconds since 1970. FAT counts from 1980 to 2107 in steps of 2 s; others are clamped.
    pub epoch: i64,
    /// What it holds.
    pub root: Directory,
}

/// The name of a volume: 1 to 11 of A-Z, 0-9, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeLabel(String);

/// A directory. Names are found whatever their case, and kept in the case in which they were first given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// By upper-case name.
    entries: BTreeMap<String, Named>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    entry: Entry,
}

/// What a name leads to.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file and its bytes.
    File(Arc<[u8]>),
    /// A directory.
    Directory(Directory),
}

/// Why a volume can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    /// Not a [`VolumeLabel`].
    #[error("`{0}` is not a FAT volume label: expected 1 to 11 of A-Z, 0-9, `_` and `-`")]
    Label(String),
    /// Not a long name.
    #[error(
        "`{0}` is not a FAT file name: expected 1 to 255 UTF-16 units without control characters and \"*/:<>?\\|, not ending in a dot or space"
    )]
    Name(String),
    /// A directory stands where a file was to be put, or a file where a directory must be.
    #[error("`{0}` is a file in one place and a directory in another")]
    Kind(String),
    /// Not a multiple of 512.
    #[error("a volume of {0} bytes is not made of sectors of 512 bytes")]
    PartialSector(u64),
    /// Fewer clusters than FAT32 has.
    #[error("a volume of {0} is too small for FAT32: at least {min} is needed", min = Volume::MIN_SIZE)]
    TooSmall(ByteSize),
    /// More sectors than 32 bits count.
    #[error("a volume of {0} is too large for FAT32")]
    TooLarge(ByteSize),
    /// The volume would start at a place that is not a sector.
    #[error("byte {0} is not the start of a sector of 512 bytes")]
    Base(u64),
    /// The content does not fit.
    #[error("the files need {needed}, the volume has room for {room}")]
    Full {
        /// What the files and directories need, in whole clusters.
        needed: ByteSize,
        /// What the clusters hold.
        room: ByteSize,
    },
    /// A file of 4 GiB or more.
    #[error("`{name}` has {size}: FAT32 ends below 4GiB")]
    FileTooLarge {
        /// Its name.
        name: String,
        /// Its size.
        size: ByteSize,
    },
    /// More entries than 65536.
    #[error("a directory needs {0} entries: FAT ends at 65536")]
    DirectoryTooLarge(usize),
    /// The target refuses.
    #[error("the FAT volume can't be written at byte {offset} ({kind})")]
    Write {
        /// From the target's start.
        offset: u64,
        /// Why.
        kind: io::ErrorKind,
    },
}

impl Volume {
    /// The smallest volume that the specification's table gives clusters for: 66601 sectors, some 32.5 MiB.
    pub const MIN_SIZE: ByteSize = ByteSize::bytes(geometry::MIN_SECTORS * geometry::SECTOR);
}

impl FromStr for VolumeLabel {
    type Err = FatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if !(1..=11).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(FatError::Label(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl VolumeLabel {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Padded with spaces, as the boot sector and the root directory store it.
    fn padded(&self) -> [u8; 11] {
        let mut bytes = [b' '; 11];
        bytes[..self.0.len()].copy_from_slice(self.0.as_bytes());
        bytes
    }
}

impl fmt::Display for VolumeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VolumeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Directory {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file at `path` (parts separated by `/`), making the directories above it; replaces a file.
    ///
    /// # Errors
    /// When a part is no FAT name, or a file and a directory want the same name.
    pub fn insert(&mut self, path: &str, bytes: impl Into<Arc<[u8]>>) -> Result<(), FatError> {
        let path = path.trim_start_matches('/');
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        names::check(name)?;
        let directory = self.make_directories(parent)?;
        let named = directory
            .entries
            .entry(fold(name))
            .or_insert_with(|| Named { name: name.to_owned(), entry: Entry::File(Arc::default()) });
        match &mut named.entry {
            Entry::File(content) => {
                *content = bytes.into();
                Ok(())
            }
            Entry::Directory(_) => Err(FatError::Kind(path.to_owned())),
        }
    }

    /// The directory at `path`; missing ones are made.
    ///
    /// # Errors
    /// When a part is no FAT name, or is a file.
    pub fn make_directories(&mut self, path: &str) -> Result<&mut Self, FatError> {
        let mut here = self;
        for name in path.split('/').filter(|part| !part.is_empty()) {
            names::check(name)?;
            let named = here
                .entries
                .entry(fold(name))
                .or_insert_with(|| Named { name: name.to_owned(), entry: Entry::Directory(Self::new()) });
            here = match &mut named.entry {
                Entry::Directory(directory) => directory,
                Entry::File(_) => return Err(FatError::Kind(path.to_owned())),
            };
        }
        Ok(here)
    }

    /// Names and what they lead to, in the order in which they are written.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> + Clone {
        self.entries.values().map(|named| (named.name.as_str(), &named.entry))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(bytes) => write!(f, "File({} bytes)", bytes.len()),
            Self::Directory(directory) => fmt::Debug::fmt(directory, f),
        }
    }
}

/// Two names that differ in case only are one name. FAT's tables map one character to one: `ß` is not `SS`.
fn fold(name: &str) -> String {
    let upper = |c: char| {
        let mut mapped = c.to_uppercase();
        match (mapped.next(), mapped.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) | (None, _) => c,
        }
    };
    name.chars().map(upper).collect()
}
