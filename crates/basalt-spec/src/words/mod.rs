//! The words of a recipe: each is parsed once, at the edge, and cannot be wrong afterwards.
//!
//! Every type here has a private field, `FromStr` as the only way in, `Display` as its inverse, and serde and JSON
//! Schema through the same parser and constants. An error is one [`WordError`]: what was written, what it is not,
//! what was expected.

mod account;
mod package;
mod path;
mod system;

#[cfg(test)]
mod tests;

pub use account::{GroupName, Owner, PasswordHash, Principal, SshKey, UnixMode, UserName};
pub use package::{
    Component, Fingerprint, PackageArchitecture, PackageFile, PackageName, PackageSpec, PackageVersion,
    RepositoryUrl, SnapshotTime, Suite,
};
pub use path::{AbsolutePath, RecipePath, RelativePath};
pub use system::{Hostname, KernelArg, Keymap, LocaleName, Timezone, UnitName};

/// Why a text is not the word that a key asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {what}: expected {expected}")]
pub struct WordError {
    /// What was written.
    pub found: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// The form of such a word.
    pub expected: &'static str,
}

impl WordError {
    pub(crate) fn new(found: &str, what: &'static str, expected: &'static str) -> Self {
        Self { found: shortened(found), what, expected }
    }
}

/// What a message quotes of a text: its first line, at most 60 characters.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// Declares a word that is a checked text: `Name, "a thing", "its form", PATTERN, |text| check`.
macro_rules! text_word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The regular expression of the form, for the JSON Schema. The parser may be stricter.
            pub const PATTERN: &'static str = $pattern;

            /// The word as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err($crate::words::WordError::new(text, $what, $expected))
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        $crate::words::serde_as_string!(
            $name,
            schemars::json_schema!({ "type": "string", "description": $expected, "pattern": $name::PATTERN })
        );
    };
}
pub(crate) use text_word;

/// Gives a parsed type its serde and JSON Schema implementations through `FromStr` and `Display`.
macro_rules! serde_as_string {
    ($type:ty, $schema:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}
pub(crate) use serde_as_string;

/// `text` is `first` and then any of `rest`, with at most `limit` bytes in all.
pub(crate) fn shaped(text: &str, limit: usize, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    text.len() <= limit && bytes.next().is_some_and(first) && bytes.all(rest)
}
