use std::{fmt, str::FromStr};

use base64::Engine as _;

use super::HttpUrl;
use crate::words::{AbsolutePath, SshKey, WordError, serde_as_string, shaped, text_word};

text_word!(
    /// The name of a thing in a document, by which documents merge it.
    ItemName,
    "a name",
    "1 to 63 of a-z, 0-9, `.` and `-`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9.-]{0,62}$",
    |text| {
        let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        shaped(text, 63, first, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
    }
);

text_word!(
    /// A kernel setting (sysctl.d(5)), with `.` or `/` between its parts.
    SysctlName,
    "a sysctl",
    "names with `.` between them, such as `net.ipv4.ip_forward`",
    "^[A-Za-z0-9_*-]+([./][A-Za-z0-9_*-]+)+$",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'*');
        let mut parts = text.split(['.', '/']);
        text.len() <= 200 && text.contains(['.', '/']) && parts.all(|part| shaped(part, 64, allowed, allowed))
    }
);

text_word!(
    /// The value of a kernel setting: one line.
    SysctlValue,
    "a sysctl's value",
    "one line of 1 to 1000 printable characters",
    "^[^\\x00-\\x1f]+$",
    |text| matches!(text.len(), 1..=1000) && !text.contains(char::is_control) && text.trim() == text
);

text_word!(
    /// A kernel module, such as `br_netfilter` (modules-load.d(5)).
    ModuleName,
    "a kernel module",
    "letters, digits, `_` and `-`, such as `br_netfilter`",
    "^[A-Za-z0-9][A-Za-z0-9_-]*$",
    |text| shaped(text, 64, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
);

text_word!(
    /// A block device by its path below `/dev`.
    DevicePath,
    "a device",
    "a path below /dev, such as `/dev/nvme0n1` or `/dev/disk/by-id/…`",
    "^/dev(/[^/\\s]+)+$",
    |text| text.starts_with("/dev/") && text.parse::<AbsolutePath>().is_ok() && !text.contains(char::is_whitespace)
);

text_word!(
    /// What is mounted (mount(8), fstab(5)): a device, a tag such as `LABEL=data`, a share, or the file system's name.
    MountSource,
    "what a mount shows",
    "a device, `LABEL=…`, `UUID=…`, `PARTLABEL=…`, `PARTUUID=…`, `HOST:/PATH` or a word such as `tmpfs`, without spaces",
    "^[^\\s]+$",
    |text| {
        let tag = ["LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="].iter().find_map(|tag| text.strip_prefix(tag));
        matches!(text.len(), 1..=1000)
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'\\'))
            && tag.is_none_or(|value| !value.is_empty())
    }
);

text_word!(
    /// The type of a file system, such as `ext4` or `nfs4` (filesystems(5)).
    FileSystemType,
    "a file system's type",
    "lower-case letters, digits, `.`, `_` and `-`, such as `ext4`",
    "^[a-z0-9][a-z0-9._-]*$",
    |text| {
        let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        shaped(text, 32, first, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
    }
);

text_word!(
    /// One option of a mount, such as `noatime` or `x-systemd.automount` (mount(8)).
    MountOption,
    "a mount option",
    "a word without spaces or `,`, such as `noatime`",
    "^[^\\s,]+$",
    |text| shaped(text, 1000, |b| b.is_ascii_alphanumeric() || b == b'_', |b| b.is_ascii_graphic() && b != b',')
);

text_word!(
    /// The name of an environment variable.
    EnvironmentName,
    "the name of an environment variable",
    "letters, digits and `_`, not starting with a digit",
    "^[A-Za-z_][A-Za-z0-9_]*$",
    |text| shaped(text, 128, |b| b.is_ascii_alphabetic() || b == b'_', |b| b.is_ascii_alphanumeric() || b == b'_')
);

text_word!(
    /// A pattern for what something says of itself: `*` stands for any text, the case of letters is ignored.
    Pattern,
    "a pattern",
    "printable characters in which `*` stands for any others, such as `Samsung*`",
    "^[\\x20-\\x7e]{1,128}$",
    |text| matches!(text.len(), 1..=128) && text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text
);

impl Pattern {
    /// Whether it is all of `text`, but for white space around it.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.as_str().to_ascii_lowercase(), text.trim().to_ascii_lowercase());
        let mut parts = pattern.split('*');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.len() >= last.len() && rest.ends_with(last)
    }
}

text_word!(
    /// Bytes in base64 (RFC 4648, section 4). White space and line breaks are allowed anywhere.
    Base64,
    "base64",
    "base64 with its padding (RFC 4648)",
    "^[A-Za-z0-9+/=\\s]*$",
    |text| decoded(text).is_some()
);

fn decoded(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(dense).ok()
}

impl Base64 {
    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        // It was decoded once when it was parsed.
        decoded(self.as_str()).unwrap_or_default()
    }
}

/// Where public keys come from. Nothing is fetched when a document is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// The key itself.
    Key(SshKey),
    /// The keys that this account has at GitHub.
    GitHub(ForgeUser),
    /// The keys that this account has at GitLab.
    GitLab(ForgeUser),
    /// A text of `authorized_keys` at this address, over https.
    Url(HttpUrl),
}

text_word!(
    /// An account's name at GitHub or GitLab.
    ForgeUser,
    "an account's name",
    "letters, digits, `.`, `_` and `-`",
    "^[A-Za-z0-9_][A-Za-z0-9._-]*$",
    |text| {
        let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        shaped(text, 255, first, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
);

impl FromStr for KeySource {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let refuse = |_: WordError| {
            let expected =
                "a line of an authorized_keys file, `github:NAME`, `gitlab:NAME` or an https:// address";
            WordError::new(text, "a source of SSH keys", expected)
        };
        if let Some(name) = text.strip_prefix("github:") {
            return name.parse().map(Self::GitHub).map_err(refuse);
        }
        if let Some(name) = text.strip_prefix("gitlab:") {
            return name.parse().map(Self::GitLab).map_err(refuse);
        }
        // Keys over plain http would be whoever's who sits between.
        if text.starts_with("https://") {
            return text.parse().map(Self::Url).map_err(refuse);
        }
        text.parse().map(Self::Key).map_err(refuse)
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::GitHub(name) => write!(f, "github:{name}"),
            Self::GitLab(name) => write!(f, "gitlab:{name}"),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

serde_as_string!(
    KeySource,
    schemars::json_schema!({
        "type": "string",
        "description": "a line of an authorized_keys file, `github:NAME`, `gitlab:NAME` or an https:// address",
        "pattern": "(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ +AAAA[A-Za-z0-9+/=]+|^git(hub|lab):[A-Za-z0-9_][A-Za-z0-9._-]*$|^https://"
    })
);
