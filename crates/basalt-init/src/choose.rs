//! Chooses the disk to start from. Pure: `docs/decisions/005-initramfs.md` says why in this order.
//!
//! dm-verity makes every disk with the right root hash as good as the other, but the data volume lies beside the
//! root: whoever could slip in another disk would choose which `/var` the machine trusts. A live medium has none: it is
//! chosen when it was asked for, and never else.

use std::{collections::BTreeMap, fmt};

use basalt_types::Guid;
use serde::Serialize;

use crate::{
    disks::{Disk, DiskPartition, Place},
    wanted::Wanted,
};

/// The start of the label of a partition whose content is not complete yet (UAPI.2).
const UNFINISHED: &str = "PRT#";
/// The labels of the recovery system's root and of its hash tree.
const RECOVERY: [&str; 2] = ["basalt-r", "basalt-r-verity"];

/// What to do about the disks that are there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Start from this one.
    Use(FoundRoot),
    /// No disk has both partitions yet.
    WaitForRoot,
    /// One has, but a better one may still appear: the disk that the boot loader came from, or one inside the machine.
    WaitForBetter,
    /// Several are as good as each other.
    Ambiguous(Vec<String>),
}

/// The root and its hash tree: a disk with both partitions, or files of the initramfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRoot {
    pub(crate) disk: Option<String>,
    pub(crate) external: bool,
    pub(crate) root: Place,
    pub(crate) hash: Place,
    /// The id of the root's partition; none when it came with the initramfs.
    pub(crate) partition: Option<Guid>,
    pub(crate) slot: Option<BootSlot>,
    /// Other disks that could have been used.
    pub(crate) passed_over: Vec<String>,
}

/// Where the root is, by its partition's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BootSlot {
    A,
    B,
    Recovery,
    /// A medium that never changes; there is no data volume beside it.
    Live,
}

impl BootSlot {
    fn of_label(label: Option<&str>) -> Option<Self> {
        match label {
            Some("basalt-a") => Some(Self::A),
            Some("basalt-b") => Some(Self::B),
            Some(label) if label == RECOVERY[0] => Some(Self::Recovery),
            Some("basalt-live") => Some(Self::Live),
            Some(_) | None => None,
        }
    }
}

impl fmt::Display for BootSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
            Self::Recovery => "recovery",
            Self::Live => "live",
        })
    }
}

/// Chooses among `disks`; `loader` is the partition of the boot loader, `settled` says that no disk has appeared for a
/// while.
pub(crate) fn choose(
    wanted: &Wanted,
    disks: &BTreeMap<String, Disk>,
    loader: Option<Guid>,
    settled: bool,
) -> Choice {
    let is_wanted = |found: &FoundRoot| (found.slot == Some(BootSlot::Live)) == wanted.live;
    let complete = |disk| complete(wanted, disk).filter(is_wanted).map(|found| (disk, found));
    let candidates: Vec<(&Disk, FoundRoot)> = disks.values().filter_map(complete).collect();
    match &candidates[..] {
        [] => return Choice::WaitForRoot,
        // Nothing of a live medium counts but what dm-verity checks: each is as good as the other.
        [(disk, found), ..] if wanted.live => return Choice::Use(passing_over(&candidates, disk, found)),
        [..] => {}
    }
    let booted = |disk: &Disk| loader.is_some_and(|loader| has_partition(disk, loader));
    let from_loader: Vec<_> = candidates.iter().filter(|(disk, _)| booted(disk)).collect();
    let inside: Vec<_> = candidates.iter().filter(|(disk, _)| !disk.external).collect();
    let inside_from_loader: Vec<_> = from_loader.iter().filter(|(disk, _)| !disk.external).copied().collect();
    // The boot loader's disk first; of its copies the one inside the machine; without it, what is inside.
    let best = match (from_loader.len(), inside_from_loader.len(), inside.len()) {
        (1, _, _) => from_loader,
        (0, _, _) if !settled && (loader.is_some() || inside.is_empty()) => return Choice::WaitForBetter,
        (0, _, 0) => candidates.iter().collect(),
        (0, _, _) => inside,
        (_, 0, _) => from_loader,
        (_, _, _) => inside_from_loader,
    };
    match best[..] {
        [(disk, found)] => Choice::Use(passing_over(&candidates, disk, found)),
        [..] => Choice::Ambiguous(best.iter().map(|(disk, _)| disk.name.clone()).collect()),
    }
}

fn passing_over(candidates: &[(&Disk, FoundRoot)], disk: &Disk, found: &FoundRoot) -> FoundRoot {
    let others = candidates.iter().map(|(other, _)| &other.name).filter(|name| **name != disk.name);
    FoundRoot { passed_over: others.cloned().collect(), ..found.clone() }
}

fn has_partition(disk: &Disk, guid: Guid) -> bool {
    disk.table.iter().flatten().any(|partition| partition.guid == guid)
}

/// Both partitions of the wanted root, finished and within reach. The recovery system may be of the same release as a slot, so
/// its partitions have ids of their own, and are known by their labels; what they hold dm-verity checks all the same.
fn complete(wanted: &Wanted, disk: &Disk) -> Option<FoundRoot> {
    let partitions = disk.table.as_ref().ok()?;
    let by_label = |wanted: &str| usable(partitions, |partition| partition.label.as_deref() == Some(wanted));
    let by_id = |wanted: Guid| usable(partitions, |partition| partition.guid == wanted);
    let [root, hash] = match wanted.recovery {
        true => RECOVERY.map(by_label),
        false => [wanted.root_partition(), wanted.hash_partition()].map(by_id),
    };
    let (root, hash) = (root?, hash?);
    Some(FoundRoot {
        disk: Some(disk.name.clone()),
        external: disk.external,
        root: root.place.clone()?,
        hash: hash.place.clone()?,
        partition: Some(root.guid),
        slot: BootSlot::of_label(root.label.as_deref()),
        passed_over: Vec::new(),
    })
}

fn usable(
    partitions: &[DiskPartition],
    is_wanted: impl Fn(&DiskPartition) -> bool,
) -> Option<&DiskPartition> {
    let finished =
        |partition: &DiskPartition| !partition.label.as_deref().unwrap_or_default().starts_with(UNFINISHED);
    partitions
        .iter()
        .find(|partition| is_wanted(partition) && partition.place.is_some() && finished(partition))
}
