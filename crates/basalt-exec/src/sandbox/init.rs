//! The two processes between the worker and the programs of an image.
//!
//! The *stage* makes the namespaces and waits; the *init* is its first child and therefore pid 1 of the new pid
//! namespace. It builds the view, then runs the steps. When it ends, the kernel kills whatever the steps left running.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
    thread::UnshareFlags,
};

use super::{Chroot, ChrootEvent, Ending, Fault, INIT, SELF, Step, chroot::Order, mounts, seccomp, unshare};
use crate::command::{Exit, die_with_parent};

/// The stage: new namespaces, then the init as first child.
pub(super) fn stage() -> ExitCode {
    let flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWNET;
    if let Err(errno) = unshare(flags) {
        drop(say(&ChrootEvent::Fault(Fault::new("make the namespaces", errno))));
        return ExitCode::FAILURE;
    }
    let mut plan = std::process::Command::new(SELF);
    plan.arg(INIT).env_clear();
    die_with_parent(&mut plan);
    match plan.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            drop(say(&ChrootEvent::Fault(Fault::new("start the first process", error))));
            ExitCode::FAILURE
        }
    }
}

/// The init: view, filter, steps.
pub(super) fn play() -> ExitCode {
    match prepare_and_run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            drop(say(&ChrootEvent::Fault(fault)));
            ExitCode::FAILURE
        }
    }
}

fn prepare_and_run() -> Result<(), Fault> {
    let order: Order = serde_json::from_reader(io::stdin().lock())
        .map_err(|error| Fault::new("understand the order", error))?;
    rustix::process::setsid().map_err(|errno| Fault::new("begin a session", errno))?;
    mounts::build_view(&order.chroot)?;
    rustix::system::sethostname(order.chroot.hostname.as_bytes())
        .map_err(|errno| Fault::new("set the host name", errno))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    seccomp::make_sync_free().map_err(|error| Fault::new("install the system call filter", error))?;
    for (index, step) in order.steps.iter().enumerate() {
        tell(&ChrootEvent::Began(index))?;
        let ending = run(&order.chroot, step)?;
        tell(&ChrootEvent::Ended(ending))?;
        if ending != Ending::Code(0) {
            break;
        }
    }
    Ok(())
}

fn run(chroot: &Chroot, step: &Step) -> Result<Ending, Fault> {
    let pipes = |error: io::Error| Fault::new("connect the step's output", error);
    let (reader, writer) = io::pipe().map_err(pipes)?;
    let Some((program, args)) = step.argv.split_first() else {
        return Ok(Ending::NotStarted(Errno::INVAL.raw_os_error()));
    };
    let mut plan = std::process::Command::new(program);
    plan.args(args).env_clear().current_dir(&step.directory);
    let variables = chroot.environment.iter().chain(&step.environment);
    plan.envs(variables.map(|(name, value)| (name, value)));
    plan.stdin(Stdio::null()).stdout(writer.try_clone().map_err(pipes)?).stderr(writer);
    let started = plan.spawn();
    // The plan holds the writing ends; with them open the reader would never see the end.
    drop(plan);
    match started {
        Ok(mut child) => {
            let deadline = Instant::now() + Duration::from_secs(chroot.step_seconds);
            follow(&mut child, OwnedFd::from(reader), deadline)
        }
        Err(error) => Ok(Ending::NotStarted(error.raw_os_error().unwrap_or_default())),
    }
}

/// Hands on what the step prints until it ends; then everything it left behind is killed.
fn follow(child: &mut Child, output: OwnedFd, deadline: Instant) -> Result<Ending, Fault> {
    let lost = |error: io::Error| Fault::new("follow the step", error);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Fault::new("follow the step", "no process id"))?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| lost(errno.into()))?;
    let mut lines = Lines { output: File::from(output), pending: Vec::new() };
    let in_time = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut waits = [PollFd::new(&handle, PollFlags::IN), PollFd::new(&lines.output, PollFlags::IN)];
        match poll(&mut waits, Some(&left)) {
            Ok(0) => break false,
            Err(Errno::INTR) => continue,
            Err(other) => return Err(lost(other.into())),
            Ok(_) => {}
        }
        let (ended, printed) = (!waits[0].revents().is_empty(), waits[1].revents().contains(PollFlags::IN));
        if printed {
            lines.hand_on()?;
        }
        if ended {
            break true;
        }
    };
    kill_all_others();
    let exit = child.wait().map_err(lost)?;
    lines.finish()?;
    Ok(match Exit::from(exit) {
        Exit::Code(code) if in_time => Ending::Code(code),
        Exit::Signal(signal) if in_time => Ending::Signal(signal),
        Exit::Code(_) | Exit::Signal(_) => Ending::TimedOut,
    })
}

/// To pid 1 of a namespace, "the group 1" means everybody but itself (kill(2), pid -1). Nobody there is the good case.
/// The check keeps a mistake elsewhere from reaching the host's processes.
fn kill_all_others() {
    if rustix::process::getpid() == Pid::INIT {
        match kill_process_group(Pid::INIT, Signal::KILL) {
            Ok(()) | Err(_) => {}
        }
    }
}

struct Lines {
    output: File,
    pending: Vec<u8>,
}

impl Lines {
    fn hand_on(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; 8192];
        let count = match self.output.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(Fault::new("read the step's output", error)),
        };
        self.pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            tell(&ChrootEvent::Line(String::from_utf8_lossy(&line[..end]).into_owned()))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Fault> {
        let rest = BufReader::new(io::Cursor::new(std::mem::take(&mut self.pending)).chain(&self.output));
        for line in rest.split(b'\n') {
            let line = line.map_err(|error| Fault::new("read the step's output", error))?;
            tell(&ChrootEvent::Line(String::from_utf8_lossy(&line).into_owned()))?;
        }
        Ok(())
    }
}

fn tell(event: &ChrootEvent) -> Result<(), Fault> {
    say(event).map_err(|error| Fault::new("report", error))
}

fn say(event: &ChrootEvent) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    out.write_all(b"\n")?;
    out.flush()
}
