//! What can go wrong, one enum per boundary.

use crate::{host::Tool, qmp::QmpError};
use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// The host lacks something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Programs or files that the machine needs are absent.
    #[error("{} not found on this host; {}", list(.0), install_hint(.0))]
    Missing(Vec<Tool>),
    /// KVM was demanded.
    #[error("KVM does not work on this host: {0}")]
    NoKvm(String),
}

fn list(tools: &[Tool]) -> String {
    tools.iter().map(|tool| tool.what()).collect::<Vec<_>>().join(", ")
}

fn install_hint(tools: &[Tool]) -> String {
    let mut hints: Vec<String> = Vec::new();
    for (system, command, pick) in [
        ("Debian", "apt install", Tool::debian as fn(Tool) -> &'static str),
        ("Fedora", "dnf install", Tool::fedora),
        ("Arch", "pacman -S", Tool::arch),
    ] {
        let mut packages: Vec<&str> = tools.iter().map(|tool| pick(*tool)).collect();
        packages.sort_unstable();
        packages.dedup();
        hints.push(format!("{system}: `{command} {}`", packages.join(" ")));
    }
    hints.join(", ")
}

/// A machine that can't be planned. Everything that is wrong is named at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// What the host lacks.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Values that contradict each other.
    #[error("this machine can't be made: {}", .0.join("; "))]
    Refused(Vec<String>),
}

/// Preparing, booting or driving a machine failed.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// It could not be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An operation on a file or socket failed.
    #[error("can't {verb} {}", path.display())]
    Io {
        /// What was being done.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("can't start {program}")]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ended when it should not have.
    #[error("{program} ended with {status}:\n{stderr}")]
    Ended {
        /// Its name.
        program: String,
        /// How.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// A process did not do what it should within its time.
    #[error("{program} did not {what} within {} s", within.as_secs())]
    Late {
        /// Its name.
        program: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// The console did not show what was expected in time.
    #[error("{wanted:?} did not appear on the console within {} s; its last lines:\n{tail}", within.as_secs())]
    Silent {
        /// The texts, any of which would have done.
        wanted: Vec<String>,
        /// How long.
        within: Duration,
        /// The last lines of the console.
        tail: String,
    },
    /// The machine ended while something was expected on its console.
    #[error("the machine ended before {wanted:?} appeared on its console; its last lines:\n{tail}")]
    ConsoleClosed {
        /// The texts, any of which would have done.
        wanted: Vec<String>,
        /// The last lines of the console.
        tail: String,
    },
    /// This machine's serial port goes elsewhere.
    #[error("this machine has no console socket: its serial port is the terminal")]
    NoConsole,
    /// The monitor refused or broke.
    #[error("the machine's monitor")]
    Qmp(#[from] QmpError),
}

impl VmError {
    pub(crate) fn io(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { verb, path, source }
    }
}
