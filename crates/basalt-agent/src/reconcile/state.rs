//! What is remembered: the record on the data volume, the report in memory.

use std::{fs, io, path::Path};

use basalt_exec::files::{Access, write_atomic};
use basalt_node::reconcile::{Record, Report};
use serde::{Serialize, de::DeserializeOwned};

use super::System;
use crate::error::{AgentError, AgentResult, Kind, OrFail as _};

/// A record is some paths and names; a larger one is none of ours.
const MOST_BYTES: u64 = 16 << 20;

/// A file of ours that can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be understood")]
struct Malformed {
    path: String,
    source: serde_json::Error,
}

/// Below the root, without the leading `/`.
fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

pub(super) fn read<T: DeserializeOwned + Default>(system: &System, path: &str) -> AgentResult<T> {
    let bytes = system.root.read_if_present(relative(path), MOST_BYTES).or_fail(Kind::Host)?;
    let Some(bytes) = bytes else { return Ok(T::default()) };
    serde_json::from_slice(&bytes).map_err(|source| {
        let error = Malformed { path: path.to_owned(), source };
        AgentError::new(Kind::Format, error)
            .hint(format!("`fsck` the data volume; without {path} nothing that was written before is undone"))
    })
}

pub(super) fn write(system: &System, path: &str, value: &impl Serialize) -> AgentResult<()> {
    let bytes = serde_json::to_vec_pretty(value).or_fail(Kind::Host)?;
    let folder = Path::new(relative(path)).parent().unwrap_or(Path::new(""));
    system.root.create_directories(folder).or_fail(Kind::Host)?;
    system.root.write_atomic(relative(path), &bytes, Access::Secret).or_fail(Kind::Host)
}

pub(super) fn read_record(system: &System) -> AgentResult<Record> {
    read(system, Record::PATH)
}

pub(super) fn write_record(system: &System, record: &Record) -> AgentResult<()> {
    write(system, Record::PATH, record)
}

pub(super) fn write_report(report: &Report) -> AgentResult<()> {
    let bytes = serde_json::to_vec_pretty(report).or_fail(Kind::Host)?;
    // A mistake is shown with its line, in which a secret may stand.
    write_atomic(Path::new(Report::PATH), &bytes, Access::Secret).or_fail(Kind::Host)
}

/// How the last reconciliation of this boot went; nothing if there was none, or for who may not see it.
pub(crate) fn read_report() -> AgentResult<Option<Report>> {
    let path = Report::PATH;
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Malformed { path: path.to_owned(), source })
            .or_fail(Kind::Format),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(AgentError::new(Kind::Host, error)),
    }
}
