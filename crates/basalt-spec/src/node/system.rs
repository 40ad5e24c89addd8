use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{ItemName, Span};
use crate::words::{UnitName, text_word};

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: nginx.service`")]
pub struct Unit {
    /// Its name; documents merge units by it.
    pub name: UnitName,
    /// Whether it starts. As the image has it if not written.
    #[serde(default)]
    pub state: Option<UnitState>,
    /// Its text, when the image has none or is to have another.
    #[serde(default)]
    pub content: Option<String>,
    /// Texts that are added to it.
    #[serde(default)]
    pub drop_ins: Vec<DropIn>,
}

/// Whether a unit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnitState {
    /// As its `[Install]` section says.
    Enabled,
    /// Not by itself.
    Disabled,
    /// Not at all.
    Masked,
}

/// A text that is added to a unit (systemd.unit(5), "drop-in").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `name` and `content`")]
pub struct DropIn {
    /// Its name without `.conf`; documents merge drop-ins by it, and systemd reads them in its order.
    pub name: ItemName,
    /// The text.
    pub content: String,
}

/// A script of the operator's at a named stage of the machine's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping of `name`, `stage` and `script`"
)]
pub struct Hook {
    /// Its name; documents merge hooks by it, and those of one stage run in the order of their names.
    pub name: ItemName,
    /// When it runs.
    pub stage: Stage,
    /// What runs. The first line may name the interpreter (`#!`); `/bin/sh -eu` otherwise.
    pub script: Script,
    /// Whether it runs once in the machine's life. It runs every time if not written.
    #[serde(default)]
    pub once: Option<bool>,
    /// How long it may take. `5m` if not written.
    #[serde(default)]
    pub timeout: Option<Span>,
}

text_word!(
    /// The text of a script.
    Script,
    "a script",
    "text with at least one command, and without a NUL",
    "\\S",
    |text| !text.trim().is_empty() && !text.contains('\0') && text.len() <= 1 << 20
);

/// A moment of the machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Every start, before the network.
    Boot,
    /// Every start, once the network is there.
    Network,
    /// Every start, when everything else has started.
    Ready,
    /// After each reconciliation.
    Reconcile,
    /// Before a shutdown.
    Shutdown,
    /// Before the installer writes.
    BeforeInstall,
    /// After the installer wrote.
    AfterInstall,
    /// Before an upgrade writes.
    BeforeUpgrade,
    /// After an upgrade wrote, before the restart.
    AfterUpgrade,
    /// Before a reset.
    BeforeReset,
    /// After a reset.
    AfterReset,
}
