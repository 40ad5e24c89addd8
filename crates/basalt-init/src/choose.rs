//! Chooses the disk to start from. Pure: `docs/decisions/005-initramfs.md` says why in this order.
//!
//! dm-verity makes every disk with the right root hash as good as the other, but the data volume lies beside the
//! root: whoever could slip in another disk would choose which `/var` the machine trusts.

use std::{collections::BTreeMap, fmt};

use basalt_types::Guid;
use serde::Serialize;

use crate::{
    disks::{BlockNode, Disk, DiskPartition},
    wanted::Wanted,
};

/// The start of the label of a partition whose content is not complete yet (UAPI.2).
const UNFINISHED: &str = "PRT#";

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

/// A disk with both partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRoot {
    pub(crate) disk: String,
    pub(crate) external: bool,
    pub(crate) root: BlockNode,
    pub(crate) hash: BlockNode,
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
}

impl BootSlot {
    fn of_label(label: Option<&str>) -> Option<Self> {
        match label {
            Some("basalt-a") => Some(Self::A),
            Some("basalt-b") => Some(Self::B),
            Some("basalt-r") => Some(Self::Recovery),
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
    let candidates: Vec<(&Disk, FoundRoot)> =
        disks.values().filter_map(|disk| Some((disk, complete(wanted, disk)?))).collect();
    if candidates.is_empty() {
        return Choice::WaitForRoot;
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
        [(_, found)] => {
            let others = candidates.iter().map(|(disk, _)| &disk.name).filter(|name| **name != found.disk);
            Choice::Use(FoundRoot { passed_over: others.cloned().collect(), ..found.clone() })
        }
        [..] => Choice::Ambiguous(best.iter().map(|(disk, _)| disk.name.clone()).collect()),
    }
}

fn has_partition(disk: &Disk, guid: Guid) -> bool {
    disk.table.iter().flatten().any(|partition| partition.guid == guid)
}

/// Both partitions of the wanted root, finished and known to the kernel.
fn complete(wanted: &Wanted, disk: &Disk) -> Option<FoundRoot> {
    let partitions = disk.table.as_ref().ok()?;
    let root = usable(partitions, wanted.root_partition())?;
    let hash = usable(partitions, wanted.hash_partition())?;
    Some(FoundRoot {
        disk: disk.name.clone(),
        external: disk.external,
        root: root.node.clone()?,
        hash: hash.node.clone()?,
        slot: BootSlot::of_label(root.label.as_deref()),
        passed_over: Vec::new(),
    })
}

fn usable(partitions: &[DiskPartition], guid: Guid) -> Option<&DiskPartition> {
    let finished =
        |partition: &DiskPartition| !partition.label.as_deref().unwrap_or_default().starts_with(UNFINISHED);
    partitions
        .iter()
        .find(|partition| partition.guid == guid && partition.node.is_some() && finished(partition))
}
