//! The worker, from both sides: who starts it and what it does first.
//!
//! Lines of JSON. To the worker: `"go"` when the maps are written, then the job. From it: [`FromWorker`].

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, ExitCode, Stdio},
};

use rustix::{
    fs::Mode,
    mount::{MountPropagationFlags, mount_change},
    process::{Gid, Signal, Uid, set_parent_process_death_signal},
    thread::UnshareFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Fault, SandboxError, WORKER, unshare};
use crate::{
    command::{Command, Exit, Program, die_with_parent, read_tail},
    idmap::{Extent, IdMap, MapWriter, Switches},
};

/// How to start workers.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The program that calls [`super::run_if_asked`]; usually [`super::this_program`].
    pub program: PathBuf,
    /// Which ids exist inside.
    pub idmap: IdMap,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FromWorker {
    /// It is in its user namespace and waits for the maps.
    Ready,
    /// It could not set itself up.
    Fault(Fault),
    /// Progress of the job.
    Event(serde_json::Value),
    /// The job's result; the last thing it says.
    Result(serde_json::Value),
}

/// The worker's side of the wire: where its job is and its results go.
#[derive(Debug)]
pub struct Desk {
    job: String,
}

impl Sandbox {
    /// A sandbox of this program with the ids that this host allows.
    ///
    /// # Errors
    /// When there can be no user namespace; the message names the next step.
    pub fn observe() -> Result<Self, SandboxError> {
        Ok(Self { program: super::this_program(), idmap: IdMap::observe()? })
    }

    /// Starts a worker, gives it the job and waits for the result; events are handed on as they come.
    ///
    /// The worker dies with the calling *thread*.
    ///
    /// # Errors
    /// When the worker can't be set up or ends without a result.
    pub fn run<J: Serialize, E: DeserializeOwned, R: DeserializeOwned>(
        &self,
        job: &J,
        on_event: &mut dyn FnMut(E),
    ) -> Result<R, SandboxError> {
        let job = serde_json::to_string(job).map_err(SandboxError::Protocol)?;
        let mut started = Started::spawn(self)?;
        let outcome = started.converse(self, &job, on_event);
        started.end(outcome)
    }

    fn write_maps(&self, pid: u32) -> Result<(), SandboxError> {
        match &self.idmap.writer {
            MapWriter::Direct => {
                write_map(pid, "uid_map", &self.idmap.uids)?;
                write_map(pid, "gid_map", &self.idmap.gids)
            }
            MapWriter::Helpers { uid, gid } => {
                call_helper(uid, pid, &self.idmap.uids)?;
                call_helper(gid, pid, &self.idmap.gids)
            }
        }
    }
}

struct Started {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<std::thread::JoinHandle<std::io::Result<Vec<u8>>>>,
}

impl Started {
    fn spawn(sandbox: &Sandbox) -> Result<Self, SandboxError> {
        let refuse = |source| SandboxError::Start { program: sandbox.program.clone(), source };
        let mut plan = std::process::Command::new(&sandbox.program);
        plan.arg(WORKER).env_clear().current_dir("/");
        plan.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        die_with_parent(&mut plan);
        let mut child = plan.spawn().map_err(refuse)?;
        let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || read_tail(pipe)));
        let stdin = child.stdin.take();
        match child.stdout.take() {
            Some(stdout) => Ok(Self { child, stdin, stdout: BufReader::new(stdout), stderr }),
            None => Err(refuse(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// The result, or `None` when the worker stopped talking.
    fn converse<E: DeserializeOwned, R: DeserializeOwned>(
        &mut self,
        sandbox: &Sandbox,
        job: &str,
        on_event: &mut dyn FnMut(E),
    ) -> Result<Option<R>, SandboxError> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.stdout.read_line(&mut line) {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
            match serde_json::from_str(&line).map_err(SandboxError::Protocol)? {
                FromWorker::Ready => {
                    sandbox.write_maps(self.child.id())?;
                    // A worker that is gone by now is reported by the end of its output.
                    if self.send("\"go\"").and_then(|()| self.send(job)).is_err() {
                        return Ok(None);
                    }
                }
                FromWorker::Fault(fault) => return Err(explained(fault)),
                FromWorker::Event(event) => {
                    on_event(serde_json::from_value(event).map_err(SandboxError::Protocol)?);
                }
                FromWorker::Result(value) => {
                    return serde_json::from_value(value).map(Some).map_err(SandboxError::Protocol);
                }
            }
        }
    }

    fn send(&mut self, line: &str) -> std::io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n")),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn end<R>(mut self, outcome: Result<Option<R>, SandboxError>) -> Result<R, SandboxError> {
        self.stdin = None;
        if outcome.is_err() {
            // Its fate no longer matters, and it may be waiting for a map that will not come.
            drop(self.child.kill());
        }
        let ending = match self.child.wait() {
            Ok(status) => Exit::from(status).to_string(),
            Err(error) => error.to_string(),
        };
        let tail = match self.stderr.take().map(std::thread::JoinHandle::join) {
            Some(Ok(Ok(tail))) => String::from_utf8_lossy(&tail).into_owned(),
            Some(Ok(Err(_)) | Err(_)) | None => String::new(),
        };
        outcome?.ok_or(SandboxError::Died { ending, tail })
    }
}

/// A worker that was refused a namespace or a mount says only what the kernel said; the switches say why.
fn explained(fault: Fault) -> SandboxError {
    if !fault.action.contains("namespace") {
        return SandboxError::Setup(fault);
    }
    let uid = rustix::process::geteuid().as_raw();
    match Switches::observe() {
        Ok(switches) => switches.explain(uid, &fault.reason).into(),
        Err(unreadable) => unreadable.into(),
    }
}

fn write_map(pid: u32, file: &str, extents: &[Extent]) -> Result<(), SandboxError> {
    let path = format!("/proc/{pid}/{file}");
    let lines: Vec<String> =
        extents.iter().map(|e| format!("{} {} {}\n", e.inside, e.outside, e.count)).collect();
    // The kernel takes the whole map in one write (user_namespaces(7)).
    std::fs::write(&path, lines.concat()).map_err(|source| SandboxError::Map { path, source })
}

fn call_helper(helper: &Program, pid: u32, extents: &[Extent]) -> Result<(), SandboxError> {
    let numbers = extents.iter().flat_map(|e| [e.inside, e.outside, e.count]).map(|n| n.to_string());
    let command = Command::new(helper).arg(pid.to_string()).args(numbers);
    command.run().map(drop).map_err(SandboxError::Helper)
}

/// The worker's life: namespaces, maps, job.
pub(super) fn play(work: &dyn Fn(Desk)) -> ExitCode {
    match enter() {
        Ok(desk) => {
            work(desk);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            drop(say(&FromWorker::Fault(fault)));
            ExitCode::FAILURE
        }
    }
}

fn enter() -> Result<Desk, Fault> {
    let fail = |action: &'static str| move |errno: rustix::io::Errno| Fault::new(action, errno);
    let talk = |error: std::io::Error| Fault::new("talk to the program that started it", error);
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(fail("make a user namespace"))?;
    say(&FromWorker::Ready).map_err(talk)?;
    read_line().map_err(talk)?;
    rustix::thread::set_thread_groups(&[]).map_err(fail("drop its groups in the user namespace"))?;
    rustix::thread::set_thread_gid(Gid::ROOT).map_err(fail("become root in the user namespace"))?;
    rustix::thread::set_thread_uid(Uid::ROOT).map_err(fail("become root in the user namespace"))?;
    // A change of ids clears the signal (prctl(2)); from here on they change no more.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(fail("tie its life to its parent"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(fail("make the mount namespace private"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(Desk { job: read_line().map_err(talk)? })
}

/// One line of standard input, byte by byte: nothing is read ahead that a later reader would miss.
fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

fn say(message: &FromWorker) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, message)?;
    out.write_all(b"\n")?;
    out.flush()
}

impl Desk {
    /// The job.
    ///
    /// # Errors
    /// When it is not what this program understands.
    pub fn job<J: DeserializeOwned>(&self) -> Result<J, serde_json::Error> {
        serde_json::from_str(&self.job)
    }

    /// Tells how far the job is. A parent that does not listen any more has killed us already, or is about to.
    pub fn report<E: Serialize>(&self, event: &E) {
        if let Ok(value) = serde_json::to_value(event) {
            drop(say(&FromWorker::Event(value)));
        }
    }

    /// Gives the result; it is the last word.
    pub fn finish<R: Serialize>(&self, result: &R) {
        if let Ok(value) = serde_json::to_value(result) {
            drop(say(&FromWorker::Result(value)));
        }
    }
}
