use std::fmt;

use basalt_spec::node::DiskBus;
use basalt_types::{Architecture, ByteSize, Guid};
use serde::Serialize;

use super::Content;

/// The machine as an installation is planned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstallFacts {
    /// Its processor.
    pub architecture: Architecture,
    /// Every disk that it has now, CD drives not among them.
    pub disks: Vec<BlockDisk>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDisk {
    /// Its device, such as `/dev/nvme0n1`.
    pub device: String,
    /// Other paths that lead to it, such as `/dev/disk/by-id/…`.
    pub links: Vec<String>,
    /// Its size.
    pub size: ByteSize,
    /// Bytes of a logical sector.
    pub sector_size: u32,
    /// What it calls itself.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its world-wide name.
    pub wwn: Option<String>,
    /// How it is attached; none when that is no way we know.
    pub bus: Option<DiskBus>,
    /// Whether it turns.
    pub rotational: bool,
    /// Whether its medium can be taken out.
    pub removable: bool,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Who uses it now.
    pub uses: Vec<DiskUse>,
    /// What it holds as a whole; partitions apart.
    pub content: Option<Content>,
    /// Its partitions.
    pub partitions: Vec<BlockPartition>,
}

/// A partition of a disk, as its table says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockPartition {
    /// Its number.
    pub number: u32,
    /// The first byte.
    pub start: u64,
    /// How many bytes it has.
    pub size: ByteSize,
    /// Its id; the old sort of table has none.
    pub guid: Option<Guid>,
    /// Its name in the table.
    pub label: Option<String>,
    /// What it holds.
    pub content: Option<Content>,
}

/// Who uses a disk, so that it can't be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "use")]
pub enum DiskUse {
    /// This system was started from it.
    Booted,
    /// It or one of its partitions is mounted.
    Mounted {
        /// Which device.
        device: String,
        /// Where.
        at: String,
    },
    /// The kernel swaps to it.
    Swap {
        /// Which device.
        device: String,
    },
    /// Another block device is made of it: an array, a volume, a mapping.
    Held {
        /// Which device.
        device: String,
        /// The other one's name.
        holder: String,
    },
}

impl BlockDisk {
    /// Its device and what a person knows it by, such as `/dev/sda (Samsung SSD 870, S5Y1…, 500 GB)`.
    pub fn described(&self) -> String {
        let words = [self.model.as_deref(), self.serial.as_deref(), self.bus.map(bus_name)];
        let size = self.size.human();
        let known = words.into_iter().flatten().chain([size.as_str()]).collect::<Vec<_>>().join(", ");
        format!("{} ({known})", self.device)
    }

    /// Everything on it that belongs to something larger: which device, and what it is.
    pub fn members(&self) -> Vec<(String, Content)> {
        let whole = self.content.map(|content| (self.device.clone(), content));
        let parts = self.partitions.iter().filter_map(|partition| {
            Some((crate::partition_path(&self.device, partition.number), partition.content?))
        });
        whole.into_iter().chain(parts).filter(|(_, content)| content.is_member()).collect()
    }
}

/// The word of a rule for a bus.
pub(super) const fn bus_name(bus: DiskBus) -> &'static str {
    match bus {
        DiskBus::Nvme => "nvme",
        DiskBus::Sata => "sata",
        DiskBus::Scsi => "scsi",
        DiskBus::Usb => "usb",
        DiskBus::Mmc => "mmc",
        DiskBus::Virtio => "virtio",
    }
}

impl fmt::Display for DiskUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted => f.write_str("this system was started from it"),
            Self::Mounted { device, at } => write!(f, "{device} is mounted at {at}"),
            Self::Swap { device } => write!(f, "the kernel swaps to {device}"),
            Self::Held { device, holder } => write!(f, "{device} is in use by {holder}"),
        }
    }
}
