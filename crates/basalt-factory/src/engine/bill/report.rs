//! `NAME.report.json`, and the same in a few lines for people.

use std::fmt;

use basalt_image::{plan::StepName, sbom::Inventory};
use basalt_spec::Manifest;
use basalt_types::{ByteSize, Digest};
use serde::Serialize;

use super::Checksum;
use crate::report::Event;

/// The version of the report's format.
const FORMAT: u32 = 1;

/// How many packages are named.
const LARGEST: usize = 10;

/// How a build went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildReport {
    /// The format: 1.
    pub format: u32,
    /// The image's name.
    pub name: String,
    /// The image's version.
    pub version: String,
    /// The image's id.
    pub id: Digest,
    /// The version of Basalt that built it.
    pub tool: String,
    /// The steps, in their order.
    pub steps: Vec<StepReport>,
    /// What was made.
    pub files: Vec<Checksum>,
    /// How many packages are in the image; `None` when it was not described.
    pub packages: Option<usize>,
    /// The largest of them by what their files take, largest first.
    pub largest: Vec<PackageSize>,
    /// How many files are in the image, and how many of them belong to no package.
    pub image_files: Option<(usize, usize)>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum StepReport {
    /// It ran.
    Ran {
        /// Which.
        step: StepName,
        /// How long it took.
        milliseconds: u64,
        /// What it made, in a few words.
        result: String,
    },
    /// An earlier result was taken, or none was needed.
    Kept {
        /// Which.
        step: StepName,
        /// Why.
        because: String,
    },
}

/// A package and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageSize {
    /// Its name.
    pub name: String,
    /// The bytes of its files.
    pub bytes: u64,
}

impl BuildReport {
    pub(super) fn new(
        manifest: &Manifest,
        events: &[Event],
        files: &[Checksum],
        inventory: Option<&Inventory>,
    ) -> Self {
        let nobodys = |inventory: &Inventory| inventory.files_of(None).count();
        Self {
            format: FORMAT,
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            id: manifest.id,
            tool: manifest.tool.clone(),
            steps: events.iter().filter_map(StepReport::of).collect(),
            files: files.to_vec(),
            packages: inventory.map(|inventory| inventory.packages.len()),
            largest: inventory.map(largest).unwrap_or_default(),
            image_files: inventory.map(|inventory| (inventory.files.len(), nobodys(inventory))),
        }
    }
}

fn largest(inventory: &Inventory) -> Vec<PackageSize> {
    let packages = inventory.largest(LARGEST).into_iter();
    packages.map(|one| PackageSize { name: one.installed.name.clone(), bytes: one.size }).collect()
}

impl StepReport {
    fn of(event: &Event) -> Option<Self> {
        match event.clone() {
            Event::Finished { step, milliseconds, result } => Some(Self::Ran { step, milliseconds, result }),
            Event::Kept { step, because } => Some(Self::Kept { step, because }),
            Event::Started { .. } | Event::Progress { .. } | Event::Note { .. } => None,
        }
    }
}

impl fmt::Display for BuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let human = |bytes: u64| ByteSize::bytes(bytes).human();
        let ran = |step: &StepReport| match step {
            StepReport::Ran { milliseconds, .. } => Some(*milliseconds),
            StepReport::Kept { .. } => None,
        };
        let times: Vec<u64> = self.steps.iter().filter_map(ran).collect();
        let seconds = times.iter().sum::<u64>() as f64 / 1000.0;
        let kept = self.steps.len() - times.len();
        writeln!(
            f,
            "{} {}: {} steps in {seconds:.2} s, {kept} reused",
            self.name,
            self.version,
            times.len()
        )?;
        for Checksum { file, size, allocated, sha256: _ } in &self.files {
            match allocated < size {
                true => writeln!(f, "  {:>9}  {file} ({} on the disk)", human(*size), human(*allocated))?,
                false => writeln!(f, "  {:>9}  {file}", human(*size))?,
            }
        }
        if let (Some(packages), Some((files, nobodys))) = (self.packages, self.image_files) {
            writeln!(f, "{packages} packages; {nobodys} of {files} files belong to none")?;
        }
        let largest = self.largest.iter().take(5);
        let largest: Vec<String> = largest.map(|one| format!("{} {}", one.name, human(one.bytes))).collect();
        match largest.is_empty() {
            true => Ok(()),
            false => writeln!(f, "largest: {}", largest.join(", ")),
        }
    }
}
