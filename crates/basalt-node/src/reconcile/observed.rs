use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use basalt_spec::words::UnixMode;
use basalt_types::Digest;

use super::{Accounts, ExtensionFacts};
use crate::render::FetchedKeys;

/// How a machine is, as far as its document says something of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// How far its start has come.
    pub phase: Phase,
    /// Which boot this is (`/proc/sys/kernel/random/boot_id`): `/etc` is a new one with each.
    pub boot_id: String,
    /// What the kernel calls it.
    pub hostname: String,
    /// What is at the paths that were asked for; nothing is there if a path is missing.
    pub entries: BTreeMap<String, Entry>,
    /// What the image has at those of them that are below `/etc`.
    pub image: BTreeMap<String, Entry>,
    /// The accounts as they are.
    pub accounts: Accounts,
    /// The accounts that the image has.
    pub image_accounts: Accounts,
    /// The kernel's settings that were asked for; the kernel lacks what is missing.
    pub sysctls: BTreeMap<String, String>,
    /// Modules of those asked for that are loaded or built in.
    pub modules: BTreeSet<String>,
    /// The units that were asked for; systemd knows nothing of what is missing.
    pub units: BTreeMap<String, UnitFacts>,
    /// Programs and files of those asked for that the image has.
    pub present: BTreeSet<String>,
    /// SSH keys that were fetched.
    pub keys: FetchedKeys,
    /// Extensions, and the system that they must match.
    pub extensions: ExtensionFacts,
}

/// How far a machine's start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the services that read what is written: none has to be told, none may be waited for, and there is no network.
    Early,
    /// All of it runs.
    Running,
}

/// Something in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its permissions.
    pub mode: UnixMode,
    /// Its owner's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with this digest.
    File(Digest),
    /// A symbolic link to this.
    Link(String),
    /// A directory.
    Directory {
        /// Whether nothing is in it.
        empty: bool,
    },
    /// A device, a socket or a pipe.
    Special,
}

/// How a unit is (systemctl(1), `show`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitFacts {
    /// Whether it starts by itself.
    pub enablement: Enablement,
    /// Whether it runs now.
    pub active: Active,
    /// Whether this boot has tried to start it.
    pub tried: bool,
}

/// Whether a unit starts by itself (systemctl(1), `is-enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Enablement {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It can't be started at all.
    Masked,
    /// Its text says nothing of it: something else starts it.
    Fixed,
}

/// Whether a unit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Active {
    /// It does, or is about to.
    Active,
    /// It does not.
    Inactive,
    /// It ended badly.
    Failed,
}

/// What has to be observed before a plan can be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Paths of the file system.
    pub paths: BTreeSet<String>,
    /// Settings of the kernel, by their paths below `/proc/sys`.
    pub sysctls: BTreeSet<String>,
    /// Kernel modules.
    pub modules: BTreeSet<String>,
    /// systemd units.
    pub units: BTreeSet<String>,
    /// What the image must have.
    pub present: BTreeSet<String>,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("a file"),
            Self::Link(target) => write!(f, "a link to {target}"),
            Self::Directory { .. } => f.write_str("a directory"),
            Self::Special => f.write_str("a device, socket or pipe"),
        }
    }
}
