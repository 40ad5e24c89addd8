use basalt_types::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{DevicePath, FileSystemType, ItemName, MountOption, MountSource, Pattern};
use crate::words::AbsolutePath;

/// A disk beside the one that the system is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: data`")]
pub struct DataDisk {
    /// What it is called; documents merge disks by it, and a mount's `source: disk:NAME` means it.
    pub name: ItemName,
    /// Which disk it is.
    #[serde(rename = "match")]
    pub rule: DiskRule,
    /// The file system that it gets when it is empty. It is left as it is if not written.
    #[serde(default)]
    pub file_system: Option<FileSystemType>,
    /// The file system's label. The disk's name if not written.
    #[serde(default)]
    pub label: Option<ItemName>,
}

/// Which disk is meant. Everything that is written must be true of it; when several are left and `prefer` doesn't choose
/// one, nothing is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `bus: nvme`")]
pub struct DiskRule {
    /// Its path, such as `/dev/disk/by-id/…`.
    #[serde(default)]
    pub path: Option<DevicePath>,
    /// A pattern of its serial number.
    #[serde(default)]
    pub serial: Option<Pattern>,
    /// A pattern of its model.
    #[serde(default)]
    pub model: Option<Pattern>,
    /// A pattern of its world-wide name.
    #[serde(default)]
    pub wwn: Option<Pattern>,
    /// How it is attached.
    #[serde(default)]
    pub bus: Option<DiskBus>,
    /// It has at least so many bytes.
    #[serde(default)]
    pub min_size: Option<ByteSize>,
    /// It has at most so many bytes.
    #[serde(default)]
    pub max_size: Option<ByteSize>,
    /// Which of several that are left.
    #[serde(default)]
    pub prefer: Option<Preference>,
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskBus {
    /// NVM Express.
    Nvme,
    /// SATA.
    Sata,
    /// SAS or another SCSI.
    Scsi,
    /// USB.
    Usb,
    /// SD card or eMMC.
    Mmc,
    /// A virtual machine's.
    Virtio,
}

/// Which of several disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// The smallest; two of one size are refused.
    Smallest,
    /// The largest; two of one size are refused.
    Largest,
}

/// Something mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `path` and `source`")]
pub struct Mount {
    /// Where; documents merge mounts by it.
    pub path: AbsolutePath,
    /// What: a device, `LABEL=…`, `UUID=…`, `disk:NAME`, a share, or a word such as `tmpfs`.
    pub source: MountSource,
    /// The type of the file system. Found out if not written.
    #[serde(default, rename = "type")]
    pub file_system: Option<FileSystemType>,
    /// Options of mount(8).
    #[serde(default)]
    pub options: Vec<MountOption>,
    /// Whether the machine starts without it. It does not if not written.
    #[serde(default)]
    pub optional: Option<bool>,
}

/// What an installer does without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `disk`, `wipe` and `after`")]
pub struct Install {
    /// The disk that is erased for the system. Without it nothing is installed by itself.
    #[serde(default)]
    pub disk: Option<DiskRule>,
    /// Erase the disk also where it is a part of something larger: of a RAID, of LVM, ZFS or Ceph. Refused if not written.
    #[serde(default)]
    pub wipe: Option<bool>,
    /// What happens when it is done. `reboot` if not written.
    #[serde(default)]
    pub after: Option<After>,
}

/// What happens after an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum After {
    /// Into the installed system.
    Reboot,
    /// Off.
    PowerOff,
    /// Stop, and stay on.
    Halt,
}

/// How what is kept on the disk is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping such as `data: {unlock: [tpm2]}`"
)]
pub struct Encryption {
    /// The data partition (`/var`).
    #[serde(default)]
    pub data: Option<DataEncryption>,
}

/// How the data partition is protected (LUKS2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `unlock: [tpm2]`")]
pub struct DataEncryption {
    /// What opens it; each of these does alone.
    pub unlock: Vec<Unlock>,
    /// PCRs that the TPM's key is bound to beside the signed policy of PCR 11: 0 to 23.
    #[serde(default)]
    #[schemars(inner(range(max = 23)))]
    pub pcrs: Vec<u32>,
}

/// What opens an encrypted volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unlock {
    /// The machine's TPM, when it started a release that its owner signed.
    Tpm2,
    /// A passphrase that somebody types.
    Passphrase,
    /// A key that is made and shown once.
    RecoveryKey,
}
