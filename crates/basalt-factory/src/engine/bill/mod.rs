//! What goes with every build: bills of materials, checksums and a report, written beside the artifacts.
//!
//! ```text
//! NAME.cdx.json     CycloneDX 1.6 ┐ from the finished tree and the lock; the same for every build of the same image
//! NAME.spdx.json    SPDX 2.3      ┘
//! NAME.sha256       a line for every file that was made, as sha256sum(1) writes and checks them
//! NAME.report.json  what took how long, what was reused and why, sizes: differs from build to build
//! ```
//!
//! Bills and checksums are made at the same time, files on all cores. Each file appears under its name when it is whole.
//!
//! Not here: making artifacts, and what a bill says (`basalt_image::sbom`).

mod checksums;
mod report;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use basalt_formats::{
    WriteAt as _,
    tree::{NodeId, ReadContent, Tree},
};
use basalt_image::sbom::{About, FileDigests, Inventory, SbomError, Subject, cyclonedx, spdx};
use basalt_spec::{Lock, Manifest};
use basalt_types::Digest;
use thiserror::Error;

use super::output::{OutputError, PartialFile, Stamp};
use crate::report::Event;

pub use checksums::{Checksum, Made};
pub use report::{BuildReport, PackageSize, StepReport};

/// The endings of the files that are written here.
pub const ENDINGS: [&str; 4] = ["cdx.json", "spdx.json", "sha256", "report.json"];

/// What a build made, and what is known of it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What was built.
    pub manifest: &'a Manifest,
    /// From which packages.
    pub lock: &'a Lock,
    /// The finished tree, and where its files are; `None` when there is none to describe.
    pub root: Option<(&'a Tree, &'a dyn ReadContent)>,
    /// SHA-256s of files that somebody has computed already.
    pub known: &'a (dyn Fn(NodeId) -> Option<Digest> + Sync),
    /// The files and folders that were made, the manifest among them.
    pub made: &'a [Made],
    /// What the build told: of each step, that it was kept or finished.
    pub events: &'a [Event],
    /// The path of an artifact by its ending.
    pub place: &'a dyn Fn(&str) -> PathBuf,
    /// The key of the step that writes outputs.
    pub key: Digest,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The stamps of the files, by path.
    pub stamps: BTreeMap<PathBuf, Stamp>,
    /// What the report says; prints as a summary for people.
    pub report: BuildReport,
}

/// Why something could not be written.
#[derive(Debug, Error)]
pub enum BillError {
    /// The tree can't be described.
    #[error("no bill of materials can be written")]
    Sbom(#[from] SbomError),
    /// An artifact can't be read again.
    #[error("can't read {path} for its checksum")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The report can't be written as JSON.
    #[error("the report can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("made", &self.made).finish_non_exhaustive()
    }
}

/// Writes everything that goes with a build. Run again, it writes the same bills and checksums.
///
/// # Errors
/// When the tree or an artifact can't be read, or a file can't be written.
pub fn write(request: &Request<'_>) -> Result<Written, BillError> {
    let Request { manifest, lock, root, known, made, events, place, key } = *request;
    let describe = || root.map(|root| Described::of(manifest, lock, root, known)).transpose();
    let (described, sums) = rayon::join(describe, || checksums::of(made));
    let (described, mut sums) = (described?, sums?);

    let mut stamps = BTreeMap::new();
    let mut put = |ending: &str, bytes: &[u8]| -> Result<PathBuf, BillError> {
        let path = place(ending);
        stamps.insert(path.clone(), write_file(&path, bytes, key)?);
        Ok(path)
    };
    if let Some(Described { bills, .. }) = &described {
        for (ending, bytes) in bills {
            let path = put(ending, bytes)?;
            sums.push(Checksum::new(&path, Digest::of(bytes), bytes.len() as u64));
        }
    }
    sums.sort();
    put("sha256", checksums::lines(&sums).as_bytes())?;
    let inventory = described.as_ref().map(|described| &described.inventory);
    let report = BuildReport::new(manifest, events, &sums, inventory);
    put("report.json", (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
    Ok(Written { stamps, report })
}

/// A tree's inventory and its bills, by ending.
struct Described {
    inventory: Inventory,
    bills: [(&'static str, Vec<u8>); 2],
}

impl Described {
    fn of(
        manifest: &Manifest,
        lock: &Lock,
        (tree, content): (&Tree, &dyn ReadContent),
        known: &(dyn Fn(NodeId) -> Option<Digest> + Sync),
    ) -> Result<Self, BillError> {
        let digests = FileDigests::compute(tree, content, known)?;
        let about = About::from(manifest);
        let inventory =
            Inventory::observe(Subject { about: &about, lock, tree, content, digests: &digests })?;
        let (cyclonedx, spdx) =
            rayon::join(|| cyclonedx::document(&inventory), || spdx::document(&inventory));
        let bills = [(ENDINGS[0], cyclonedx?), (ENDINGS[1], spdx?)];
        Ok(Self { inventory, bills })
    }
}

fn write_file(path: &Path, bytes: &[u8], key: Digest) -> Result<Stamp, BillError> {
    let file = PartialFile::create(path)?;
    file.write_at(0, bytes).map_err(|source| OutputError::new(path, source))?;
    Ok(file.finish(key)?)
}
