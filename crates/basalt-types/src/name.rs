use std::{fmt, str::FromStr};

/// The name of an image: it becomes `IMAGE_ID=` in os-release (os-release(5): lower-case letters, digits, `.`, `_`,
/// `-`), part of a UKI's file name and of a file system label, so it starts with a letter and has at most 32
/// characters. `_` is kept out because it separates name and version in a file name (UAPI.10).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

/// The version of an image, in the characters that the UAPI version format (UAPI.10) compares: ASCII letters,
/// digits, `.`, `-`, `~`, `^`. Starts with a letter or digit, at most 64 characters. `+` is refused: in a UKI's
/// file name it starts the boot counter (UAPI.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ImageVersion(String);

/// The processor architecture of an image, in systemd's and Debian's names (`x86-64` is accepted as `amd64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

/// Why a text is not a name, version or architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an [`ImageName`].
    #[error("`{0}` is not an image name: expected 1 to 32 of a-z, 0-9, `.` and `-`, starting with a letter")]
    Name(String),
    /// Not an [`ImageVersion`].
    #[error(
        "`{0}` is not an image version: expected 1 to 64 letters, digits, `.`, `-`, `~` or `^`, starting with a letter or digit"
    )]
    Version(String),
    /// Not an [`Architecture`].
    #[error("`{0}` is not an architecture: expected `amd64` or `arm64`")]
    Architecture(String),
}

impl ImageName {
    /// The regular expression of a name, for the JSON Schema.
    pub const PATTERN: &'static str = "^[a-z][a-z0-9.-]{0,31}$";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !starts || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(NameError::Name(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ImageVersion {
    /// The version of an image whose recipe gives none: `0.1.0`.
    pub fn first() -> Self {
        Self("0.1.0".to_owned())
    }

    /// The regular expression of a version, for the JSON Schema.
    pub const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9.~^-]{0,63}$";

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'~' | b'^');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !starts || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(NameError::Version(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Architecture {
    /// The architecture's name in a Debian archive.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// systemd's name of it (os-release(5), `ARCHITECTURE=`).
    pub const fn systemd(self) -> &'static str {
        match self {
            Self::Amd64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }

    /// The architecture's suffix in the names of EFI programs (`systemd-bootx64.efi`, `BOOTX64.EFI`).
    pub const fn efi(self) -> &'static str {
        match self {
            Self::Amd64 => "x64",
            Self::Arm64 => "aa64",
        }
    }
}

impl FromStr for Architecture {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "amd64" | "x86-64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            other => Err(NameError::Architecture(other.to_owned())),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ImageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.debian())
    }
}

crate::serde_as_string!(
    ImageName,
    schemars::json_schema!({ "type": "string", "pattern": ImageName::PATTERN })
);
crate::serde_as_string!(
    ImageVersion,
    schemars::json_schema!({ "type": "string", "pattern": ImageVersion::PATTERN })
);
crate::serde_as_string!(
    Architecture,
    schemars::json_schema!({ "type": "string", "enum": ["amd64", "arm64", "x86-64", "x86_64", "aarch64"] })
);
