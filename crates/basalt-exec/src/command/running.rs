use std::{
    fmt,
    io::{self, Read, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, ChildStdin, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use super::{Command, CommandError, Finished, OUTPUT_LIMIT, Streams};

/// How many bytes of standard error are kept: the end of it.
const TAIL: usize = 8 << 10;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A program that was started. Dropping the value kills it and its process group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: String,
    reaped: bool,
    stdout: Option<JoinHandle<io::Result<Vec<u8>>>>,
    stderr: Option<JoinHandle<io::Result<Vec<u8>>>>,
    stdin: Option<JoinHandle<io::Result<()>>>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit status {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

pub(super) fn start(command: Command) -> Result<Running, CommandError> {
    let line = command.line();
    let Command { program, args, environment, directory, input, timeout: _, streams } = command;
    let mut plan = std::process::Command::new(&program.path);
    plan.args(args).env_clear().envs(environment).current_dir(directory).process_group(0);
    plan.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    if streams == Streams::Captured {
        plan.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    die_with_parent(&mut plan);
    let mut child = plan.spawn().map_err(|source| CommandError::Start { command: line.clone(), source })?;
    let stdin = child.stdin.take().map(|pipe| std::thread::spawn(move || feed(pipe, &input)));
    let stdout = child.stdout.take().map(|pipe| std::thread::spawn(move || read_bounded(pipe)));
    let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || read_tail(pipe)));
    Ok(Running { child, line, reaped: false, stdout, stderr, stdin })
}

/// Asks the kernel to kill the program when the thread that started it ends, so that a killed Basalt leaves nothing
/// running.
#[allow(unsafe_code, reason = "the only way to run something between fork and exec")]
pub(crate) fn die_with_parent(plan: &mut std::process::Command) {
    let before_exec = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: the closure makes one system call and neither allocates nor takes a lock, which is all that may be done
    // between fork and exec in a program with threads.
    unsafe { plan.pre_exec(before_exec) };
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn poll_exit(&mut self) -> Result<Option<Exit>, CommandError> {
        let status = self.child.try_wait();
        let status = status.map_err(|source| CommandError::Wait { command: self.line.clone(), source })?;
        self.reaped |= status.is_some();
        Ok(status.map(Exit::from))
    }

    /// Waits for its end, at most `timeout`; then it is killed and that is the error.
    ///
    /// # Errors
    /// When the time is over, too much was printed, or the kernel refuses to say.
    pub fn finish(mut self, timeout: Duration) -> Result<Finished, CommandError> {
        let lost = |command: &str, source| CommandError::Wait { command: command.to_owned(), source };
        let in_time = self.wait_until(Instant::now() + timeout);
        let in_time = in_time.map_err(|source| lost(&self.line, source))?;
        self.kill_group();
        let exit = self.child.wait().map_err(|source| lost(&self.line, source))?.into();
        self.reaped = true;
        let stdin = self.stdin.take().map_or(Ok(()), collect);
        let stdout = self.stdout.take().map_or(Ok(Vec::new()), collect);
        let stderr = self.stderr.take().map_or(Ok(Vec::new()), collect);
        let stderr_tail = stderr.map_err(|source| lost(&self.line, source))?;
        let stderr_tail = String::from_utf8_lossy(&stderr_tail).into_owned();
        let command = self.line.clone();
        if !in_time {
            return Err(CommandError::TimedOut { command, timeout, tail: stderr_tail });
        }
        stdin.map_err(|source| lost(&command, source))?;
        let stdout = stdout.map_err(|source| {
            if source.kind() == io::ErrorKind::FileTooLarge {
                CommandError::TooMuchOutput { command, limit: OUTPUT_LIMIT }
            } else {
                CommandError::Wait { command, source }
            }
        })?;
        Ok(Finished { exit, stdout, stderr_tail })
    }

    /// Kills it and its process group and waits for its end.
    ///
    /// # Errors
    /// When the kernel refuses to say how it ended.
    pub fn kill(mut self) -> Result<Exit, CommandError> {
        self.kill_group();
        let status = self.child.wait();
        self.reaped = true;
        status.map(Exit::from).map_err(|source| CommandError::Wait { command: self.line.clone(), source })
    }

    /// Whether it ended before the deadline. It is not reaped yet, so its id still names its group.
    fn wait_until(&self, deadline: Instant) -> io::Result<bool> {
        let Some(pid) = pid(&self.child) else { return Ok(true) };
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// What is left of the group may hold our pipes open. `ESRCH`, nobody there, is the good case; the only other one,
    /// `EPERM`, means a set-uid program that outlives us by its own right.
    fn kill_group(&self) {
        if let Some(group) = pid(&self.child) {
            match kill_process_group(group, Signal::KILL) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill_group();
            drop(self.child.wait());
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn collect<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))
}

/// A program that ends without reading all of its input is not an error here; its exit status says what it thought.
fn feed(mut pipe: ChildStdin, input: &[u8]) -> io::Result<()> {
    match pipe.write_all(input) {
        Err(broken) if broken.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn read_bounded(pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(OUTPUT_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > OUTPUT_LIMIT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

pub(crate) fn read_tail(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => continue,
            Err(other) => return Err(other),
        };
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * TAIL {
            kept.drain(..kept.len() - TAIL);
        }
    }
    kept.drain(..kept.len().saturating_sub(TAIL));
    Ok(kept)
}
