use basalt_formats::gpt::Parsed;
use basalt_image::layout::{GrowthIds, ImageInfo};
use basalt_types::{ByteSize, Guid};
use serde::Serialize;

use crate::{BootFacts, MachineId, Signature};

/// What there is before `/var` is mounted. Everything is a fact; nothing here was decided.
#[derive(Clone, Debug)]
pub struct Observed {
    /// How this boot began.
    pub boot: BootFacts,
    /// The image that runs.
    pub image: ImageInfo,
    /// The disk that was booted from.
    pub disk: DiskFacts,
    /// Other disks that carry the ids of this one.
    pub rivals: Vec<Rival>,
    /// What the data partition holds, when the table has one.
    pub data: Option<Signature>,
    /// Where `/run/basalt/data` leads.
    pub link: Link,
    /// The machine's id on the ESP.
    pub credential: Credential,
    /// The machine's id as this boot has it.
    pub machine_id: Option<MachineId>,
    /// Random ids, in case something is added.
    pub ids: GrowthIds,
}

/// The disk that was booted from.
#[derive(Clone, Debug)]
pub struct DiskFacts {
    /// Its device, such as `/dev/vda`.
    pub device: String,
    /// Its partition table.
    pub table: Parsed,
    /// The partitions that the kernel knows.
    pub kernel: Vec<KernelPartition>,
}

/// A partition as the kernel knows it (`/sys/class/block/*/{partition,start,size}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelPartition {
    /// Its number.
    pub number: u32,
    /// The first byte.
    pub start: u64,
    /// How many bytes it has.
    pub size: ByteSize,
}

/// Another disk with an id of the disk that was booted from: a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// Its device.
    pub device: String,
    /// The id that both have.
    pub id: Guid,
}

/// Where `/run/basalt/data` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is not there: nobody has provisioned in this boot.
    Absent,
    /// It leads to this device.
    To(String),
}

/// The machine's id on the ESP (`loader/credentials/system.machine_id.cred`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// There is none.
    Absent,
    /// There is a file that holds no machine id; `basalt-init` ignores it too.
    Malformed,
    /// There is one.
    Present(MachineId),
    /// The ESP's file system can't be read, so nobody knows; nothing is written over it.
    Unreadable,
}

/// The device of a partition: `/dev/vda` and 8 give `/dev/vda8`, `/dev/nvme0n1` and 8 give `/dev/nvme0n1p8` (Linux
/// `block/genhd.c`, `disk_name`: a `p` when the disk's name ends in a digit).
pub fn partition_path(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}
