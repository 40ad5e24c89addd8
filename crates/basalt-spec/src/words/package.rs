use std::{fmt, str::FromStr};

use basalt_types::Architecture;

use crate::words::{RelativePath, WordError, serde_as_string, shaped, text_word};

text_word!(
    /// The name of a Debian package (Debian policy 5.6.7): `a-z`, `0-9`, `+`, `-`, `.`, at least two characters.
    PackageName,
    "a package name",
    "at least two of a-z, 0-9, `+`, `-` and `.`, starting with a letter or digit",
    "^[a-z0-9][a-z0-9+.-]+$",
    |text| {
        let start = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
        text.len() >= 2 && shaped(text, 128, start, rest)
    }
);

text_word!(
    /// The version of a Debian package (Debian policy 5.6.12): `[epoch:]upstream[-revision]`.
    PackageVersion,
    "a package version",
    "`[epoch:]upstream[-revision]` of letters, digits and `.`, `+`, `-`, `~`",
    "^([0-9]+:)?[A-Za-z0-9][A-Za-z0-9.+~:-]*$",
    |text| {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'~' | b'-' | b':');
        epoch.parse::<u32>().is_ok() && shaped(rest, 256, |b| b.is_ascii_alphanumeric(), allowed)
    }
);

text_word!(
    /// The `Architecture` field of a binary package, such as `amd64` or `all`.
    PackageArchitecture,
    "a package's architecture",
    "an architecture of Debian such as `amd64`, or `all`",
    "^[a-z][a-z0-9-]*$",
    |text| {
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        shaped(text, 32, |b| b.is_ascii_lowercase(), rest)
    }
);

text_word!(
    /// The fingerprint of an OpenPGP key: 40 (version 4) or 64 (version 6) upper-case hex digits.
    Fingerprint,
    "a key's fingerprint",
    "40 or 64 upper-case hex digits",
    "^([0-9A-F]{40}|[0-9A-F]{64})$",
    |text| {
        matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    }
);

text_word!(
    /// A suite or codename of a Debian archive, such as `trixie` or `sid`.
    Suite,
    "a suite",
    "a codename or suite such as `trixie`, `stable` or `sid`",
    "^[a-z][a-z0-9.-]*$",
    |text| {
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        shaped(text, 64, |b| b.is_ascii_lowercase(), rest)
    }
);

text_word!(
    /// A component of a Debian archive, such as `main` or `non-free-firmware`.
    Component,
    "a component",
    "a component such as `main`, `contrib` or `non-free-firmware`",
    "^[a-z][a-z0-9/-]*$",
    |text| {
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'/');
        shaped(text, 64, |b| b.is_ascii_lowercase(), rest)
    }
);

text_word!(
    /// Where a Debian archive is: an `http`, `https` or `file` URL, without a query.
    RepositoryUrl,
    "the address of an archive",
    "an http://, https:// or file:/// address",
    "^(https?://[^\\s/?#]+|file:/)[^\\s?#]*$",
    |text| {
        let rest = ["http://", "https://", "file:///"].iter().find_map(|scheme| text.strip_prefix(scheme));
        rest.is_some_and(|rest| shaped(rest, 2000, |b| b.is_ascii_alphanumeric() || b == b'[', |b| {
            b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\')
        }))
    }
);

text_word!(
    /// A moment of a snapshot archive, in the form of its addresses: `YYYYMMDDThhmmssZ`.
    SnapshotTime,
    "a snapshot's time",
    "`YYYYMMDDThhmmssZ`, such as `20260801T000000Z`",
    "^[0-9]{8}T[0-9]{6}Z$",
    |text| {
        let b = text.as_bytes();
        let number = |range: std::ops::Range<usize>| text.get(range).and_then(|t| t.parse::<u32>().ok());
        let between = |range, low, high| number(range).is_some_and(|n| (low..=high).contains(&n));
        let digits = |range: std::ops::Range<usize>| {
            b.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
        };
        b.len() == 16
            && b[8] == b'T'
            && b[15] == b'Z'
            && digits(0..8)
            && digits(9..15)
            && between(0..4, 2005, 9999)
            && between(4..6, 1, 12)
            && between(6..8, 1, 31)
            && between(9..11, 0, 23)
            && between(11..13, 0, 59)
            && between(13..15, 0, 60)
    }
);

text_word!(
    /// A `.deb` file beside the recipe.
    PackageFile,
    "a package file beside the recipe",
    "a path such as `./agent_1.2_amd64.deb`",
    "^(\\./)?[^/]+(/[^/]+)*\\.deb$",
    |text| text.ends_with(".deb") && text.parse::<RelativePath>().is_ok()
);

impl PackageName {
    /// The kernel that Debian recommends for a processor.
    pub fn kernel_of(architecture: Architecture) -> Self {
        Self(format!("linux-image-{}", architecture.debian()))
    }

    /// A name from a table of ours; a test parses each of them again.
    pub(crate) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl Suite {
    /// Debian 13.
    pub fn trixie() -> Self {
        Self("trixie".to_owned())
    }
}

impl Component {
    /// The free part of the archive.
    pub fn main() -> Self {
        Self("main".to_owned())
    }
}

/// One package that a recipe asks for: `name`, `name=version` or `./file.deb`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageSpec {
    /// The newest version that fits.
    Any(PackageName),
    /// Exactly this version.
    Exact(PackageName, PackageVersion),
    /// A file in the recipe's folder.
    File(PackageFile),
}

impl PackageSpec {
    /// The package's name, unless only the file knows it.
    pub const fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Any(name) | Self::Exact(name, _) => Some(name),
            Self::File(_) => None,
        }
    }
}

impl FromStr for PackageSpec {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |_: WordError| {
            WordError::new(text, "a package", "`name`, `name=version` or a file such as `./name.deb`")
        };
        if text.contains('/') || text.ends_with(".deb") {
            return text.parse().map(Self::File).map_err(refuse);
        }
        match text.split_once('=') {
            Some((name, version)) => {
                Ok(Self::Exact(name.parse().map_err(refuse)?, version.parse().map_err(refuse)?))
            }
            None => text.parse().map(Self::Any).map_err(refuse),
        }
    }
}

impl fmt::Display for PackageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(name) => write!(f, "{name}"),
            Self::Exact(name, version) => write!(f, "{name}={version}"),
            Self::File(path) => write!(f, "{path}"),
        }
    }
}

serde_as_string!(
    PackageSpec,
    schemars::json_schema!({
        "type": "string", "description": "`name`, `name=version` or a file such as `./name.deb`",
        "examples": ["openssh-server", "nginx=1.26.3-3", "./agent_1.2_amd64.deb"],
        "pattern": "^([a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9][A-Za-z0-9.+~:-]*)?|(\\./)?[^=]+\\.deb)$"
    })
);
