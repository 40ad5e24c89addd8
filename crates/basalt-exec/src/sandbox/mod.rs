//! Namespaces for building: a worker that is root only in there, and programs of an image run in a chroot.
//!
//! ```text
//! basalt ──spawns itself──▶ worker          user + mount namespace; writes the tree, owns the mapped ids
//!    ▲  job, id maps │  events, result        │
//!    └───────────────┴───────────────────────┘
//!                        worker ──▶ stage ──▶ init (pid 1) ──▶ dpkg, scripts
//!                                   new mount, pid, ipc, uts, net namespaces; pivot_root into the tree
//! ```
//!
//! A program that uses this calls [`run_if_asked`] first thing in `main`, while it has one thread: the kernel refuses
//! to put a process with several into a new user namespace (unshare(2)).
//!
//! Guarantees: every process here dies with the one that started it, and the init's death kills all in its pid
//! namespace, so that `kill -9` of `basalt` leaves no process and, mounts being the namespace's, no mount. What can be
//! left is the worker's directory; whoever makes work directories removes old ones inside the next worker.
//!
//! Not here: what the jobs are (`basalt-factory`).

mod chroot;
mod error;
mod init;
mod mounts;
mod seccomp;
#[cfg(test)]
mod tests;
mod worker;

use std::{path::PathBuf, process::ExitCode};

pub use chroot::{Chroot, ChrootEvent, Copy, Cover, Ending, SandboxFile, Step};
pub use error::{ChrootError, SandboxError};
use serde::{Deserialize, Serialize};
pub use worker::{Desk, Sandbox};

/// First argument of a program that is to be a worker.
const WORKER: &str = "basalt-sandbox-worker";
/// First argument of a program that is to make the chroot's namespaces.
const STAGE: &str = "basalt-sandbox-stage";
/// First argument of a program that is to be pid 1 of the chroot.
const INIT: &str = "basalt-sandbox-init";

/// This very program, as the kernel keeps it: also when its file was replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// What the worker or the init could not do, on its way to whoever can tell the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What was tried, such as `mount /proc`.
    pub action: String,
    /// What the kernel said.
    pub reason: String,
}

impl Fault {
    fn new(action: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { action: action.into(), reason: reason.to_string() }
    }
}

/// If this process was started as a part of the sandbox, plays that part and gives the exit status for `main`.
///
/// `work` does the worker's jobs. To be called before anything else: with a second thread the namespaces fail.
pub fn run_if_asked(work: &dyn Fn(Desk)) -> Option<ExitCode> {
    let asked = std::env::args_os().nth(1)?;
    match asked.to_str()? {
        WORKER => Some(worker::play(work)),
        STAGE => Some(init::stage()),
        INIT => Some(init::play()),
        _ => None,
    }
}

/// The program to start as worker: this one, unless it is a test that can't be its own worker.
pub fn this_program() -> PathBuf {
    PathBuf::from(SELF)
}

/// Mounts an empty file system in memory over a directory; for a worker, whose mounts vanish with it.
///
/// # Errors
/// When the kernel refuses.
pub fn mount_memory(directory: &std::path::Path, bytes: u64) -> std::io::Result<()> {
    let options = std::ffi::CString::new(format!("mode=0755,size={bytes},nr_inodes=0"))?;
    let flags = rustix::mount::MountFlags::NODEV;
    Ok(rustix::mount::mount("tmpfs", directory, "tmpfs", flags, Some(options.as_c_str()))?)
}

/// Puts the calling process into new namespaces.
#[allow(unsafe_code, reason = "unshare can break threads that share descriptors")]
fn unshare(flags: rustix::thread::UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: what makes unshare unsafe is that CLONE_FILES could give a second thread another descriptor table; that
    // flag is never passed here, and both callers run before any thread is made.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}
