//! Who uses what: so that a sweep never removes what a running build relies on.
//!
//! ```text
//! <root>/sweep.lock       held shared for the moment in which a file is taken into use or gets its name,
//!                         exclusively for the moment in which a sweep looks at a file and removes it
//! <root>/leases/<pid>-<n> one per process that uses files; locked as long as it lives; one relative path a line
//! ```
//!
//! Both sides look and act under one lock, so there is no instant between "it is there" and "it is mine". The kernel
//! drops locks with their process: a kill leaves an unlocked lease, which the next sweep removes. When a file was used
//! last is its modification time; nothing else reads it.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{StoreError, failed, unique};

const LEASES: &str = "leases";
const LOCK: &str = "sweep.lock";

/// What this process uses of a store, from the first use until the value is dropped.
#[derive(Debug)]
pub struct Lease {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<(File, PathBuf)>,
    held: HashSet<PathBuf>,
}

/// Keeps sweeps from looking at anything as long as it lives: for moments, not for work.
#[derive(Debug)]
pub struct Pause {
    _lock: File,
}

/// The right to remove files that nobody uses, as long as it lives.
#[derive(Debug)]
pub struct Sweep {
    root: PathBuf,
    held: HashSet<PathBuf>,
    users: usize,
    _lock: File,
}

impl Lease {
    /// A lease on the store at `root` that holds nothing yet, and makes no file before it does.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), state: Mutex::default() }
    }

    /// Takes the file at `path` into use: no sweep removes it as long as this lease lives. Says whether it is there.
    ///
    /// # Errors
    /// When the file system refuses. The file may then be gone at any time.
    pub fn hold(&self, path: &Path) -> Result<bool, StoreError> {
        let _pause = self.pause()?;
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open", path)(error)),
        };
        self.note(path)?;
        file.set_modified(SystemTime::now()).map_err(failed("note the use of", path))?;
        Ok(true)
    }

    /// Takes a name into use that is about to be given: to be renamed to as long as the returned value lives.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn reserve(&self, name: &Path) -> Result<Pause, StoreError> {
        let pause = self.pause()?;
        self.note(name)?;
        Ok(pause)
    }

    /// Keeps sweeps away: for making a file and locking it, which no sweep may see apart.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn pause(&self) -> Result<Pause, StoreError> {
        let (file, path) = open_lock(&self.root)?;
        file.lock_shared().map_err(failed("lock", &path))?;
        Ok(Pause { _lock: file })
    }

    /// Writes a path into this process's lease. The caller keeps sweeps away.
    fn note(&self, path: &Path) -> Result<(), StoreError> {
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        // A thread that panicked left at most a line too many.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.held.contains(name) {
            return Ok(());
        }
        if state.file.is_none() {
            state.file = Some(self.create()?);
        }
        if let Some((file, lease)) = &mut state.file {
            let mut line = name.as_os_str().as_encoded_bytes().to_vec();
            line.push(b'\n');
            file.write_all(&line).map_err(failed("write", lease))?;
        }
        state.held.insert(name.to_owned());
        Ok(())
    }

    fn create(&self) -> Result<(File, PathBuf), StoreError> {
        let folder = self.root.join(LEASES);
        fs::create_dir_all(&folder).map_err(failed("create the folder", &folder))?;
        loop {
            // Processes of two containers may have the same id: then the next number is free.
            let path = folder.join(unique());
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    file.lock().map_err(failed("lock", &path))?;
                    return Ok((file, path));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_file, path)) = state.file.take() {
            // An unlocked lease that stays behind is removed by the next sweep.
            drop(fs::remove_file(path));
        }
    }
}

impl Sweep {
    /// Waits until nobody is just taking something into use, reads what is in use, and removes leases of the dead.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn begin(root: &Path) -> Result<Self, StoreError> {
        let (lock, path) = open_lock(root)?;
        lock.lock().map_err(failed("lock", &path))?;
        let mut sweep = Self { root: root.to_owned(), held: HashSet::new(), users: 0, _lock: lock };
        let folder = root.join(LEASES);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(sweep),
            Err(error) => return Err(failed("list", &folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed("list", &folder))?.path();
            sweep.read_lease(&path)?;
        }
        Ok(sweep)
    }

    fn read_lease(&mut self, path: &Path) -> Result<(), StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            // Its process ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("open", path)(error)),
        };
        match file.try_lock() {
            Ok(()) => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
                Ok(()) | Err(_) => Ok(()),
            },
            Err(TryLockError::WouldBlock) => {
                self.users += 1;
                let bytes = match fs::read(path) {
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(failed("read", path)(error)),
                };
                let names = bytes.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
                self.held.extend(names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned())));
                Ok(())
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
        }
    }

    /// Whether a living process uses the file at `path`.
    pub fn holds(&self, path: &Path) -> bool {
        self.held.contains(path.strip_prefix(&self.root).unwrap_or(path))
    }

    /// How many living processes use files of the store.
    pub const fn users(&self) -> usize {
        self.users
    }
}

fn open_lock(root: &Path) -> Result<(File, PathBuf), StoreError> {
    let path = root.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(failed("open", &path))?;
    Ok((file, path))
}
