//! Ending: the machine's, and a program's by becoming another one.

use std::{
    convert::Infallible,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    process::Command,
};

use rustix::system::RebootCommand;

/// Writes what is in memory to the disks and starts the machine again, without asking any other process.
///
/// # Errors
/// When the caller may not (`EPERM`).
pub fn restart_machine() -> io::Result<()> {
    rustix::fs::sync();
    Ok(rustix::system::reboot(RebootCommand::Restart)?)
}

/// Becomes `program`, with these arguments and the same environment, process id and standard files.
///
/// # Errors
/// Always, if it returns: when the program can't be started.
pub fn become_program(program: &OsStr, arguments: &[OsString]) -> io::Result<Infallible> {
    Err(Command::new(program).args(arguments).exec())
}
