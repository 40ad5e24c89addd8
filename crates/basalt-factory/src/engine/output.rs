//! Files that people find: written under a temporary name beside their place, renamed when whole.
//!
//! Guarantees: the final name never holds half a file; a run that fails or is interrupted removes its temporary file;
//! one that is killed leaves `.NAME.partial-*`, which the next build of the same output removes.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use basalt_formats::WriteAt;
use basalt_types::Digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why an output could not be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The disk is full.
    #[error("no space left while writing {path}")]
    Full {
        /// The output.
        path: PathBuf,
    },
    /// Something else.
    #[error("can't write {path}")]
    Io {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An output on its way.
#[derive(Debug)]
pub struct PartialFile {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

/// What an output was when it was finished: enough to see later, without reading it, that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The key of the step that made it.
    pub key: Digest,
    size: u64,
    inode: u64,
    modified: (i64, i64),
}

impl OutputError {
    /// Sorts an I/O error on `path` into its variant.
    pub fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::Full { path };
        }
        Self::Io { path, source }
    }
}

impl PartialFile {
    /// Begins the output `target`, removing what killed runs left of it.
    ///
    /// # Errors
    /// When its folder can't be made or written.
    pub fn create(target: &Path) -> Result<Self, OutputError> {
        let fail = |source| OutputError::new(target, source);
        let folder =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(fail)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.partial-");
        for entry in fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path()).map_err(fail)?;
            }
        }
        let file = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder).map_err(fail)?;
        Ok(Self { file, target: target.to_owned() })
    }

    /// The file, to write into.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The name that it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Sets the length; what was not written reads as zeros and takes no space.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn set_size(&self, size: u64) -> Result<(), OutputError> {
        self.file().set_len(size).map_err(|source| OutputError::new(&self.target, source))
    }

    /// Gives the finished file its name and says what it is.
    ///
    /// # Errors
    /// When it can't be renamed.
    pub fn finish(self, key: Digest) -> Result<Stamp, OutputError> {
        let Self { file, target } = self;
        // A temporary file is private to its owner; an image is as readable as the person's umask allows files to be.
        let readable = fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(|source| OutputError::new(&target, source))?;
        file.persist(&target).map_err(|error| OutputError::new(&target, error.error))?;
        Stamp::of(&target, key).map_err(|source| OutputError::new(&target, source))
    }
}

impl WriteAt for PartialFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file().write_all_at(bytes, offset)
    }
}

impl Stamp {
    /// How many bytes the file has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The stamp of the file at `path` now.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn of(path: &Path, key: Digest) -> io::Result<Self> {
        let facts = fs::metadata(path)?;
        Ok(Self {
            key,
            size: facts.size(),
            inode: facts.ino(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests;
