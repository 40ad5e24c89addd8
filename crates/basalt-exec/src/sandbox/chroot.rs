//! Programs of an image, run as if it were booted, one after the other.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{ChrootError, Fault, SELF, STAGE};
use crate::command::{Exit, die_with_parent};

/// How many of the last lines of a step an error carries.
const TAIL_LINES: usize = 40;

/// A tree to run programs in: what they see beside it, and what is kept from them.
///
/// `/proc` is fresh, `/dev` minimal, `/sys` empty; `/run` and `/tmp` are empty and vanish afterwards; there is no
/// network and no other process; writing is never synced to the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chroot {
    /// The tree's top; `proc`, `sys`, `dev`, `run` and `tmp` are directories in it.
    pub root: PathBuf,
    /// The host name that the programs see.
    pub hostname: String,
    /// The whole environment of the programs.
    pub environment: Vec<(String, String)>,
    /// Files made in the volatile `/run` or `/tmp`.
    pub files: Vec<SandboxFile>,
    /// Files of the host copied into the volatile `/run` or `/tmp`.
    pub copies: Vec<Copy>,
    /// Files that stand in for files of the tree.
    pub covers: Vec<Cover>,
    /// How long one step may take.
    pub step_seconds: u64,
}

/// A file that exists only while the programs run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxFile {
    /// Absolute path in the chroot, below `/run` or `/tmp`.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Its bytes.
    pub text: String,
}

/// A file of the host that the programs can read a copy of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Path on the host.
    pub from: PathBuf,
    /// Absolute path in the chroot, below `/run` or `/tmp`.
    pub to: PathBuf,
}

/// A [`SandboxFile`] mounted over a file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// The file that is seen, below `/run` or `/tmp`.
    pub with: PathBuf,
    /// The file of the tree that is hidden.
    pub over: PathBuf,
}

/// One program to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Program (an absolute path in the chroot) and arguments.
    pub argv: Vec<String>,
    /// Variables added to the chroot's.
    pub environment: Vec<(String, String)>,
    /// Working directory in the chroot.
    pub directory: PathBuf,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// By itself, with this exit status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was out of time and killed.
    TimedOut,
    /// There is no such program in the tree, or it can't be executed; the errno.
    NotStarted(i32),
}

/// What is heard from the chroot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChrootEvent {
    /// Step `0` of the list begins.
    Began(usize),
    /// The step printed this line, to output or errors.
    Line(String),
    /// The step ended.
    Ended(Ending),
    /// The chroot could not be set up.
    Fault(Fault),
}

/// What the init is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) chroot: Chroot,
    pub(super) steps: Vec<Step>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit status {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("took too long and was killed"),
            Self::NotStarted(errno) => {
                write!(f, "could not be started: {}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl Chroot {
    /// Runs the steps in order, inside a worker; the first that does not end with exit status 0 stops it.
    ///
    /// # Errors
    /// When the chroot can't be set up, or a step fails; the error carries the last lines it printed.
    pub fn run(&self, steps: &[Step], on_event: &mut dyn FnMut(&ChrootEvent)) -> Result<(), ChrootError> {
        if steps.is_empty() {
            return Ok(());
        }
        let mut child = self.start(steps).map_err(ChrootError::Start)?;
        let outcome = match child.stdout.take() {
            Some(stdout) => listen(BufReader::new(stdout), steps, on_event),
            None => Err(ChrootError::Start(std::io::ErrorKind::BrokenPipe.into())),
        };
        if outcome.is_err() {
            drop(child.kill());
        }
        let status = child.wait().map_err(ChrootError::Start)?;
        match outcome? {
            Talk::Complete => Ok(()),
            Talk::BrokenOff => Err(ChrootError::Died(Exit::from(status).to_string())),
        }
    }

    fn start(&self, steps: &[Step]) -> std::io::Result<Child> {
        let order = Order { chroot: self.clone(), steps: steps.to_vec() };
        let mut plan = std::process::Command::new(SELF);
        plan.arg(STAGE).env_clear().current_dir("/");
        plan.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        die_with_parent(&mut plan);
        let mut child = plan.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            serde_json::to_writer(&mut stdin, &order)?;
            stdin.flush()?;
        }
        Ok(child)
    }
}

/// How listening to the init ended.
enum Talk {
    Complete,
    BrokenOff,
}

fn listen(
    stdout: BufReader<impl std::io::Read>,
    steps: &[Step],
    on_event: &mut dyn FnMut(&ChrootEvent),
) -> Result<Talk, ChrootError> {
    let (mut index, mut ended) = (0, 0);
    let mut tail: Vec<String> = Vec::new();
    for line in stdout.lines() {
        let line = line.map_err(ChrootError::Start)?;
        let event: ChrootEvent =
            serde_json::from_str(&line).map_err(|error| ChrootError::Start(error.into()))?;
        on_event(&event);
        match event {
            ChrootEvent::Began(step) => {
                index = step;
                tail.clear();
            }
            ChrootEvent::Line(text) => {
                if tail.len() == TAIL_LINES {
                    tail.remove(0);
                }
                tail.push(text);
            }
            ChrootEvent::Ended(Ending::Code(0)) => ended += 1,
            ChrootEvent::Ended(ending) => {
                let command = steps.get(index).map(|step| step.argv.join(" ")).unwrap_or_default();
                return Err(ChrootError::Step { index, command, ending, tail: tail.join("\n") });
            }
            ChrootEvent::Fault(fault) => return Err(ChrootError::Setup(fault)),
        }
    }
    Ok(if ended == steps.len() { Talk::Complete } else { Talk::BrokenOff })
}
