use std::fmt;

use basalt_formats::gpt::{Attributes, Partition, types};
use basalt_types::{Architecture, Guid, PartLabel, Slot};
use serde::{Deserialize, Serialize};

/// A bootable root and its hash tree: one of the two slots, or recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Slot A: what a factory-made disk carries.
    A,
    /// Slot B.
    B,
    /// A known-good release, promoted from a slot and never written by an upgrade.
    Recovery,
}

/// What a partition of a Basalt disk is for. The order is the order on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The EFI system partition: boot loader, UKIs, credentials.
    Esp,
    /// The EROFS root of a system.
    Root(System),
    /// The dm-verity hash tree of a system's root.
    Verity(System),
    /// `/var`: everything that persists.
    Data,
}

/// Whether a partition's content can be relied on; the label says so, and one rename changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Created, content unfinished: the label carries [`PARTIAL_PREFIX`], so whatever it holds may be overwritten.
    Partial,
    /// The content is whole: never formatted again.
    Finished,
}

/// What a label starts with while the partition's content is unfinished (UAPI.2, discoverable partitions).
pub const PARTIAL_PREFIX: &str = "PRT#";

/// The label of the EFI system partition of a live medium.
pub const LIVE_ESP: PartLabel = PartLabel::constant("basalt-live-esp");
/// The label of the root on a live medium. It is no role of a disk's layout: nothing there ever changes.
pub const LIVE_ROOT: PartLabel = PartLabel::constant("basalt-live");
/// The label of its hash tree.
pub const LIVE_VERITY: PartLabel = PartLabel::constant("basalt-live-verity");

impl System {
    /// Every system, in the order on the disk.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::Recovery];

    /// The slot, unless this is recovery.
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::A => Some(Slot::A),
            Self::B => Some(Slot::B),
            Self::Recovery => None,
        }
    }
}

impl From<Slot> for System {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::A => Self::A,
            Slot::B => Self::B,
        }
    }
}

impl Role {
    /// Every role, in the order on the disk.
    pub const ALL: [Self; 8] = [
        Self::Esp,
        Self::Root(System::A),
        Self::Verity(System::A),
        Self::Root(System::B),
        Self::Verity(System::B),
        Self::Root(System::Recovery),
        Self::Verity(System::Recovery),
        Self::Data,
    ];

    /// The name of the partition: its label when it is finished.
    pub fn name(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::Root(System::A) => "basalt-a",
            Self::Verity(System::A) => "basalt-a-verity",
            Self::Root(System::B) => "basalt-b",
            Self::Verity(System::B) => "basalt-b-verity",
            Self::Root(System::Recovery) => "basalt-r",
            Self::Verity(System::Recovery) => "basalt-r-verity",
            Self::Data => "basalt-data",
        }
    }

    /// The label in `state`.
    pub const fn label(self, state: State) -> PartLabel {
        const fn label(text: &'static str) -> PartLabel {
            PartLabel::constant(text)
        }
        match (self, state) {
            (Self::Esp, State::Finished) => label("esp"),
            (Self::Esp, State::Partial) => label("PRT#esp"),
            (Self::Root(System::A), State::Finished) => label("basalt-a"),
            (Self::Root(System::A), State::Partial) => label("PRT#basalt-a"),
            (Self::Verity(System::A), State::Finished) => label("basalt-a-verity"),
            (Self::Verity(System::A), State::Partial) => label("PRT#basalt-a-verity"),
            (Self::Root(System::B), State::Finished) => label("basalt-b"),
            (Self::Root(System::B), State::Partial) => label("PRT#basalt-b"),
            (Self::Verity(System::B), State::Finished) => label("basalt-b-verity"),
            (Self::Verity(System::B), State::Partial) => label("PRT#basalt-b-verity"),
            (Self::Root(System::Recovery), State::Finished) => label("basalt-r"),
            (Self::Root(System::Recovery), State::Partial) => label("PRT#basalt-r"),
            (Self::Verity(System::Recovery), State::Finished) => label("basalt-r-verity"),
            (Self::Verity(System::Recovery), State::Partial) => label("PRT#basalt-r-verity"),
            (Self::Data, State::Finished) => label("basalt-data"),
            (Self::Data, State::Partial) => label("PRT#basalt-data"),
        }
    }

    /// What a label means, or `None` when the partition is not ours.
    pub fn of_label(label: &str) -> Option<(Self, State)> {
        let (name, state) = match label.strip_prefix(PARTIAL_PREFIX) {
            Some(name) => (name, State::Partial),
            None => (label, State::Finished),
        };
        Self::ALL.into_iter().find(|role| role.name() == name).map(|role| (role, state))
    }

    /// What a partition's label means; the type must agree, or the partition is somebody else's.
    pub fn of_partition(partition: &Partition) -> Option<(Self, State)> {
        let found = Self::of_label(partition.label.as_ref()?.as_str())?;
        let ours = |architecture| found.0.type_guid(architecture) == partition.type_guid;
        [Architecture::Amd64, Architecture::Arm64].into_iter().any(ours).then_some(found)
    }

    /// The partition type (it differs by architecture for what is executed).
    pub const fn type_guid(self, architecture: Architecture) -> Guid {
        match self {
            Self::Esp => types::ESP,
            Self::Data => types::VAR,
            Self::Root(_) => types::root(architecture),
            Self::Verity(_) => types::root_verity(architecture),
        }
    }

    /// The attributes in `state`. A system that holds no release yet must not be discovered as a root, and the data
    /// partition is mounted by our own unit only: systemd's generator would ask for a machine-derived id.
    pub const fn attributes(self, state: State) -> Attributes {
        match (self, state) {
            (Self::Esp, _) => Attributes::NONE,
            (Self::Root(_) | Self::Verity(_), State::Finished) => Attributes::READ_ONLY,
            (Self::Root(_) | Self::Verity(_), State::Partial) => {
                Attributes::READ_ONLY.with(Attributes::NO_AUTO)
            }
            (Self::Data, _) => Attributes::NO_AUTO,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Role {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("`{text}` is not a partition of a Basalt disk"));
        match Self::of_label(&text) {
            Some((role, State::Finished)) => Ok(role),
            Some((_, State::Partial)) | None => Err(unknown()),
        }
    }
}
