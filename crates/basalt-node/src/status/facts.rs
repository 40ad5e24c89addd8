use basalt_formats::bootentry::EntryName;
use basalt_image::layout::ImageInfo;
use basalt_types::{ByteSize, Digest};
use serde::Serialize;

use crate::{BootFacts, MachineId, upgrade::Record};

/// Everything that was observed. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The image that runs.
    pub image: ImageInfo,
    /// How this boot began.
    pub boot: Fact<BootFacts>,
    /// Whether the root is verified.
    pub verification: Fact<Verification>,
    /// The names of the files in `EFI/Linux` on the ESP, or the one that was booted.
    pub entries: Fact<Vec<EntryName>>,
    /// What was recorded of the machine's releases; empty where nothing is, or can't be read.
    pub history: Vec<Record>,
    /// What is mounted on `/var`.
    pub data: Fact<Data>,
    /// What systemd says of the machine.
    pub system: Fact<SystemFacts>,
    /// When the boot loader started and when it started the kernel, since power-on (`LoaderTimeInitUSec`,
    /// `LoaderTimeExecUSec` of the Boot Loader Interface).
    pub loader: Fact<LoaderTimes>,
    /// The machine's id.
    pub machine_id: Fact<MachineId>,
}

/// Something that was observed, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Fact<T> {
    /// The value.
    Known(T),
    /// Not the value.
    Unknown {
        /// Why not.
        unknown: Unknown,
    },
}

/// Why something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unknown {
    /// Only root may read it.
    NeedsRoot,
    /// This machine does not have it.
    Absent,
    /// It is there and could not be read or understood.
    Unreadable,
    /// It is not known yet: the machine is still starting.
    NotYet,
}

/// Whether the root is what the boot asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verification {
    /// dm-verity checks every read against the root hash, and every one was good.
    Verified,
    /// dm-verity found a bad block.
    Corrupted,
    /// The root is not checked against the root hash of this boot.
    NotVerified,
}

/// A mounted data volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// The device.
    pub device: String,
    /// The file system.
    pub file_system: String,
    /// How much fits, in bytes.
    #[serde(rename = "sizeBytes", serialize_with = "as_number")]
    pub size: ByteSize,
    /// How much is used, in bytes.
    #[serde(rename = "usedBytes", serialize_with = "as_number")]
    pub used: ByteSize,
}

/// What systemd says of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemFacts {
    /// Its state as `systemctl is-system-running` prints it.
    pub state: String,
    /// The units that failed.
    pub failed_units: Vec<String>,
    /// When everything was started, since the kernel started; none while it is not.
    #[serde(skip)]
    pub finished: Option<u64>,
}

/// When the boot loader started, and when it started the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderTimes {
    /// `LoaderTimeInitUSec`.
    pub init: u64,
    /// `LoaderTimeExecUSec`.
    pub exec: u64,
}

/// Below this share of `/var`, and below [`LEFT_ENOUGH`], it is nearly full.
const LEFT_PERCENT: u64 = 5;
const LEFT_ENOUGH: ByteSize = ByteSize::gib(4);

/// A program adds and compares sizes; it gets them as numbers.
pub(super) fn as_number<S: serde::Serializer>(size: &ByteSize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(size.get())
}

impl<T> Fact<T> {
    /// Not known, for this reason.
    pub const fn unknown(why: Unknown) -> Self {
        Self::Unknown { unknown: why }
    }

    /// The value, if it is known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// What follows from the value; the reason stays when there is none.
    pub fn and_then<U>(&self, follow: impl FnOnce(&T) -> Fact<U>) -> Fact<U> {
        match self {
            Self::Known(value) => follow(value),
            Self::Unknown { unknown } => Fact::Unknown { unknown: *unknown },
        }
    }
}

impl Verification {
    /// From what the target `verity` says of itself (Linux `Documentation/admin-guide/device-mapper/verity.rst`): its
    /// status, `V` or `C`, and its table, in which the root hash is the ninth parameter. Newer kernels (7.2 does) say behind
    /// the status what forward error correction did, `-` without it.
    pub fn from_dm(status: &str, table: &str, wanted: &Digest) -> Self {
        let checks_wanted = table.split_ascii_whitespace().nth(8) == Some(wanted.hex().as_str());
        match (checks_wanted, status.split_ascii_whitespace().next()) {
            (true, Some("V")) => Self::Verified,
            (_, Some("C")) => Self::Corrupted,
            (true | false, _) => Self::NotVerified,
        }
    }
}

impl Data {
    pub(super) fn left(&self) -> ByteSize {
        ByteSize::bytes(self.size.get().saturating_sub(self.used.get()))
    }

    pub(super) fn is_nearly_full(&self) -> bool {
        let share = self.size.get() / 100 * LEFT_PERCENT;
        self.left() < LEFT_ENOUGH.min(ByteSize::bytes(share))
    }
}
