use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{AbsolutePath, GroupName, PasswordHash, SshKey, UserName};

/// An account.
///
/// Without `passwordHash` its password is locked, so it is reached by SSH key or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: admin`")]
pub struct User {
    /// The login name.
    pub name: UserName,
    /// Its number. The next free one from 1000 on if not written.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Groups that it belongs to, beside its own. A package or Debian's base must have them.
    #[serde(default)]
    pub groups: Vec<GroupName>,
    /// The hash of its password; clear text is refused, for recipes are shared.
    #[serde(default)]
    pub password_hash: Option<PasswordHash>,
    /// Its login shell. `/bin/bash` if not written.
    #[serde(default)]
    pub shell: Option<AbsolutePath>,
    /// Its home directory. `/home/NAME` if not written, `/root` for root.
    #[serde(default)]
    pub home: Option<AbsolutePath>,
    /// Public keys that may log in as this user over SSH.
    #[serde(default)]
    pub ssh_authorized_keys: Vec<SshKey>,
    /// Whether it may run any command as root through sudo: with its password, or without one if it has none.
    #[serde(default)]
    pub sudo: bool,
    /// Its full name, for people.
    #[serde(default)]
    pub gecos: String,
}
