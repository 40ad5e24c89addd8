//! Why a task failed.

use std::{io, path::PathBuf};

/// The result of every task.
pub(crate) type Done<T = ()> = Result<T, TaskError>;

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// A program failed.
    #[error(transparent)]
    Command(#[from] basalt_exec::command::CommandError),
    /// A program that people watch ended badly; it has said why.
    #[error("`{command}` {exit}")]
    Failed { command: String, exit: basalt_exec::command::Exit },
    /// A file.
    #[error("can't {verb} `{}`", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    /// A file's content.
    #[error("`{what}` is not the JSON that was expected")]
    Json { what: String, source: serde_json::Error },
    /// A machine.
    #[error(transparent)]
    Vm(#[from] basalt_vm::VmError),
    /// A shell on a machine.
    #[error(transparent)]
    Shell(#[from] basalt_testkit::ShellError),
    /// No mirror.
    #[error(transparent)]
    Mirror(#[from] basalt_fetch::mirror::MirrorError),
    /// An image's files.
    #[error(transparent)]
    Oci(#[from] basalt_fetch::oci::OciError),
    /// Checks that do not hold, each with what to do.
    #[error("{} of tidy's rules broken:\n  {}", .0.len(), .0.join("\n  "))]
    Untidy(Vec<String>),
    /// Packages are missing and can't be installed from here.
    #[error("these Debian packages are missing: run `{0}`")]
    NotInstalled(String),
    /// A promise that does not hold.
    #[error("{0}")]
    Broken(String),
}

impl TaskError {
    pub(crate) fn io(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { verb, path, source }
    }
}
