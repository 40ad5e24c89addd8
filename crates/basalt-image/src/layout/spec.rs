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

/// What the recipe asks for; what it leaves open is computed from the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LayoutRequest {
    /// Size of the EFI system partition.
    pub esp: Option<ByteSize>,
    /// Size of each root partition.
    pub slot: Option<ByteSize>,
    /// Least size of `/var`.
    pub data_minimum: Option<ByteSize>,
    /// Whether to make a second slot.
    pub slot_b: bool,
    /// Whether to make a recovery system.
    pub recovery: bool,
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
/// Flatcar's machines of 2020 keep its `/usr` under 1 GiB until 2030 (flatcar/Flatcar#1917), and bootc's ESP is too
/// small for three UKIs (bootc-dev/bootc#2132): partitions that are too small are never cured on running machines.
const ESP_DEFAULT: ByteSize = ByteSize::gib(1);
const SLOT_LEAST_DEFAULT: ByteSize = ByteSize::gib(2);
const SLOT_LEAST: ByteSize = ByteSize::mib(16);
const SLOT_ROUNDING: ByteSize = ByteSize::mib(64);
const DATA_DEFAULT: ByteSize = ByteSize::gib(1);
/// Below this mkfs.ext4 makes a file system without a journal worth having.
const DATA_LEAST: ByteSize = ByteSize::mib(64);
/// A bound that keeps every sum of sizes far below 2^64.
const MOST: ByteSize = ByteSize::gib(1 << 20);
/// Boot loader, its configuration, credentials and the file allocation tables.
const ESP_EXTRA: ByteSize = ByteSize::mib(16);

impl Default for LayoutRequest {
    fn default() -> Self {
        Self { esp: None, slot: None, data_minimum: None, slot_b: true, recovery: true }
    }
}

impl LayoutSpec {
    /// Sizes for `content`: what was requested, else twice the content and never less than 2 GiB for a slot, 1 GiB
    /// for the ESP. Requested sizes are rounded up to whole MiB.
    ///
    /// # Errors
    /// Every way in which the content does not fit into what was requested.
    pub fn from_content(content: Content, request: &LayoutRequest) -> Result<Self, Vec<LayoutRefusal>> {
        let LayoutRequest { esp, slot, data_minimum, slot_b, recovery } = *request;
        let ukis = 2 + u64::from(slot_b) + u64::from(recovery);
        let esp_needed =
            ByteSize::bytes(ukis.saturating_mul(content.uki.get()).min(MOST.get()) + ESP_EXTRA.get())
                .round_up(GRAIN);
        let slot_auto = ByteSize::bytes(content.root.get().saturating_mul(2).min(MOST.get()));
        let spec = Self {
            esp: bounded(esp.unwrap_or(ESP_DEFAULT.max(esp_needed.round_up(SLOT_ROUNDING)))),
            slot: bounded(slot.unwrap_or(SLOT_LEAST_DEFAULT.max(slot_auto.round_up(SLOT_ROUNDING)))),
            verity: ByteSize::bytes(0),
            slot_b,
            recovery,
            data_minimum: bounded(data_minimum.unwrap_or(DATA_DEFAULT)),
        };
        let spec = Self { verity: verity_size(spec.slot), ..spec };
        let mut refusals = spec.out_of_bounds(request);
        if spec.slot < content.root {
            refusals.push(LayoutRefusal::RootTooLarge { content: content.root, slot: spec.slot });
        }
        if spec.esp < esp_needed {
            let (uki, esp) = (content.uki, spec.esp);
            refusals.push(LayoutRefusal::EspTooSmall { count: ukis, uki, esp, needed: esp_needed });
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

    fn out_of_bounds(&self, request: &LayoutRequest) -> Vec<LayoutRefusal> {
        let checks = [
            (Role::Esp, request.esp, ESP_LEAST),
            (Role::Root(System::A), request.slot, SLOT_LEAST),
            (Role::Data, request.data_minimum, DATA_LEAST),
        ];
        let mut refusals = Vec::new();
        for (partition, requested, least) in checks {
            let Some(size) = requested else { continue };
            if size < least {
                refusals.push(LayoutRefusal::BelowLeast { partition, size, least });
            }
            if size > MOST {
                refusals.push(LayoutRefusal::AboveMost { partition, size, most: MOST });
            }
        }
        refusals
    }
}

/// The partition that the hash tree of a full root partition needs.
fn verity_size(slot: ByteSize) -> ByteSize {
    ByteSize::bytes(hash_tree_size(slot.get())).round_up(GRAIN)
}

fn bounded(size: ByteSize) -> ByteSize {
    size.min(MOST).round_up(GRAIN)
}

fn hash_tree_size(data: u64) -> u64 {
    let mut blocks = data.div_ceil(4096);
    let mut tree = 1;
    while blocks > 1 {
        blocks = blocks.div_ceil(128);
        tree += blocks;
    }
    tree * 4096
}
