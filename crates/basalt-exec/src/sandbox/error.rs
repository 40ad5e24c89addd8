use std::{io, path::PathBuf};

use super::{Ending, Fault};
use crate::{command::CommandError, idmap::IdMapError};

/// Why a worker did not give a result.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine gives us no namespaces.
    #[error(transparent)]
    IdMap(#[from] IdMapError),
    /// The worker could not be started.
    #[error("can't start the sandbox worker `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The id map was refused.
    #[error("can't write the sandbox's id map `{path}`")]
    Map {
        /// The file in `/proc`.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// newuidmap or newgidmap refused.
    #[error("the sandbox's id map was refused")]
    Helper(#[source] CommandError),
    /// The worker could not set itself up.
    #[error("the sandbox worker can't {}: {}", .0.action, .0.reason)]
    Setup(Fault),
    /// The worker ended without a result.
    #[error("the sandbox worker ended without a result ({ending}){}", said(tail))]
    Died {
        /// How it ended.
        ending: String,
        /// Its last words.
        tail: String,
    },
    /// What was said between the two was not understood: two versions of one program, or a bug.
    #[error("the sandbox worker and this program don't understand each other")]
    Protocol(#[source] serde_json::Error),
}

/// Why programs in a chroot did not all succeed.
#[derive(Debug, thiserror::Error)]
pub enum ChrootError {
    /// The init could not be started or talked to.
    #[error("can't start the chroot's first process")]
    Start(#[source] io::Error),
    /// A namespace, mount or limit could not be set up.
    #[error("can't {} for the chroot: {}", .0.action, .0.reason)]
    Setup(Fault),
    /// A step ended with something else than exit status 0.
    #[error("`{command}` {ending} in the image{}", said(tail))]
    Step {
        /// Which step, from 0.
        index: usize,
        /// Its program and arguments.
        command: String,
        /// How it ended.
        ending: Ending,
        /// The last lines it printed.
        tail: String,
    },
    /// The init ended without saying how the step ended.
    #[error("the chroot's first process died ({0})")]
    Died(String),
}

fn said(tail: &str) -> String {
    match tail.trim_end() {
        "" => String::new(),
        tail => format!(":\n{tail}"),
    }
}
