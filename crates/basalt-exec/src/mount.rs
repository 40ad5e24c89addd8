//! Mounts, and the change from one root to another.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen, mount, mount_move, open_tree,
    },
    process::{chdir, chroot},
};

/// What a mount allows.
pub use rustix::mount::MountFlags as MountOptions;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device, or a name for what has none.
    pub source: String,
    /// Where.
    pub target: PathBuf,
    /// The file system's type.
    pub kind: &'static str,
    /// What it allows.
    pub options: MountOptions,
    /// What only this file system understands, separated by commas.
    pub data: String,
}

/// The root that was, after [`switch_root`].
#[derive(Debug)]
pub struct OldRoot {
    directory: OwnedFd,
    device: u64,
}

/// Why something could not be mounted, or the root not be changed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A file system can't be mounted.
    #[error("can't mount {kind} {source_name} on {target}")]
    Mount {
        /// The file system's type.
        kind: &'static str,
        /// The device, or a name for what has none.
        source_name: String,
        /// Where.
        target: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A mount can't be moved.
    #[error("can't move the mount {from} to {to}")]
    Move {
        /// Where it is.
        from: PathBuf,
        /// Where it should be.
        to: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A directory can't be made the root.
    #[error("can't make {root} the root")]
    Root {
        /// The directory.
        root: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the old root can't be removed.
    #[error("can't remove `{name}` of the old root")]
    Remove {
        /// The file.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Mount {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn execute(&self) -> Result<(), MountError> {
        let Self { source: from, target, kind, options, data } = self;
        let refused =
            |source| MountError::Mount { kind, source_name: from.clone(), target: target.clone(), source };
        let data = CString::new(data.as_bytes()).map_err(|error| refused(io::Error::other(error)))?;
        mount(from, target, *kind, *options, data.as_c_str()).map_err(|errno| refused(errno.into()))
    }
}

/// The file system that is mounted on `/`, without what is mounted on top of its directories: what an image has in `/etc`
/// below the overlay. It is a mount of its own that has no place in any file tree.
///
/// # Errors
/// When the kernel refuses: it takes `CAP_SYS_ADMIN`.
pub fn bare_root() -> Result<OwnedFd, MountError> {
    let refused = |errno: Errno| MountError::Root { root: "/".into(), source: errno.into() };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, "/", flags).map_err(refused)
}

/// Mounts a device read-only where no file tree shows it, as the first of these file systems that it is: nothing on it is
/// executed, and no owner or device of it counts.
///
/// # Errors
/// When it is none of them.
pub fn detached_readonly(device: &Path, kinds: &[&'static str]) -> Result<OwnedFd, MountError> {
    let mut last = Errno::NODEV;
    for kind in kinds {
        match detached(device, kind) {
            Ok(mounted) => return Ok(mounted),
            Err(errno) => last = errno,
        }
    }
    let kind = kinds.last().copied().unwrap_or("auto");
    let source_name = device.display().to_string();
    Err(MountError::Mount { kind, source_name, target: "(nowhere)".into(), source: last.into() })
}

fn detached(device: &Path, kind: &str) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", device)?;
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Moves the mount at `from`, with what is mounted below, to `to`.
///
/// # Errors
/// When the kernel refuses.
pub fn move_mount(from: &Path, to: &Path) -> Result<(), MountError> {
    mount_move(from, to).map_err(|errno| MountError::Move {
        from: from.to_owned(),
        to: to.to_owned(),
        source: errno.into(),
    })
}

/// Makes the mounted directory `root` the root of this process; gives the old one, which nothing can name any more.
///
/// Expected: process 1, alone, and whatever is needed later is mounted below `root` already.
///
/// # Errors
/// When the kernel refuses.
pub fn switch_root(root: &Path) -> Result<OldRoot, MountError> {
    let failed = |errno: Errno| MountError::Root { root: root.to_owned(), source: errno.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, "/", flags, Mode::empty()).map_err(failed)?;
    let device = fstat(&directory).map_err(failed)?.st_dev;
    chdir(root).map_err(failed)?;
    mount_move(".", "/").map_err(failed)?;
    chroot(".").map_err(failed)?;
    chdir("/").map_err(failed)?;
    Ok(OldRoot { directory, device })
}

impl OldRoot {
    /// Removes every file of the old root, so that the memory of an initramfs is free again. Other file systems that
    /// are mounted on it stay as they are; no link is followed.
    ///
    /// # Errors
    /// When a file can't be removed; what comes after it stays.
    pub fn remove_files(self) -> Result<(), MountError> {
        empty(&self.directory, self.device)
    }
}

fn empty(directory: &OwnedFd, device: u64) -> Result<(), MountError> {
    let failed = |name: &CStr| {
        let name = name.to_string_lossy().into_owned();
        move |errno: Errno| MountError::Remove { name, source: errno.into() }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for entry in Dir::read_from(directory).map_err(failed(c"/"))? {
        let entry = entry.map_err(failed(c"/"))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed(name))?;
        if stat.st_dev != device {
            continue;
        }
        let how = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let below = openat(directory, name, flags, Mode::empty()).map_err(failed(name))?;
            empty(&below, device)?;
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        unlinkat(directory, name, how).map_err(failed(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_root_loses_its_files_and_no_linked_one() {
        let place = tempfile::tempdir().unwrap();
        let old = place.path().join("old");
        let kept = place.path().join("kept");
        std::fs::create_dir_all(old.join("lib/modules")).unwrap();
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        std::fs::write(old.join("lib/modules/a.ko"), "x").unwrap();
        std::os::unix::fs::symlink(&kept, old.join("link")).unwrap();
        let directory = OwnedFd::from(std::fs::File::open(&old).unwrap());
        let device = fstat(&directory).unwrap().st_dev;

        OldRoot { directory, device }.remove_files().unwrap();

        assert_eq!(std::fs::read_dir(&old).unwrap().count(), 0);
        assert!(kept.join("file").exists());
    }

    #[test]
    fn a_refused_mount_names_what_and_where() {
        let mount = Mount {
            source: "/dev/none".into(),
            target: "/nowhere".into(),
            kind: "erofs",
            options: MountOptions::RDONLY,
            data: String::new(),
        };
        let error = mount.execute().unwrap_err();
        assert_eq!(error.to_string(), "can't mount erofs /dev/none on /nowhere");
    }
}
