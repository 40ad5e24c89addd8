//! What a recipe's packages are now, and what that would change: told before anything is built.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use basalt_debian::version;
use basalt_exec::files::{self, Access};
use basalt_spec::{Lock, LockDiff, Reason, Recipe};
use schemars::JsonSchema;
use serde::Serialize;

use super::{job, watch};
use crate::serve::{
    event::{Event, EventLog, Failure, Whose},
    state::{Build, State, StateError, StateResult, io_error},
};

/// How long what was resolved counts as what is there now: archives change a few times a day.
const FRESH: Duration = Duration::from_secs(3600);

/// A root file system's part of its packages' size. Measured: 180.4 MiB of 153.8 MiB (the template `plain`), since files in an
/// EROFS are compressed in small pieces and packages whole.
const ROOT_SHARE: (u64, u64) = (7, 6);

/// Resolves recipes, one at a time, and remembers what came of it.
#[derive(Debug)]
pub(in crate::serve) struct Resolver {
    state: Arc<State>,
    limits: watch::Limits,
    hosts: BTreeSet<String>,
    /// Two who ask for the same at the same time fetch the indices once.
    turn: Mutex<()>,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::serve) enum Resolved {
    Lock(Box<Lock>),
    /// Why there is none.
    Refused(Failure),
}

/// A build before it is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Preview {
    /// The packages, by name.
    pub(in crate::serve) packages: Vec<Package>,
    /// The digest of them all.
    pub(in crate::serve) lock: String,
    /// Bytes of all packages' files.
    pub(in crate::serve) download: u64,
    /// About how many bytes the root file system will take.
    pub(in crate::serve) root: u64,
    /// What differs from the last build of an image of this name.
    pub(in crate::serve) since: Option<Since>,
}

/// A package that will be in the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Package {
    /// Its name.
    pub(in crate::serve) name: String,
    /// Its version.
    pub(in crate::serve) version: String,
    /// Bytes of its file.
    pub(in crate::serve) size: u64,
    /// Why it is there.
    pub(in crate::serve) reason: String,
}

/// What differs from another build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Since {
    /// The other build.
    pub(in crate::serve) build: String,
    /// Packages that differ, by name.
    pub(in crate::serve) changes: Vec<Change>,
    /// How many are the same.
    pub(in crate::serve) unchanged: usize,
    /// How many bytes more the packages' files have.
    pub(in crate::serve) size_change: i64,
}

/// A package that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Change {
    /// Its name.
    pub(in crate::serve) name: String,
    /// Its version there.
    pub(in crate::serve) before: Option<String>,
    /// Its version here.
    pub(in crate::serve) after: Option<String>,
    /// How many bytes more its file has.
    pub(in crate::serve) size_change: i64,
}

impl Resolver {
    pub(in crate::serve) fn new(state: Arc<State>, limits: watch::Limits, hosts: BTreeSet<String>) -> Self {
        Self { state, limits, hosts, turn: Mutex::new(()) }
    }

    /// The lock that is known for a recipe and still fresh.
    pub(in crate::serve) fn known(&self, recipe: &Recipe) -> StateResult<Option<Lock>> {
        let path = self.place(recipe);
        let made = match fs::metadata(&path).and_then(|facts| facts.modified()) {
            Ok(made) => made,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&path, source)),
        };
        let age = SystemTime::now().duration_since(made).unwrap_or(Duration::ZERO);
        if age > FRESH {
            return Ok(None);
        }
        read_lock(&path)
    }

    /// What the recipe's packages are now. Takes seconds when it is not known.
    pub(in crate::serve) fn resolve(&self, recipe: &Recipe, text: &str) -> StateResult<Resolved> {
        if let Some(lock) = self.known(recipe)? {
            return Ok(Resolved::Lock(Box::new(lock)));
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = self.known(recipe)? {
            return Ok(Resolved::Lock(Box::new(lock)));
        }
        let folder = tempfile::Builder::new().prefix("resolve-").tempdir_in(self.state.folder());
        let folder = folder.map_err(|source| io_error(self.state.folder(), source))?;
        let place = folder.path().join("recipe.yaml");
        fs::write(&place, text).map_err(|source| io_error(&place, source))?;
        let order = job::Order { only_lock: true, hosts: self.hosts.iter().cloned().collect() };
        let verdict = watch::run(folder.path(), &order, (&self.limits, &|| watch::Wish::Go))?;
        let failed = |why: String| Resolved::Refused(Failure::bare(why, Whose::Factory));
        match verdict {
            watch::Verdict::Done => {}
            watch::Verdict::Over(why) => return Ok(failed(why)),
            watch::Verdict::Failed { .. } | watch::Verdict::Stopped(_) | watch::Verdict::Left => {
                let events = EventLog::in_folder(folder.path()).after(0);
                let events = events.map_err(|source| io_error(folder.path(), source))?;
                let failure = events.into_iter().rev().find_map(|(_, event)| match event {
                    Event::Failed(failure) => Some(failure),
                    Event::Queued { .. }
                    | Event::Started { .. }
                    | Event::Progress { .. }
                    | Event::Note { .. }
                    | Event::Kept { .. }
                    | Event::Finished { .. }
                    | Event::Succeeded { .. }
                    | Event::Cancelled { .. } => None,
                });
                let silent = || failed("the packages could not be resolved, and nothing says why".to_owned());
                return Ok(failure.map_or_else(silent, Resolved::Refused));
            }
        }
        let path = folder.path().join("recipe.lock");
        let Some(lock) = read_lock(&path)? else {
            return Err(io_error(&path, std::io::ErrorKind::NotFound.into()));
        };
        remember(&self.state, recipe, &lock)?;
        Ok(Resolved::Lock(Box::new(lock)))
    }

    /// Forgets what a recipe resolved to, so that the archive is asked again.
    pub(in crate::serve) fn forget(&self, recipe: &Recipe) -> StateResult {
        let path = self.place(recipe);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(&path, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn place(&self, recipe: &Recipe) -> PathBuf {
        place(&self.state, recipe)
    }
}

fn place(state: &State, recipe: &Recipe) -> PathBuf {
    state.locks().join(format!("{}.json", recipe.resolution_digest().hex()))
}

fn remember(state: &State, recipe: &Recipe, lock: &Lock) -> StateResult {
    let path = place(state, recipe);
    files::write_atomic(&path, lock.to_json().as_bytes(), Access::Secret)
        .map_err(|error| io_error(&path, std::io::Error::other(error)))
}

/// Remembers what a build resolved, so that the next request for it finds the build.
pub(super) fn remember_of(state: &State, folder: &Path) -> StateResult {
    let path = folder.join("recipe.yaml");
    let text = fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
    let recipe = Recipe::parse("recipe.yaml", &text);
    let recipe = recipe.map_err(|error| io_error(&path, std::io::Error::other(error)))?;
    match read_lock(&folder.join("recipe.lock"))? {
        Some(lock) => remember(state, &recipe, &lock),
        None => Ok(()),
    }
}

/// A lock file, if it is there and whole.
fn read_lock(path: &Path) -> StateResult<Option<Lock>> {
    match fs::read_to_string(path) {
        // One that another version wrote is as good as none.
        Ok(text) => Ok(Lock::parse(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(path, source)),
    }
}

/// The digest of the packages in a lock file, if it is there.
pub(super) fn lock_digest(path: &Path) -> Option<String> {
    read_lock(path).ok().flatten().map(|lock| lock.content_digest().hex())
}

impl Preview {
    /// What `lock` would make, beside the last build of an image of this name in the project.
    pub(in crate::serve) fn new(
        state: &State,
        lock: &Lock,
        last: Option<&Build>,
    ) -> Result<Self, StateError> {
        let package = |package: &basalt_spec::LockedPackage| Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
            size: package.size,
            reason: reason(&package.reason),
        };
        let since = match last {
            None => None,
            Some(build) => {
                let old = read_lock(&state.build_folder(&build.id).join("recipe.lock"))?;
                old.map(|old| Since::between(&build.id, &old, lock))
            }
        };
        let layers = lock.oci.iter().flat_map(|image| &image.layers).map(|layer| layer.size);
        let download = lock.download_size().saturating_add(layers.sum());
        Ok(Self {
            packages: lock.packages.iter().map(package).collect(),
            lock: lock.content_digest().hex(),
            download,
            root: download.saturating_mul(ROOT_SHARE.0) / ROOT_SHARE.1,
            since,
        })
    }
}

impl Since {
    /// What differs between the packages of two builds.
    pub(in crate::serve) fn of_builds(state: &State, old: &str, new: &str) -> StateResult<Option<Self>> {
        let read = |id: &str| read_lock(&state.build_folder(id).join("recipe.lock"));
        let (Some(before), Some(after)) = (read(old)?, read(new)?) else { return Ok(None) };
        Ok(Some(Self::between(old, &before, &after)))
    }

    fn between(build: &str, old: &Lock, new: &Lock) -> Self {
        let LockDiff { changes, unchanged, size_change } = LockDiff::between(old, new, version::compare);
        let change = |change: basalt_spec::LockChange| Change {
            name: change.name.to_string(),
            before: change.old.map(|version| version.to_string()),
            after: change.new.map(|version| version.to_string()),
            size_change: change.size_change,
        };
        Self {
            build: build.to_owned(),
            changes: changes.into_iter().map(change).collect(),
            unchanged,
            size_change,
        }
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Base => "every Debian has it".to_owned(),
        Reason::Recipe => "the recipe names it".to_owned(),
        Reason::Implied(key) => format!("{key} needs it"),
        Reason::DependencyOf(package) => format!("{package} depends on it"),
        Reason::RecommendedBy(package) => format!("{package} recommends it"),
    }
}
