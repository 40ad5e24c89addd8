//! A process that dies with its parent and is waited for with a deadline.
//!
//! Drop kills it; `setpriv --pdeathsig KILL` covers a parent that had no time to drop. The kernel ties that signal to the
//! *thread* that forked, so a keeper thread forks, and then lives exactly as long as the child because it waits for it.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Where a child's output goes.
#[derive(Debug)]
pub(crate) enum Stderr {
    /// Standard output and error into this file.
    Keep(PathBuf),
    /// This process's terminal, input too.
    Terminal,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Child {
    pidfd: OwnedFd,
    pid: u32,
    keeper: Option<JoinHandle<io::Result<ExitStatus>>>,
    status: Option<ExitStatus>,
    output: Option<PathBuf>,
}

impl Child {
    /// Starts `program`. `stdin` is handed over as descriptor 0; without it, input is empty (or the terminal's).
    pub(crate) fn start(
        program: &Path,
        argv: &[String],
        stdin: Option<OwnedFd>,
        stderr: Stderr,
    ) -> io::Result<Self> {
        let mut command = match crate::host::setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(argv);
        let output = match stderr {
            Stderr::Keep(path) => {
                let log = fs::File::create(&path)?;
                command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
                Some(path)
            }
            Stderr::Terminal => None,
        };
        if let Some(stdin) = stdin {
            command.stdin(stdin);
        }
        let (tell, told) = mpsc::sync_channel(1);
        let keeper =
            thread::Builder::new().name("child-keeper".to_owned()).spawn(move || keep(command, &tell))?;
        let started = told.recv().map_err(io::Error::other).flatten();
        match started {
            Ok((pid, pidfd)) => Ok(Self { pidfd, pid, keeper: Some(keeper), status: None, output }),
            Err(error) => Err(error),
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits; `None` when it still runs after `within`.
    pub(crate) fn wait(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() && readable(&self.pidfd, within)? {
            self.reap()?;
        }
        Ok(self.status)
    }

    /// Waits without a deadline (a person's machine in the foreground).
    pub(crate) fn wait_forever(&mut self) -> io::Result<ExitStatus> {
        self.reap()
    }

    /// Sends a signal; quietly does nothing when the process has ended.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The last 2 KiB of what it wrote.
    pub(crate) fn stderr_tail(&self) -> String {
        let Some(path) = &self.output else { return String::new() };
        match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2048)..]).into_owned(),
            Err(error) => format!("(its output can't be read: {error})"),
        }
    }

    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        if let Some(keeper) = self.keeper.take() {
            let status = keeper.join().map_err(|_panic| io::Error::other("the keeper thread panicked"))??;
            self.status = Some(status);
        }
        self.status.ok_or_else(|| io::Error::other("the child's status was lost"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nobody is left to tell: a failed kill means that the process is gone, and the keeper reaps it.
        drop(self.signal(Signal::KILL));
        drop(self.reap());
    }
}

type Started = io::Result<(u32, OwnedFd)>;

fn keep(mut command: Command, tell: &mpsc::SyncSender<Started>) -> io::Result<ExitStatus> {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let kind = error.kind();
            tell.send(Err(error)).map_err(io::Error::other)?;
            return Err(kind.into());
        }
    };
    // Before `wait`, so the number can't have been given to another process.
    let started = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default())
        .ok_or_else(|| io::Error::other("the child has no process id"))
        .and_then(|pid| Ok((child.id(), pidfd_open(pid, PidfdFlags::empty())?)));
    let failed = started.is_err();
    tell.send(started).map_err(io::Error::other)?;
    if failed {
        child.kill()?;
    }
    child.wait()
}

/// Waits until `descriptor` is readable (a pidfd is when its process has ended); false after `within`.
pub(crate) fn readable(descriptor: impl AsFd, within: Duration) -> io::Result<bool> {
    Ok(first_readable(&[descriptor.as_fd()], within)?.is_some())
}

/// The index of the first readable descriptor; `None` after `within`.
pub(crate) fn first_readable(
    descriptors: &[std::os::fd::BorrowedFd<'_>],
    within: Duration,
) -> io::Result<Option<usize>> {
    let deadline = Instant::now() + within;
    let mut fds: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(None),
            Ok(_) => {
                if let Some(index) = fds.iter().position(|fd| !fd.revents().is_empty()) {
                    return Ok(Some(index));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
