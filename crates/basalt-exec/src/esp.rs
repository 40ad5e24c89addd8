//! Writing to the EFI system partition without anybody else seeing it mounted.
//!
//! The mount is detached (`fsopen(2)`, `fsmount(2)`): it has no place in any file tree, so no race with whoever mounts
//! the ESP at `/efi`, and it is gone with the last descriptor.
//!
//! Not here: reading it, which needs no mount (`basalt_formats::fat`).

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, fstatvfs, openat, syncfs},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    },
};

use crate::files::{Access, FileError, Root, Scope};

/// Files get 0644 and directories 0755, which is what [`Root::write_atomic`] then finds it has nothing to change of.
const MASKS: [(&str, &str); 2] = [("fmask", "0133"), ("dmask", "0022")];

/// Why a file could not be written to the ESP.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// The ESP can't be mounted.
    #[error("can't mount the ESP {} ({step})", device.display())]
    Mount {
        /// The partition.
        device: PathBuf,
        /// The system call.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file could not be brought to the medium.
    #[error("can't flush the ESP {}", device.display())]
    Flush {
        /// The partition.
        device: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// An ESP that is mounted as long as this value lives. What a method did is on the medium when it returns.
#[derive(Debug)]
pub struct Esp {
    root: Root,
    descriptor: OwnedFd,
    device: PathBuf,
}

/// The room on an ESP, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspSpace {
    /// What is free.
    pub free: u64,
    /// What a file takes is a multiple of this.
    pub cluster: u64,
}

impl Esp {
    /// Mounts the ESP on this partition.
    ///
    /// # Errors
    /// When the kernel refuses: no FAT, or it is mounted read-only.
    pub fn mount(device: &Path) -> Result<Self, EspError> {
        let mounted = mount(device)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = openat(&mounted, ".", flags, Mode::empty());
        let descriptor = descriptor.map_err(|errno| flush_failed(device, errno))?;
        let root = Root::from_descriptor(mounted, device.to_owned(), Scope::Beneath);
        Ok(Self { root, descriptor, device: device.to_owned() })
    }

    /// Replaces or creates a file, making the directories above it.
    ///
    /// FAT has no journal: the bytes are written under another name and flushed before the one rename, so a loss of power
    /// leaves the old file, the new one, or none under this name, but no mixture.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
        if let Some(parent) = path.parent() {
            self.root.create_directories(parent)?;
        }
        self.root.write_atomic(path, bytes, Access::Public)?;
        self.flush()
    }

    /// Writes a file in its place: for a name that nobody reads before it is whole.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
        self.root.write_in_place(path, bytes, Access::Public)?;
        self.flush()
    }

    /// Writes over the beginning of a file that is there: its place and its size stay.
    ///
    /// # Errors
    /// When there is no such file, or it can't be written.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
        self.root.overwrite(path, bytes)?;
        self.flush()
    }

    /// All bytes of a file, refused when there are more than `limit`. What the file system wrote is seen, which a look at the
    /// partition's own device may miss: that keeps what it read before.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, EspError> {
        Ok(self.root.read(path, limit)?)
    }

    /// Gives a file another name in its directory.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), EspError> {
        self.root.rename(from, to)?;
        self.flush()
    }

    /// Removes a file; that it is not there is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove(&self, path: &Path) -> Result<(), EspError> {
        self.root.remove_file(path)?;
        self.flush()
    }

    /// How much room there is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn space(&self) -> Result<EspSpace, EspError> {
        let space = fstatvfs(&self.descriptor).map_err(|errno| flush_failed(&self.device, errno))?;
        Ok(EspSpace { free: space.f_bavail.saturating_mul(space.f_frsize), cluster: space.f_frsize })
    }

    fn flush(&self) -> Result<(), EspError> {
        syncfs(&self.descriptor).map_err(|errno| flush_failed(&self.device, errno))
    }
}

/// Replaces or creates a file on the ESP, as [`Esp::write_atomic`] does.
///
/// # Errors
/// When the ESP can't be mounted or written.
pub fn write_esp_file(device: &Path, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
    Esp::mount(device)?.write_atomic(path, bytes)
}

fn flush_failed(device: &Path, errno: Errno) -> EspError {
    EspError::Flush { device: device.to_owned(), source: errno.into() }
}

fn mount(device: &Path) -> Result<OwnedFd, EspError> {
    let failed =
        |step| move |errno: Errno| EspError::Mount { device: device.to_owned(), step, source: errno.into() };
    let context = fsopen("vfat", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    fsconfig_set_string(&context, "source", device).map_err(failed("source"))?;
    for (option, value) in MASKS {
        fsconfig_set_string(&context, option, value).map_err(failed(option))?;
    }
    fsconfig_create(&context).map_err(failed("create"))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed("fsmount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_esp_is_refused_by_name() {
        let refused = write_esp_file(Path::new("/dev/null"), Path::new("x"), b"").unwrap_err();
        assert!(refused.to_string().starts_with("can't mount the ESP /dev/null"), "{refused}");
    }
}
