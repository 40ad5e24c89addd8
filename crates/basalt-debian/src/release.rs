//! Release files: what an archive says about a suite, and the digests of its indices (the repository format of the
//! Debian wiki). The text must have been verified before; nothing here looks at signatures.

use std::collections::BTreeMap;

use basalt_types::Digest;

use crate::control::{ControlError, Paragraphs};

mod date;
#[cfg(test)]
mod tests;

pub use date::{format_date, format_rfc3339, parse_date};

/// A suite at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// `Origin`, such as `Debian`, or empty.
    pub origin: String,
    /// `Label`, such as `Debian-Security`, or empty.
    pub label: String,
    /// `Suite`, such as `stable`, or empty.
    pub suite: String,
    /// `Codename`, such as `trixie`, or empty.
    pub codename: String,
    /// `Version`, such as `13.1`, or empty.
    pub version: String,
    /// `Date`, in seconds since 1970-01-01 UTC.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970-01-01 UTC.
    pub valid_until: Option<i64>,
    /// `Components`; security archives write `updates/main` for `main`, of which the last part is kept.
    pub components: Vec<String>,
    /// `Architectures`
    pub architectures: Vec<String>,
    /// `Acquire-By-Hash: yes`: each index is also at `by-hash/SHA256/<hex>` beside it.
    pub by_hash: bool,
    /// Whether packages for `all` are in indices of their own: `Architectures` has `all`, and there is no
    /// `No-Support-for-Architecture-all: Packages`.
    pub separate_all: bool,
    /// `SHA256`: the files below the suite's folder, by path.
    pub files: BTreeMap<String, Listed>,
}

/// A file that a Release file lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Bytes.
    pub size: u64,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// Why a Release file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Not control syntax.
    #[error("the Release file is damaged")]
    Syntax(#[from] ControlError),
    /// A field that is needed is absent.
    #[error("the Release file has no `{0}` field")]
    Missing(&'static str),
    /// A date that can't be read.
    #[error("the Release file has `{field}: {value}`, which is not a date in UTC")]
    Date {
        /// `Date` or `Valid-Until`.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A line below `SHA256` that is not `digest size path`.
    #[error("the Release file lists `{0}`, which is not a digest, a size and a path")]
    Entry(String),
    /// `Valid-Until` is over.
    #[error("the Release file was valid until {}, it is {} now", format_date(*until), format_date(*now))]
    Expired {
        /// The end of validity.
        until: i64,
        /// The time it was compared with.
        now: i64,
    },
}

impl Release {
    /// Reads a Release file, or the signed text of an InRelease file.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let paragraph = Paragraphs::new(text).next().ok_or(ReleaseError::Missing("Date"))?;
        let mut release = Self::default();
        let (mut date, mut listed, mut merged_all) = (None, false, false);
        for field in paragraph.fields() {
            let field = field?;
            let words = || field.value.split_whitespace();
            match field.name {
                "Origin" => field.value.clone_into(&mut release.origin),
                "Label" => field.value.clone_into(&mut release.label),
                "Suite" => field.value.clone_into(&mut release.suite),
                "Codename" => field.value.clone_into(&mut release.codename),
                "Version" => field.value.clone_into(&mut release.version),
                "Date" => date = Some(read_date("Date", field.value)?),
                "Valid-Until" => release.valid_until = Some(read_date("Valid-Until", field.value)?),
                "Components" => release.components = words().map(last_part).collect(),
                "Architectures" => release.architectures = words().map(str::to_owned).collect(),
                "Acquire-By-Hash" => release.by_hash = field.value == "yes",
                "No-Support-for-Architecture-all" => merged_all = field.value == "Packages",
                "SHA256" => {
                    listed = true;
                    release.files = field.lines().map(read_entry).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        release.separate_all = !merged_all && release.architectures.iter().any(|name| name == "all");
        release.date = date.ok_or(ReleaseError::Missing("Date"))?;
        if listed { Ok(release) } else { Err(ReleaseError::Missing("SHA256")) }
    }

    /// Refuses a Release file whose `Valid-Until` is before `now` (seconds since 1970-01-01 UTC). Without the field
    /// it never expires.
    pub fn check_valid(&self, now: i64) -> Result<(), ReleaseError> {
        match self.valid_until {
            Some(until) if until < now => Err(ReleaseError::Expired { until, now }),
            Some(_) | None => Ok(()),
        }
    }
}

fn last_part(component: &str) -> String {
    component.rsplit('/').next().unwrap_or(component).to_owned()
}

fn read_date(field: &'static str, value: &str) -> Result<i64, ReleaseError> {
    parse_date(value).ok_or_else(|| ReleaseError::Date { field, value: value.to_owned() })
}

fn read_entry(line: &str) -> Result<(String, Listed), ReleaseError> {
    let mut words = line.split_whitespace();
    let mut entry = || {
        let digest = Digest::from_hex(words.next()?).ok()?;
        let size = words.next()?.parse().ok()?;
        let path = words.next()?;
        words.next().is_none().then(|| (path.to_owned(), Listed { size, digest }))
    };
    entry().ok_or_else(|| ReleaseError::Entry(line.to_owned()))
}
