//! Walks a directory tree by descriptors: no path longer than one name is ever given to the kernel, so no rename or
//! link elsewhere can lead the walk out of the tree.
//!
//! Parents come before children, names in byte order. Nothing is followed. Other file systems mounted below are
//! entered: a sandbox has none at the time of a walk.

use std::{
    collections::BTreeMap,
    ffi::{CStr, OsStr},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, RawDir, Statx, StatxFlags, XattrFlags, lgetxattr, llistxattr,
        openat, readlinkat, statx, unlinkat,
    },
    io::Errno,
};

/// One name in a walked tree.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path from the top, without a leading slash; the top itself has an empty one.
    pub path: PathBuf,
    /// What it is and who owns it.
    pub stat: Stat,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where a symbolic link points to; empty for all else.
    pub target: Vec<u8>,
}

/// The facts of an inode that a tree keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileType,
    /// The low 12 bits of `st_mode`.
    pub mode: u16,
    /// Owner, as this namespace numbers it.
    pub uid: u32,
    /// Group, as this namespace numbers it.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds of it.
    pub mtime_nanos: u32,
    /// How many names it has.
    pub links: u32,
    /// Which file system and inode: equal for two names of one file.
    pub identity: (u32, u32, u64),
    /// Major and minor number of a device file.
    pub device: (u32, u32),
}

/// Why a walk stopped.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} `{}`", path.display())]
pub struct WalkError {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Walks the tree at `top` and gives every entry to `visit`.
///
/// # Errors
/// When an entry can't be read.
pub fn walk(top: &Path, visit: &mut dyn FnMut(Entry)) -> Result<(), WalkError> {
    let root = open_directory(CWD, top.as_os_str()).map_err(|errno| failed("open", top, errno))?;
    let scene = Scene { top };
    visit(scene.entry(&root, OsStr::new(""), Path::new(""))?);
    scene.descend(&root, Path::new(""), visit)
}

/// Removes what is at `top`, a directory with all below it or a file; that nothing is there is fine.
///
/// # Errors
/// When an entry can't be removed.
pub fn remove_tree(top: &Path) -> Result<(), WalkError> {
    match unlinkat(CWD, top, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(failed("remove", top, errno)),
    }
    let directory = open_directory(CWD, top.as_os_str()).map_err(|errno| failed("open", top, errno))?;
    remove_below(&directory, top)?;
    drop(directory);
    unlinkat(CWD, top, AtFlags::REMOVEDIR).map_err(|errno| failed("remove", top, errno))
}

/// Removes everything in the directory, and keeps the directory itself.
///
/// # Errors
/// When an entry can't be removed.
pub fn empty_directory(top: &Path) -> Result<(), WalkError> {
    let directory = open_directory(CWD, top.as_os_str()).map_err(|errno| failed("open", top, errno))?;
    remove_below(&directory, top)
}

struct Scene<'t> {
    top: &'t Path,
}

impl Scene<'_> {
    fn descend(
        &self,
        directory: &OwnedFd,
        path: &Path,
        visit: &mut dyn FnMut(Entry),
    ) -> Result<(), WalkError> {
        for name in self.names(directory, path)? {
            let name = OsStr::from_bytes(&name);
            let below = path.join(name);
            let entry = self.entry(directory, name, &below)?;
            let kind = entry.stat.kind;
            visit(entry);
            if kind == FileType::Directory {
                let child = open_directory(directory.as_fd(), name);
                let child = child.map_err(|errno| failed("open", &self.top.join(&below), errno))?;
                self.descend(&child, &below, visit)?;
            }
        }
        Ok(())
    }

    fn names(&self, directory: &OwnedFd, path: &Path) -> Result<Vec<Vec<u8>>, WalkError> {
        let mut found = names(directory).map_err(|errno| failed("list", &self.top.join(path), errno))?;
        found.sort_unstable();
        Ok(found)
    }

    fn entry(&self, directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<Entry, WalkError> {
        let fail = |action: &'static str| move |errno| failed(action, &self.top.join(path), errno);
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let facts = statx(directory, name, flags, StatxFlags::BASIC_STATS).map_err(fail("examine"))?;
        let stat = stat(&facts);
        let mut target = Vec::new();
        if stat.kind == FileType::Symlink {
            target = readlinkat(directory, name, target).map_err(fail("read the link"))?.into_bytes();
        }
        // /proc/self/fd/N/name is the only way to reach a link's own attributes relative to a descriptor.
        let there = Path::new("/proc/self/fd").join(descriptor_number(directory)).join(name);
        let xattrs = xattrs(&there).map_err(fail("read the extended attributes of"))?;
        Ok(Entry { path: path.to_owned(), stat, xattrs, target })
    }
}

fn descriptor_number(descriptor: &OwnedFd) -> String {
    std::os::fd::AsRawFd::as_raw_fd(descriptor).to_string()
}

fn stat(facts: &Statx) -> Stat {
    Stat {
        kind: FileType::from_raw_mode(facts.stx_mode.into()),
        mode: facts.stx_mode & 0o7777,
        uid: facts.stx_uid,
        gid: facts.stx_gid,
        size: facts.stx_size,
        mtime: facts.stx_mtime.tv_sec,
        mtime_nanos: facts.stx_mtime.tv_nsec,
        links: facts.stx_nlink,
        identity: (facts.stx_dev_major, facts.stx_dev_minor, facts.stx_ino),
        device: (facts.stx_rdev_major, facts.stx_rdev_minor),
    }
}

/// All extended attributes of the file itself, links not followed. A file system without any has none.
fn xattrs(path: &Path) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = [0_u8; 4096];
    let length = match llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(other) => return Err(other),
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let mut value = vec![0; 65_536];
        let length = lgetxattr(path, name, &mut value[..])?;
        value.truncate(length);
        found.insert(name.to_bytes().to_vec(), value);
    }
    Ok(found)
}

/// Sets one extended attribute of the file itself, links not followed.
///
/// # Errors
/// What `lsetxattr(2)` says.
pub fn set_xattr(path: &Path, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty())
}

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut buffer = vec![std::mem::MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    Ok(found)
}

fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn remove_below(directory: &OwnedFd, shown: &Path) -> Result<(), WalkError> {
    for name in names(directory).map_err(|errno| failed("list", shown, errno))? {
        let name = OsStr::from_bytes(&name);
        let fail = |action: &'static str| move |errno| failed(action, &shown.join(name), errno);
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            // Linux says EISDIR, POSIX asks for EPERM (unlink(2)).
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(fail("remove")(errno)),
        }
        let child = open_directory(directory.as_fd(), name).map_err(fail("open"))?;
        remove_below(&child, &shown.join(name))?;
        unlinkat(directory, name, AtFlags::REMOVEDIR).map_err(fail("remove"))?;
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> WalkError {
    WalkError { action, path: path.to_owned(), source: errno.into() }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
