//! Puts entries into a tree, several packages at the same time.
//!
//! Every path is claimed before it is made. Two packages may claim a directory: the one that comes first in the plan's
//! order decides its mode and owner, whichever thread comes first. Any other path that two packages claim is a *clash*:
//! neither is right without dpkg's rules, so the packages are noted and unpacked by dpkg in another try.
//!
//! Directories get their mode, owner and time at the end, when nobody writes into them any more.

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map},
    ffi::OsStr,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use basalt_debian::{
    archive::{ArchiveError, Entry, EntryKind, Sink},
    unpack::Unpackable,
};
use basalt_exec::files::{Root, Scope};
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, futimens,
        linkat, mkdirat, openat, symlinkat, utimensat,
    },
    io::Errno,
};

use super::error::Failure;

/// The tree that is filled, and who has claimed what of it.
#[derive(Debug)]
pub(super) struct Ground {
    root: Root,
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    paths: HashMap<Vec<u8>, Claim>,
    clashes: BTreeSet<Vec<u8>>,
    clashing: BTreeSet<usize>,
}

/// Who claimed a path: the place of a package in the plan's order.
#[derive(Debug, Clone, Copy)]
enum Claim {
    Directory { rank: usize, attributes: Attributes },
    Other,
}

/// What an inode gets beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, u32),
}

/// What clashed: the paths, and the packages that are known to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clashes {
    pub(super) paths: BTreeSet<Vec<u8>>,
    pub(super) ranks: BTreeSet<usize>,
}

/// Puts the entries of one package into the ground.
pub(super) struct Planter<'g> {
    ground: &'g Ground,
    rank: usize,
    package: &'g Unpackable,
    /// The directory of the entry before: the next one is mostly in it too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
    /// The paths as the archive has them, in its order.
    pub(super) paths: Vec<Vec<u8>>,
}

impl Attributes {
    fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: (entry.mtime, 0) }
    }
}

impl Ground {
    /// The directory to fill, which is there and empty.
    pub(super) fn open(tree: &Path) -> Result<Self, Failure> {
        let root = Root::open(tree, Scope::NoLinks);
        let root = root.map_err(|error| Failure::io(error.action, &error.path, &error.source))?;
        Ok(Self { root, claims: Mutex::default() })
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        // A thread that panicked has ended the job; what it leaves in the map is never read.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What clashed so far.
    pub(super) fn clashes(&self) -> Clashes {
        let claims = self.claims();
        Clashes { paths: claims.clashes.clone(), ranks: claims.clashing.clone() }
    }

    /// Gives every directory its mode and owner, and its time if nothing was put into it.
    pub(super) fn finish_directories(&self) -> Result<(), Failure> {
        let claims = self.claims();
        let parents: HashSet<&[u8]> = claims.paths.keys().map(|path| split(path).0).collect();
        for (path, claim) in &claims.paths {
            let Claim::Directory { attributes, .. } = claim else { continue };
            let filled = parents.contains(path.as_slice());
            let plain = attributes.mode == 0o755 && attributes.uid == 0 && attributes.gid == 0;
            if filled && plain {
                continue;
            }
            let path = Path::new(OsStr::from_bytes(path));
            let apply = || {
                let directory = self.root.open_directory(path)?;
                apply_owner_and_mode(&directory, attributes, 0o755)?;
                if filled { Ok(()) } else { futimens(&directory, &times(attributes.mtime)) }
            };
            apply().map_err(|errno: Errno| Failure::io("set the mode of", path, &errno.into()))?;
        }
        Ok(())
    }

    /// Whether this path was claimed.
    pub(super) fn holds(&self, path: &[u8]) -> bool {
        self.claims().paths.contains_key(path)
    }
}

impl Claims {
    /// Whether the entry may be made. A clash is noted, and the entry left out.
    fn claim(&mut self, path: &[u8], rank: usize, entry: &Entry) -> bool {
        let attributes = Attributes::of(entry);
        let new = match entry.kind {
            EntryKind::Directory => Claim::Directory { rank, attributes },
            EntryKind::File(_) | EntryKind::Symlink(_) | EntryKind::HardLink(_) => Claim::Other,
        };
        match self.paths.entry(path.to_vec()) {
            hash_map::Entry::Vacant(free) => {
                free.insert(new);
                true
            }
            hash_map::Entry::Occupied(mut taken) => match (*taken.get(), new) {
                (Claim::Directory { rank: before, .. }, Claim::Directory { .. }) => {
                    if rank < before {
                        taken.insert(new);
                    }
                    true
                }
                (Claim::Directory { .. } | Claim::Other, Claim::Directory { .. } | Claim::Other) => {
                    self.clashes.insert(path.to_vec());
                    self.clashing.insert(rank);
                    false
                }
            },
        }
    }
}

impl<'g> Planter<'g> {
    pub(super) fn new(ground: &'g Ground, rank: usize, package: &'g Unpackable) -> Self {
        Self { ground, rank, package, parent: None, buffer: vec![0; 128 << 10], paths: Vec::new() }
    }

    fn put(&mut self, place: &[u8], entry: &Entry, content: &mut dyn Read) -> std::io::Result<()> {
        let attributes = Attributes::of(entry);
        let (parent, name) = split(place);
        let conffile = matches!(entry.kind, EntryKind::File(_)) && self.is_conffile(&entry.path);
        let name = if conffile { [name, b".dpkg-new"].concat() } else { name.to_vec() };
        let name = OsStr::from_bytes(&name);
        self.enter(parent)?;
        let Some((_, directory)) = &self.parent else { return Err(Errno::NOENT.into()) };
        match &entry.kind {
            EntryKind::Directory => match mkdirat(directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno.into()),
            },
            EntryKind::File(_) => {
                let permissions = Mode::from_raw_mode(u32::from(attributes.mode & 0o777));
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = openat(directory, name, flags, permissions)?;
                copy(content, &file, &mut self.buffer)?;
                apply_owner_and_mode(&file, &attributes, attributes.mode & 0o777)?;
                Ok(futimens(&file, &times(attributes.mtime))?)
            }
            EntryKind::Symlink(target) => {
                symlinkat(OsStr::from_bytes(target), directory, name)?;
                Ok(finish_link(directory, name, &attributes)?)
            }
            EntryKind::HardLink(target) => {
                let (above, old) = split(target);
                let above = merged(above, true);
                let above = self.ground.root.open_directory(Path::new(OsStr::from_bytes(&above)))?;
                Ok(linkat(&above, OsStr::from_bytes(old), directory, name, AtFlags::empty())?)
            }
        }
    }

    /// Opens the directory that the next entry is in; archives name it before, but not all of them.
    fn enter(&mut self, parent: &[u8]) -> std::io::Result<()> {
        if self.parent.as_ref().is_some_and(|(path, _)| path == parent) {
            return Ok(());
        }
        let path = Path::new(OsStr::from_bytes(parent));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = match self.ground.root.open_at(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                self.ground.root.create_directories(path).map_err(|error| error.source)?;
                self.ground.root.open_at(path, flags, Mode::empty())
            }
            other => other,
        };
        self.parent = Some((parent.to_vec(), opened?));
        Ok(())
    }

    fn is_conffile(&self, path: &[u8]) -> bool {
        let Ok(path) = std::str::from_utf8(path) else { return false };
        !self.package.conffiles.is_empty() && self.package.conffiles.contains(&format!("/{path}"))
    }
}

impl Sink for Planter<'_> {
    type Error = Failure;

    fn entry(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), Failure> {
        self.paths.push(entry.path.clone());
        let place = merged(&entry.path, matches!(entry.kind, EntryKind::Directory));
        if place.is_empty() || !self.ground.claims().claim(&place, self.rank, &entry) {
            return Ok(());
        }
        match self.put(&place, &entry, content) {
            Ok(()) => Ok(()),
            // A directory of the path is another package's file or link.
            Err(error) if is_in_the_way(&error) => {
                let mut claims = self.ground.claims();
                claims.clashes.insert(split(&place).0.to_vec());
                claims.clashing.insert(self.rank);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                Err(Failure::io("write", Path::new(OsStr::from_bytes(&place)), &error))
            }
            Err(error) => Err(Failure::Unpack {
                package: self.package.name.clone(),
                path: String::from_utf8_lossy(&place).into_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Package { package: error.package.clone(), message: error.to_string() }
    }
}

fn is_in_the_way(error: &std::io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::EXIST))
}

/// Where a path lies on a system with merged `/usr`: `bin/sh` in `usr/bin/sh`. A link at the top stays what it is.
pub(super) fn merged(path: &[u8], directory: bool) -> Vec<u8> {
    let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let deeper = first.len() < path.len();
    if (deeper || directory) && MERGED.iter().any(|name| name.as_bytes() == first) {
        return [b"usr/", path].concat();
    }
    path.to_vec()
}

/// The directories of the root that are links into `/usr` on Debian since 12.
pub(super) const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn copy(content: &mut dyn Read, file: &OwnedFd, buffer: &mut [u8]) -> std::io::Result<()> {
    loop {
        let count = match content.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        write_all(file, &buffer[..count])?;
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A new inode is root's and has `mode_now`; what differs is changed. The mode comes last, because a change of owner
/// clears set-uid bits.
pub(super) fn apply_owner_and_mode(
    inode: &OwnedFd,
    attributes: &Attributes,
    mode_now: u16,
) -> rustix::io::Result<()> {
    let owned = attributes.uid == 0 && attributes.gid == 0;
    if !owned {
        fchown(inode, Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))?;
    }
    if !owned || attributes.mode != mode_now {
        fchmod(inode, Mode::from_raw_mode(attributes.mode.into()))?;
    }
    Ok(())
}

/// Owner and time of a symbolic link; it has no mode.
pub(super) fn finish_link(
    directory: &OwnedFd,
    name: &OsStr,
    attributes: &Attributes,
) -> rustix::io::Result<()> {
    if attributes.uid != 0 || attributes.gid != 0 {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    utimensat(directory, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// The modification time alone; when a file was read is in no tree.
pub(super) fn times(mtime: (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.0, tv_nsec: i64::from(mtime.1) },
    }
}

/// Makes a file with these bytes, which must not be there yet.
pub(super) fn write_new(
    root: &Root,
    path: &str,
    bytes: &[u8],
    mode: u16,
    mtime: Option<i64>,
) -> Result<(), Failure> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let write = || -> std::io::Result<()> {
        let file = root.open_at(Path::new(path), flags, Mode::from_raw_mode(0o600))?;
        write_all(&file, bytes)?;
        fchmod(&file, Mode::from_raw_mode(mode.into()))?;
        match mtime {
            Some(time) => Ok(futimens(&file, &times((time, 0)))?),
            None => Ok(()),
        }
    };
    write().map_err(|error| Failure::io("write", Path::new(path), &error))
}
