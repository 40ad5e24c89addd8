//! The one door to subprocesses.
//!
//! ```text
//! Program::find("mkfs.ext4", "e2fsprogs")?      observe: is it there?
//!   → Command::new(&program).args([...])        plan: argv, environment, input, time limit
//!   → .run()?                                   execute: exit status 0, or an error that names all of it
//! ```
//!
//! Guarantees: no shell; only the variables given plus `PATH`, `LANG=C.UTF-8` and `TZ=UTC0`; standard input is empty
//! unless bytes are given; the program is the head of its own process group, which is killed as a whole when the time
//! is over or the value is dropped; the program dies with the thread that started it (`PR_SET_PDEATHSIG`), so a killed
//! Basalt leaves nothing behind; output is bounded in memory.
//!
//! Not here: namespaces (see [`crate::sandbox`]) and retries.

mod error;
mod running;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

pub use error::CommandError;
pub use running::{Exit, Running};
pub(crate) use running::{die_with_parent, read_tail};

/// Where programs are looked for, and the `PATH` they get.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a program may run when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// How much standard output is kept; a program that prints more is killed and refused.
const OUTPUT_LIMIT: usize = 64 << 20;

/// A program that was seen to exist and to be executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
}

/// One run of a program, planned.
#[derive(Debug, Clone)]
pub struct Command {
    program: Program,
    args: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: PathBuf,
    input: Vec<u8>,
    timeout: Duration,
    streams: Streams,
}

/// Where the program's standard output and error go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Both are kept: all of the output (up to 64 MiB), the last lines of the errors.
    Captured,
    /// Both go where this program's go: for what a person watches.
    Inherited,
}

/// What a program that ended said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The last lines of its standard error, at most 8 KiB.
    pub stderr_tail: String,
}

impl Program {
    /// Finds `name` in the usual directories; `package` is the Debian package that the error tells to install.
    ///
    /// # Errors
    /// [`CommandError::Missing`] when no such executable file is there.
    pub fn find(name: &str, package: &'static str) -> Result<Self, CommandError> {
        SEARCH_PATH
            .split(':')
            .map(|directory| Path::new(directory).join(name))
            .find(|path| is_executable(path))
            .map(|path| Self { path })
            .ok_or_else(|| CommandError::Missing { program: name.to_owned(), package })
    }

    /// The program at this path.
    ///
    /// # Errors
    /// [`CommandError::NotExecutable`] when it is no executable file.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, CommandError> {
        let path = path.into();
        if is_executable(&path) { Ok(Self { path }) } else { Err(CommandError::NotExecutable { path }) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl Command {
    /// A run without arguments in `/`, with a scrubbed environment and ten minutes of time.
    pub fn new(program: &Program) -> Self {
        let environment = [("PATH", SEARCH_PATH), ("LANG", "C.UTF-8"), ("TZ", "UTC0")];
        Self {
            program: program.clone(),
            args: Vec::new(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
            directory: PathBuf::from("/"),
            input: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            streams: Streams::Captured,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; the program sees only what is set here.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Gives these bytes as standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Sets how long it may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets where output and errors go.
    #[must_use]
    pub fn streams(mut self, streams: Streams) -> Self {
        self.streams = streams;
        self
    }

    /// Runs it to its end; anything but exit status 0 is an error. Gives its standard output.
    ///
    /// # Errors
    /// When it can't be started, is out of time, or fails; each names the program, its arguments and its last words.
    pub fn run(self) -> Result<Vec<u8>, CommandError> {
        let line = self.line();
        let finished = self.finish()?;
        match finished.exit {
            Exit::Code(0) => Ok(finished.stdout),
            exit @ (Exit::Code(_) | Exit::Signal(_)) => {
                Err(CommandError::Failed { command: line, exit, tail: finished.stderr_tail })
            }
        }
    }

    /// Runs it to its end, whatever its exit status is.
    ///
    /// # Errors
    /// When it can't be started or is out of time.
    pub fn finish(self) -> Result<Finished, CommandError> {
        let timeout = self.timeout;
        self.start()?.finish(timeout)
    }

    /// Starts it and gives it back running; dropping the value kills it and all its children.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(self) -> Result<Running, CommandError> {
        running::start(self)
    }

    /// The command as a person would type it, for messages.
    pub fn line(&self) -> String {
        let mut words = vec![self.program.path.display().to_string()];
        words.extend(self.args.iter().map(|arg| quoted(&arg.to_string_lossy())));
        words.join(" ")
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
