use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::KeySource;
use crate::words::{AbsolutePath, GroupName, PasswordHash, UserName};

/// An account on the machine.
///
/// Without `passwordHash` an account of the image keeps its password, and a new one's is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: admin`")]
pub struct NodeUser {
    /// The login name; documents merge users by it.
    pub name: UserName,
    /// Its number. The next free one from 1000 on if not written.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Its full name, for people.
    #[serde(default)]
    pub gecos: Option<String>,
    /// Groups that it belongs to, beside its own. The image must have them.
    #[serde(default)]
    pub groups: Vec<GroupName>,
    /// The hash of its password; clear text is refused.
    #[serde(default)]
    pub password_hash: Option<PasswordHash>,
    /// Its login shell. `/bin/bash` if not written.
    #[serde(default)]
    pub shell: Option<AbsolutePath>,
    /// Its home directory. `/home/NAME` if not written, `/root` for root.
    #[serde(default)]
    pub home: Option<AbsolutePath>,
    /// Whether it may run any command as root through sudo: with its password, or without one if it has none.
    #[serde(default)]
    pub sudo: Option<bool>,
    /// Who may log in as this user over SSH: keys, `github:NAME`, `gitlab:NAME` or https:// addresses of keys.
    #[serde(default)]
    pub ssh_authorized_keys: Vec<KeySource>,
}

impl NodeUser {
    /// Its home directory, written or not.
    pub fn home(&self) -> String {
        match &self.home {
            Some(home) => home.to_string(),
            None if self.name.as_str() == "root" => "/root".to_owned(),
            None => format!("/home/{}", self.name),
        }
    }
}
