//! Developers' tools (cargo, apt) through the door of `basalt-exec`. Unlike a build's programs they get the developer's
//! whole environment, and their words go to the terminal.

use basalt_exec::command::{Command, Exit, Program, Streams};
use std::{env, ffi::OsStr, path::Path, time::Duration};

use crate::{
    error::{Done, TaskError},
    paths,
};

/// Longer than anything here takes on two slow cores.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Plans a run of `name` in the repository's root with the developer's environment.
pub(crate) fn plan(name: &str, package: &'static str) -> Done<Command> {
    let program = match env::var_os("CARGO") {
        Some(cargo) if name == "cargo" => Program::at(cargo)?,
        Some(_) | None => Program::find(name, package)?,
    };
    let command = Command::new(&program).directory(paths::root()).timeout(LIMIT);
    Ok(env::vars_os().fold(command, |command, (name, value)| command.env(name, value)))
}

/// Plans a run of cargo.
pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Done<Command> {
    Ok(plan("cargo", "cargo")?.args(args))
}

/// Runs what a person watches.
pub(crate) fn watch(command: Command) -> Done {
    let line = command.line();
    match command.streams(Streams::Inherited).finish()?.exit {
        Exit::Code(0) => Ok(()),
        exit @ (Exit::Code(_) | Exit::Signal(_)) => Err(TaskError::Failed { command: line, exit }),
    }
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Removes a folder with everything in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Done {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TaskError::io("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Creates a folder and its parents.
pub(crate) fn create_folder(path: &Path) -> Done {
    std::fs::create_dir_all(path).map_err(TaskError::io("create", path))
}
