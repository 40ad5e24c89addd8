use std::{fmt, str::FromStr};

use crate::words::{WordError, serde_as_string, shaped, text_word};

text_word!(
    /// A login name, in the characters that Debian's `adduser` allows by default and systemd calls strict
    /// (systemd.io/USER_NAMES): `a-z`, `0-9`, `_`, `-`, at most 31, starting with a letter or `_`.
    UserName,
    "a user name",
    "1 to 31 of a-z, 0-9, `_` and `-`, starting with a letter or `_`",
    "^[a-z_][a-z0-9_-]{0,30}$",
    account_name
);

text_word!(
    /// A group's name; the same characters as a [`UserName`].
    GroupName,
    "a group name",
    "1 to 31 of a-z, 0-9, `_` and `-`, starting with a letter or `_`",
    "^[a-z_][a-z0-9_-]{0,30}$",
    account_name
);

text_word!(
    /// A password as `/etc/shadow` keeps it (crypt(5)). Clear text is refused: a recipe is committed and shared.
    PasswordHash,
    "a password hash",
    "a crypt(5) hash such as `$y$…` or `$6$…`; make one with `mkpasswd` or `openssl passwd -6`",
    "^\\$[0-9a-z]+\\$[^:\\s]+$",
    |text| {
        let mut parts = text.splitn(3, '$');
        let (empty, method, rest) = (parts.next(), parts.next(), parts.next());
        empty == Some("")
            && method.is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_alphanumeric()))
            && rest.is_some_and(|r| r.len() >= 8 && r.bytes().all(|b| b.is_ascii_graphic() && b != b':'))
    }
);

text_word!(
    /// One line of an `authorized_keys` file (sshd(8)): optional options, a key type, base64.
    SshKey,
    "an SSH public key",
    "one line of an authorized_keys file, such as `ssh-ed25519 AAAA… name`",
    "(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ +AAAA[A-Za-z0-9+/=]+",
    |text| {
        let key_type = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| word.starts_with(prefix));
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        !text.contains(|c: char| c.is_control())
            && words.windows(2).any(|pair| key_type(pair[0]) && pair[1].starts_with("AAAA"))
    }
);

fn account_name(text: &str) -> bool {
    let start = |b: u8| b.is_ascii_lowercase() || b == b'_';
    shaped(text, 31, start, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// Permission bits with set-uid, set-gid and sticky: the low 12 bits of `st_mode`, written in octal (`0644`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMode(u16);

impl UnixMode {
    /// A constant from its bits; those above the low 12 are dropped.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits, at most `0o7777`.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for UnixMode {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || WordError::new(text, "a file mode", "3 or 4 octal digits, such as `0644`");
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let octal = matches!(digits.len(), 3..=4) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
        if !octal {
            return Err(refuse());
        }
        u16::from_str_radix(digits, 8).map(Self).map_err(|_unreachable| refuse())
    }
}

impl fmt::Display for UnixMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for UnixMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_string!(
    UnixMode,
    schemars::json_schema!({
        "type": ["string", "integer"], "description": "octal permission bits, such as `0644`",
        "pattern": "^(0o)?[0-7]{3,4}$"
    })
);

/// A user or group: by the name that the image's own `/etc/passwd` or `/etc/group` knows, or by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// By name, looked up in the image.
    Name(String),
    /// By number, as it is.
    Number(u32),
}

/// The owner of a file: `user:group`, or `user` alone, whose group is then the one of the same name or number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Who owns it.
    pub user: Principal,
    /// Which group owns it.
    pub group: Principal,
}

impl Owner {
    /// `root:root`.
    pub fn root() -> Self {
        let root = || Principal::Name("root".to_owned());
        Self { user: root(), group: root() }
    }
}

impl FromStr for Principal {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse =
            || WordError::new(text, "an owner", "`user:group` in names or numbers, such as `root:adm`");
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Number).map_err(|_empty_or_large| refuse());
        }
        // Names of system accounts are wider than what a person may choose: `_apt`, `systemd-network`, `Debian-exim`.
        let wide = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if shaped(text, 32, |b| b.is_ascii_alphabetic() || b == b'_', wide) {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(refuse())
        }
    }
}

impl FromStr for Owner {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let refuse =
            |_| WordError::new(text, "an owner", "`user:group` in names or numbers, such as `root:adm`");
        Ok(Self { user: user.parse().map_err(refuse)?, group: group.parse().map_err(refuse)? })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

serde_as_string!(
    Owner,
    schemars::json_schema!({
        "type": "string", "description": "`user:group` in names or numbers, such as `root:adm`",
        "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$"
    })
);
