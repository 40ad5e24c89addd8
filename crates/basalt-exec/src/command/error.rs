use std::{io, path::PathBuf, time::Duration};

use super::Exit;

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such program on this machine.
    #[error("the program `{program}` is not installed; on Debian: apt-get install {package}")]
    Missing {
        /// Its name.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The path leads to nothing that can be executed.
    #[error("`{}` is not an executable file", path.display())]
    NotExecutable {
        /// The path.
        path: PathBuf,
    },
    /// It could not be started.
    #[error("`{command}` could not be started")]
    Start {
        /// Program and arguments.
        command: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading its output or waiting for it failed.
    #[error("lost touch with `{command}`")]
    Wait {
        /// Program and arguments.
        command: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It did not end in time and was killed with all its children.
    #[error("`{command}` was killed after {} s{}", timeout.as_secs(), said(tail))]
    TimedOut {
        /// Program and arguments.
        command: String,
        /// The time it had.
        timeout: Duration,
        /// Its last words.
        tail: String,
    },
    /// It printed more than is kept and was killed.
    #[error("`{command}` printed more than {limit} bytes")]
    TooMuchOutput {
        /// Program and arguments.
        command: String,
        /// How much is kept.
        limit: usize,
    },
    /// It ended with something else than exit status 0.
    #[error("`{command}` {exit}{}", said(tail))]
    Failed {
        /// Program and arguments.
        command: String,
        /// How it ended.
        exit: Exit,
        /// Its last words.
        tail: String,
    },
}

fn said(tail: &str) -> String {
    match tail.trim_end() {
        "" => String::new(),
        tail => format!(": {tail}"),
    }
}
