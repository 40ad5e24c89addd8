//! `NAME.sha256`: what sha256sum(1) writes, for every file that was made.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use basalt_types::Digest;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use serde::Serialize;
use sha2::Digest as _;

use super::BillError;

/// A file or folder that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// The digest of a file when its writer has computed it.
    pub digest: Option<Digest>,
}

/// One file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Checksum {
    /// Its name, relative to the folder that everything is in.
    pub file: String,
    /// Its length in bytes, holes included.
    pub size: u64,
    /// The bytes that it takes on the disk.
    pub allocated: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Checksum {
    pub(super) fn new(path: &Path, sha256: Digest, size: u64) -> Self {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { file, size, allocated: size, sha256 }
    }
}

/// Reads what has no digest yet, several files at once.
pub(super) fn of(made: &[Made]) -> Result<Vec<Checksum>, BillError> {
    let mut files = Vec::new();
    for Made { path, digest } in made {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        list(path, name, *digest, &mut files)?;
    }
    files.into_par_iter().map(|(path, file, digest)| checksum(&path, file, digest)).collect()
}

type Listed = (PathBuf, String, Option<Digest>);

fn list(path: &Path, name: String, digest: Option<Digest>, files: &mut Vec<Listed>) -> Result<(), BillError> {
    let refuse = |source| BillError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(refuse)?.is_dir() {
        files.push((path.to_owned(), name, digest));
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let below = format!("{name}/{}", entry.file_name().to_string_lossy());
        list(&entry.path(), below, None, files)?;
    }
    Ok(())
}

fn checksum(path: &Path, file: String, digest: Option<Digest>) -> Result<Checksum, BillError> {
    let read = || -> io::Result<Checksum> {
        let mut opened = File::open(path)?;
        let facts = opened.metadata()?;
        let sha256 = match digest {
            Some(digest) => digest,
            None => hash(&mut opened)?,
        };
        Ok(Checksum { file, size: facts.len(), allocated: facts.blocks() * 512, sha256 })
    };
    read().map_err(|source| BillError::Read { path: path.to_owned(), source })
}

fn hash(file: &mut File) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (sha2::Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The lines of the file. A name with a backslash or a line feed is escaped and its line marked, as sha256sum(1) does.
pub(super) fn lines(sums: &[Checksum]) -> String {
    let line = |Checksum { file, sha256, .. }: &Checksum| {
        let escaped = file.replace('\\', "\\\\").replace('\n', "\\n");
        let mark = if escaped == *file { "" } else { "\\" };
        format!("{mark}{}  {escaped}\n", sha256.hex())
    };
    sums.iter().map(line).collect()
}
