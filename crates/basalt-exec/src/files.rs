//! The one door to files: everything relative to an open directory, nothing outside of it.
//!
//! A [`Root`] is a directory descriptor. Paths below it are resolved by `openat2(2)`: with [`Scope::Beneath`] a path
//! that leaves the directory (by `..`, an absolute link, a mount's magic link) is refused by the kernel; with
//! [`Scope::InRoot`] the directory acts as `/`, so absolute links of an image stay inside the image.
//!
//! Power-cut order of [`Root::write_atomic`]: temporary file → fsync → rename → fsync of the directory. A reader sees
//! the old bytes or the new ones, never a mixture.
//!
//! Not here: walking a tree ([`crate::walk`]).

mod entry;

use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, ResolveFlags, fchmod, fsync, mkdirat, openat, openat2, renameat, unlinkat,
    },
    io::Errno,
};

pub use entry::{Attributes, Entry, EntryKind, Lock};

/// A directory that acts as the root of every path given to it.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    shown: PathBuf,
    scope: Scope,
}

/// What may happen when a path meets a symbolic link or `..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A path that would leave the directory is refused.
    Beneath,
    /// The directory is `/` for links and `..`, as it is for whoever will boot the tree.
    InRoot,
    /// No symbolic link is followed at all: for trees that others fill while we write.
    NoLinks,
}

/// Why an operation on a file failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried, such as `read`.
    pub action: &'static str,
    /// On what, as a person would name it.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// The permission bits of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// 0644: everybody reads.
    Public,
    /// 0755: everybody executes.
    Program,
    /// 0600: only the owner; the file never exists with more.
    Secret,
}

impl Access {
    fn mode(self) -> Mode {
        match self {
            Self::Public => Mode::from_raw_mode(0o644),
            Self::Program => Mode::from_raw_mode(0o755),
            Self::Secret => Mode::from_raw_mode(0o600),
        }
    }
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// When it is missing or no directory.
    pub fn open(path: &Path, scope: Scope) -> Result<Self, FileError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty());
        let directory = directory.map_err(|errno| refused("open", path, errno))?;
        Ok(Self { directory, shown: path.to_owned(), scope })
    }

    /// A directory that is open already; `shown` is how errors name it.
    pub fn from_descriptor(directory: OwnedFd, shown: PathBuf, scope: Scope) -> Self {
        Self { directory, shown, scope }
    }

    /// The descriptor, for operations that are not here.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// All bytes of the file, refused when there are more than `limit`.
    ///
    /// # Errors
    /// When it can't be opened or read, or is longer than `limit`.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, FileError> {
        let path = path.as_ref();
        let file =
            self.open_at(path, OFlags::RDONLY, Mode::empty()).map_err(|e| self.refuse("read", path, e))?;
        let mut bytes = Vec::new();
        let count = std::fs::File::from(file).take(limit + 1).read_to_end(&mut bytes);
        match count.map_err(|source| FileError { action: "read", path: self.shown.join(path), source })? {
            count if count as u64 > limit => Err(self.refuse("read", path, Errno::FBIG)),
            _ => Ok(bytes),
        }
    }

    /// All bytes of the file, or `None` when there is no such file.
    ///
    /// # Errors
    /// As [`Root::read`], but for a missing file.
    pub fn read_if_present(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        match self.read(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces or creates the file in one step that a power cut can't split. The umask has no say in its mode.
    ///
    /// # Errors
    /// When any step fails; the temporary file is then removed.
    pub fn write_atomic(
        &self,
        path: impl AsRef<Path>,
        bytes: &[u8],
        access: Access,
    ) -> Result<(), FileError> {
        let path = path.as_ref();
        let refuse = |errno| self.refuse("write", path, errno);
        let (parent, name) = self.open_parent(path).map_err(refuse)?;
        let mut temporary = std::ffi::OsString::from(format!(".{}~", std::process::id()));
        temporary.push(name);
        let written = write_synced(parent.as_fd(), Path::new(&temporary), bytes, access)
            .and_then(|()| Ok(renameat(&parent, &temporary, &parent, name)?))
            .and_then(|()| Ok(fsync(&parent)?));
        written.map_err(|source| {
            // The first error is the one to tell; a temporary file that stays is replaced by the next write.
            match unlinkat(&parent, &temporary, AtFlags::empty()) {
                Ok(()) | Err(_) => {}
            }
            FileError { action: "write", path: self.shown.join(path), source }
        })
    }

    /// Writes the file where it is and waits until its bytes are on the medium: for a name that nobody reads before.
    ///
    /// # Errors
    /// When any step fails; a part of the bytes may be there then.
    pub fn write_in_place(
        &self,
        path: impl AsRef<Path>,
        bytes: &[u8],
        access: Access,
    ) -> Result<(), FileError> {
        let path = path.as_ref();
        let (parent, name) = self.open_parent(path).map_err(|errno| self.refuse("write", path, errno))?;
        let written = write_synced(parent.as_fd(), Path::new(name), bytes, access);
        written.map_err(|source| FileError { action: "write", path: self.shown.join(path), source })
    }

    /// Writes over the beginning of a file that is there and waits until it is on the medium: its place and its size stay, so as
    /// many bytes as the file has are changed by one write.
    ///
    /// # Errors
    /// When there is no such file, or it can't be written.
    pub fn overwrite(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
        let path = path.as_ref();
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW;
        let file =
            self.open_at(path, flags, Mode::empty()).map_err(|errno| self.refuse("write", path, errno))?;
        let mut file = std::fs::File::from(file);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|source| FileError { action: "write", path: self.shown.join(path), source })
    }

    /// Gives a file another name in its directory, in place of what has it.
    ///
    /// # Errors
    /// When the file is not there, or the kernel refuses.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let refuse = |errno| self.refuse("rename", from, errno);
        let (parent, name) = self.open_parent(from).map_err(refuse)?;
        let to = to.file_name().ok_or_else(|| refuse(Errno::INVAL))?;
        renameat(&parent, name, &parent, to).map_err(refuse)?;
        fsync(&parent).map_err(refuse)
    }

    /// Makes the directory and those above it that are missing, mode 0755 but for the umask.
    ///
    /// # Errors
    /// When something that is no directory is in the way, or the kernel refuses.
    pub fn create_directories(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let mut walked = PathBuf::new();
        for part in path.components() {
            let std::path::Component::Normal(name) = part else { continue };
            let parent = self.open_directory(&walked).map_err(|errno| self.refuse("create", path, errno))?;
            walked.push(name);
            match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.refuse("create", &walked, errno)),
            }
        }
        self.open_directory(path).map(drop).map_err(|errno| self.refuse("create", path, errno))
    }

    /// Removes the file; that it is not there is fine.
    ///
    /// # Errors
    /// When the kernel refuses, for example because it is a directory.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let removed =
            self.open_parent(path).and_then(|(parent, name)| unlinkat(&parent, name, AtFlags::empty()));
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.refuse("remove", path, errno)),
        }
    }

    /// Opens the directory at `path` below this one.
    ///
    /// # Errors
    /// What `openat2(2)` says.
    pub fn open_directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// Opens `path` below this directory with these flags; `O_CLOEXEC` is added.
    ///
    /// # Errors
    /// What `openat2(2)` says.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let resolve = match self.scope {
            Scope::Beneath => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
            Scope::InRoot => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            Scope::NoLinks => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        };
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        loop {
            match openat2(&self.directory, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // The kernel asks for another try when a rename elsewhere raced with a `..` (openat2(2), EAGAIN).
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
    }

    fn open_parent<'p>(&self, path: &'p Path) -> rustix::io::Result<(OwnedFd, &'p std::ffi::OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.open_directory(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn refuse(&self, action: &'static str, path: &Path, errno: Errno) -> FileError {
        refused(action, &self.shown.join(path), errno)
    }
}

fn refused(action: &'static str, path: &Path, errno: Errno) -> FileError {
    FileError { action, path: path.to_owned(), source: errno.into() }
}

fn write_synced(parent: BorrowedFd<'_>, name: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
    file.write_all(bytes)?;
    fchmod(&file, access.mode())?;
    file.sync_all()
}

/// Replaces or creates the file at an absolute or relative path of the host; see [`Root::write_atomic`].
///
/// # Errors
/// As [`Root::write_atomic`].
pub fn write_atomic(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| refused("write", path, Errno::INVAL))?;
    Root::open(parent, Scope::Beneath)?.write_atomic(name, bytes, access)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
