//! A/B upgrades: what to do to run another release, and how to get back.
//!
//! `NodeFacts + UpdateInfo → plan_upgrade → UpgradePlan` (or every refusal) · `NodeFacts → plan_rollback → UpgradePlan` ·
//! `NodeFacts + RecoveryFacts → plan_promotion → PromotionPlan`: a copy of what runs for when neither slot comes up ·
//! `Policy + UpgradePlan + time → follow → Follow`: what a machine does by itself about the release that its documents want
//!
//! Invariants: the slot that was booted, its boot entry, and the last release that was found good are never written; what
//! starts a slot is removed before the slot is; a boot entry appears when everything it starts is on the medium, and by one
//! rename; a plan applied is followed by a plan without steps. Why in this order: `docs/decisions/016-upgrades.md`.
//!
//! Not here: where a release comes from, chunks, and whether to trust it (`basalt-agent`).

mod follow;
mod history;
mod loader;
mod observed;
mod plan;
mod promotion;
mod refusal;
mod rollback;
mod version;
mod window;

#[cfg(test)]
mod tests;

pub use follow::{Follow, Policy, Standing, follow};
use history::Rfc3339;
pub use history::{HISTORY, Happened, Record, boot_records};
pub use loader::{ENTRIES, SET_ASIDE, after_try, boot_order, is_set_aside};
pub use observed::{EntryFacts, EspFacts, NodeFacts};
pub use plan::{Release, Removal, Renaming, Running, UpgradeNote, UpgradePlan, UpgradeStep};
pub use promotion::{
    PROMOTE_AFTER, PromotionPlan, PromotionStep, RecoveryFacts, is_due, plan_promotion, recovery_files,
};
pub use refusal::{NotARelease, UpgradeRefusal};
pub use rollback::plan_rollback;
pub use version::compare_versions;
pub use window::{Opening, WindowError, opening};

use std::cmp::Ordering;

use basalt_formats::{
    bootentry::{EntryName, Tries},
    verity::hash_tree_size,
};
use basalt_image::{
    layout::{Role, System},
    update::UpdateInfo,
};
use basalt_types::{ByteSize, Digest, Slot};

use crate::BootSlot;
use observed::SlotFacts;

/// What a UKI is called while it is written, and until it may be booted: the boot loader looks at `*.efi` only.
pub const PARTIAL: &str = "basalt-upgrade.partial";

/// How often a release may fail to come up before the boot loader takes another (UAPI.1, boot counting).
const TRIES: u32 = 3;

/// What a person allows beyond the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// A release that is older than what runs.
    pub downgrade: bool,
    /// A release that was tried here before and failed.
    pub retry: bool,
}

/// Plans to run `wanted` after the next boot.
///
/// # Errors
/// Every reason not to, all of them found before anything is written.
pub fn plan_upgrade(
    facts: &NodeFacts,
    wanted: &UpdateInfo,
    allowed: Allowed,
) -> Result<UpgradePlan, Vec<UpgradeRefusal>> {
    let target = facts.target_slot(&wanted.root.digest).ok_or_else(|| vec![no_slot(facts)])?;
    let (from, to) = releases(facts, target, (wanted.version.clone(), wanted.root.digest));
    let running = facts.running_slot();
    if let Some(running) = running.filter(|_| wanted.root.digest == facts.boot.root_hash) {
        let to = Release { slot: running, ..to };
        return Ok(UpgradePlan { from, to, steps: Vec::new(), notes: vec![UpgradeNote::Runs] });
    }
    let slot = facts.slot(target).ok_or_else(|| vec![missing_slot(facts, target)])?;
    let mut refusals = incompatible(facts, wanted, allowed, target);
    refusals.extend(too_large(&slot, wanted, target));
    let staged = facts.entries_of(&wanted.root.digest);
    let failed = staged.iter().find(|entry| entry.name.is_bad() && !is_set_aside(&entry.name));
    if let Some(failed) = failed.filter(|_| !allowed.retry) {
        refusals.push(UpgradeRefusal::FailedBefore {
            version: wanted.version.clone(),
            file: failed.name.clone(),
        });
    }
    let own = facts.in_boot_order().into_iter().find(|entry| facts.runs(entry));
    if running.is_some() && own.is_none() {
        refusals.push(UpgradeRefusal::RunningHasNoEntry);
        return Err(refusals);
    }
    let aside = in_its_way(facts, &slot, wanted);
    // From the recovery system what is in the slot already is written again: it may be why that runs.
    let may_be_tried = |entry: &&&EntryFacts| running.is_some() && !entry.name.is_bad();
    if let Some(staged) = staged.iter().find(may_be_tried).filter(|_| slot.finished && refusals.is_empty()) {
        let note = UpgradeNote::Staged { file: staged.name.clone() };
        return Ok(UpgradePlan { from, to, steps: aside, notes: vec![note] });
    }
    if let Some(own) = own.filter(|own| own.name.is_indeterminate()) {
        refusals.push(UpgradeRefusal::NotFoundGood { file: own.name.clone() });
    }
    let mut steps = match make_room(facts, &slot, wanted) {
        Ok(steps) => steps,
        Err(refusal) => {
            refusals.push(refusal);
            Vec::new()
        }
    };
    if !refusals.is_empty() {
        return Err(refusals);
    }
    steps.extend(write_and_show(&slot, wanted, target));
    steps.extend(aside);
    Ok(UpgradePlan { from, to, steps, notes: Vec::new() })
}

/// The steps after which nothing that is newer than the release is booted before it: what runs steps back, and from the recovery
/// system whatever is in the other slot.
fn in_its_way(facts: &NodeFacts, slot: &SlotFacts<'_>, wanted: &UpdateInfo) -> Vec<UpgradeStep> {
    let stays = |entry: &&EntryFacts| match facts.running_slot() {
        Some(_) => facts.runs(entry),
        None => !entry.root_hash.is_some_and(|hash| slot.holds(&hash)),
    };
    let newer = |entry: &&EntryFacts| {
        let image = entry.name.image().filter(|(name, _)| *name == wanted.name);
        image.is_some_and(|(_, version)| compare_versions(&version, &wanted.version) == Ordering::Greater)
    };
    let entries = facts.in_boot_order().into_iter().filter(stays).filter(newer);
    entries.filter(|entry| !is_set_aside(&entry.name)).filter_map(set_aside).collect()
}

/// From an unfinished slot to an entry that may be tried.
fn write_and_show(slot: &SlotFacts<'_>, wanted: &UpdateInfo, place: Slot) -> Vec<UpgradeStep> {
    let root_hash = wanted.root.digest;
    let to = EntryName::of_image(&wanted.name, &wanted.version, Some(Tries::fresh(TRIES)));
    let file = PARTIAL.to_owned();
    let reopen = slot.finished.then_some(UpgradeStep::ReopenSlot { slot: place });
    let rest = [
        UpgradeStep::WriteRoot { slot: place, size: wanted.root.size },
        UpgradeStep::WriteHashTree { slot: place, root_hash },
        UpgradeStep::FinishSlot { slot: place, root_hash },
        UpgradeStep::WriteUki { file: file.clone(), size: wanted.uki.size, digest: wanted.uki.digest },
        UpgradeStep::RenameEntry { from: file, to, why: Renaming::Try },
    ];
    reopen.into_iter().chain(rest).collect()
}

/// The entries that must go: all that lead into the slot or have the new name, and, if that is not enough room for the UKI,
/// those that start nothing on this disk.
fn make_room(
    facts: &NodeFacts,
    slot: &SlotFacts<'_>,
    wanted: &UpdateInfo,
) -> Result<Vec<UpgradeStep>, UpgradeRefusal> {
    let esp = &facts.esp;
    let whole = |size: ByteSize| size.round_up(esp.cluster);
    let stem = EntryName::of_image(&wanted.name, &wanted.version, None);
    let runs = |entry: &EntryFacts| facts.runs(entry);
    let replaced: Vec<&EntryFacts> = esp
        .entries
        .iter()
        .filter(|entry| !runs(entry))
        .filter(|entry| {
            entry.name.stem() == stem.stem() || entry.root_hash.is_some_and(|hash| slot.holds(&hash))
        })
        .collect();
    let step = |entry: &EntryFacts, why| UpgradeStep::RemoveEntry { file: entry.file.clone(), why };
    let sizes = |entries: &[&EntryFacts]| entries.iter().map(|entry| whole(entry.size).get()).sum::<u64>();
    let mut free = esp.free.get() + esp.partial.map_or(0, |size| whole(size).get()) + sizes(&replaced);
    let mut steps: Vec<_> = replaced.iter().map(|entry| step(entry, Removal::Replaced)).collect();
    // A new name may take another cluster of the directory.
    let needs = whole(wanted.uki.size).get() + esp.cluster.get();
    // The oldest first. An entry of our image only: what somebody else put there is theirs.
    let in_order = facts.in_boot_order();
    let dead = in_order.iter().rev().filter(|entry| {
        let ours = entry.name.image().is_some_and(|(name, _)| name == facts.image.name);
        ours && !runs(entry) && !replaced.contains(entry) && !starts_something(facts, entry)
    });
    for entry in dead {
        if free >= needs {
            break;
        }
        free += whole(entry.size).get();
        steps.push(step(entry, Removal::Room));
    }
    if free < needs {
        let (free, needs) = (ByteSize::bytes(free), ByteSize::bytes(needs));
        return Err(UpgradeRefusal::EspFull { free, needs });
    }
    Ok(steps)
}

/// Whether the root that an entry names is on the disk.
fn starts_something(facts: &NodeFacts, entry: &EntryFacts) -> bool {
    let Some(hash) = entry.root_hash else { return false };
    let [root, _] = basalt_image::layout::verity_ids(&hash);
    facts.table.partitions.iter().any(|partition| partition.guid == root)
}

fn incompatible(
    facts: &NodeFacts,
    wanted: &UpdateInfo,
    allowed: Allowed,
    target: Slot,
) -> Vec<UpgradeRefusal> {
    let image = &facts.image;
    let mut refusals = Vec::new();
    if wanted.name != image.name {
        let (running, wanted) = (image.name.clone(), wanted.name.clone());
        refusals.push(UpgradeRefusal::OtherImage { running, wanted });
    }
    if wanted.architecture != image.architecture {
        let (running, wanted) = (image.architecture, wanted.architecture);
        refusals.push(UpgradeRefusal::OtherArchitecture { running, wanted });
    }
    match compare_versions(&wanted.version, &image.version) {
        Ordering::Less if !allowed.downgrade => {
            let (running, wanted) = (image.version.clone(), wanted.version.clone());
            refusals.push(UpgradeRefusal::Downgrade { running, wanted });
        }
        // The recovery system's own release mends a slot.
        Ordering::Equal if wanted.root.digest == facts.boot.root_hash => {}
        Ordering::Equal => refusals.push(UpgradeRefusal::SameVersion { version: wanted.version.clone() }),
        Ordering::Less | Ordering::Greater => {}
    }
    let [root, verity] = basalt_image::layout::verity_ids(&wanted.root.digest);
    let elsewhere = facts.table.partitions.iter().find(|partition| {
        let own = match Role::of_partition(partition) {
            Some((Role::Root(system) | Role::Verity(system), _)) => system == System::from(target),
            Some((Role::Esp | Role::Data, _)) | None => false,
        };
        !own && [root, verity].contains(&partition.guid)
    });
    refusals.extend(elsewhere.map(|partition| UpgradeRefusal::IdsTaken { number: partition.number }));
    refusals
}

fn too_large(slot: &SlotFacts<'_>, wanted: &UpdateInfo, place: Slot) -> Vec<UpgradeRefusal> {
    let tree = ByteSize::bytes(hash_tree_size(wanted.root.size.get()));
    let system = System::from(place);
    let parts =
        [(Role::Root(system), slot.root, wanted.root.size), (Role::Verity(system), slot.verity, tree)];
    let refused = parts.into_iter().filter(|(_, partition, needs)| slot.size_of(partition) < *needs);
    refused
        .map(|(role, partition, needs)| UpgradeRefusal::SlotTooSmall {
            role,
            has: slot.size_of(partition),
            needs,
        })
        .collect()
}

fn releases(
    facts: &NodeFacts,
    slot: Slot,
    (version, root_hash): (basalt_types::ImageVersion, Digest),
) -> (Running, Release) {
    let boot = &facts.boot;
    let from = Running {
        version: facts.image.version.clone(),
        root_hash: boot.root_hash,
        // Whoever asks has found a slot to write, which nobody finds for a boot from elsewhere.
        slot: boot.slot.unwrap_or(BootSlot::Live),
    };
    (from, Release { version, root_hash, slot })
}

/// The step after which the boot loader takes an entry only when nothing else is left.
fn set_aside(entry: &EntryFacts) -> Option<UpgradeStep> {
    let to = entry.name.clone().with_tries(Some(SET_ASIDE));
    let why = Renaming::SetAside;
    (to != entry.name).then(|| UpgradeStep::RenameEntry { from: entry.file.clone(), to, why })
}

fn no_slot(facts: &NodeFacts) -> UpgradeRefusal {
    let started = facts.boot.slot.map_or_else(|| "another partition".to_owned(), |slot| slot.to_string());
    UpgradeRefusal::NoSlot { started }
}

fn missing_slot(facts: &NodeFacts, slot: Slot) -> UpgradeRefusal {
    let root = Role::Root(slot.into());
    let there = observed::find(&facts.table, root).is_some();
    UpgradeRefusal::MissingSlot { slot, role: if there { Role::Verity(slot.into()) } else { root } }
}
