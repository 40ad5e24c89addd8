use basalt_formats::verity;
use basalt_spec::{Disk, SlotSize};
use basalt_types::ByteSize;
use serde::{Deserialize, Serialize};

use super::{
    arrange::{Arranger, GRAIN, disk_for},
    role::{Role, System},
};

/// How big each partition of a disk is: fixed when the image is built, carried in `/usr/lib/basalt/image.json`, so
/// that the builder and the machine's first boot place partitions alike.
///
/// Sizes are whole MiB. They are for ever: nothing moves or shrinks a partition later, so a slot must have room for
/// the releases of years to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LayoutSpec {
    /// The EFI system partition.
    pub esp: ByteSize,
    /// The root partition of every system.
    pub slot: ByteSize,
    /// The hash tree of every system: enough for a root partition that is full.
    pub verity: ByteSize,
    /// Whether the disk has a second slot, without which nothing can be upgraded.
    pub slot_b: bool,
    /// Whether the disk has a recovery system.
    pub recovery: bool,
    /// The least that must be left for `/var`.
    pub data_minimum: ByteSize,
}

/// What a release puts on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the root file system.
    pub root: ByteSize,
    /// Bytes of one UKI. Every system keeps its own on the ESP, and an upgrade writes the next one beside them.
    pub uki: ByteSize,
}

/// Why a layout can't be made for this content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutRefusal {
    /// The root file system is larger than the slot that was asked for.
    #[error("the root file system has {} and a slot was to have {}", .content.human(), .slot.human())]
    RootTooLarge {
        /// Size of the content.
        content: ByteSize,
        /// Size that was asked for.
        slot: ByteSize,
    },
    /// The UKIs of all systems and of an upgrade in progress don't fit on the ESP that was asked for.
    #[error("the ESP must hold {count} UKIs of {} and was to have {}: ask for {} or more", .uki.human(), .esp.human(), .needed.human())]
    EspTooSmall {
        /// How many UKIs must fit at once.
        count: u64,
        /// Size of one.
        uki: ByteSize,
        /// Size that was asked for.
        esp: ByteSize,
        /// Size that would do.
        needed: ByteSize,
    },
    /// Below what the file system itself asks for.
    #[error("{partition} was to have {} and must have {} at least", .size.human(), .least.human())]
    BelowLeast {
        /// Which partition.
        partition: Role,
        /// Size that was asked for.
        size: ByteSize,
        /// Least size.
        least: ByteSize,
    },
    /// Above what fits on any disk we describe.
    #[error("{partition} was to have {}: no partition may have more than {}", .size.human(), .most.human())]
    AboveMost {
        /// Which partition.
        partition: Role,
        /// Size that was asked for.
        size: ByteSize,
        /// Largest size.
        most: ByteSize,
    },
}

/// FAT32 must have at least 65,525 clusters (Microsoft FAT specification 1.03, section 3.5), and a cluster has at
/// least 512 bytes: 32 MiB and its tables. Below 64 MiB nothing useful fits anyway.
const ESP_LEAST: ByteSize = ByteSize::mib(64);
/// Flatcar's machines of 2020 keep its `/usr` under 1 GiB until 2030 (flatcar/Flatcar#1917): a slot that is too small is
/// never cured on running machines.
const SLOT_AUTO_LEAST: ByteSize = ByteSize::gib(2);
const SLOT_LEAST: ByteSize = ByteSize::mib(16);
const SLOT_ROUNDING: ByteSize = ByteSize::mib(64);
/// Below this mkfs.ext4 makes a file system without a journal worth having.
const DATA_LEAST: ByteSize = ByteSize::mib(64);
/// A bound that keeps every sum of sizes far below 2^64.
const MOST: ByteSize = ByteSize::gib(1 << 20);
/// Boot loader, its configuration, credentials and the file allocation tables.
const ESP_EXTRA: ByteSize = ByteSize::mib(16);

impl LayoutSpec {
    /// Sizes for `content`: what the recipe asks for, rounded up to whole MiB; a slot that is left to us has twice the
    /// content and never less than 2 GiB.
    ///
    /// # Errors
    /// Every way in which the content does not fit into what was asked for.
    pub fn from_content(content: Content, request: &Disk) -> Result<Self, Vec<LayoutRefusal>> {
        let Disk { esp, slot, slot_b, recovery, data, data_file_system: _, compression: _ } = *request;
        let mut refusals = out_of_bounds(request);
        let twice = ByteSize::bytes(content.root.get().saturating_mul(2).min(MOST.get()));
        let slot = match slot {
            SlotSize::Auto => SLOT_AUTO_LEAST.max(twice).round_up(SLOT_ROUNDING),
            SlotSize::Fixed(size) => bounded(size),
        };
        let (esp, data_minimum, verity) = (bounded(esp), bounded(data), verity_size(slot));
        let spec = Self { esp, slot, verity, slot_b, recovery, data_minimum };
        if spec.slot < content.root {
            refusals.push(LayoutRefusal::RootTooLarge { content: content.root, slot: spec.slot });
        }
        // One for each system, and the next one, which an upgrade writes beside them.
        let (uki, count) = (content.uki, 2 + u64::from(slot_b) + u64::from(recovery));
        let ukis = count.saturating_mul(uki.get()).min(MOST.get());
        let needed = ByteSize::bytes(ukis + ESP_EXTRA.get()).round_up(GRAIN);
        if spec.esp < needed {
            refusals.push(LayoutRefusal::EspTooSmall { count, uki, esp: spec.esp, needed });
        }
        if refusals.is_empty() { Ok(spec) } else { Err(refusals) }
    }

    /// The size of a partition; for the data partition the least it may have.
    pub const fn size_of(&self, role: Role) -> ByteSize {
        match role {
            Role::Esp => self.esp,
            Role::Root(_) => self.slot,
            Role::Verity(_) => self.verity,
            Role::Data => self.data_minimum,
        }
    }

    /// The partitions of a whole disk, in order.
    pub fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        Role::ALL.into_iter().filter(|role| match role {
            Role::Root(System::B) | Role::Verity(System::B) => self.slot_b,
            Role::Root(System::Recovery) | Role::Verity(System::Recovery) => self.recovery,
            Role::Esp | Role::Root(System::A) | Role::Verity(System::A) | Role::Data => true,
        })
    }

    /// The smallest disk that the image can be installed on.
    pub fn minimum_disk(&self) -> ByteSize {
        let mut arranger = Arranger::starting_at(0);
        let extents: Vec<_> = self.roles().map(|role| arranger.place(role, self.size_of(role))).collect();
        disk_for(&extents)
    }
}

fn out_of_bounds(request: &Disk) -> Vec<LayoutRefusal> {
    let slot = match request.slot {
        SlotSize::Auto => None,
        SlotSize::Fixed(size) => Some((Role::Root(System::A), size, SLOT_LEAST)),
    };
    let esp = Some((Role::Esp, request.esp, ESP_LEAST));
    let data = Some((Role::Data, request.data, DATA_LEAST));
    let mut refusals = Vec::new();
    for (partition, size, least) in [esp, slot, data].into_iter().flatten() {
        if size < least {
            refusals.push(LayoutRefusal::BelowLeast { partition, size, least });
        }
        if size > MOST {
            refusals.push(LayoutRefusal::AboveMost { partition, size, most: MOST });
        }
    }
    refusals
}

/// The partition that the hash tree of a full root partition needs.
fn verity_size(slot: ByteSize) -> ByteSize {
    ByteSize::bytes(verity::hash_tree_size(slot.get())).round_up(GRAIN)
}

fn bounded(size: ByteSize) -> ByteSize {
    size.min(MOST).round_up(GRAIN)
}
