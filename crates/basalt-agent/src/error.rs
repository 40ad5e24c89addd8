use std::{error::Error, fmt, process::ExitCode};

use serde::{Deserialize, Serialize};

/// Whose turn it is to act; each has its exit code, documented at the top of the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// This machine lacks something, or a step failed.
    Host,
    /// The disk is not as it must be; nothing was written.
    Refused,
    /// A file that the image or `basalt-init` wrote can't be understood.
    Format,
}

/// An error on its way to the person.
#[derive(Debug)]
pub(crate) struct AgentError {
    pub(crate) kind: Kind,
    pub(crate) error: Box<dyn Error + Send + Sync>,
    pub(crate) hints: Vec<String>,
}

pub(crate) type AgentResult<T> = Result<T, AgentError>;

impl Kind {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Host => 3,
            Self::Refused => 4,
            Self::Format => 5,
        })
    }
}

impl AgentError {
    pub(crate) fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for AgentError {
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

/// Gives an error its kind on the way out.
pub(crate) trait OrFail<T> {
    /// Fails with this kind.
    fn or_fail(self, kind: Kind) -> AgentResult<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: Kind) -> AgentResult<T> {
        self.map_err(|error| AgentError::new(kind, error))
    }
}
