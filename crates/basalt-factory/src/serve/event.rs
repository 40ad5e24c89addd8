//! What happens to a build, one event a line of its `events.jsonl`; the number of the line is the event's id.
//!
//! Written by the server until the build runs and after it has ended, and by the build's own process in between. A line that
//! a power cut tore is taken off before the next one is written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{CommandError, Kind};

/// One thing that happened, as clients read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "event")]
pub(crate) enum Event {
    /// It waits for its turn.
    Queued {
        /// Why, when it waited or ran before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// A step began.
    Started {
        /// Which.
        step: String,
    },
    /// A step moved on.
    Progress {
        /// Which.
        step: String,
        /// How far, in bytes or items.
        done: u64,
        /// How far it goes.
        total: u64,
    },
    /// A step said something.
    Note {
        /// Which.
        step: String,
        /// One line.
        text: String,
    },
    /// A step does not run.
    Kept {
        /// Which.
        step: String,
        /// Why.
        because: String,
    },
    /// A step ended well.
    Finished {
        /// Which.
        step: String,
        /// How long it took.
        milliseconds: u64,
        /// What it made, in a few words.
        result: String,
    },
    /// The build ended well.
    Succeeded {
        /// How long it took, all steps together.
        milliseconds: u64,
        /// The identity of the release.
        image: String,
    },
    /// The build ended badly.
    Failed(Failure),
    /// Somebody stopped it.
    Cancelled {
        /// Who.
        by: String,
    },
}

/// Why a build ended badly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    /// The step that it ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    /// Whose turn it is.
    pub(super) whose: Whose,
    /// What happened.
    pub(super) error: String,
    /// Why, the nearest cause first.
    pub(super) causes: Vec<String>,
    /// What to do next, most useful first.
    pub(super) hints: Vec<String>,
}

/// Whose turn it is after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whose {
    /// The recipe asks for what can't be.
    Recipe,
    /// The machine that builds lacks something.
    Factory,
    /// A mirror or registry is missing, broken or not to be trusted.
    Archive,
    /// The program is wrong.
    Program,
}

impl Event {
    /// Whether nothing comes after it.
    pub(crate) const fn is_last(&self) -> bool {
        match self {
            Self::Succeeded { .. } | Self::Failed(_) | Self::Cancelled { .. } => true,
            Self::Queued { .. }
            | Self::Started { .. }
            | Self::Progress { .. }
            | Self::Note { .. }
            | Self::Kept { .. }
            | Self::Finished { .. } => false,
        }
    }

    /// The word for it, as the `event:` of a stream.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Started { .. } => "started",
            Self::Progress { .. } => "progress",
            Self::Note { .. } => "note",
            Self::Kept { .. } => "kept",
            Self::Finished { .. } => "finished",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// The line of a log for people; none for what is only a number that grows.
    pub(super) fn line(&self) -> Option<String> {
        Some(match self {
            Self::Progress { .. } => return None,
            Self::Queued { because: None } => "queued".to_owned(),
            Self::Queued { because: Some(why) } => format!("queued again: {why}"),
            Self::Started { step } => format!("{step:<10} starts"),
            Self::Note { step, text } => format!("{step:<10} {text}"),
            Self::Kept { step, because } => format!("{step:<10} not needed: {because}"),
            Self::Finished { step, milliseconds, result } => {
                format!("{step:<10} done in {}: {result}", seconds(*milliseconds))
            }
            Self::Succeeded { milliseconds, image } => {
                format!("succeeded in {}: {image}", seconds(*milliseconds))
            }
            Self::Failed(failure) => failure.text(),
            Self::Cancelled { by } => format!("cancelled by {by}"),
        })
    }
}

impl Failure {
    /// Why a build ended in `step`.
    pub(super) fn of(step: Option<String>, error: &CommandError) -> Self {
        let whose = match error.kind {
            Kind::User | Kind::Config => Whose::Recipe,
            Kind::Host | Kind::Interrupted => Whose::Factory,
            Kind::Remote => Whose::Archive,
            Kind::Bug => Whose::Program,
        };
        let mut causes = Vec::new();
        let mut source = error.error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self { step, whose, error: error.error.to_string(), causes, hints: error.hints.clone() }
    }

    /// One that has no causes to tell.
    pub(super) fn bare(error: String, whose: Whose) -> Self {
        Self { step: None, whose, error, causes: Vec::new(), hints: Vec::new() }
    }

    /// What happened and why, in a line.
    pub(super) fn line(&self) -> String {
        std::iter::once(&self.error).chain(&self.causes).cloned().collect::<Vec<_>>().join(": ")
    }

    fn text(&self) -> String {
        let Self { step, whose: _, error, causes, hints } = self;
        let step = step.as_ref().map(|step| format!(" in {step}")).unwrap_or_default();
        let causes: String = causes.iter().map(|cause| format!("\n  because: {cause}")).collect();
        let hints: String = hints.iter().map(|hint| format!("\n  next: {hint}")).collect();
        format!("failed{step}: {error}{causes}{hints}")
    }
}

/// A time for people.
pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

/// Where a build's events are.
#[derive(Clone, Debug)]
pub(super) struct EventLog(PathBuf);

impl EventLog {
    /// The log of the build in `folder`.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("events.jsonl"))
    }

    /// Writes one more event.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn append(&self, event: &Event) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.0)?;
        mend(&mut file)?;
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// The events after the first `seen`, with their numbers from 1. There are none before the first is written.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn after(&self, seen: usize) -> io::Result<Vec<(usize, Event)>> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // What has no newline is being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().enumerate().skip(seen);
        lines.map(|(index, line)| Ok((index + 1, serde_json::from_str(line)?))).collect()
    }
}

/// Takes a torn line off the end.
fn mend(file: &mut File) -> io::Result<()> {
    let size = file.seek(SeekFrom::End(0))?;
    let start = size.saturating_sub(1 << 16);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let kept = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
    if start + kept < size { file.set_len(start + kept) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write as _};

    use super::{Event, EventLog};

    #[test]
    fn a_torn_line_is_never_read_and_goes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::in_folder(folder.path());
        assert_eq!(log.after(0).unwrap(), []);
        let queued = Event::Queued { because: None };
        let note = Event::Note { step: "base".to_owned(), text: "<b>".to_owned() };
        log.append(&queued).unwrap();
        let path = folder.path().join("events.jsonl");
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"event\":\"no").unwrap();
        assert_eq!(log.after(0).unwrap(), [(1, queued.clone())]);
        log.append(&note).unwrap();
        assert_eq!(log.after(0).unwrap(), [(1, queued), (2, note.clone())]);
        assert_eq!(log.after(1).unwrap(), [(2, note)]);
    }
}
