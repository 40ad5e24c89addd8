use basalt_formats::gpt::{GptError, types};
use basalt_image::layout::{GrowthRefusal, Role};
use basalt_types::Guid;
use serde::{Serialize, Serializer};

use super::Rival;
use crate::Signature;

/// Why the disk can't be provisioned. Nothing is written when there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "refusal")]
pub enum Refusal {
    /// The partition table can't be brought to what the layout wants.
    #[error("{disk} can't be divided as the image wants: {reason}")]
    Growth {
        /// The disk.
        disk: String,
        /// Why.
        reason: GrowthRefusal,
    },
    /// The table can't be written.
    #[error("the partition table of {disk} can't be written")]
    Table {
        /// The disk.
        disk: String,
        /// Why.
        #[serde(serialize_with = "as_text")]
        source: GptError,
    },
    /// The partition that was booted from is not on the disk that was observed.
    #[error("{disk} has no partition {id}, from which this boot says it was started")]
    OtherDisk {
        /// The disk.
        disk: String,
        /// The id of the root partition.
        id: Guid,
    },
    /// Two disks say that they are the same one.
    #[error("{disk} and {} both carry the id {}", .rival.device, .rival.id)]
    Copied {
        /// The disk that was booted from.
        disk: String,
        /// The other one.
        rival: Rival,
    },
    /// The kernel knows a partition with the same number at another place.
    #[error("the kernel has partition {number} of {disk} at byte {kernel}, its table at byte {table}")]
    KernelDisagrees {
        /// The disk.
        disk: String,
        /// The partition's number.
        number: u32,
        /// Where the kernel has it.
        kernel: u64,
        /// Where the table has it.
        table: u64,
    },
    /// The data partition is finished and holds no file system that can be mounted.
    #[error("the data partition {device} is finished and holds {found}, no file system")]
    DataUnusable {
        /// The partition.
        device: String,
        /// Its number.
        number: u32,
        /// What it holds.
        found: Signature,
    },
    /// The ESP is unfinished: whoever was installing was interrupted.
    #[error("partition {number} of {disk} is `{role}` and unfinished")]
    Unfinished {
        /// The disk.
        disk: String,
        /// The partition's number.
        number: u32,
        /// What it is for.
        role: Role,
    },
}

impl Refusal {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Growth { disk, reason } => growth_hint(disk, reason),
            Self::Table { .. } => {
                "boot a rescue system and let `sgdisk --verify` look at the disk".to_owned()
            }
            Self::OtherDisk { .. } => {
                "reboot; if it comes back, two disks of this machine carry the same image: remove one"
                    .to_owned()
            }
            Self::Copied { disk, rival } => {
                let other = &rival.device;
                format!(
                    "remove one of {disk} and {other}, or give {other} new ids: sgdisk --randomize-guids {other}"
                )
            }
            Self::KernelDisagrees { .. } => "reboot, so that the kernel reads the table again".to_owned(),
            Self::DataUnusable { device, number, .. } => format!(
                "restore the content of {device}; or, to lose it for good and start with an empty /var: \
                 sgdisk --change-name={number}:PRT#basalt-data DISK, and reboot"
            ),
            Self::Unfinished { .. } => "write the image to the disk again".to_owned(),
        }
    }
}

fn growth_hint(disk: &str, reason: &GrowthRefusal) -> String {
    match reason {
        GrowthRefusal::TooSmall { needed, .. } => {
            format!("write the image to a disk of {needed} or more, or ask for smaller sizes in the recipe")
        }
        GrowthRefusal::InTheWay { number, .. } => {
            format!("if partition {number} is not needed: sgdisk --delete={number} {disk}, and reboot")
        }
        GrowthRefusal::DataLost { .. } => format!(
            "restore the partition table of {disk}; or, to lose /var for good and start with an empty one: sgdisk --new=0:0:0 \
             --typecode=0:{} --change-name=0:PRT#basalt-data {disk}, and reboot",
            types::VAR
        ),
        GrowthRefusal::Missing { .. }
        | GrowthRefusal::Twice { .. }
        | GrowthRefusal::Truncated { .. }
        | GrowthRefusal::NoEntry { .. } => "write the image to the disk again".to_owned(),
    }
}

fn as_text<S: Serializer>(error: &GptError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}
