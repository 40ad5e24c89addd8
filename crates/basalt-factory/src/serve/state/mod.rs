//! What the factory remembers: one SQLite file, and a folder for each build.
//!
//! ```text
//! STATE/factory.sqlite         accounts, sessions, tokens, recipes, builds, links, audit
//! STATE/builds/ID/recipe.yaml  what was asked for
//!                 recipe.lock  what it means
//!                 events.jsonl what happened
//!                 out/         what was made
//! STATE/locks/DIGEST.json      what a recipe's packages resolved to last
//! ```
//!
//! A row is written and synced before anybody is told that it is there. Whoever asks for something of a project names the
//! project: a query without it does not exist, so what is another's is not found.

mod accounts;
mod boots;
mod builds;
mod recipes;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, OptionalExtension as _};

pub(super) use accounts::{Invitation, Scope, TokenRow, Who};
pub(super) use boots::Machine;
pub(super) use builds::{Artifact, Build, BuildState, Ended, NewBuild, Submitted};
pub(super) use recipes::{SavedRecipe, Summary};

/// The layout of the tables that this program knows.
const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");

/// The state folder, open.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    connection: Mutex<Connection>,
    /// Held as long as the server runs: two servers on one folder would build everything twice.
    _only: File,
}

/// Why the state can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// The database refused.
    #[error("the database can't be used")]
    Database(#[from] rusqlite::Error),
    /// A file can't be used.
    #[error("can't use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("{0} is in use by another `basalt serve`")]
    InUse(PathBuf),
    /// Another version wrote it.
    #[error("{path} has layout {found}, and this program knows {VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// No random numbers.
    #[error(transparent)]
    Secret(#[from] super::secret::SecretError),
    /// A row holds what this program never writes.
    #[error("the database holds `{0}` where something else belongs")]
    Row(String),
}

/// The result of using the state.
pub(super) type StateResult<T = ()> = Result<T, StateError>;

impl State {
    /// Opens the folder, making what is missing; only its owner may look into it.
    pub(super) fn open(folder: &Path) -> StateResult<Self> {
        for place in [folder, &folder.join("builds"), &folder.join("locks")] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(place);
            made.map_err(|source| io_error(place, source))?;
        }
        let only = only_one(folder)?;
        let path = folder.join("factory.sqlite");
        let connection = Connection::open(&path)?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, private).map_err(|source| io_error(&path, source))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        match connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => connection.execute_batch(&format!("BEGIN;{SCHEMA}COMMIT;"))?,
            VERSION => {}
            found => return Err(StateError::Version { path, found }),
        }
        Ok(Self { folder: folder.to_owned(), connection: Mutex::new(connection), _only: only })
    }

    /// The folder of a build.
    pub(super) fn build_folder(&self, id: &str) -> PathBuf {
        self.folder.join("builds").join(id)
    }

    /// Where locks are kept by what asked for them.
    pub(super) fn locks(&self) -> PathBuf {
        self.folder.join("locks")
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic left is rolled back when it is dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the folder, or says that somebody has it. The kernel gives it back when the process ends, however it ends.
fn only_one(folder: &Path) -> StateResult<File> {
    let path = folder.join("serve.lock");
    let fail = |source| io_error(&path, source);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StateError::InUse(folder.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(fail(source)),
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), source }
}

/// Unix seconds now.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A number of rows or bytes as SQLite has it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The first row, if there is one.
fn first<T>(
    connection: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> StateResult<Option<T>> {
    Ok(connection.prepare_cached(query)?.query_row(parameters, read).optional()?)
}

/// All rows.
fn all<T>(
    connection: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> StateResult<Vec<T>> {
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map(parameters, read)?.collect::<Result<_, _>>()?;
    Ok(rows)
}
