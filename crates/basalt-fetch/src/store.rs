//! The content store: files by the SHA-256 of what is in them.
//!
//! ```text
//! <root>/store/sha256/ab/<64 hex digits>   whole files, never changed once they have this name
//! <root>/partial/<64 hex digits>           downloads that are not complete; locked by whoever writes
//! <root>/corrupt/<64 hex digits>.<n>       files that were not what their name says
//! <root>/leases/, <root>/sweep.lock        who uses what ([`Lease`], [`Sweep`])
//! ```
//!
//! A file gets its name by one rename after its bytes were hashed, so a kill at any instant leaves a partial file or a
//! whole one. There is no fsync: after a power cut a whole file may have lost its bytes, which [`Store::get`] sees,
//! because it verifies, and moves away. Safe for several processes: a name never changes its content, and what a living
//! process has looked up or stored is never swept away.

mod lease;

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use basalt_types::Digest;
use sha2::Digest as _;

pub use lease::{Lease, Pause, Sweep};

/// A content store. Its clones share one lease: what one looked up stays as long as any of them lives.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    lease: Arc<Lease>,
}

/// How much of a stored file is verified before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its size: enough for a file that was written by this run, or that is verified again while it is read.
    Size,
    /// Every byte.
    Content,
}

/// What a store has under a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file that passed the check.
    Whole(PathBuf),
    /// Nothing.
    Absent,
    /// A file that was not what its name says. It was moved to this path; fetch it again.
    Corrupt(PathBuf),
}

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("can't {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what their digest says.
    #[error("got {found_size} bytes with {found}, expected {expected_size} bytes with {expected}")]
    Mismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
        /// The size that was asked for.
        expected_size: u64,
        /// The number of bytes.
        found_size: u64,
    },
}

/// A download that is not complete. Others can't write it as long as this value lives.
#[derive(Debug)]
pub struct Partial<'s> {
    store: &'s Store,
    file: File,
    path: PathBuf,
    hasher: sha2::Sha256,
    length: u64,
}

/// Makes temporary names of one process differ; the process id makes those of two differ.
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl Store {
    /// Opens the store below `root` and makes its folders.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        for folder in ["store/sha256", "partial", "corrupt"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(failed("create the folder", &path))?;
        }
        let lease = Arc::new(Lease::new(&root));
        Ok(Self { root, lease })
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the file of a digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("store/sha256").join(&hex[..2]).join(hex)
    }

    /// Looks a file up and takes it into use. What fails the check is moved away, so that the next insert is not in its
    /// way.
    pub fn get(&self, digest: &Digest, size: Option<u64>, check: Check) -> Result<Found, StoreError> {
        let path = self.path(digest);
        if !self.lease.hold(&path)? {
            return Ok(Found::Absent);
        }
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // Found damaged and moved away by another process.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let length = file.metadata().map_err(failed("examine", &path))?.len();
        let intact = size.is_none_or(|size| size == length)
            && match check {
                Check::Size => true,
                Check::Content => {
                    let mut hasher = sha2::Sha256::new();
                    hash_file(&mut file, &mut hasher).map_err(failed("read", &path))?;
                    Digest::from_bytes(hasher.finalize().into()) == *digest
                }
            };
        if intact {
            return Ok(Found::Whole(path));
        }
        let away = self.root.join("corrupt").join(format!("{}.{}", digest.hex(), unique()));
        match fs::rename(&path, &away) {
            Ok(()) => Ok(Found::Corrupt(away)),
            // Another process moved it first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Absent),
            Err(error) => Err(failed("move the corrupt file", &path)(error)),
        }
    }

    /// Stores bytes that are at hand and returns their digest and path.
    pub fn insert(&self, bytes: &[u8]) -> Result<(Digest, PathBuf), StoreError> {
        let digest = Digest::of(bytes);
        let size = bytes.len() as u64;
        if let Found::Whole(path) = self.get(&digest, Some(size), Check::Content)? {
            return Ok((digest, path));
        }
        let (mut file, temporary) = self.own_partial(&digest)?;
        file.write_all(bytes).map_err(failed("write", &temporary))?;
        Ok((digest, self.publish(&temporary, &digest)?))
    }

    /// Starts or continues the download of a file. Continues where an earlier one stopped, unless another process is
    /// writing it at this moment: then this one starts at nothing, under a name of its own.
    pub fn partial(&self, digest: &Digest) -> Result<Partial<'_>, StoreError> {
        let shared = self.root.join("partial").join(digest.hex());
        let file = open_partial(&shared)?;
        let (path, mut file) = match file.try_lock() {
            Ok(()) if is_at(&file, &shared)? => (shared, file),
            Ok(()) | Err(TryLockError::WouldBlock) => {
                let (file, own) = self.own_partial(digest)?;
                (own, file)
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &shared)(error)),
        };
        let mut hasher = sha2::Sha256::new();
        let length = hash_file(&mut file, &mut hasher).map_err(failed("read", &path))?;
        Ok(Partial { store: self, file, path, hasher, length })
    }

    /// A new unfinished file that is this process's alone, locked before any sweep can see it.
    fn own_partial(&self, digest: &Digest) -> Result<(File, PathBuf), StoreError> {
        let own = self.root.join("partial").join(format!("{}.{}", digest.hex(), unique()));
        let _pause = self.lease.pause()?;
        let file = open_partial(&own)?;
        file.lock().map_err(failed("lock", &own))?;
        Ok((file, own))
    }

    fn publish(&self, from: &Path, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.path(digest);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
        }
        let _reserved = self.lease.reserve(&path)?;
        fs::rename(from, &path).map_err(failed("rename into the store", &path))?;
        Ok(path)
    }
}

impl Partial<'_> {
    /// The number of bytes that are there.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(failed("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets the bytes: they were not those of the file.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).map_err(failed("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed("rewind", &self.path))?;
        self.hasher = sha2::Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Gives the file its name, if it is what was expected. Otherwise its bytes are dropped and the error says what
    /// came instead.
    pub fn finish(self, expected: Digest, expected_size: u64) -> Result<PathBuf, StoreError> {
        let found = Digest::from_bytes(self.hasher.finalize().into());
        if found != expected || self.length != expected_size {
            fs::remove_file(&self.path).map_err(failed("remove", &self.path))?;
            return Err(StoreError::Mismatch { expected, found, expected_size, found_size: self.length });
        }
        self.store.publish(&self.path, &expected)
    }
}

fn open_partial(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(failed("open", path))
}

/// Whether the file that was locked still has its name: another process may have finished it in between.
fn is_at(file: &File, path: &Path) -> Result<bool, StoreError> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata().map_err(failed("examine", path))?;
    match fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("examine", path)(error)),
    }
}

/// Hashes from the file's place to its end and returns the number of bytes.
fn hash_file(file: &mut File, hasher: &mut sha2::Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut length = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(length),
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}

fn unique() -> String {
    format!("{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::File { action, path, source }
}
