use std::collections::{BTreeMap, BTreeSet};

use basalt_spec::node::words::ItemName;
use basalt_types::Digest;
use serde::{Deserialize, Serialize};

use super::{Enablement, Reload};

/// What reconciling has done to a machine: kept on the data volume, so that what a document no longer says can be undone.
///
/// It is written before a plan is executed with everything that the plan may touch, and again afterwards. After a loss of
/// power it says too much rather than too little, and undoing what is not there does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The boot of which `boot` tells.
    #[serde(default)]
    pub boot_id: String,
    /// The numbers of accounts that documents named, for ever: files in `/var` belong to numbers.
    #[serde(default)]
    pub uids: BTreeMap<String, u32>,
    /// What was written.
    #[serde(default)]
    pub paths: BTreeSet<String>,
    /// Hooks that run once and have run.
    #[serde(default)]
    pub hooks: BTreeSet<ItemName>,
    /// Which extension each release merged last under which name: by its root hash, so that a release that is rolled back to
    /// has its own.
    #[serde(default)]
    pub extensions: BTreeMap<String, BTreeMap<String, Digest>>,
    /// What is over with this boot.
    #[serde(default)]
    pub boot: BootRecord,
}

/// The part of a [`Record`] that is over with the boot it is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootRecord {
    /// Accounts that documents named.
    #[serde(default)]
    pub users: BTreeSet<String>,
    /// Settings that were changed, and what they were.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Units that documents named, and how each was before; none if there was no such unit.
    #[serde(default)]
    pub units: BTreeMap<String, Option<Enablement>>,
    /// Modules that documents named.
    #[serde(default)]
    pub modules: BTreeSet<String>,
    /// Whether the host name was set.
    #[serde(default)]
    pub hostname: bool,
    /// Who has not been told yet what was written.
    #[serde(default)]
    pub pending: BTreeSet<Reload>,
}

impl Record {
    /// Where it is.
    pub const PATH: &'static str = "/var/lib/basalt/reconcile.json";

    /// The record as it counts in this boot: memory is empty after another one, and so is what was written there.
    pub fn in_boot(mut self, boot_id: &str) -> Self {
        if self.boot_id != boot_id {
            boot_id.clone_into(&mut self.boot_id);
            self.boot = BootRecord::default();
            self.paths.retain(|path| !is_volatile(path));
        }
        self
    }
}

/// Whether a path is in memory.
pub(super) fn is_volatile(path: &str) -> bool {
    path.starts_with("/etc/") || path.starts_with("/run/")
}
