//! Care for the cache: what takes how much, removing what nobody needs, finding what is damaged.
//!
//! ```text
//! observe(root)            every entry: its size, when it was used last, whether somebody uses it
//! plan(contents, limits)   pure: what goes, least recently used first, and why
//! execute(root, plan)      each entry looked at again and removed under the store's sweep lock
//! ```
//!
//! Guarantees: nothing that a living build has found, stored or begun is removed (see `basalt_fetch::store::Lease`); a
//! kill at any instant leaves whole entries under their names; two sweeps at once do each removal once. A file goes by
//! one unlink; a folder is renamed into `work/` first and is a leftover from then on.
//!
//! Not here: what entries mean to a build. Whatever is removed is made or fetched again.

mod execute;
mod observe;
mod plan;
mod verify;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use basalt_fetch::store::StoreError;
use basalt_types::{ByteSize, Digest, SizeError};
use serde::Serialize;
use thiserror::Error;

pub use execute::{Swept, execute};
pub use observe::{Contents, observe};
pub use plan::{Because, Limits, Removal, SweepPlan, plan};
pub use verify::{Damage, Verified, verify};

/// The variable that bounds the cache after each build, such as `20G`.
pub const LIMIT_VARIABLE: &str = "BASALT_CACHE_SIZE";

/// The parts of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Files that were fetched, by digest.
    Downloads,
    /// Downloads that are not complete.
    Partial,
    /// Results of build steps.
    Steps,
    /// Records of what was written where.
    Outputs,
    /// Unfinished work.
    Work,
    /// What was not what its name says.
    Corrupt,
}

/// Whether an entry may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A living process uses it.
    InUse,
    /// Nobody does; it may be of use to a later build.
    Free,
    /// Its owner is dead, and it is of no use to anybody else.
    Dead,
}

/// One thing that can be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Which part of the cache it is in.
    pub area: Area,
    /// Where.
    pub path: PathBuf,
    /// The bytes that it takes on the disk.
    pub size: u64,
    /// When it was used last.
    pub used: SystemTime,
    /// Whether it may go.
    pub state: State,
}

/// Why a cache can't be cared for.
#[derive(Debug, Error)]
pub enum CareError {
    /// The file system refused.
    #[error("can't {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not known who uses what.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The variable holds no size.
    #[error("{LIMIT_VARIABLE} is no size")]
    Limit(#[from] SizeError),
}

impl Area {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Downloads, Self::Partial, Self::Steps, Self::Outputs, Self::Work, Self::Corrupt];

    /// Its folder below the cache's root.
    fn folder(self) -> &'static str {
        match self {
            Self::Downloads => "store/sha256",
            Self::Partial => "partial",
            Self::Steps => "steps",
            Self::Outputs => "outputs",
            Self::Work => "work",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Bounds the cache at `root` when the environment says so: for the end of a build. What this build uses stays, so the
/// bound holds for everything else.
///
/// # Errors
/// When the variable holds no size, or the file system refuses.
pub fn bound(root: &Path) -> Result<Option<Swept>, CareError> {
    let Some(limit) = std::env::var_os(LIMIT_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let limits = Limits { max_size: Some(parse_size(&limit.to_string_lossy())?), older_than: None };
    let plan = plan(&observe(root)?, limits, SystemTime::now());
    execute(root, &plan).map(Some)
}

/// Reads a size for people: `20G` is `20GiB`.
///
/// # Errors
/// When it is none.
pub fn parse_size(text: &str) -> Result<ByteSize, SizeError> {
    match text.chars().last() {
        Some('K' | 'M' | 'G' | 'T') => format!("{text}iB").parse(),
        Some(_) | None => text.parse(),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CareError + use<> {
    let path = path.to_owned();
    move |source| CareError::Io { action, path, source }
}

/// The digest that a file's name promises; `None` when it promises nothing.
fn promised(path: &Path) -> Option<Digest> {
    Digest::from_hex(path.file_name()?.to_str()?).ok()
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Downloads => "downloads",
            Self::Partial => "partial downloads",
            Self::Steps => "step results",
            Self::Outputs => "output records",
            Self::Work => "unfinished work",
            Self::Corrupt => "damaged files",
        })
    }
}
