use std::fmt;

use basalt_formats::{
    bootentry::EntryName,
    gpt::{self, GptError, Parsed, Table},
};
use basalt_image::layout::{Role, State, System, verity_ids};
use basalt_types::{ByteSize, Digest, Guid, ImageVersion, Slot};
use serde::{Serialize, Serializer};

use super::loader::ENTRIES;
use crate::{BootSlot, boot::to_hex};

/// What an upgrade or a way back will do, in order. At the end of each step, and at every write within it, the machine boots
/// the old release or the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradePlan {
    /// What runs.
    pub from: Running,
    /// What will run after the next boot.
    pub to: Release,
    /// What to do.
    pub steps: Vec<UpgradeStep>,
    /// What is fine already; an empty plan says here why it is empty.
    pub notes: Vec<UpgradeNote>,
}

/// What runs, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its version.
    pub version: ImageVersion,
    /// Its root hash.
    #[serde(serialize_with = "to_hex")]
    pub root_hash: Digest,
    /// The slot, or the recovery system.
    pub slot: BootSlot,
}

/// A release and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Its version.
    pub version: ImageVersion,
    /// Its root hash.
    #[serde(serialize_with = "to_hex")]
    pub root_hash: Digest,
    /// Its slot.
    pub slot: Slot,
}

/// One thing to do. What a step wrote is on the medium before the next one begins, and each may be done twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum UpgradeStep {
    /// Remove a boot entry.
    RemoveEntry {
        /// The file in `EFI/Linux`.
        file: String,
        /// Why.
        why: Removal,
    },
    /// Mark a slot as unfinished: whatever it holds may be overwritten, and nothing starts it.
    ReopenSlot {
        /// Which.
        slot: Slot,
    },
    /// Put the root together in the slot: from what the machine has and what it fetches.
    WriteRoot {
        /// Where to.
        slot: Slot,
        /// Bytes of the root.
        size: ByteSize,
    },
    /// Read the root back from the device, compute its hash tree, refuse it when the root hash is another one, and write
    /// the tree.
    WriteHashTree {
        /// Where to.
        slot: Slot,
        /// The root hash that must come out.
        #[serde(serialize_with = "to_hex")]
        root_hash: Digest,
    },
    /// Give the slot its final labels, and the ids by which the initramfs finds it.
    FinishSlot {
        /// Which.
        slot: Slot,
        /// The root hash, whose halves are the ids (UAPI.2).
        #[serde(serialize_with = "to_hex")]
        root_hash: Digest,
    },
    /// Write the UKI under a name that the boot loader passes over.
    WriteUki {
        /// The file in `EFI/Linux`.
        file: String,
        /// Bytes of it.
        size: ByteSize,
        /// Their digest.
        digest: Digest,
    },
    /// Give a file another name: from here on the boot loader decides otherwise.
    RenameEntry {
        /// The file in `EFI/Linux`.
        from: String,
        /// What it is called then.
        #[serde(serialize_with = "as_text")]
        to: EntryName,
        /// What that means.
        why: Renaming,
    },
}

/// Why an entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Removal {
    /// It starts what is about to be overwritten, or has the new entry's name.
    Replaced,
    /// It starts nothing that is on the disk, and its room is needed.
    Room,
}

/// What another name means to the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Renaming {
    /// The release may be tried.
    Try,
    /// The release is booted only when nothing else is left.
    SetAside,
    /// The release was found good, and nobody counts any more.
    Keep,
}

/// Something that needs no step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "note")]
pub enum UpgradeNote {
    /// The release is what runs.
    Runs,
    /// The release is in its slot and the next boot tries it.
    Staged {
        /// Its boot entry.
        #[serde(serialize_with = "as_text")]
        file: EntryName,
    },
    /// The next boot takes the release anyway.
    NextAnyway {
        /// Its boot entry.
        #[serde(serialize_with = "as_text")]
        file: EntryName,
    },
}

impl UpgradeStep {
    /// The writes that bring the disk's table from `on_disk` to what this step wants of it; none when it does not touch the
    /// table, or the disk is there already.
    ///
    /// # Errors
    /// When the table can't be written.
    pub fn table_writes(&self, on_disk: &Parsed) -> Result<Vec<gpt::Step>, GptError> {
        table_writes(on_disk, self.wanted_table(&on_disk.table))
    }

    /// The table that this step wants; none when it does not touch it.
    pub(super) fn wanted_table(&self, table: &Table) -> Option<Table> {
        match self {
            Self::ReopenSlot { slot } => Some(in_state(table, (*slot).into(), State::Partial, None)),
            Self::FinishSlot { slot, root_hash } => {
                Some(in_state(table, (*slot).into(), State::Finished, Some(verity_ids(root_hash))))
            }
            Self::RemoveEntry { .. }
            | Self::WriteRoot { .. }
            | Self::WriteHashTree { .. }
            | Self::WriteUki { .. }
            | Self::RenameEntry { .. } => None,
        }
    }
}

/// The writes to the table that a step wants, if it wants one.
pub(super) fn table_writes(on_disk: &Parsed, wanted: Option<Table>) -> Result<Vec<gpt::Step>, GptError> {
    wanted.map_or(Ok(Vec::new()), |wanted| wanted.update_writes(on_disk))
}

/// The table with both partitions of a system in this state, and with these ids if there are some.
pub(super) fn in_state(table: &Table, system: System, state: State, ids: Option<[Guid; 2]>) -> Table {
    let mut wanted = table.clone();
    for partition in &mut wanted.partitions {
        let Some((role, _)) = Role::of_partition(partition) else { continue };
        let place = [Role::Root(system), Role::Verity(system)].iter().position(|own| *own == role);
        let Some(place) = place else { continue };
        partition.label = Some(role.label(state));
        partition.attributes = role.attributes(state);
        if let Some(ids) = ids {
            partition.guid = ids[place];
        }
    }
    wanted
}

impl UpgradePlan {
    /// The steps before the one that lets the boot loader see the release: everything is on the disk after them, and the
    /// next boot takes what it would have taken.
    pub fn staging(&self) -> &[UpgradeStep] {
        let shows = |step: &UpgradeStep| matches!(step, UpgradeStep::RenameEntry { .. });
        &self.steps[..self.steps.iter().position(shows).unwrap_or(self.steps.len())]
    }
}

impl fmt::Display for UpgradePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, steps, notes } = self;
        let place = match from.slot {
            BootSlot::Recovery => "the recovery system".to_owned(),
            slot @ (BootSlot::A | BootSlot::B | BootSlot::Live) => format!("slot {slot}"),
        };
        writeln!(f, "{} in {place} → {} in slot {}", from.version, to.version, to.slot)?;
        if steps.is_empty() {
            writeln!(f, "nothing to do:")?;
        }
        for (number, step) in (1..).zip(steps) {
            writeln!(f, "{number:>2}. {step}")?;
        }
        notes.iter().try_for_each(|note| writeln!(f, "  · {note}"))
    }
}

impl fmt::Display for UpgradeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveEntry { file, why: Removal::Replaced } => {
                write!(f, "remove {ENTRIES}/{file}, which is replaced")
            }
            Self::RemoveEntry { file, why: Removal::Room } => {
                write!(f, "remove {ENTRIES}/{file}, which starts nothing that is here, to make room")
            }
            Self::ReopenSlot { slot } => write!(f, "mark slot {slot} as unfinished"),
            Self::WriteRoot { slot, size } => {
                write!(f, "write the root of {} into slot {slot}", size.human())
            }
            Self::WriteHashTree { slot, root_hash } => {
                let hash = root_hash.hex();
                write!(
                    f,
                    "read slot {slot} back, write its hash tree, and expect the root hash {}…",
                    &hash[..16]
                )
            }
            Self::FinishSlot { slot, .. } => {
                write!(f, "mark slot {slot} as finished, with the ids of its root hash")
            }
            Self::WriteUki { file, size, .. } => {
                write!(f, "write the UKI of {} to {ENTRIES}/{file}", size.human())
            }
            Self::RenameEntry { from, to, why: Renaming::Try } => {
                write!(f, "rename {ENTRIES}/{from} to {to}: the next boot tries it")
            }
            Self::RenameEntry { from, to, why: Renaming::SetAside } => {
                write!(f, "rename {ENTRIES}/{from} to {to}: booted only when nothing else is left")
            }
            Self::RenameEntry { from, to, why: Renaming::Keep } => {
                write!(f, "rename {ENTRIES}/{from} to {to}: found good")
            }
        }
    }
}

impl fmt::Display for UpgradeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs => f.write_str("this release runs"),
            Self::Staged { file } => {
                write!(f, "the release is in its slot, and the next boot tries it ({file})")
            }
            Self::NextAnyway { file } => write!(f, "the next boot takes {file}"),
        }
    }
}

fn as_text<S: Serializer>(name: &EntryName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
