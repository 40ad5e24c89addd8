//! What is printed. Events are JSON lines, so that the journal keeps them for programs; a failure is for people.

use std::io::{self, Write as _};

use basalt_node::{NodePlan, Refusal, Step};
use serde::Serialize;

use crate::error::{AgentError, AgentResult, Kind, OrFail as _};

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub(crate) enum Event<'a> {
    /// This is what will be done.
    Planned {
        /// The steps, and the notes.
        plan: &'a NodePlan,
    },
    /// A step begins.
    Started {
        /// Which.
        #[serde(flatten)]
        step: &'a Step,
    },
    /// Everything was done.
    Finished {
        /// How many steps.
        steps: usize,
    },
    /// Nothing is done, for this reason.
    Refused {
        /// Why.
        #[serde(flatten)]
        refusal: &'a Refusal,
        /// For people.
        message: String,
        /// What to do next.
        next: String,
    },
}

/// Prints one event as one line.
pub(crate) fn event(event: &Event<'_>) -> AgentResult<()> {
    let mut line = serde_json::to_vec(event).or_fail(Kind::Host)?;
    line.push(b'\n');
    print(&line)
}

/// Prints to standard output.
pub(crate) fn print(bytes: &[u8]) -> AgentResult<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).or_fail(Kind::Host)
}

/// Prints an error. When standard error is gone too, the exit code still tells.
pub(crate) fn failure(error: &AgentError) {
    match writeln!(io::stderr().lock(), "basalt-agent: {error}") {
        Ok(()) | Err(_) => {}
    }
}
