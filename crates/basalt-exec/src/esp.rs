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
    fs::{Mode, OFlags, openat, syncfs},
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

/// Replaces or creates a file on the ESP, making the directories above it. On the medium when this returns.
///
/// FAT has no journal: the bytes are written under another name and flushed before the one rename, so a loss of power
/// leaves the old file, the new one, or none under this name, but no mixture.
///
/// # Errors
/// When the ESP can't be mounted or written.
pub fn write_esp_file(device: &Path, path: &Path, bytes: &[u8]) -> Result<(), EspError> {
    let mounted = mount(device)?;
    let flush = |errno: Errno| EspError::Flush { device: device.to_owned(), source: errno.into() };
    let descriptor =
        openat(&mounted, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(flush)?;
    let root = Root::from_descriptor(mounted, device.to_owned(), Scope::Beneath);
    if let Some(parent) = path.parent() {
        root.create_directories(parent)?;
    }
    root.write_atomic(path, bytes, Access::Public)?;
    syncfs(&descriptor).map_err(flush)
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
