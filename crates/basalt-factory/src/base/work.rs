//! A job's own directory, and the removal of those that killed jobs left.
//!
//! A directory is alive while somebody holds the lock on the file `lock` in it. The descriptor is handed down to every
//! program of the sandbox, so that the last of them that dies releases it: nothing still writes into what is removed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use basalt_exec::{sandbox::mount_memory, walk::remove_tree};
use rustix::{
    fs::{FlockOperation, flock},
    io::{Errno, FdFlags, fcntl_setfd},
    mount::{UnmountFlags, unmount},
};

use super::error::Failure;

/// The directory of the running job.
#[derive(Debug)]
pub(super) struct WorkDirectory {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl WorkDirectory {
    /// Makes a new one below `work`.
    pub(super) fn create(work: &Path) -> Result<Self, Failure> {
        loop {
            // Neither number is unique where containers share a cache; together with the loop they are.
            let time =
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
            let path = work.join(format!("job-{}-{time}", std::process::id()));
            let refuse = |error: io::Error| Failure::io("make", &path, &error);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(refuse)?,
            }
            if let Some(lock) = lock(&path).map_err(refuse)? {
                fcntl_setfd(&lock, FdFlags::empty()).map_err(|errno| refuse(errno.into()))?;
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    /// The top of the tree under construction, which is made by whoever fills it.
    pub(super) fn tree(&self) -> PathBuf {
        self.room().join("tree")
    }

    /// Prepares for a tree of about so many bytes: in memory when it is small and there is plenty, which spares the
    /// disk tens of thousands of files that are removed again; else on the disk.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), Failure> {
        let refuse = |error: io::Error| Failure::io("make room at", &self.room(), &error);
        fs::DirBuilder::new().mode(0o700).create(self.room()).map_err(refuse)?;
        let meminfo = fs::read_to_string("/proc/meminfo").map_err(refuse)?;
        match memory_for(bytes, &meminfo) {
            Some(limit) => mount_memory(&self.room(), limit).map_err(refuse),
            None => Ok(()),
        }
    }

    fn room(&self) -> PathBuf {
        self.path.join("room")
    }

    /// Removes it.
    pub(super) fn remove(self) -> Result<(), Failure> {
        match unmount(self.room(), UnmountFlags::DETACH) {
            // Not there, or not a mount: the tree is on the disk.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(remove_tree(&self.path)?),
            Err(errno) => Err(Failure::io("unmount", &self.room(), &errno.into())),
        }
    }
}

/// The most that a tree may take of the memory.
const MEMORY: u64 = 768 << 20;

/// How large a file system in memory may grow that is to hold a tree of `bytes`, or `None` if the tree goes to the disk:
/// it takes at most [`MEMORY`] and a quarter of what `/proc/meminfo` (proc_meminfo(5)) calls available.
pub(super) fn memory_for(bytes: u64, meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let available = line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)?;
    let wanted = bytes.saturating_add(bytes / 4);
    (wanted <= MEMORY.min(available / 4)).then_some(available / 2)
}

/// Removes the directories of jobs that are no more. Those of other users, to whom this one may not be mapped, stay.
pub(super) fn remove_dead(work: &Path) -> Result<(), Failure> {
    let refuse = |error: io::Error| Failure::io("list", work, &error);
    for entry in fs::read_dir(work).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let path = entry.path();
        let ours = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == 0);
        if !ours || !entry.file_name().to_string_lossy().starts_with("job-") {
            continue;
        }
        match lock(&path) {
            Ok(Some(_held)) => remove_tree(&path)?,
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io("lock", &path, &error)),
        }
    }
    Ok(())
}

/// The lock of a work directory, or `None` when it is held or the directory was removed meanwhile.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(other) => return Err(other.into()),
    }
    match fs::metadata(&path) {
        Ok(named) if named.ino() == file.metadata()?.ino() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
