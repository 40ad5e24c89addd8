//! Packages to a file tree, inside a user namespace.
//!
//! ```text
//! packages ─▶ unpack ─▶ preinst ─▶ dpkg --unpack ─▶ dpkg --configure ─▶ collect ─▶ one EROFS file
//!             by us,    in the     what only dpkg    in the chroot       walked in
//!             parallel  chroot     can decide                            the namespace
//! ```
//!
//! [`Workshop`] starts a worker (see [`basalt_exec::sandbox`]) for each job and waits for it; the worker does
//! everything else. Steps exchange trees as EROFS files, so that ids and attributes survive outside the namespace.
//!
//! Guarantees: the same packages and epoch give the same bytes, for root and for an ordinary user; a job that fails or
//! is killed leaves nothing but its work directory, which the next job removes; the result appears by a rename.
//!
//! Not here: which packages (`basalt-debian`'s solver), what the finished image looks like (`basalt-image`), and
//! syncing the result to the disk (a cache that lost an entry rebuilds it).

mod collect;
mod configure;
mod error;
mod extract;
mod plant;
mod unpack;
mod volatile;
mod work;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use basalt_exec::sandbox::{self, Sandbox};
use basalt_types::Digest;
use serde::{Deserialize, Serialize};

pub use error::{BaseError, Failure};
pub use volatile::{VOLATILE, Verdict, Volatile};

/// Where jobs are done: a directory for their work and the program that plays the worker.
#[derive(Debug, Clone)]
pub struct Workshop {
    directory: PathBuf,
    program: PathBuf,
}

/// A tree to be made of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRequest {
    /// All packages of the tree; nothing is added.
    pub packages: Vec<DebPackage>,
    /// Debian's name of the architecture, such as `amd64`.
    pub architecture: String,
    /// Times above this one become this one, in seconds since 1970; scripts see it as `SOURCE_DATE_EPOCH`.
    pub epoch: i64,
}

/// A package file on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Where the file is.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Length of the file in bytes.
    pub size: u64,
}

/// Packages to be added to a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendRequest {
    /// The tree: an EROFS file.
    pub image: PathBuf,
    /// The packages that are added.
    pub added: BaseRequest,
}

/// A script to be run in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRequest {
    /// The tree: an EROFS file.
    pub image: PathBuf,
    /// The script; its first line may name an interpreter, else it is `/bin/sh -eu`'s.
    pub script: String,
    /// Times above this one become this one, in seconds since 1970; the script sees it as `SOURCE_DATE_EPOCH`.
    pub epoch: i64,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A part of the job begins.
    Began(Phase),
    /// A part of the job is done.
    Ended {
        /// Which.
        phase: Phase,
        /// How long it took.
        milliseconds: u64,
    },
    /// A package lies in the tree.
    Unpacked {
        /// Its name.
        package: String,
        /// How many do now.
        done: usize,
        /// How many shall.
        total: usize,
    },
    /// dpkg left this package to configure, after so long.
    Configured {
        /// Its name, or the trigger's owner.
        package: String,
        /// How long it took.
        milliseconds: u64,
    },
    /// Something in the tree printed a line.
    Line(String),
}

/// The parts of a job, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Removing what killed jobs left.
    Tidy,
    /// Reading control data and unpacking.
    Unpack,
    /// Running preinst scripts.
    Preinst,
    /// Configuring, or running the script.
    Configure,
    /// Writing an existing tree to the disk.
    Extract,
    /// Walking the tree and writing the EROFS file.
    Collect,
    /// Removing the tree.
    Remove,
}

/// What a job made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseReport {
    /// Length of the EROFS file in bytes.
    pub size: u64,
    /// How many names it holds.
    pub entries: usize,
    /// Packages that dpkg unpacked instead of us, and why.
    pub by_dpkg: Vec<(String, String)>,
}

/// A job on its way to the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Job {
    /// Make a tree of packages and store it.
    Build(BaseRequest),
    /// Add packages to a tree and store the outcome.
    Extend(ExtendRequest),
    /// Run a script in a tree and store the outcome.
    Script(ScriptRequest),
    /// Write a tree to a directory.
    Extract {
        /// The EROFS file.
        image: PathBuf,
    },
    /// Remove a directory that holds files of mapped ids.
    Remove,
}

/// A job with its places.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) job: Job,
    /// Where jobs have their directories.
    pub(crate) work: PathBuf,
    /// What is made or, for [`Job::Remove`], unmade.
    pub(crate) target: PathBuf,
}

impl Workshop {
    /// A workshop with its work under `directory`, and this program as worker: `main` calls
    /// [`worker_main_if_asked`] first.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), program: sandbox::this_program() }
    }

    /// The same with another program as worker, which calls [`worker_main_if_asked`] first: for tests, whose own
    /// `main` is not theirs.
    #[must_use]
    pub fn with_worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Unpacks and configures the packages and stores the tree as EROFS file `out`.
    ///
    /// # Errors
    /// When namespaces are forbidden, a package file is damaged, a script fails, or the host does.
    pub fn build_base(
        &self,
        request: &BaseRequest,
        out: &Path,
        events: &dyn Fn(Event),
    ) -> Result<BaseReport, BaseError> {
        self.order(Job::Build(with_absolute_paths(request)?), out, events)
    }

    /// Lets the tree's own dpkg add packages to it, and stores the outcome as `out`.
    ///
    /// # Errors
    /// As [`Workshop::build_base`].
    pub fn extend(
        &self,
        request: &ExtendRequest,
        out: &Path,
        events: &dyn Fn(Event),
    ) -> Result<BaseReport, BaseError> {
        let added = with_absolute_paths(&request.added)?;
        self.order(Job::Extend(ExtendRequest { image: absolute(&request.image)?, added }), out, events)
    }

    /// Runs a script in a tree, as root of the sandbox and without network, and stores the outcome as `out`.
    ///
    /// # Errors
    /// When namespaces are forbidden, the script fails, or the host does.
    pub fn run_script(
        &self,
        request: &ScriptRequest,
        out: &Path,
        events: &dyn Fn(Event),
    ) -> Result<BaseReport, BaseError> {
        let request = ScriptRequest { image: absolute(&request.image)?, ..request.clone() };
        self.order(Job::Script(request), out, events)
    }

    /// Writes the tree of an EROFS file to the directory `out`, which must not be there. As an ordinary user its files
    /// belong to subordinate ids; [`Workshop::remove_tree`] removes them.
    ///
    /// # Errors
    /// When namespaces are forbidden, the file is no EROFS image of ours, or the host fails.
    pub fn extract_tree(
        &self,
        image: &Path,
        out: &Path,
        events: &dyn Fn(Event),
    ) -> Result<BaseReport, BaseError> {
        self.order(Job::Extract { image: absolute(image)? }, out, events)
    }

    /// Removes a directory that [`Workshop::extract_tree`] made.
    ///
    /// # Errors
    /// When namespaces are forbidden, or the host fails.
    pub fn remove_tree(&self, directory: &Path, events: &dyn Fn(Event)) -> Result<BaseReport, BaseError> {
        self.order(Job::Remove, directory, events)
    }

    fn order(&self, job: Job, target: &Path, events: &dyn Fn(Event)) -> Result<BaseReport, BaseError> {
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| Failure::io("make", &self.directory, &error))?;
        let order = Order { job, work: absolute(&self.directory)?, target: absolute(target)? };
        let sandbox = Sandbox { program: self.program.clone(), ..Sandbox::observe()? };
        let outcome: Result<BaseReport, Failure> = sandbox.run(&order, &mut |event| events(event))?;
        Ok(outcome?)
    }
}

fn with_absolute_paths(request: &BaseRequest) -> Result<BaseRequest, Failure> {
    let mut request = request.clone();
    for package in &mut request.packages {
        package.path = absolute(&package.path)?;
    }
    Ok(request)
}

/// The worker is in `/`, so a relative path would mean another file there.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::io("find", path, &error))
}

/// [`Workshop::build_base`] with the usual worker.
///
/// # Errors
/// As there.
pub fn build_base(
    request: &BaseRequest,
    work: &Path,
    out: &Path,
    events: &dyn Fn(Event),
) -> Result<BaseReport, BaseError> {
    Workshop::new(work).build_base(request, out, events)
}

/// [`Workshop::run_script`] with the usual worker.
///
/// # Errors
/// As there.
pub fn run_script(
    request: &ScriptRequest,
    work: &Path,
    out: &Path,
    events: &dyn Fn(Event),
) -> Result<BaseReport, BaseError> {
    Workshop::new(work).run_script(request, out, events)
}

/// Plays the worker if this process was started as one; to be called first thing in `main`.
pub fn worker_main_if_asked() -> Option<ExitCode> {
    sandbox::run_if_asked(&worker::work)
}
