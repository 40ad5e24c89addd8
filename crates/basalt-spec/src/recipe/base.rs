use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OciBase;
use crate::words::{Component, RelativePath, RepositoryUrl, SnapshotTime, Suite};

/// Where packages come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping such as `debian: {suite: trixie}`"
)]
pub struct Base {
    /// A suite of a Debian archive.
    #[serde(default)]
    pub debian: DebianBase,
    /// An OCI image to start from, instead of an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciBase>,
}

/// A suite of a Debian archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `suite: trixie`")]
pub struct DebianBase {
    /// The suite, by codename or class.
    #[serde(default = "trixie")]
    pub suite: Suite,
    /// The parts of the archive to take packages from.
    #[serde(default = "main")]
    pub components: Vec<Component>,
    /// Suites beside the main one. `[updates, security]` if not written; nothing for `sid`, which has neither.
    #[serde(default)]
    pub pockets: Option<BTreeSet<Pocket>>,
    /// The archive's address. From the environment or the build host if not written.
    #[serde(default)]
    pub mirror: Option<RepositoryUrl>,
    /// The security archive's address. Debian's own, beside the mirror if that has it, if not written.
    #[serde(default)]
    pub security_mirror: Option<RepositoryUrl>,
    /// Take the archive as it was at this moment, from a snapshot archive.
    #[serde(default)]
    pub snapshot: Option<SnapshotTime>,
    /// Whether an index that says it has expired is refused. A snapshot's index has always expired: it is not asked
    /// there.
    #[serde(default = "yes")]
    pub check_valid_until: bool,
    /// OpenPGP keys that may sign the archive, beside the recipe. Debian's archive keys if not written.
    #[serde(default)]
    pub keyring: Option<RelativePath>,
}

/// A suite that goes with the main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pocket {
    /// Changes before the next point release: `SUITE-updates`.
    Updates,
    /// Fixes of vulnerabilities, from the security archive: `SUITE-security`.
    Security,
    /// Newer versions from testing: `SUITE-backports`. Only taken for packages asked for with that version.
    Backports,
}

impl DebianBase {
    /// The suites beside the main one: what is written, or the suite's default.
    pub fn pockets(&self) -> BTreeSet<Pocket> {
        self.pockets.clone().unwrap_or_else(|| match self.suite.as_str() {
            "sid" | "unstable" | "experimental" | "rc-buggy" => BTreeSet::new(),
            _stable_or_testing => BTreeSet::from([Pocket::Updates, Pocket::Security]),
        })
    }

    /// Whether `Valid-Until` counts.
    pub const fn checks_valid_until(&self) -> bool {
        self.check_valid_until && self.snapshot.is_none()
    }
}

impl Default for DebianBase {
    fn default() -> Self {
        Self {
            suite: trixie(),
            components: main(),
            pockets: None,
            mirror: None,
            security_mirror: None,
            snapshot: None,
            check_valid_until: true,
            keyring: None,
        }
    }
}

fn trixie() -> Suite {
    Suite::trixie()
}

fn main() -> Vec<Component> {
    vec![Component::main()]
}

const fn yes() -> bool {
    true
}
