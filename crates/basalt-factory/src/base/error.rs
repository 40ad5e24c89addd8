use std::{
    io,
    path::{Path, PathBuf},
};

use basalt_exec::sandbox::{Ending, SandboxError};
use serde::{Deserialize, Serialize};

/// Why a job gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// There is no worker, or it is lost.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The worker says why it could not do the job.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What a worker could not do. It crosses a process boundary, so causes are texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// A package file is damaged or not what the lock says.
    #[error("{message}")]
    Package {
        /// The package's name.
        package: String,
        /// What is wrong, with the file's name.
        message: String,
    },
    /// Nothing in the tree could configure it.
    #[error("the package `dpkg` is not among the {0} packages, and nothing else can configure them: add it")]
    NoDpkg(usize),
    /// A path of a package can't be made in the tree.
    #[error("can't unpack `{path}` of {package}: {reason}")]
    Unpack {
        /// The package's name.
        package: String,
        /// The path in the tree.
        path: String,
        /// What the kernel said.
        reason: String,
    },
    /// A maintainer script failed.
    #[error("the {script} script of {package} {ending}{}", said(tail))]
    Script {
        /// The package's name.
        package: String,
        /// Which script.
        script: String,
        /// How it ended.
        ending: Ending,
        /// The last lines it printed.
        tail: String,
    },
    /// dpkg did not get every package installed.
    #[error("dpkg left {} not installed{}", list(packages), said(tail))]
    NotInstalled {
        /// Each package and its state.
        packages: Vec<(String, String)>,
        /// The last lines that dpkg printed.
        tail: String,
    },
    /// `dpkg --audit` found something.
    #[error("dpkg --audit complains about the finished tree:\n{0}")]
    Audit(String),
    /// The user's script failed.
    #[error("the script {ending}{}", said(tail))]
    UserScript {
        /// How it ended.
        ending: Ending,
        /// The last lines it printed.
        tail: String,
    },
    /// The chroot could not be set up.
    #[error("{0}")]
    Chroot(String),
    /// A file could not be read or written.
    #[error("can't {action} `{}`: {reason}", path.display())]
    Io {
        /// What was tried.
        action: String,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
        /// Whether the disk is full.
        full: bool,
    },
    /// The host's clock would give the tree times that can't be told from a package's.
    #[error(
        "this machine's clock says {now} s since 1970, which is before the archive's {epoch} s: set the clock"
    )]
    Clock {
        /// The clock.
        now: i64,
        /// The epoch of the request.
        epoch: i64,
    },
    /// The tree can't be stored as EROFS, or an image can't be read.
    #[error("`{}`: {reason}", path.display())]
    Image {
        /// The EROFS file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The order was not understood: two versions of the program, or a bug.
    #[error("the worker did not understand its order: {0}")]
    Order(String),
}

impl Failure {
    /// An operation on a file that the kernel refused.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::Io {
            action: action.to_owned(),
            path: path.to_owned(),
            reason: error.to_string(),
            full: error.kind() == io::ErrorKind::StorageFull,
        }
    }
}

impl From<basalt_exec::walk::WalkError> for Failure {
    fn from(error: basalt_exec::walk::WalkError) -> Self {
        Self::io(error.action, &error.path, &error.source)
    }
}

fn said(tail: &str) -> String {
    match tail.trim_end() {
        "" => String::new(),
        tail => format!(":\n{tail}"),
    }
}

fn list(packages: &[(String, String)]) -> String {
    let shown: Vec<String> =
        packages.iter().take(5).map(|(package, state)| format!("{package} ({state})")).collect();
    let more = match packages.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.join(", ") + &more
}
