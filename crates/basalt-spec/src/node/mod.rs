//! The node's configuration: what a machine should be, for its whole life.
//!
//! `text → NodeConfig::parse → NodeConfig` (every word checked, no contradiction) or every problem with its place.
//!
//! `documents → Layers → merge → Merged` (one configuration, and where each key of it comes from).
//!
//! Every key of `spec` may be left out: a document is one layer of several. What a missing key means is the node's to
//! say, not the document's: a default that was written into one layer would win over the layer below.

mod account;
mod check;
mod extension;
mod file;
mod image;
mod interface;
mod kubernetes;
mod layers;
mod link;
mod named;
mod network;
mod one_of;
mod schema;
mod storage;
mod system;
pub mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use account::NodeUser;
pub use extension::{Extension, ExtensionSource};
pub use file::{NodeFile, NodeFileContent};
pub use image::{Health, HealthCheck, ImageWish, Probe, Upgrade, UpgradeMode};
pub use interface::{Addressing, Dhcp, Interface, InterfaceKind, Match, Route};
pub use kubernetes::{Distribution, Kubernetes, Role};
pub use layers::{
    Difference, Explained, KeyPath, KeyPathError, Layers, Mention, MergeError, Merged, Place, Provenance,
    UnknownKey,
};
pub(crate) use layers::{check_tree, empty_tree, tree_text};
pub use link::{Bond, BondMode, Bridge, Country, HashPolicy, Ssid, Vlan, VlanId, Wifi, WifiNetwork};
pub use network::{Dns, HostEntry, Network, Ntp, Proxy, ProxyException, Strictness};
pub(crate) use schema::mark_named;
pub use storage::{
    After, DataDisk, DataEncryption, DiskBus, DiskRule, Encryption, Install, Mount, Preference, Unlock,
};
pub use system::{DropIn, Hook, Script, Stage, Unit, UnitState};

use crate::{
    diagnostic::SpecError,
    recipe::ApiVersion,
    words::{Hostname, Keymap, LocaleName, Timezone},
    yaml,
};
use words::{ModuleName, SysctlName, SysctlValue};

/// One document of a node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a node's configuration: keys and values")]
pub struct NodeConfig {
    /// The version of this language.
    pub api_version: ApiVersion,
    /// What sort of document this is.
    pub kind: NodeConfigKind,
    /// What the machine should be.
    #[serde(default)]
    pub spec: NodeSpec,
}

/// The sort of document that a node's configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeConfigKind {
    /// A node's configuration.
    NodeConfig,
}

/// What a machine should be. Every key may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `hostname: edge-1`")]
pub struct NodeSpec {
    /// The operating system that the machine should run.
    #[serde(default)]
    pub image: Option<ImageWish>,
    /// When and how it moves to another release.
    #[serde(default)]
    pub upgrade: Upgrade,
    /// What it is called.
    #[serde(default)]
    pub hostname: Option<Hostname>,
    /// Its time zone.
    #[serde(default)]
    pub timezone: Option<Timezone>,
    /// Its language. The image must have it.
    #[serde(default)]
    pub locale: Option<LocaleName>,
    /// The console's keyboard. The image must have it.
    #[serde(default)]
    pub keymap: Option<Keymap>,
    /// Accounts; `root` may be here too.
    #[serde(default)]
    pub users: Vec<NodeUser>,
    /// How the machine talks to others.
    #[serde(default)]
    pub network: Network,
    /// Files, directories and symbolic links.
    #[serde(default)]
    pub files: Vec<NodeFile>,
    /// Settings of the kernel, by name.
    #[serde(default)]
    pub sysctls: BTreeMap<SysctlName, SysctlValue>,
    /// Kernel modules that are loaded at every start.
    #[serde(default)]
    pub modules: Vec<ModuleName>,
    /// systemd units.
    #[serde(default)]
    pub units: Vec<Unit>,
    /// Disks beside the one that the system is on.
    #[serde(default)]
    pub disks: Vec<DataDisk>,
    /// What is mounted.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// System and configuration extensions.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// What an installer does without asking.
    #[serde(default)]
    pub install: Option<Install>,
    /// How what is kept on the disk is protected.
    #[serde(default)]
    pub encryption: Encryption,
    /// What the machine is in a Kubernetes cluster.
    #[serde(default)]
    pub kubernetes: Option<Kubernetes>,
    /// Scripts at named stages of the machine's life.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

impl NodeConfig {
    /// Reads one document. `file` is its name in messages.
    ///
    /// What may stand in another document (the card that a VLAN is a part of) is not looked for here.
    ///
    /// # Errors
    /// Everything that is wrong with the text, with places: see [`SpecError`].
    pub fn parse(file: &str, text: &str) -> Result<Self, SpecError> {
        let refuse = |problems| SpecError::new(file, text, problems);
        let (root, problems) = yaml::parse(text).map_err(refuse)?;
        layers::whole(&root, problems).map_err(refuse)
    }
}
