use std::fmt;

use serde::Serialize;

use super::Mismatch;

/// Something of the document that can't be done on this machine. Everything else is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "refusal")]
pub enum Refusal {
    /// A group that the image has not.
    #[error("there is no group `{group}` for `{user}` to belong to")]
    NoGroup {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
    /// A shell that the image has not.
    #[error("the shell `{shell}` of `{user}` is not in the image")]
    NoShell {
        /// The user.
        user: String,
        /// The shell.
        shell: String,
    },
    /// The image's account has another number.
    #[error("the image has `{user}` with the number {found}, not {wanted}")]
    OtherNumber {
        /// The user.
        user: String,
        /// The number in the image.
        found: u32,
        /// The document's.
        wanted: u32,
    },
    /// Another account has the number.
    #[error("the number {uid} for `{user}` belongs to `{owner}`")]
    NumberTaken {
        /// The user.
        user: String,
        /// The number.
        uid: u32,
        /// Whose it is.
        owner: String,
    },
    /// All numbers are taken.
    #[error("no number is free for `{user}`")]
    NoNumber {
        /// The user.
        user: String,
    },
    /// sudo is not in the image.
    #[error("`{user}` may use sudo, which is not in the image")]
    NoSudo {
        /// The user.
        user: String,
    },
    /// An owner that nobody is.
    #[error("`{path}` is to belong to `{name}`, which is nobody")]
    NoOwner {
        /// The path.
        path: String,
        /// The name.
        name: String,
    },
    /// Something else than what is wanted, which is not removed.
    #[error("`{path}` is {found}, which is not removed")]
    InTheWay {
        /// The path.
        path: String,
        /// What is there.
        found: String,
    },
    /// Two keys of the document mean the same file.
    #[error("`{path}` of `files` is what another key of the document makes")]
    TwoMeanings {
        /// The path.
        path: String,
    },
    /// A time zone that the image has not.
    #[error("the image has no time zone `{path}`")]
    NoZone {
        /// Where it would be.
        path: String,
    },
    /// A setting that the kernel has not.
    #[error("the kernel has no setting `{path}`")]
    NoSysctl {
        /// Its path below `/proc/sys`.
        path: String,
    },
    /// A unit that systemd does not know.
    #[error("there is no unit `{name}`")]
    NoUnit {
        /// Its name.
        name: String,
    },
    /// An extension of which nobody said what it must be.
    #[error("the extension `{name}` has no digest, and nothing is signed yet")]
    ExtensionDigest {
        /// Its name.
        name: String,
    },
    /// A file that is no extension.
    #[error("the extension `{name}` can't be used: {why}")]
    NoExtension {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// An extension of another system.
    #[error("the extension `{name}` is for another system: {why}")]
    OtherSystem {
        /// Its name.
        name: String,
        /// What does not match.
        why: Mismatch,
    },
    /// A mount of a disk that this release does not look for.
    #[error("`{path}` shows a disk of `disks`, which this release does not follow")]
    NoDisks {
        /// Where it would be mounted.
        path: String,
    },
}

/// Something that happens later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "waiting")]
pub enum Waiting {
    /// A module that no document names any more stays loaded until the next boot.
    ModuleLoaded {
        /// Its name.
        name: String,
    },
    /// The name that no document gives any more stays until the next boot.
    Hostname {
        /// The name.
        name: String,
    },
    /// Keys are fetched once the network is there.
    Keys {
        /// From where.
        source: String,
    },
    /// An extension is fetched once the machine has started.
    Extension {
        /// Its name.
        name: String,
    },
}

/// Something that needs no step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "note")]
pub enum Note {
    /// A key of the document that this release only reads.
    NotFollowed {
        /// The key.
        key: &'static str,
    },
    /// A directory that a document named before has something in it.
    DirectoryKept {
        /// Where.
        path: String,
    },
    /// No document says anything of this machine.
    NoDocument,
}

impl Refusal {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoGroup { .. } => {
                "add the package that makes the group to the recipe, or take the group out"
            }
            Self::NoShell { .. } | Self::NoSudo { .. } => {
                "add its package to the recipe, or take it out of the document"
            }
            Self::OtherNumber { .. } | Self::NumberTaken { .. } => "write another `uid`, or none",
            Self::NoNumber { .. } => "write a `uid`",
            Self::NoOwner { .. } => "name the account in `users`, or write a number",
            Self::InTheWay { .. } => "move it away, or write another path",
            Self::TwoMeanings { .. } => "use the other key, or a drop-in with another name",
            Self::NoZone { .. } => "add the package `tzdata` to the recipe, or write a zone that is there",
            Self::NoSysctl { .. } => "name the module that brings it in `modules`, or take it out",
            Self::NoUnit { .. } => "add its package to the recipe, or give it a `content`",
            Self::ExtensionDigest { .. } => "write its `digest`: `sha256:` and what `sha256sum FILE` says",
            Self::NoExtension { .. } => {
                "build it with the output `sysext` or `confext`, and write its new digest"
            }
            Self::OtherSystem { .. } => {
                "build it on the recipe of the release that runs, or say in `releases` which ones it is for"
            }
            Self::NoDisks { .. } => "name the device: `LABEL=…` or `/dev/disk/by-id/…`",
        }
    }
}

impl Waiting {
    /// Whether the next boot brings it about.
    pub const fn needs_reboot(&self) -> bool {
        match self {
            Self::ModuleLoaded { .. } | Self::Hostname { .. } => true,
            Self::Keys { .. } | Self::Extension { .. } => false,
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModuleLoaded { name } => write!(f, "the module {name} stays loaded until the next boot"),
            Self::Hostname { name } => write!(f, "the name {name} stays until the next boot"),
            Self::Extension { name } => {
                write!(f, "the extension {name} is fetched once the machine has started")
            }
            Self::Keys { source } => {
                write!(f, "the SSH keys of {source} are fetched once the network is there")
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFollowed { key } => write!(f, "this release reads `{key}` and does not follow it"),
            Self::DirectoryKept { path } => write!(f, "{path} is not empty and stays"),
            Self::NoDocument => f.write_str("no document says anything of this machine"),
        }
    }
}
