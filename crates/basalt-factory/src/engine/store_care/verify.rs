//! Whether everything in a cache is what its name says.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use basalt_fetch::store::Sweep;
use basalt_formats::erofs::Image;
use basalt_types::Digest;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use serde::Serialize;
use sha2::Digest as _;

use super::{Area, CareError, Entry, failed, observe, promised};
use crate::{
    engine::{release::Release, stores::OpenFile},
    error::chain,
};

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many downloads were read in full.
    pub downloads: usize,
    /// How many step results were opened.
    pub steps: usize,
    /// The bytes of both.
    pub bytes: u64,
    /// What was damaged, by path.
    pub damaged: Vec<Damage>,
}

/// A damaged entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Where it was.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Where it is now; `None` when it was gone before it could be moved.
    pub moved_to: Option<PathBuf>,
}

/// Reads every download and opens every step result of the cache at `root`. What is damaged is moved to `corrupt/`, so
/// that the next build fetches or makes it again.
///
/// # Errors
/// When the file system refuses.
pub fn verify(root: &Path) -> Result<Verified, CareError> {
    let contents = observe(root)?;
    let looked: Vec<Entry> = contents
        .entries
        .into_iter()
        .filter(|entry| matches!(entry.area, Area::Downloads | Area::Steps))
        .collect();
    let mut verified = Verified::default();
    for entry in &looked {
        match entry.area {
            Area::Downloads => verified.downloads += 1,
            Area::Steps | Area::Partial | Area::Outputs | Area::Work | Area::Corrupt => verified.steps += 1,
        }
        verified.bytes += entry.size;
    }
    let problems = looked.into_par_iter().filter_map(|entry| {
        let reason = match entry.area {
            Area::Downloads => download(&entry.path),
            Area::Steps | Area::Partial | Area::Outputs | Area::Work | Area::Corrupt => step(&entry.path),
        };
        reason.transpose().map(|reason| reason.map(|reason| (entry.path, reason)))
    });
    let mut problems = problems.collect::<Result<Vec<_>, _>>()?;
    problems.sort();
    for (path, reason) in problems {
        let moved_to = move_away(root, &path)?;
        verified.damaged.push(Damage { path, reason, moved_to });
    }
    Ok(verified)
}

/// What is wrong with a download. One that was swept meanwhile is not wrong.
fn download(path: &Path) -> Result<Option<String>, CareError> {
    let Some(expected) = promised(path) else { return Ok(Some("its name is no digest".to_owned())) };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let (mut hasher, mut buffer) = (sha2::Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            // The disk can't give the bytes: that is damage too.
            Err(error) => return Ok(Some(format!("it can't be read: {error}"))),
        }
    }
    let found = Digest::from_bytes(hasher.finalize().into());
    Ok((found != expected).then(|| format!("its content is {found}")))
}

/// What is wrong with a step's result.
fn step(path: &Path) -> Result<Option<String>, CareError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let outcome = match name.split_once('.').map(|(_, kind)| kind) {
        Some("erofs") => tree(path),
        Some("cpio.zst") => archive(path),
        Some("release") => Release::open(path).map(drop).map_err(|error| chain(&error)),
        // A kind that this version does not know: its own will find out.
        Some(_) | None => Ok(()),
    };
    Ok(outcome.err().filter(|_| fs::symlink_metadata(path).is_ok()))
}

fn tree(path: &Path) -> Result<(), String> {
    let file = OpenFile::open(path).map_err(|error| chain(&error))?;
    let image = Image::open(&file).map_err(|error| chain(&error))?;
    image.tree(0).map(drop).map_err(|error| chain(&error))
}

/// The frame's magic number (RFC 8878, section 3.1.1).
fn archive(path: &Path) -> Result<(), String> {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.map_err(|error| chain(&error))?;
    if start == 0xfd2f_b528_u32.to_le_bytes() { Ok(()) } else { Err("it is no zstd archive".to_owned()) }
}

fn move_away(root: &Path, path: &Path) -> Result<Option<PathBuf>, CareError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let _sweep = Sweep::begin(root)?;
    for number in 0_u32.. {
        let away = root.join(Area::Corrupt.folder()).join(format!("{name}.verify-{number}"));
        if fs::symlink_metadata(&away).is_ok() {
            continue;
        }
        return match fs::rename(path, &away) {
            Ok(()) => Ok(Some(away)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("move away", path)(error)),
        };
    }
    Ok(None)
}
