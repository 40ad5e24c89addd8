//! Whatever is at a path, with its permissions and its owner: seen, made, changed and removed.
//!
//! What is changed may be below a directory that belongs to an ordinary user, who must not lead us elsewhere: below such a one no
//! link is followed, and each directory is opened from the one above it. A link in a directory that only we write, such as
//! `/home` of an image, is followed.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write as _,
    os::{fd::OwnedFd, unix::ffi::OsStringExt as _},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, fstat, fsync, mkdirat,
        openat, readlinkat, renameat, statat, symlinkat, unlinkat,
    },
    io::Errno,
    process::geteuid,
};

use super::{FileError, Root};

/// Something in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Who may do what with it, and whose it is.
    pub attributes: Attributes,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with these bytes.
    File(Vec<u8>),
    /// A symbolic link to this.
    Link(PathBuf),
    /// A directory, and whether nothing is in it.
    Directory(bool),
    /// A device, a socket or a pipe.
    Special,
}

/// Permissions and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The low 12 bits of `st_mode`.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl Root {
    /// What is at `path`, which itself is not followed if it is a link; a file's bytes up to `limit`.
    ///
    /// # Errors
    /// When it can't be read, or a file is longer than `limit`. That there is nothing is no error.
    pub fn entry(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Entry>, FileError> {
        let path = path.as_ref();
        let refuse = |errno| self.refuse("read", path, errno);
        let found = match self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(refuse(errno)),
        };
        let stat = fstat(&found).map_err(refuse)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File(self.read(path, limit)?),
            FileType::Symlink => {
                let target = readlinkat(&found, "", Vec::new()).map_err(refuse)?;
                EntryKind::Link(OsString::from_vec(target.into_bytes()).into())
            }
            FileType::Directory => EntryKind::Directory(is_empty(&found).map_err(refuse)?),
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => EntryKind::Special,
        };
        Ok(Some(Entry { kind, attributes: Attributes::of(&stat) }))
    }

    /// Whether something is at `path`, or where its links lead.
    ///
    /// # Errors
    /// When nobody can tell.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool, FileError> {
        match self.open_at(path.as_ref(), OFlags::PATH, Mode::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(self.refuse("look for", path.as_ref(), errno)),
        }
    }

    /// Replaces or creates a file or link in one step that a power cut can't split, as [`Root::write_atomic`] does, with these
    /// permissions and this owner from its first moment on. Directories above it are made.
    ///
    /// # Errors
    /// When any step fails, or something else than a file or link is there.
    pub fn write_entry(&self, path: impl AsRef<Path>, entry: &Entry) -> Result<(), FileError> {
        let path = path.as_ref();
        let refuse = |errno| self.refuse("write", path, errno);
        let (parent, name) = self.trusted_parent(path, Missing::IsMade).map_err(refuse)?;
        let mut temporary = OsString::from(format!(".{}~", std::process::id()));
        temporary.push(name);
        let made = make(&parent, Path::new(&temporary), entry)
            .and_then(|()| Ok(renameat(&parent, &temporary, &parent, name)?))
            .and_then(|()| Ok(fsync(&parent)?));
        made.map_err(|source| {
            // The first error is the one to tell; what stays is replaced by the next write.
            match unlinkat(&parent, &temporary, AtFlags::empty()) {
                Ok(()) | Err(_) => {}
            }
            FileError { action: "write", path: self.shown.join(path), source }
        })
    }

    /// Makes a directory, and those above it that are missing; one that is there gets the permissions and the owner.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn make_directory(&self, path: impl AsRef<Path>, attributes: Attributes) -> Result<(), FileError> {
        let made = self.trusted(path.as_ref(), Missing::IsMade);
        made.map_err(|errno| self.refuse("make", path.as_ref(), errno))?;
        self.set_attributes(path, attributes)
    }

    /// Gives what is at `path` these permissions and this owner. A link has no permissions of its own.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_attributes(&self, path: impl AsRef<Path>, attributes: Attributes) -> Result<(), FileError> {
        let path = path.as_ref();
        let refuse = |errno| self.refuse("change", path, errno);
        let Attributes { mode, uid, gid } = attributes;
        let (parent, name) = self.trusted_parent(path, Missing::IsAnError).map_err(refuse)?;
        let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(refuse)?;
        chownat(&parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(refuse)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Ok(());
        }
        // Its owner may have put a link there since: this one opens none.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(&parent, name, flags, Mode::empty()).map_err(refuse)?;
        fchmod(&found, Mode::from_raw_mode(mode)).map_err(refuse)
    }

    /// Removes a directory that is empty; that it is not there is fine.
    ///
    /// # Errors
    /// When something is in it, or the kernel refuses.
    pub fn remove_directory(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        self.remove(path.as_ref(), AtFlags::REMOVEDIR)
    }

    /// Removes a file or a link; that it is not there is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_entry(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        self.remove(path.as_ref(), AtFlags::empty())
    }

    fn remove(&self, path: &Path, flags: AtFlags) -> Result<(), FileError> {
        let parent = self.trusted_parent(path, Missing::IsAnError);
        match parent.and_then(|(parent, name)| unlinkat(&parent, name, flags)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.refuse("remove", path, errno)),
        }
    }

    fn trusted_parent<'p>(
        &self,
        path: &'p Path,
        missing: Missing,
    ) -> rustix::io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.trusted(path.parent().unwrap_or(Path::new("")), missing)?, name))
    }

    /// Opens the directory at `path`, to which nobody else has led us.
    fn trusted(&self, path: &Path, missing: Missing) -> rustix::io::Result<OwnedFd> {
        const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);
        let mut here = self.open_directory(Path::new(""))?;
        let (mut walked, mut ours) = (PathBuf::new(), true);
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            ours &= only_we_write(&fstat(&here)?);
            walked.push(name);
            let stat = match statat(&here, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) if missing == Missing::IsMade => {
                    mkdirat(&here, name, Mode::from_raw_mode(0o755))?;
                    statat(&here, name, AtFlags::SYMLINK_NOFOLLOW)?
                }
                found => found?,
            };
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            here = match (is_link, ours) {
                (true, true) => self.open_directory(&walked)?,
                (true, false) => return Err(Errno::LOOP),
                (false, _) => openat(&here, name, OFlags::RDONLY | OFlags::DIRECTORY | FLAGS, Mode::empty())?,
            };
        }
        Ok(here)
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn names(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>, FileError> {
        let path = path.as_ref();
        let refuse = |errno| self.refuse("list", path, errno);
        let directory = self.open_directory(path).map_err(refuse)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory).map_err(refuse)? {
            let name = entry.map_err(refuse)?.file_name().to_bytes().to_vec();
            if !matches!(&*name, b"." | b"..") {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }
}

/// What happens to a directory that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsMade,
    IsAnError,
}

/// Whether only the user that this program runs as makes and removes what is in this directory.
fn only_we_write(directory: &Stat) -> bool {
    directory.st_uid == geteuid().as_raw() && directory.st_mode & 0o022 == 0
}

impl Attributes {
    fn of(stat: &Stat) -> Self {
        Self { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
    }
}

fn is_empty(directory: &OwnedFd) -> rustix::io::Result<bool> {
    let open = openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in Dir::read_from(&open)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn make(parent: &OwnedFd, name: &Path, entry: &Entry) -> std::io::Result<()> {
    let Attributes { mode, uid, gid } = entry.attributes;
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    match &entry.kind {
        EntryKind::File(bytes) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
            file.write_all(bytes)?;
            fchown(&file, owner.0, owner.1)?;
            fchmod(&file, Mode::from_raw_mode(mode))?;
            file.sync_all()
        }
        EntryKind::Link(target) => {
            symlinkat(target, parent, name)?;
            Ok(chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?)
        }
        EntryKind::Directory(_) => Ok(mkdirat(parent, name, Mode::from_raw_mode(mode))?),
        EntryKind::Special => Err(std::io::ErrorKind::Unsupported.into()),
    }
}

/// A file that only one program holds at a time: whoever wants it too waits. It is given back when this value is dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "its descriptor holds the lock")] OwnedFd);

impl Lock {
    /// Waits for the file at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wait(path: &Path) -> Result<Self, FileError> {
        let refuse = |errno| super::refused("lock", path, errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(rustix::fs::CWD, path, flags, Mode::from_raw_mode(0o600)).map_err(refuse)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(refuse)?;
        Ok(Self(file))
    }

    /// As [`Lock::wait`], for a file below `root` that programs lock by `fcntl(2)`, such as `/etc/.pwd.lock` (lckpwdf(3)).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wait_fcntl(root: &Root, path: impl AsRef<Path>) -> Result<Self, FileError> {
        let refuse = |errno| root.refuse("lock", path.as_ref(), errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let file = root.open_at(path.as_ref(), flags, Mode::from_raw_mode(0o600)).map_err(refuse)?;
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(refuse)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Scope;

    fn attributes(mode: u32) -> Attributes {
        let me = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Attributes { mode, uid: me.0, gid: me.1 }
    }

    #[test]
    fn what_is_written_is_what_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path(), Scope::InRoot).unwrap();
        let file = Entry { kind: EntryKind::File(b"text".to_vec()), attributes: attributes(0o640) };
        root.write_entry("a/b/file", &file).unwrap();
        assert_eq!(root.entry("a/b/file", 100).unwrap(), Some(file.clone()));
        let link = Entry { kind: EntryKind::Link("b/file".into()), attributes: attributes(0o777) };
        root.write_entry("a/b/file", &link).unwrap();
        assert_eq!(root.entry("a/b/file", 100).unwrap(), Some(link));
        root.make_directory("d", attributes(0o711)).unwrap();
        let empty = Entry { kind: EntryKind::Directory(true), attributes: attributes(0o711) };
        assert_eq!(root.entry("d", 0).unwrap(), Some(empty));
        root.write_entry("d/x", &file).unwrap();
        assert!(root.remove_directory("d").is_err());
        assert_eq!(root.names("d").unwrap(), ["x"]);
        root.remove_file("d/x").unwrap();
        root.remove_directory("d").unwrap();
        assert_eq!(root.entry("d", 0).unwrap(), None);
        assert_eq!(root.entry("d/below", 0).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_too_long_and_a_directory_in_the_way_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path(), Scope::InRoot).unwrap();
        let file = Entry { kind: EntryKind::File(b"text".to_vec()), attributes: attributes(0o600) };
        root.write_entry("file", &file).unwrap();
        assert!(root.entry("file", 3).is_err());
        root.make_directory("d", attributes(0o755)).unwrap();
        assert_eq!(root.write_entry("d", &file).unwrap_err().action, "write");
        assert_eq!(root.names("").unwrap(), ["d", "file"], "nothing else is left behind");
    }

    #[test]
    fn attributes_of_a_link_are_its_own() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path(), Scope::InRoot).unwrap();
        let file = Entry { kind: EntryKind::File(Vec::new()), attributes: attributes(0o600) };
        root.write_entry("file", &file).unwrap();
        let link = Entry { kind: EntryKind::Link("file".into()), attributes: attributes(0o777) };
        root.write_entry("link", &link).unwrap();
        root.set_attributes("link", attributes(0o666)).unwrap();
        assert_eq!(root.entry("file", 10).unwrap().unwrap().attributes.mode, 0o600);
        root.set_attributes("file", attributes(0o4755)).unwrap();
        assert_eq!(root.entry("file", 10).unwrap().unwrap().attributes.mode, 0o4755);
    }

    /// A user's directory is one that others write, for this test: whoever runs it may be nobody else.
    #[test]
    fn a_link_in_a_users_directory_leads_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path(), Scope::InRoot).unwrap();
        let file = Entry { kind: EntryKind::File(b"text".to_vec()), attributes: attributes(0o600) };
        root.make_directory("etc", attributes(0o755)).unwrap();
        root.make_directory("var/home/user", attributes(0o777)).unwrap();
        std::os::unix::fs::symlink("var/home", place.path().join("home")).unwrap();
        root.write_entry("home/user/own/file", &file).unwrap();
        for (link, target) in [("link", "/etc"), ("own/link", "/etc")] {
            std::os::unix::fs::symlink(target, place.path().join("var/home/user").join(link)).unwrap();
            let path = format!("home/user/{link}/file");
            let looped = |error: FileError| error.source.raw_os_error() == Some(Errno::LOOP.raw_os_error());
            assert!(looped(root.write_entry(&path, &file).unwrap_err()), "{link}");
            assert!(looped(root.make_directory(&path, attributes(0o755)).unwrap_err()), "{link}");
            assert!(looped(root.set_attributes(&path, attributes(0o755)).unwrap_err()), "{link}");
            assert!(looped(root.remove_entry(&path).unwrap_err()), "{link}");
        }
        assert_eq!(root.names("etc").unwrap(), Vec::<OsString>::new());
        root.remove_entry("home/user/link").unwrap();
        root.remove_entry("home/user/own/file").unwrap();
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let first = Lock::wait(&path).unwrap();
        let other = std::thread::spawn({
            let path = path.clone();
            move || Lock::wait(&path).map(drop)
        });
        assert!(!other.is_finished());
        drop(first);
        other.join().unwrap().unwrap();
    }
}
