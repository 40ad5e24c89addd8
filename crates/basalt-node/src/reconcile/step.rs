use std::fmt;

use basalt_spec::{
    node::{ExtensionSource, words::KeySource},
    words::UnixMode,
};
use basalt_types::Digest;
use serde::{Deserialize, Serialize};

use super::{AccountEdit, extensions::source_text};

/// One thing that is done. Doing it twice is as good as doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum Step {
    /// Load a kernel module.
    LoadModule {
        /// Its name.
        name: String,
    },
    /// Set a kernel setting.
    SetSysctl {
        /// Its path below `/proc/sys`.
        path: String,
        /// What it is; nothing if only a module that is loaded before brings it.
        from: Option<String>,
        /// What it becomes.
        to: String,
    },
    /// Change the tables of accounts.
    Account {
        /// Whose.
        user: String,
        /// What happens to the account.
        change: AccountChange,
        /// How: never shown, for it has password hashes.
        #[serde(skip)]
        edits: Vec<AccountEdit>,
    },
    /// Make a home directory, and fill it from `/etc/skel`.
    MakeHome {
        /// Where.
        path: String,
        /// Its owner's number.
        uid: u32,
        /// Its group's number.
        gid: u32,
    },
    /// Write a file.
    WriteFile {
        /// Where.
        path: String,
        /// Why: what is there instead.
        found: Found,
        /// Permissions and owner.
        #[serde(flatten)]
        attributes: Attributes,
        /// Its bytes.
        #[serde(skip)]
        content: Content,
    },
    /// Make a symbolic link.
    MakeLink {
        /// Where.
        path: String,
        /// Why: what is there instead.
        found: Found,
        /// Where it leads.
        target: String,
    },
    /// Make a directory.
    MakeDirectory {
        /// Where.
        path: String,
        /// Permissions and owner.
        #[serde(flatten)]
        attributes: Attributes,
    },
    /// Give something its permissions and owner.
    SetAttributes {
        /// Where.
        path: String,
        /// What it has.
        from: Attributes,
        /// What it gets.
        to: Attributes,
    },
    /// Remove a file or a link.
    Remove {
        /// Where.
        path: String,
    },
    /// Remove a directory that is empty.
    RemoveDirectory {
        /// Where.
        path: String,
    },
    /// Put back what the image has there.
    Restore {
        /// Where.
        path: String,
    },
    /// Set the host name.
    SetHostname {
        /// What it is.
        from: String,
        /// What it becomes.
        to: String,
    },
    /// Fetch a user's public keys.
    FetchKeys {
        /// From where.
        #[serde(serialize_with = "as_text")]
        source: KeySource,
    },
    /// Fetch an extension into the store, and look what it is.
    FetchExtension {
        /// Its name.
        name: String,
        /// What must be there.
        digest: Digest,
        /// From where.
        #[serde(serialize_with = "without_secrets")]
        source: ExtensionSource,
    },
    /// Remove from the store what nobody wants any more, or what was damaged there.
    ForgetExtension {
        /// Which.
        digest: Digest,
    },
    /// Tell a program that what it has read is another now.
    Reload {
        /// Whom.
        what: Reload,
    },
    /// Do something with a unit of systemd's.
    Unit {
        /// Its name.
        name: String,
        /// What.
        action: UnitAction,
    },
}

/// What was found in place of what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Another content.
    Other,
}

/// Permissions and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// Permissions.
    pub mode: UnixMode,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Bytes that may hold secrets: no message shows them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content(Vec<u8>);

/// What happens to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "change")]
pub enum AccountChange {
    /// It is made.
    Create {
        /// Its number.
        uid: u32,
        /// Whether it has no password.
        locked: bool,
    },
    /// Something of it changes.
    Alter {
        /// What: `password`, `shell`, `groups` …
        what: Vec<&'static str>,
    },
    /// It is taken away; its files stay.
    Remove,
}

/// Who reads what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reload {
    /// systemd-sysext what it merges into `/usr`. Before systemd itself, which then reads the units that are there.
    Extensions,
    /// systemd-confext what it merges into `/etc`.
    Configuration,
    /// systemd its units.
    Systemd,
    /// The kernel its settings from files that a document writes itself.
    Sysctl,
    /// systemd-networkd its interfaces.
    Network,
    /// systemd-resolved its servers.
    Resolver,
    /// systemd-timesyncd its servers.
    Time,
    /// The console its keyboard.
    Console,
    /// The SSH server.
    Ssh,
}

/// What is done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UnitAction {
    /// From now on it starts by itself.
    Enable,
    /// From now on it doesn't.
    Disable,
    /// It can't be started any more.
    Mask,
    /// It can be started again.
    Unmask,
    /// It is started; nobody waits for it.
    Start,
    /// It is started, and everything else waits until it runs.
    StartAndWait,
    /// It is stopped; nobody waits for it.
    Stop,
    /// It is stopped, and what it needs stays until it has ended.
    StopAndWait,
    /// It is started again with what it reads now.
    Restart,
}

impl Content {
    /// These bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl Reload {
    /// Who reads this file while it runs.
    pub fn of(path: &str) -> Option<Self> {
        const READERS: [(&str, Reload); 12] = [
            ("/run/extensions/", Reload::Extensions),
            ("/run/confexts/", Reload::Configuration),
            ("/etc/systemd/network/", Reload::Network),
            ("/etc/systemd/networkd.conf.d/", Reload::Network),
            ("/etc/systemd/resolved.conf.d/", Reload::Resolver),
            ("/etc/systemd/timesyncd.conf.d/", Reload::Time),
            ("/etc/systemd/system/", Reload::Systemd),
            ("/etc/systemd/system.conf.d/", Reload::Systemd),
            ("/etc/sysctl.d/", Reload::Sysctl),
            ("/etc/vconsole.conf", Reload::Console),
            ("/etc/ssh/sshd_config.d/", Reload::Ssh),
            ("/etc/ssh/sshd_config", Reload::Ssh),
        ];
        READERS.into_iter().find(|(place, _)| path.starts_with(place)).map(|(_, reload)| reload)
    }
}

fn as_text<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn without_secrets<S: serde::Serializer>(source: &ExtensionSource, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&source_text(source))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule { name } => write!(f, "load the module {name}"),
            Self::SetSysctl { path, from: Some(from), to } => write!(f, "set {path} to {to} (it is {from})"),
            Self::SetSysctl { path, from: None, to } => write!(f, "set {path} to {to}"),
            Self::Account { user, change, edits: _ } => write!(f, "{change} {user}{}", change.details()),
            Self::MakeHome { path, uid, gid: _ } => write!(f, "make the home {path} for {uid}"),
            Self::WriteFile { path, found, attributes, content } => {
                write!(f, "write {path} {attributes}, {} bytes{found}", content.0.len())
            }
            Self::MakeLink { path, found, target } => write!(f, "link {path} to {target}{found}"),
            Self::MakeDirectory { path, attributes } => write!(f, "make the directory {path} {attributes}"),
            Self::SetAttributes { path, from, to } => write!(f, "make {path} {to} (it is {from})"),
            Self::Remove { path } | Self::RemoveDirectory { path } => write!(f, "remove {path}"),
            Self::Restore { path } => write!(f, "put back {path} as the image has it"),
            Self::SetHostname { from, to } => write!(f, "call the machine {to} (it is {from})"),
            Self::FetchKeys { source } => write!(f, "fetch the SSH keys of {source}"),
            Self::FetchExtension { name, digest: _, source } => {
                write!(f, "fetch the extension {name} from {}", source_text(source))
            }
            Self::ForgetExtension { digest } => write!(f, "forget the extension with {digest}"),
            Self::Reload { what } => write!(f, "{what}"),
            Self::Unit { name, action } => write!(f, "{action} {name}"),
        }
    }
}

impl AccountChange {
    fn details(&self) -> String {
        match self {
            Self::Create { uid, locked: true } => format!(" ({uid}, without a password)"),
            Self::Create { uid, locked: false } => format!(" ({uid})"),
            Self::Alter { what } => format!(": {}", what.join(", ")),
            Self::Remove => String::new(),
        }
    }
}

impl fmt::Display for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create { .. } => "make the account",
            Self::Alter { .. } => "alter the account",
            Self::Remove => "take away the account",
        })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "",
            Self::Other => " (something else is there)",
        })
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.mode, self.uid, self.gid)
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extensions => "merge the system extensions that are linked",
            Self::Configuration => "merge the configuration extensions that are linked",
            Self::Systemd => "let systemd read its units again",
            Self::Sysctl => "let the kernel's settings be read again",
            Self::Network => "let systemd-networkd read its interfaces again",
            Self::Resolver => "let systemd-resolved read its servers again",
            Self::Time => "let systemd-timesyncd read its servers again",
            Self::Console => "let the console read its keyboard again",
            Self::Ssh => "let the SSH server read its configuration again",
        })
    }
}

impl fmt::Display for UnitAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Mask => "mask",
            Self::Unmask => "unmask",
            Self::Start | Self::StartAndWait => "start",
            Self::Stop | Self::StopAndWait => "stop",
            Self::Restart => "restart",
        })
    }
}
