//! Extensions: what the store has, what systemd merged, and bringing both to what a plan says.
//!
//! ```text
//! /var/lib/basalt/extensions/DIGEST.raw     the image, whole and verified; `/run/extensions/NAME.raw` leads there
//! /var/lib/basalt/extensions/DIGEST.json    what was found in it; written last, so it says that the image is whole
//! /var/lib/basalt/extensions/fetch/         downloads that are not complete; they are continued
//! ```
//!
//! `DIGEST` is the one of the document: for an OCI artifact its manifest's, which names the image's.

mod fetch;
mod observe;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_exec::{
    command::{Command, CommandError, Program},
    files::FileError,
};
use basalt_fetch::{http::HttpError, oci::OciError, store::StoreError};
use basalt_image::extension::{Inspected, Sort};
use basalt_types::{Architecture, ByteSize, Digest};
use serde::{Deserialize, Serialize};

pub(super) use fetch::fetch;
pub(super) use observe::{Hash, facts};

/// Merging attaches a loop device for each image, and asks udev.
const PATIENCE: Duration = Duration::from_secs(300);
/// Where downloads are, below the store.
const DOWNLOADS: &str = "fetch";

/// What this program, and so the image that it is in, was compiled for.
const ARCHITECTURE: Architecture =
    if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::Amd64 };

/// Why something could not be done with an extension.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExtensionError {
    #[error("can't {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Program(#[from] CommandError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Oci(#[from] OciError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what is known of it can't be written")]
    Json(#[from] serde_json::Error),
    #[error("{place} does not say how long it is (Content-Length)")]
    NoLength { place: String },
    #[error("{place} answered a question for its length with status {status}")]
    Status { place: String, status: u16 },
    #[error("{place} has the digest {found}, and the document says {expected}")]
    OtherDigest { place: String, found: Digest, expected: Digest },
    #[error("{place} has {found} layers; an extension is one layer, which is the disk image")]
    Layers { place: String, found: usize },
    #[error("it has {}, and the data volume has {} left", size.human(), free.human())]
    NoRoom { size: ByteSize, free: ByteSize },
    #[error("systemd does not merge {}: `journalctl -u basalt-agent -u basalt-reconcile` says why", .0.join(", "))]
    NotMerged(Vec<String>),
}

/// What stands in `DIGEST.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Known {
    /// The digest of the image's bytes.
    content: Digest,
    /// How many they are.
    size: u64,
    /// What was found in them.
    found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Found {
    Image(Inspected),
    Unusable(String),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExtensionError {
    move |source| ExtensionError::Io { action, path: path.to_owned(), source }
}

fn image(store: &Path, digest: &Digest) -> PathBuf {
    store.join(format!("{}.raw", digest.hex()))
}

fn known(store: &Path, digest: &Digest) -> PathBuf {
    store.join(format!("{}.json", digest.hex()))
}

/// Removes an image: first what says that it is whole. Who has it mounted keeps its bytes until it lets go.
pub(super) fn forget(store: &Path, digest: &Digest) -> Result<(), ExtensionError> {
    let partial = store.join(DOWNLOADS).join("partial").join(digest.hex());
    for path in [known(store, digest), image(store, digest), partial] {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("remove", &path)(error)),
        }
    }
    Ok(())
}

/// Lets systemd merge what is linked in `/run` now, and nothing else of ours. What it leaves out is an error: it only says so in
/// the journal.
pub(super) fn refresh(sort: Sort) -> Result<(), ExtensionError> {
    let (name, arguments, folder): (_, &[&str], _) = match sort {
        Sort::System => ("systemd-sysext", &["refresh"], "/run/extensions"),
        // Programs and this agent go on writing into /etc; what they wrote is forgotten with the next refresh, as with a reboot.
        Sort::Configuration => ("systemd-confext", &["--mutable=ephemeral", "refresh"], "/run/confexts"),
    };
    let program = Program::find(name, "systemd")?;
    Command::new(&program).args(arguments).timeout(PATIENCE).run()?;
    let merged = observe::merged(sort)?;
    let left_out: Vec<String> =
        observe::linked(Path::new(folder))?.into_iter().filter(|name| !merged.contains(name)).collect();
    if left_out.is_empty() { Ok(()) } else { Err(ExtensionError::NotMerged(left_out)) }
}
