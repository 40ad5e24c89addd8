//! What `basalt-agent status` says. [`Status`] is its JSON; [`Status::text`] is what people read.
//!
//! Every value that this user may not read, or that is not there, says so in its place: `{"unknown": "needsRoot"}`.
//! A status is degraded exactly when it has a warning.

mod facts;
mod text;

#[cfg(test)]
mod tests;

pub use facts::{Data, Fact, Facts, LoaderTimes, SystemFacts, Unknown, Verification};

use std::fmt;

use basalt_formats::bootentry::{Assessment, EntryName};
use basalt_image::layout::ImageInfo;
use basalt_types::{Architecture, ByteSize, Digest, ImageName, ImageVersion};
use serde::Serialize;

use crate::{
    BootFacts, BootSlot, MachineId,
    boot::to_hex,
    upgrade::{Happened, Record, compare_versions, is_set_aside},
};

/// A machine's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Healthy, or degraded when there is a warning.
    pub health: Health,
    /// Which image runs.
    pub image: Image,
    /// Its root.
    pub root: Fact<Root>,
    /// Whether the root is verified.
    pub verification: Fact<Verification>,
    /// The boot entry and its counter.
    pub boot: Fact<BootEntry>,
    /// What is mounted on `/var`.
    pub data: Fact<Data>,
    /// What systemd says.
    pub system: Fact<SystemFacts>,
    /// How long each part of the start took, in microseconds.
    pub start: Start,
    /// The machine's id.
    pub machine_id: Fact<MachineId>,
    /// What is wrong.
    pub warnings: Vec<Warning>,
}

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Nothing to warn of.
    Healthy,
    /// There are warnings.
    Degraded,
}

/// Which image runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its version.
    pub version: ImageVersion,
    /// The digest of its resolved recipe.
    pub id: Digest,
    /// The processors that it is for.
    pub architecture: Architecture,
}

/// The root that was booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// The root hash: 64 hex digits.
    #[serde(serialize_with = "to_hex")]
    pub hash: Digest,
    /// Which system it is; none when the partition's label is not ours.
    pub slot: Option<BootSlot>,
    /// The partition that holds it.
    pub device: String,
    /// The partition that holds the hash tree.
    pub hash_tree: String,
}

/// The boot entry of the running image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootEntry {
    /// The file in `EFI/Linux`.
    pub file: String,
    /// Whether a boot of it was found good.
    pub assessment: Tried,
    /// How often it may still be tried; none when nobody counts any more.
    pub tries_left: Option<u32>,
    /// How often it was tried.
    pub tries_done: Option<u32>,
}

/// What the boot counter says (UAPI.1, "Boot counting").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tried {
    /// A boot was found good.
    Good,
    /// Not decided: tries are left.
    Indeterminate,
    /// All tries are used up.
    Bad,
}

/// How long each part of the start took, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// From power-on to the boot loader.
    pub firmware: Fact<u64>,
    /// The boot loader.
    pub loader: Fact<u64>,
    /// From the kernel's first instruction to `basalt-init`.
    pub kernel: Fact<u64>,
    /// `basalt-init`.
    pub initramfs: Fact<u64>,
    /// From the hand-over until everything was started.
    pub userspace: Fact<u64>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "warning")]
pub enum Warning {
    /// A block of the root was bad.
    RootCorrupted,
    /// The root is not checked.
    RootNotVerified,
    /// The recovery system runs.
    Recovery,
    /// The boot entry has no try left: the next boot takes another entry.
    NoTriesLeft {
        /// The file.
        file: String,
    },
    /// Nothing is mounted on `/var`: what is written there is lost at the next boot, or can't be written.
    NoData,
    /// `/var` is nearly full.
    DataFull {
        /// How much is left, in bytes.
        #[serde(rename = "leftBytes", serialize_with = "facts::as_number")]
        left: ByteSize,
    },
    /// The boot loader gave a newer release up.
    GivenUp {
        /// The release.
        version: ImageVersion,
        /// Its boot entry.
        file: String,
        /// What its boots said, as it was recorded.
        why: Option<String>,
    },
    /// Units failed.
    FailedUnits {
        /// Their names.
        units: Vec<String>,
    },
}

impl Status {
    /// What the facts come to.
    pub fn new(facts: Facts) -> Self {
        let Facts { image, boot, verification, entries, history, data, system, loader, machine_id } = facts;
        let given_up = given_up(&image, &entries, &history);
        let start = Start::new(&loader, &boot, &system);
        let entry = entries.and_then(|entries| BootEntry::of(&image, entries));
        let root = boot.and_then(|boot| Fact::Known(Root::of(boot)));
        let mut status = Self {
            health: Health::Healthy,
            image: Image {
                name: image.name,
                version: image.version,
                id: image.id,
                architecture: image.architecture,
            },
            root,
            verification,
            boot: entry,
            data,
            system,
            start,
            machine_id,
            warnings: Vec::new(),
        };
        status.warnings = status.find_warnings();
        status.warnings.extend(given_up);
        if !status.warnings.is_empty() {
            status.health = Health::Degraded;
        }
        status
    }

    fn find_warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        match self.verification {
            Fact::Known(Verification::Corrupted) => warnings.push(Warning::RootCorrupted),
            Fact::Known(Verification::NotVerified) => warnings.push(Warning::RootNotVerified),
            Fact::Known(Verification::Verified) | Fact::Unknown { .. } => (),
        }
        if self.root.known().is_some_and(|root| root.slot == Some(BootSlot::Recovery)) {
            warnings.push(Warning::Recovery);
        }
        if let Some(entry) = self.boot.known().filter(|entry| entry.assessment == Tried::Bad) {
            warnings.push(Warning::NoTriesLeft { file: entry.file.clone() });
        }
        match &self.data {
            Fact::Known(data) if data.is_nearly_full() => {
                warnings.push(Warning::DataFull { left: data.left() })
            }
            Fact::Unknown { unknown: Unknown::Absent } => warnings.push(Warning::NoData),
            Fact::Known(_) | Fact::Unknown { .. } => (),
        }
        if let Some(system) = self.system.known().filter(|system| !system.failed_units.is_empty()) {
            warnings.push(Warning::FailedUnits { units: system.failed_units.clone() });
        }
        warnings
    }
}

/// A warning for each release that is newer than what runs and has no try left.
fn given_up(image: &ImageInfo, entries: &Fact<Vec<EntryName>>, history: &[Record]) -> Vec<Warning> {
    let entries = entries.known().map(Vec::as_slice).unwrap_or_default();
    let newer = entries.iter().filter_map(|entry| {
        let (name, version) = entry.image()?;
        let newer = name == image.name && compare_versions(&version, &image.version).is_gt();
        (newer && entry.is_bad() && !is_set_aside(entry)).then_some((entry.to_string(), version))
    });
    newer
        .map(|(file, version)| {
            let why = history.iter().rev().find_map(|record| match &record.event {
                Happened::FellBack { entry, why, .. } if *entry == file => why.clone(),
                Happened::FellBack { .. }
                | Happened::Upgraded { .. }
                | Happened::Staged { .. }
                | Happened::RolledBack { .. }
                | Happened::Booted { .. }
                | Happened::FoundGood { .. }
                | Happened::Promoted { .. }
                | Happened::NotGood { .. } => None,
            });
            Warning::GivenUp { version, file, why }
        })
        .collect()
}

impl Root {
    fn of(boot: &BootFacts) -> Self {
        Self {
            hash: boot.root_hash,
            slot: boot.slot,
            device: boot.root_device.clone(),
            hash_tree: boot.verity_device.clone(),
        }
    }
}

impl BootEntry {
    /// The entry of this image. Without one, the image was started from elsewhere: the network, a kernel option.
    fn of(image: &ImageInfo, entries: &[EntryName]) -> Fact<Self> {
        let ours = (&image.name, &image.version);
        let found = entries
            .iter()
            .find(|entry| entry.image().as_ref().is_some_and(|(name, version)| (name, version) == ours));
        let Some(entry) = found else { return Fact::unknown(Unknown::Absent) };
        let assessment = match entry.assessment() {
            Assessment::Good => Tried::Good,
            Assessment::Indeterminate => Tried::Indeterminate,
            Assessment::Bad => Tried::Bad,
        };
        let tries = entry.tries();
        Fact::Known(Self {
            file: entry.to_string(),
            assessment,
            tries_left: tries.map(|tries| tries.left),
            tries_done: tries.map(|tries| tries.done.unwrap_or(0)),
        })
    }
}

impl Start {
    fn new(loader: &Fact<LoaderTimes>, boot: &Fact<BootFacts>, system: &Fact<SystemFacts>) -> Self {
        let userspace = boot.and_then(|boot| {
            system.and_then(|system| match system.finished {
                Some(finished) => Fact::Known(finished.saturating_sub(boot.init_end_usec)),
                None => Fact::unknown(Unknown::NotYet),
            })
        });
        Self {
            firmware: loader.and_then(|times| Fact::Known(times.init)),
            loader: loader.and_then(|times| Fact::Known(times.exec.saturating_sub(times.init))),
            kernel: boot.and_then(|boot| Fact::Known(boot.init_start_usec)),
            initramfs: boot
                .and_then(|boot| Fact::Known(boot.init_end_usec.saturating_sub(boot.init_start_usec))),
            userspace,
        }
    }
}

impl Warning {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::RootCorrupted => {
                "the disk is failing or was changed: move the work away, write the image again"
            }
            Self::RootNotVerified => "reboot with the image's own UKI, which carries `roothash=`",
            Self::Recovery => {
                "a restart tries the slots again; `basalt-agent upgrade` puts a release into one"
            }
            Self::NoTriesLeft { .. } => "`journalctl -b` says why no boot was found good",
            Self::NoData => "`systemctl status basalt-provision.service var.mount` says why",
            Self::DataFull { .. } => "`du -xh /var | sort -h | tail` shows what takes the room",
            Self::GivenUp { .. } => {
                "`basalt-agent history` says what happened; give a newer release, or `upgrade --retry`"
            }
            Self::FailedUnits { .. } => "`systemctl status` of each of them says why",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootCorrupted => f.write_str("a block of the root file system is not what was built"),
            Self::RootNotVerified => {
                f.write_str("the root file system is not checked against this boot's root hash")
            }
            Self::Recovery => {
                f.write_str("this is the recovery system: no slot came up, or somebody asked for it")
            }
            Self::NoTriesLeft { file } => {
                write!(f, "{file} has no try left: the next boot takes another entry")
            }
            Self::NoData => f.write_str("no data volume is mounted on /var"),
            Self::DataFull { left } => write!(f, "/var is nearly full: {} left", left.human()),
            Self::GivenUp { version, file, why } => {
                write!(f, "{version} was given up, because no boot of it was found good ({file})")?;
                why.iter().try_for_each(|why| write!(f, ": {why}"))
            }
            Self::FailedUnits { units } => write!(f, "failed: {}", units.join(", ")),
        }
    }
}
