use basalt_formats::{
    bootentry::EntryName,
    gpt::{Partition, Table},
};
use basalt_image::layout::{ImageInfo, Role, State, System, verity_ids};
use basalt_types::{ByteSize, Digest, Slot};

use super::loader::{boot_order, is_set_aside};
use crate::{BootFacts, BootSlot};

/// What there is: the release that runs, both slots, and the boot entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The image that runs.
    pub image: ImageInfo,
    /// How this boot began.
    pub boot: BootFacts,
    /// The disk's table.
    pub table: Table,
    /// Its EFI system partition.
    pub esp: EspFacts,
}

/// What is on the EFI system partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspFacts {
    /// The boot entries of `EFI/Linux`; what has no entry's name is not among them.
    pub entries: Vec<EntryFacts>,
    /// Bytes of the file [`super::PARTIAL`] that an upgrade left when it was cut; none when it is not there.
    pub partial: Option<ByteSize>,
    /// Bytes that are free.
    pub free: ByteSize,
    /// What a file takes is a multiple of this.
    pub cluster: ByteSize,
}

/// A boot entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFacts {
    /// The file's name as it stands.
    pub file: String,
    /// What that name says.
    pub name: EntryName,
    /// Its bytes.
    pub size: ByteSize,
    /// The root that its command line names; none when the file can't be read as a UKI or names none.
    pub root_hash: Option<Digest>,
}

/// A slot's partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotFacts<'a> {
    pub(super) root: &'a Partition,
    pub(super) verity: &'a Partition,
    pub(super) finished: bool,
    sector_size: u32,
}

impl NodeFacts {
    /// The slot that this boot came from.
    pub(super) fn running_slot(&self) -> Option<Slot> {
        self.boot.slot.and_then(crate::BootSlot::system).and_then(System::slot)
    }

    /// The slot that a release with this root hash goes to; none for a live system. What runs stays. From the recovery system a
    /// slot that has the release already is mended, else the one that boots first of those that were found good stays, else what
    /// holds nothing whole is used.
    pub(super) fn target_slot(&self, root_hash: &Digest) -> Option<Slot> {
        if let Some(running) = self.running_slot() {
            return Some(!running);
        }
        if self.boot.slot != Some(BootSlot::Recovery) {
            return None;
        }
        let slots = || [Slot::A, Slot::B].into_iter().filter_map(|slot| Some((slot, self.slot(slot)?)));
        if let Some((slot, _)) = slots().find(|(_, facts)| facts.holds(root_hash)) {
            return Some(slot);
        }
        let good = self.in_boot_order().into_iter().filter(|entry| entry.name.is_good());
        let mut hashes = good.filter_map(|entry| entry.root_hash);
        let kept = hashes.find_map(|hash| slots().find(|(_, facts)| facts.finished && facts.holds(&hash)));
        let unused = || slots().find(|(_, facts)| !facts.finished).map(|(slot, _)| slot);
        Some(kept.map(|(slot, _)| !slot).or_else(unused).unwrap_or(Slot::A))
    }

    /// Whether an entry starts what runs from a slot. The recovery system may be of the same release, and runs from none.
    pub(super) fn runs(&self, entry: &EntryFacts) -> bool {
        self.running_slot().is_some() && entry.root_hash == Some(self.boot.root_hash)
    }

    /// The partitions of a slot, when the disk has both.
    pub(super) fn slot(&self, slot: Slot) -> Option<SlotFacts<'_>> {
        let (root, root_state) = find(&self.table, Role::Root(slot.into()))?;
        let (verity, verity_state) = find(&self.table, Role::Verity(slot.into()))?;
        let finished = [root_state, verity_state] == [State::Finished; 2];
        Some(SlotFacts { root, verity, finished, sector_size: self.table.sector_size })
    }

    /// The entries that start the root with this hash, in the boot loader's order.
    pub(crate) fn entries_of(&self, root_hash: &Digest) -> Vec<&EntryFacts> {
        self.in_boot_order().into_iter().filter(|entry| entry.root_hash == Some(*root_hash)).collect()
    }

    /// Whether somebody went back from the release with this root hash.
    pub fn is_set_aside(&self, root_hash: &Digest) -> bool {
        self.entries_of(root_hash).iter().any(|entry| is_set_aside(&entry.name))
    }

    /// The entries that lead into a slot as its partitions are named now, in the boot loader's order.
    pub(super) fn entries_into(&self, slot: &SlotFacts<'_>) -> Vec<&EntryFacts> {
        let leads = |entry: &&EntryFacts| entry.root_hash.is_some_and(|hash| slot.holds(&hash));
        self.in_boot_order().into_iter().filter(leads).collect()
    }

    /// Our entries as the boot loader lists them.
    pub(crate) fn in_boot_order(&self) -> Vec<&EntryFacts> {
        let order = boot_order(self.esp.entries.iter().map(|entry| &entry.name));
        let entry = |name: &EntryName| self.esp.entries.iter().find(|entry| entry.name == *name);
        order.into_iter().filter_map(entry).collect()
    }
}

impl SlotFacts<'_> {
    /// Whether its partitions have the ids of the root with this hash (UAPI.2).
    pub(super) fn holds(&self, root_hash: &Digest) -> bool {
        verity_ids(root_hash) == [self.root.guid, self.verity.guid]
    }

    /// The size of one of its partitions.
    pub(super) fn size_of(&self, partition: &Partition) -> ByteSize {
        let bytes = partition.bytes(self.sector_size);
        ByteSize::bytes(bytes.end - bytes.start)
    }
}

pub(super) fn find(table: &Table, role: Role) -> Option<(&Partition, State)> {
    table.partitions.iter().find_map(|partition| match Role::of_partition(partition) {
        Some((own, state)) if own == role => Some((partition, state)),
        Some(_) | None => None,
    })
}
