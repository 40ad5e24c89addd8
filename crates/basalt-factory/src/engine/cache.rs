//! The step cache: what earlier builds made, by the key of the step that made it.
//!
//! ```text
//! $BASALT_CACHE | $XDG_CACHE_HOME/basalt | ~/.cache/basalt
//! ├── store/    downloads by sha256 (basalt-fetch)
//! ├── steps/    KEY.erofs, KEY.cpio.zst, KEY.release/ …: results of steps; the name is the whole story
//! ├── outputs/  one small record per output folder: what was written there, to see that nothing changed
//! ├── work/     unfinished work of running builds, removed by the next one when its owner is gone
//! └── leases/   what running builds use (basalt-fetch), which no sweep of `engine::store_care` removes
//! ```
//!
//! A result is written under a temporary name in `work/`, synced to the disk and renamed into `steps/`, so a name that
//! exists is whole, after a power cut too (340 MB cost 0.12 s on the disk that this was measured on). What [`Cache::has`]
//! found stays as long as a clone of that [`Cache`] lives. Each result has its digest with it, and [`Cache::whole`] gives
//! only what still has it. Nothing here is needed for correctness: removing the folder
//! costs time only.

mod seal;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use basalt_fetch::store::{Lease, StoreError};
use basalt_types::Digest;
use thiserror::Error;

/// The cache folder of this person. Its clones share one lease: what one found stays as long as any of them lives.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    lease: Arc<Lease>,
}

/// Why the cache can't be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// Neither variable says where it is.
    #[error("no place for the cache: BASALT_CACHE, XDG_CACHE_HOME and HOME are all unset")]
    NoPlace,
    /// The file system refused.
    #[error("can't use the cache at {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A result is not what was kept.
    #[error("the result of an earlier build at {path} was damaged on the disk; it is removed")]
    Damaged {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nobody can be told what is in use.
    #[error(transparent)]
    Lease(#[from] StoreError),
}

/// The kinds of results, by the ending of their file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// A file tree, as an uncompressed EROFS image.
    Tree,
    /// A compressed initramfs.
    Initramfs,
    /// A release: a folder of files.
    Release,
}

impl ResultKind {
    fn extension(self) -> &'static str {
        match self {
            Self::Tree => "erofs",
            Self::Initramfs => "cpio.zst",
            Self::Release => "release",
        }
    }
}

impl Cache {
    /// Opens the cache at its place by the environment, making the folders that are missing.
    ///
    /// # Errors
    /// When no variable names a place, or a folder can't be made.
    pub fn open() -> Result<Self, CacheError> {
        let under = |name: &str, below: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(|value| PathBuf::from(value).join(below))
        };
        let root = under("BASALT_CACHE", "")
            .or_else(|| under("XDG_CACHE_HOME", "basalt"))
            .or_else(|| under("HOME", ".cache/basalt"))
            .ok_or(CacheError::NoPlace)?;
        Self::at(root)
    }

    /// Opens the cache at `root`.
    ///
    /// # Errors
    /// When a folder can't be made.
    pub fn at(root: PathBuf) -> Result<Self, CacheError> {
        // Steps hand paths to programs that run in another folder.
        let root = std::path::absolute(&root).map_err(|source| CacheError::Io { path: root, source })?;
        for folder in ["store", "steps", "outputs", "work"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|source| CacheError::Io { path, source })?;
        }
        let lease = Arc::new(Lease::new(&root));
        Ok(Self { root, lease })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where unfinished work goes.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The path of a step's result, whether it is there or not.
    pub fn result(&self, key: &Digest, kind: ResultKind) -> PathBuf {
        self.root.join("steps").join(format!("{}.{}", key.hex(), kind.extension()))
    }

    /// The path of a step's result, read in full and found to be what was kept. Takes a second for 2 GB.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] when it is not; it is removed then, so that its step runs the next time.
    pub fn whole(&self, key: &Digest, kind: ResultKind) -> Result<PathBuf, CacheError> {
        let path = self.result(key, kind);
        let fail = |source| CacheError::Io { path: path.clone(), source };
        if seal::holds(&path).map_err(fail)? {
            return Ok(path);
        }
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(fail)?;
        Err(CacheError::Damaged { path })
    }

    /// Whether a step's result is there; it is in use from now on. One that can't be taken into use is as good as none:
    /// it might be gone when it is read.
    pub fn has(&self, key: &Digest, kind: ResultKind) -> bool {
        matches!(self.lease.hold(&self.result(key, kind)), Ok(true))
    }

    /// The results of this kind that were used last, newest first; they are in use from now on.
    ///
    /// # Errors
    /// When the cache can't be listed.
    pub fn newest(&self, kind: ResultKind, most: usize) -> Result<Vec<PathBuf>, CacheError> {
        let path = self.root.join("steps");
        let fail = |source| CacheError::Io { path: path.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let named = entry.path().extension().is_some_and(|ending| ending == kind.extension());
            // What another build removes meanwhile is no result any more.
            if let (true, Ok(facts)) = (named, entry.metadata()) {
                found.push((facts.modified().map_err(fail)?, entry.path()));
            }
        }
        found.sort();
        let held = |path: &PathBuf| matches!(self.lease.hold(path), Ok(true));
        Ok(found.into_iter().rev().map(|(_, path)| path).take(most).filter(held).collect())
    }

    /// A new file to write a result into, on the same file system as its place.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new_result(&self) -> Result<tempfile::NamedTempFile, CacheError> {
        let _pause = self.lease.pause()?;
        let path = self.work();
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&path)
            .map_err(|source| CacheError::Io { path, source })?;
        self.lease.hold(file.path())?;
        Ok(file)
    }

    /// Gives a finished result its name, once it is on the disk.
    ///
    /// # Errors
    /// When it can't be synced or renamed.
    pub fn keep(
        &self,
        finished: tempfile::NamedTempFile,
        key: &Digest,
        kind: ResultKind,
    ) -> Result<PathBuf, CacheError> {
        let path = self.result(key, kind);
        let fail = |source| CacheError::Io { path: path.clone(), source };
        seal::put(finished.path()).map_err(fail)?;
        // Opened again: the writer may have put another file under the name.
        sync(finished.path()).map_err(fail)?;
        let _reserved = self.lease.reserve(&path)?;
        match finished.persist(&path) {
            Ok(_file) => Ok(path),
            Err(error) => Err(fail(error.error)),
        }
    }

    /// A new folder to write a result into, on the same file system as its place.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new_result_folder(&self) -> Result<tempfile::TempDir, CacheError> {
        let _pause = self.lease.pause()?;
        let path = self.work();
        let folder = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&path)
            .map_err(|source| CacheError::Io { path, source })?;
        self.lease.hold(folder.path())?;
        Ok(folder)
    }

    /// Gives a finished folder its name, once its files are on the disk; one that has the name already goes.
    ///
    /// # Errors
    /// When a file can't be synced, or the folder can't be renamed.
    pub fn keep_folder(
        &self,
        finished: tempfile::TempDir,
        key: &Digest,
        kind: ResultKind,
    ) -> Result<PathBuf, CacheError> {
        let path = self.result(key, kind);
        let fail = |source| CacheError::Io { path: path.clone(), source };
        seal::put(finished.path()).map_err(fail)?;
        for entry in fs::read_dir(finished.path()).map_err(fail)? {
            sync(&entry.map_err(fail)?.path()).map_err(fail)?;
        }
        let former = self.new_result_folder()?;
        let _reserved = self.lease.reserve(&path)?;
        for attempt in 0_u32.. {
            match fs::rename(finished.path(), &path) {
                Ok(()) => break,
                // Another build may take the same place between two of our renames, but not for ever.
                Err(error) if is_taken(&error) && attempt < 100 => {
                    let away = former.path().join(attempt.to_string());
                    match fs::rename(&path, away) {
                        // Whoever reads the former one keeps its open files.
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(fail(error)),
                    }
                }
                Err(error) => return Err(fail(error)),
            }
        }
        // The folder has left; what is to be removed with its handle is no more.
        drop(finished);
        Ok(path)
    }

    /// The record of what was last written to the output file `output`.
    pub fn output_record(&self, output: &Path) -> PathBuf {
        let name = Digest::of(output.as_os_str().as_encoded_bytes());
        self.root.join("outputs").join(format!("{}.json", name.hex()))
    }
}

/// How names in `work/` begin that belong to a build that holds them.
pub(super) const UNFINISHED: &str = "result-";

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}
