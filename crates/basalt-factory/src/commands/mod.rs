//! One file per command: what may be typed, and the flow of what happens then.

mod asked;
pub mod build;
pub mod config;
pub mod diff;
pub mod init;
pub mod inspect;
pub mod install;
pub mod keys;
pub mod lint;
pub mod lock;
pub mod measure;
pub mod plan;
pub mod push;
pub mod run;
pub mod schema;
pub mod serve;
pub mod sign;
pub mod store;
pub mod verify;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::error::{CommandResult, Kind, OrFail as _};

/// A file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read {path}")]
pub(crate) struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), source }
    }
}

/// Prints a command's result, and a newline if it has none. A reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> CommandResult {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(io::stdout().lock(), "{text}{newline}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.or_fail(Kind::Host),
    }
}
