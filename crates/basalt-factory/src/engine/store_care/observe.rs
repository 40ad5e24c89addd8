//! What is in a cache now.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use basalt_fetch::store::Sweep;

use super::{Area, CareError, Entry, State, execute::SWEPT, failed, promised};
use crate::engine::cache::UNFINISHED;

/// What is in a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// By area and path.
    pub entries: Vec<Entry>,
    /// How many living processes use some of it.
    pub users: usize,
}

impl Contents {
    /// The bytes of the entries that `which` chooses.
    pub fn size(&self, which: impl Fn(&Entry) -> bool) -> u64 {
        self.entries.iter().filter(|entry| which(entry)).map(|entry| entry.size).sum()
    }
}

/// Looks at every entry. What a build does meanwhile may be seen or not; a removal looks again.
///
/// # Errors
/// When the file system refuses.
pub fn observe(root: &Path) -> Result<Contents, CareError> {
    let sweep = Sweep::begin(root)?;
    let mut contents = Contents { entries: Vec::new(), users: sweep.users() };
    for area in Area::ALL {
        for path in paths(root, area)? {
            contents.entries.extend(entry(&sweep, area, path)?);
        }
    }
    Ok(contents)
}

fn paths(root: &Path, area: Area) -> Result<Vec<PathBuf>, CareError> {
    let folder = root.join(area.folder());
    let mut paths = list(&folder)?;
    if area == Area::Downloads {
        let folders = std::mem::take(&mut paths);
        for folder in folders {
            paths.extend(list(&folder)?);
        }
    }
    paths.sort();
    Ok(paths)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, CareError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed("list", folder)(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed("list", folder))).collect()
}

/// What is at `path`, seen while no build can take it into use; `None` when nothing is.
pub(super) fn entry(sweep: &Sweep, area: Area, path: PathBuf) -> Result<Option<Entry>, CareError> {
    let Some(facts) = facts(&path)? else { return Ok(None) };
    let used = facts.modified().map_err(failed("examine", &path))?;
    let state = if sweep.holds(&path) {
        State::InUse
    } else {
        match area {
            Area::Downloads | Area::Steps | Area::Corrupt => State::Free,
            Area::Partial => partial(&path)?,
            Area::Outputs => record(&path)?,
            Area::Work => work(sweep, &path)?,
        }
    };
    let size = size(&path, &facts)?;
    Ok(Some(Entry { area, path, size, used, state }))
}

fn facts(path: &Path) -> Result<Option<Metadata>, CareError> {
    match fs::symlink_metadata(path) {
        Ok(facts) => Ok(Some(facts)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("examine", path)(error)),
    }
}

/// What it takes on the disk, with all below it. A folder that its owner's ids keep shut counts as itself.
fn size(path: &Path, facts: &Metadata) -> Result<u64, CareError> {
    let mut size = facts.blocks() * 512;
    if facts.is_dir() {
        let below = match list(path) {
            Err(CareError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Vec::new()
            }
            other => other?,
        };
        for path in below {
            if let Some(facts) = self::facts(&path)? {
                size += self::size(&path, &facts)?;
            }
        }
    }
    Ok(size)
}

/// A download under its digest alone is continued by whoever wants the file; one with a process's number is not.
fn partial(path: &Path) -> Result<State, CareError> {
    match (is_locked(path)?, promised(path)) {
        (true, _) => Ok(State::InUse),
        (false, Some(_)) => Ok(State::Free),
        (false, None) => Ok(State::Dead),
    }
}

/// A record of files of which none is left is of no use.
fn record(path: &Path) -> Result<State, CareError> {
    #[derive(serde::Deserialize)]
    struct Record {
        files: std::collections::BTreeMap<PathBuf, serde::de::IgnoredAny>,
    }
    let bytes = fs::read(path).map_err(failed("read", path))?;
    let stands = serde_json::from_slice::<Record>(&bytes)
        .is_ok_and(|record| record.files.keys().any(|file| fs::symlink_metadata(file).is_ok()));
    Ok(if stands { State::Free } else { State::Dead })
}

/// A job's folder is alive while its lock is held (`base::work`), a result while it is in a lease, and with it what is
/// written beside it under its name and an ending; of anything else it is only known that some build made it.
fn work(sweep: &Sweep, path: &Path) -> Result<State, CareError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let alive = if name.starts_with("job-") {
        is_locked(&path.join("lock"))?
    } else if name.starts_with(UNFINISHED) {
        let stem = name.split_once('.').map_or(&*name, |(stem, _)| stem);
        sweep.holds(&path.with_file_name(stem))
    } else {
        !name.starts_with(SWEPT) && sweep.users() > 0
    };
    Ok(if alive { State::InUse } else { State::Dead })
}

/// Whether somebody holds the lock on this file. One that can't be opened is somebody else's to judge.
pub(super) fn is_locked(path: &Path) -> Result<bool, CareError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(true),
        Err(error) => return Err(failed("open", path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
    }
}

/// Whether the entry is as it was when it was chosen.
pub(super) fn unchanged(now: &Entry, used: SystemTime) -> bool {
    now.state != State::InUse && now.used == used
}
