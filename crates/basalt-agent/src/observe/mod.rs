//! Reading facts. Nothing here decides, and nothing writes.

mod doctor;
mod efi;
pub(crate) mod health;
mod history;
pub(crate) mod install;
mod medium;
mod network;
mod provision;
pub(crate) mod release;
mod ssh;
mod status;
pub(crate) mod upgrade;

pub(crate) use doctor::{CRASHES, crash_files, doctor};
pub(crate) use history::{Line, history, records};
pub(crate) use medium::Window;
pub(crate) use network::network;
pub(crate) use provision::{OpenFor, provision, reset};
pub(crate) use ssh::ssh;
pub(crate) use status::status;

use std::{
    fs, io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use basalt_image::layout::ImageInfo;
use basalt_node::BootFacts;

use crate::error::{AgentError, AgentResult, Kind, OrFail as _};

/// A file that should be there and can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read {path}")]
struct Unread {
    path: &'static str,
    source: io::Error,
}

/// A file that can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be understood")]
struct Malformed<E: std::error::Error + 'static> {
    path: &'static str,
    source: E,
}

fn read(path: &'static str) -> Result<String, Unread> {
    fs::read_to_string(path).map_err(|source| Unread { path, source })
}

/// The image that runs, and how this boot of it began.
pub(crate) fn start() -> AgentResult<(ImageInfo, BootFacts)> {
    Ok((image()?, boot()?))
}

fn image() -> AgentResult<ImageInfo> {
    let path = ImageInfo::PATH;
    let text = read(path)
        .map_err(|error| AgentError::new(Kind::Host, error).hint("this is no Basalt image: run it in one"))?;
    ImageInfo::parse(&text).map_err(|source| Malformed { path, source }).or_fail(Kind::Format)
}

fn boot() -> AgentResult<BootFacts> {
    let path = BootFacts::PATH;
    let text = read(path).map_err(|error| {
        AgentError::new(Kind::Host, error).hint("basalt-init writes it: boot the image from its disk")
    })?;
    serde_json::from_str(&text).map_err(|source| Malformed { path, source }).or_fail(Kind::Format)
}

/// Seconds since 1970; a clock before that is taken for 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// The text of a file, or none when it is not there.
fn text_if_present(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
