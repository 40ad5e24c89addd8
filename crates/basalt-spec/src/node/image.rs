use basalt_types::{ByteSize, ImageRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    one_of::one_of,
    words::{HostPort, HttpUrl, ItemName, Span, Track, Window},
};
use crate::words::UnitName;

/// The operating system that the machine should run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `ref: HOST/NAME`")]
pub struct ImageWish {
    /// Where its releases are: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, `oci:FOLDER[:NAME]` or `oci-archive:FILE[:NAME]`.
    #[serde(rename = "ref")]
    pub reference: ImageRef,
    /// Which of them may be chosen, such as `1.x`. What the reference says alone if not written.
    #[serde(default)]
    pub track: Option<Track>,
    /// Speak plain HTTP with the registry.
    #[serde(default)]
    pub insecure: Option<bool>,
}

/// When and how the machine moves to another release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `mode: auto`")]
pub struct Upgrade {
    /// How far it goes by itself. `auto` if not written.
    #[serde(default)]
    pub mode: Option<UpgradeMode>,
    /// When it may restart, such as `Sun 02:00-04:00 Europe/Rome`. At any time if not written.
    #[serde(default)]
    pub window: Option<Window>,
    /// The most bytes that are fetched in a second.
    #[serde(default)]
    pub rate_limit: Option<ByteSize>,
    /// For how long a release must run well before it becomes the recovery system.
    #[serde(default)]
    pub promote_after: Option<Span>,
    /// What must be true before a new release is kept.
    #[serde(default)]
    pub health: Health,
}

/// How far an upgrade goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UpgradeMode {
    /// Fetch, write, and restart in the window.
    Auto,
    /// Fetch and write; somebody else restarts the machine.
    Stage,
    /// Say that there is a newer release, and do nothing.
    Check,
}

/// What must be true before a new release is kept; the machine falls back to the old one otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping of `deadline`, `checks` and `mayFail`"
)]
pub struct Health {
    /// How long after the start of the kernel every check must have succeeded. `10m` if not written, `50m` at most.
    #[serde(default)]
    pub deadline: Option<Span>,
    /// The checks, beside that everything has started and no unit failed.
    #[serde(default)]
    pub checks: Vec<HealthCheck>,
    /// Units whose failure does not count.
    #[serde(default)]
    pub may_fail: Vec<UnitName>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenCheck", into = "WrittenCheck")]
pub struct HealthCheck {
    /// What the check is called; documents merge checks by it.
    pub name: ItemName,
    /// What is asked.
    pub probe: Probe,
    /// How long one try may take.
    pub timeout: Option<Span>,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The unit is active.
    Unit(UnitName),
    /// The address answers with a status from 200 to 299.
    Http(HttpUrl),
    /// The port takes a connection.
    Tcp(HostPort),
    /// The program ends with code 0.
    Command(Vec<String>),
    /// The cluster says that this node is ready.
    NodeReady,
}

/// A check: exactly one of `unit`, `http`, `tcp`, `command` and `nodeReady`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `unit: nginx.service`")]
#[schemars(rename = "HealthCheck")]
#[schemars(extend("oneOf" = [
    {"required": ["unit"]}, {"required": ["http"]}, {"required": ["tcp"]}, {"required": ["command"]},
    {"required": ["nodeReady"]},
]))]
struct WrittenCheck {
    /// What the check is called; documents merge checks by it.
    name: ItemName,
    /// A unit that must be active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<UnitName>,
    /// An address that must answer with a status from 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<HttpUrl>,
    /// `HOST:PORT` that must take a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<HostPort>,
    /// A program and its arguments, which must end with code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    /// `true`: the cluster must say that this node is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node_ready: Option<bool>,
    /// How long one try may take. `5s` if not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Span>,
}

impl TryFrom<WrittenCheck> for HealthCheck {
    type Error = super::one_of::NotOne;

    fn try_from(written: WrittenCheck) -> Result<Self, Self::Error> {
        let WrittenCheck { name, unit, http, tcp, command, node_ready, timeout } = written;
        let probe = one_of(
            &format!("the check `{name}`"),
            [
                ("unit", unit.map(Probe::Unit)),
                ("http", http.map(Probe::Http)),
                ("tcp", tcp.map(Probe::Tcp)),
                ("command", command.filter(|command| !command.is_empty()).map(Probe::Command)),
                ("nodeReady", node_ready.filter(|ready| *ready).map(|_true| Probe::NodeReady)),
            ],
        )?;
        Ok(Self { name, probe, timeout })
    }
}

impl From<HealthCheck> for WrittenCheck {
    fn from(HealthCheck { name, probe, timeout }: HealthCheck) -> Self {
        let bare = Self { name, unit: None, http: None, tcp: None, command: None, node_ready: None, timeout };
        match probe {
            Probe::Unit(unit) => Self { unit: Some(unit), ..bare },
            Probe::Http(url) => Self { http: Some(url), ..bare },
            Probe::Tcp(port) => Self { tcp: Some(port), ..bare },
            Probe::Command(command) => Self { command: Some(command), ..bare },
            Probe::NodeReady => Self { node_ready: Some(true), ..bare },
        }
    }
}

super::one_of::schema_of!(HealthCheck, WrittenCheck);
