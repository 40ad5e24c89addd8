//! `basalt measure`: what a TPM will hold when an image boots.

use std::{
    fs,
    path::{Path, PathBuf},
};

use basalt_formats::{
    tpm::{PcrIndex, log},
    uki::{self, Measured},
};
use basalt_types::Digest;
use serde::Serialize;

use super::{FileError, inspect::kernel_images};
use crate::{
    engine::artifact::Artifact,
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Predict register 11 of the TPM for each stage of a boot
///
/// The boot stub measures the parts of the unified kernel image into that register, and programs measure a word at each stage.
/// What is bound to one of these values opens for this image at this stage, and for no other.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A unified kernel image (output `uki`), or a disk with some
    file: PathBuf,
    /// Say what this event log of a machine tells otherwise; exit code 4 when it does. Linux has it as
    /// /sys/kernel/security/tpm0/binary_bios_measurements
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    event_log: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What will be measured of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// The file, or the boot entry of a disk.
    image: String,
    sections: Vec<Section>,
    phases: Vec<Phase>,
}

#[derive(Debug, Serialize)]
struct Section {
    name: &'static str,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct Phase {
    /// As systemd-measure(1) writes it.
    path: String,
    pcr: u8,
    sha256: String,
    /// Of the policy that only this value meets.
    policy: String,
}

/// Runs the command.
///
/// # Errors
/// When the file holds no unified kernel image.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { file, event_log, json } = arguments;
    let images = match Artifact::open(file).or_fail(Kind::User)? {
        Artifact::Program(bytes) => vec![(file.display().to_string(), bytes)],
        Artifact::Disk(disk, parsed) => {
            let found = kernel_images(&disk, &parsed)?.into_iter();
            found.map(|(entry, bytes)| (entry.to_string(), bytes)).collect()
        }
        Artifact::Root(_) | Artifact::Manifest(_) | Artifact::Lock(_) => Vec::new(),
    };
    if images.is_empty() {
        let error = CommandError::new(Kind::User, format!("{} has no unified kernel image", file.display()));
        return Err(error.hint("the outputs `uki` and `disk` of a recipe have one"));
    }
    let mut measured = Vec::new();
    for (image, bytes) in images {
        measured.push((image, uki::measure(&bytes).or_fail(Kind::User)?));
    }
    if let Some(path) = event_log {
        return explain(&measured, path);
    }
    let reports: Vec<_> =
        measured.into_iter().map(|(image, measured)| Report::new(image, &measured)).collect();
    match json {
        true => super::print(&serde_json::to_string_pretty(&reports).or_fail(Kind::Bug)?),
        false => super::print(&reports.iter().map(Report::text).collect::<String>()),
    }
}

/// Says for each image whether a boot of it was measured, or what was otherwise.
fn explain(images: &[(String, Measured)], path: &Path) -> CommandResult {
    let bytes = fs::read(path);
    let bytes = bytes.map_err(|source| CommandError::new(Kind::User, FileError::new(path, source)))?;
    let events = log::parse(&bytes).map_err(|error| {
        CommandError::new(Kind::User, error).hint(format!("{} is to be a copy of the log", path.display()))
    })?;
    let mut differ = Vec::new();
    for (image, measured) in images {
        let differences = measured.differences(&events);
        if differences.is_empty() {
            let register = measured.image();
            return super::print(&format!(
                "{image}: its boot was measured; register 11 before any word is {register}"
            ));
        }
        differ.extend(differences.iter().map(|difference| format!("{image}: {difference}")));
    }
    Err(CommandError::new(Kind::Remote, format!("the log tells of another boot\n  {}", differ.join("\n  "))))
}

impl Report {
    fn new(image: String, measured: &Measured) -> Self {
        let section = |(name, digest): &(&'static str, Digest)| Section { name, sha256: digest.hex() };
        let phases = measured.predict().into_iter().map(|stage| Phase {
            path: stage.phase.path(),
            pcr: PcrIndex::KERNEL_IMAGE.number(),
            sha256: stage.pcr.to_string(),
            policy: stage.policy.hex(),
        });
        Self { image, sections: measured.sections.iter().map(section).collect(), phases: phases.collect() }
    }

    fn text(&self) -> String {
        let Self { image, sections, phases } = self;
        let mut text = format!("{image}\n  measured, in this order\n");
        text.extend(sections.iter().map(|Section { name, sha256 }| format!("    {name:<13} {sha256}\n")));
        text.push_str("  register 11 (SHA-256) from this word on\n");
        text.extend(phases.iter().map(|Phase { path, sha256, .. }| {
            let word = path.rsplit(':').next().unwrap_or_default();
            format!("    {word:<13} {sha256}\n")
        }));
        text
    }
}
