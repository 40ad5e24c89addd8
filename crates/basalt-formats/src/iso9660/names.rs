//! Names of the volume and of files.

use std::{fmt, str::FromStr};

/// The most characters of a file name, its extension and the dot in ISO 9660 (ECMA-119 section 7.5.1, level 2 and 3).
const SHORT: usize = 30;

/// The name of a volume: 1 to 32 of A-Z, 0-9 and `_` (ECMA-119 section 8.4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeId(String);

/// Where a file is on the CD: names of 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(Vec<String>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a [`VolumeId`].
    #[error("`{0}` is not a volume name: expected 1 to 32 of A-Z, 0-9 and `_`")]
    VolumeId(String),
    /// Not a [`FilePath`].
    #[error(
        "`{0}` is not a path on a CD: expected at most 8 names of 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`"
    )]
    FilePath(String),
}

impl VolumeId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        if !(1..=32).contains(&text.len()) || !allowed {
            return Err(NameError::VolumeId(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FilePath {
    /// How deep a file may be: the root is level 1, and there are 8 (ECMA-119 section 6.8.2.1).
    const MAX_DEPTH: usize = 8;

    /// The names, from the root on; at least one.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let names: Vec<String> = text.split('/').map(str::to_owned).collect();
        if names.len() > Self::MAX_DEPTH || !names.iter().all(|name| is_name(name)) {
            return Err(NameError::FilePath(text.to_owned()));
        }
        Ok(Self(names))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}

/// The name of a directory without Rock Ridge: capitals, digits, `_`.
pub(super) fn short_directory(name: &str) -> Vec<u8> {
    short(name, SHORT)
}

/// The name of a file without Rock Ridge: as above, one dot, and the version.
pub(super) fn short_file(name: &str) -> Vec<u8> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let extension = short(extension, 8);
    let mut id = short(stem, SHORT - 1 - extension.len());
    id.push(b'.');
    id.extend_from_slice(&extension);
    id.extend_from_slice(b";1");
    id
}

fn short(name: &str, most: usize) -> Vec<u8> {
    let letter = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { b'_' };
    name.bytes().map(letter).take(most).collect()
}
