use basalt_formats::gpt::GptError;
use basalt_image::layout::GrowthRefusal;
use basalt_types::{Architecture, ByteSize, ImageVersion};
use serde::Serialize;

use super::{Content, DiskUse, Mismatch};

/// Why nothing is installed. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "refusal")]
pub enum InstallRefusal {
    /// No disk is what was asked for and can hold the system.
    #[error("no disk of this machine is the one to install on{}", list(.disks))]
    NoDisk {
        /// Every disk, and why it is not.
        disks: Vec<Unfitting>,
    },
    /// Several disks are what was asked for.
    #[error("{} disks could be meant, and only one is erased:{}", .disks.len(), list(.disks))]
    Ambiguous {
        /// Which.
        disks: Vec<String>,
    },
    /// Somebody uses the disk.
    #[error("{disk} is in use:{}", list(.uses))]
    Busy {
        /// Which.
        disk: String,
        /// By whom.
        uses: Vec<DiskUse>,
    },
    /// The disk is a part of something larger.
    #[error("{disk} is a part of something larger, of which other disks may need it:{}", list(.members))]
    Leftovers {
        /// Which.
        disk: String,
        /// What there is.
        members: Vec<Member>,
    },
    /// The EFI system partition can't be made on such a disk.
    #[error("{disk} has sectors of {sector_size} bytes, and the boot partition is made for 512")]
    Sectors {
        /// Which.
        disk: String,
        /// Bytes of a logical sector.
        sector_size: u32,
    },
    /// Another disk holds the same release.
    #[error(
        "{other} holds the same release, and a machine with two of them would not know which /var is its own"
    )]
    Rival {
        /// The other disk.
        other: String,
    },
    /// The disk holds what would be installed.
    #[error("{disk} holds {version} already, whole")]
    Installed {
        /// Which.
        disk: String,
        /// What would be installed.
        version: ImageVersion,
    },
    /// The release is for other processors.
    #[error("this machine is {machine}, and the release is for {release}")]
    OtherArchitecture {
        /// What this machine is.
        machine: Architecture,
        /// What is offered.
        release: Architecture,
    },
    /// The layout can't be made.
    #[error("{disk} can't be divided: {reason}")]
    Layout {
        /// Which.
        disk: String,
        /// Why.
        reason: GrowthRefusal,
    },
    /// The table can't be made.
    #[error("{disk} can't have this partition table: {source}")]
    Table {
        /// Which.
        disk: String,
        /// Why.
        #[serde(serialize_with = "as_text")]
        source: GptError,
    },
}

/// A disk that is not the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfitting {
    /// The disk.
    pub disk: String,
    /// Why not: at least one reason.
    pub reasons: Vec<Unfit>,
}

/// Why a disk is not the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason")]
pub enum Unfit {
    /// It is not what the rule says.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// This system was started from it.
    #[error("this system was started from it")]
    Booted,
    /// It refuses writes.
    #[error("it can't be written")]
    ReadOnly,
    /// The system does not fit.
    #[error("it has {} and {} are needed", .has.human(), .needs.human())]
    TooSmall {
        /// Its size.
        has: ByteSize,
        /// The least size.
        needs: ByteSize,
    },
}

/// A device that belongs to something larger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Which.
    pub device: String,
    /// What it says.
    pub content: Content,
}

impl InstallRefusal {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NoDisk { .. } => "attach a disk, or say which one with --disk RULE (`install.disk` in the document)".into(),
            Self::Ambiguous { .. } => {
                "say which one: --disk /dev/disk/by-id/…, or a rule such as bus=nvme,prefer=smallest".into()
            }
            Self::Busy { uses, .. } => uses.iter().map(way_out).collect::<Vec<_>>().join("; "),
            Self::Leftovers { .. } => {
                "--wipe (`install.wipe: true`) erases them; if the disk belongs to something that is still wanted, take it out"
                    .into()
            }
            Self::Sectors { .. } => "`nvme format --lbaf` or the vendor's tool makes it one with sectors of 512 bytes".into(),
            Self::Rival { other } => {
                format!("take {other} out, or erase it: `wipefs --all {other}`; or install on it")
            }
            Self::Installed { .. } => {
                "take the medium out and restart; to install it anew, run `basalt-agent install` by hand".into()
            }
            Self::OtherArchitecture { machine, .. } => format!("take a release for {machine}"),
            Self::Layout { .. } | Self::Table { .. } => "take another disk".into(),
        }
    }
}

/// How to end a use.
fn way_out(of: &DiskUse) -> String {
    match of {
        DiskUse::Booted => "start from another medium".into(),
        DiskUse::Mounted { at, .. } => format!("`umount {at}`"),
        DiskUse::Swap { device } => format!("`swapoff {device}`"),
        DiskUse::Held { holder, .. } if holder.starts_with("md") => format!("`mdadm --stop /dev/{holder}`"),
        DiskUse::Held { holder, .. } => {
            format!("take {holder} down: `dmsetup remove`, `vgchange -an`, `cryptsetup close`")
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n    {}", item.to_string())).collect()
}

impl std::fmt::Display for Unfitting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reasons: Vec<_> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", self.disk, reasons.join("; "))
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.device, self.content)
    }
}

fn as_text<S: serde::Serializer>(error: &GptError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}
