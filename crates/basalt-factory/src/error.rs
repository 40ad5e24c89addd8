//! What the program says when it stops: one line of what, the chain of why, and hints that name the next step.

use std::{error::Error, fmt, process::ExitCode};

/// Whose turn it is to act. Each kind has its fixed exit code, documented in the book's CLI reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the recipe asks for something that can't be (exit code 1).
    User,
    /// A recipe, lock or configuration file is not valid (exit code 2, as clap's own).
    Config,
    /// This machine lacks something: a tool, space, a permission (exit code 3).
    Host,
    /// A mirror or registry is missing, broken or not to be trusted (exit code 4).
    Remote,
    /// The program itself is wrong (exit code 70, `EX_SOFTWARE` of sysexits.h).
    Bug,
    /// Stopped by ctrl-C or SIGTERM (exit code 130).
    Interrupted,
}

/// An error on its way to the person.
#[derive(Debug)]
pub struct CommandError {
    /// Whose turn it is.
    pub kind: Kind,
    /// What happened; its chain of sources is printed with it.
    pub error: Box<dyn Error + Send + Sync>,
    /// What to do next, most useful first.
    pub hints: Vec<String>,
}

/// The result of a command.
pub type CommandResult<T = ()> = Result<T, CommandError>;

impl Kind {
    /// The exit code of this kind.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::User => 1,
            Self::Config => 2,
            Self::Host => 3,
            Self::Remote => 4,
            Self::Bug => 70,
            Self::Interrupted => 130,
        })
    }
}

impl CommandError {
    /// An error without a hint yet.
    pub fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// Mistakes in a file that a person wrote, shown with the lines they are in.
    pub fn in_file(error: basalt_spec::SpecError) -> Self {
        let shown = format!("{:?}", miette::Report::new(error));
        Self::new(Kind::Config, Rendered(shown))
    }

    /// Mistakes in several files that are read together.
    pub fn in_files(errors: &[basalt_spec::SpecError]) -> Self {
        let shown = errors.iter().map(|error| format!("{:?}", miette::Report::new(error.clone())));
        Self::new(Kind::Config, Rendered(shown.collect()))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut source = self.error.source();
        while let Some(cause) = source {
            write!(f, "\n  because: {cause}")?;
            source = cause.source();
        }
        for hint in &self.hints {
            write!(f, "\n  next: {hint}")?;
        }
        Ok(())
    }
}

/// An error that was made readable already.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.trim())]
struct Rendered(String);

/// Gives an error its kind on the way out of a command.
pub trait OrFail<T> {
    /// Fails with this kind.
    fn or_fail(self, kind: Kind) -> CommandResult<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: Kind) -> CommandResult<T> {
        self.map_err(|error| CommandError::new(kind, error))
    }
}

/// An error and why, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
