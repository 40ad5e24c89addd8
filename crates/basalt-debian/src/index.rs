//! Packages indices and `DEBIAN/control`: one paragraph describes one binary package (Debian policy section 5.3,
//! and the repository format of the Debian wiki for `Filename`, `Size`, `SHA256`).

use std::fmt;

use basalt_types::Digest;

use crate::control::{ControlError, Paragraph, Paragraphs};

#[cfg(test)]
mod tests;

/// One binary package, borrowed from the text that describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// `Package`
    pub name: &'a str,
    /// `Version`, not checked; [`crate::version::compare`] orders any text.
    pub version: &'a str,
    /// `Architecture`: `all` or a Debian architecture.
    pub architecture: &'a str,
    /// `Source`, without the version that may follow in parentheses; the package's own name when absent.
    pub source: &'a str,
    /// `Section`, or empty.
    pub section: &'a str,
    /// `Priority`
    pub priority: Priority,
    /// `Essential: yes`
    pub essential: bool,
    /// `Protected: yes` or the older `Important: yes`
    pub protected: bool,
    /// `Multi-Arch`
    pub multi_arch: MultiArch,
    /// `Pre-Depends`, or empty.
    pub pre_depends: &'a str,
    /// `Depends`, or empty.
    pub depends: &'a str,
    /// `Recommends`, or empty.
    pub recommends: &'a str,
    /// `Conflicts`, or empty.
    pub conflicts: &'a str,
    /// `Breaks`, or empty.
    pub breaks: &'a str,
    /// `Provides`, or empty.
    pub provides: &'a str,
    /// `Replaces`, or empty.
    pub replaces: &'a str,
    /// `Installed-Size`, in KiB.
    pub installed_size: u64,
    /// `Filename`: the path of the .deb below the archive's root. Empty outside an index.
    pub filename: &'a str,
    /// `Size` of the .deb in bytes. 0 outside an index.
    pub size: u64,
    /// `SHA256` of the .deb as 64 hex digits. Empty outside an index.
    pub sha256: &'a str,
}

/// How important a package is to a system (Debian policy section 2.5). The order is the policy's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Needed for dpkg to work.
    Required,
    /// What one expects to find on any Unix-like system.
    Important,
    /// A small text-mode system.
    Standard,
    /// Everything else.
    #[default]
    Optional,
    /// Deprecated by policy; the same as optional.
    Extra,
}

/// Whether a package satisfies relations of other architectures. In a system of one architecture only `Allowed`
/// matters: it is what `name:any` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MultiArch {
    /// `no`, or no field.
    #[default]
    No,
    /// `same`
    Same,
    /// `foreign`
    Foreign,
    /// `allowed`
    Allowed,
}

/// Why an index, or one of its paragraphs, can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not control syntax.
    #[error("the package index is damaged")]
    Syntax(#[from] ControlError),
    /// A field that every package has is absent.
    #[error("the package `{package}` at line {line} has no `{field}` field")]
    Missing {
        /// The package's name, or empty.
        package: String,
        /// The paragraph's first line.
        line: usize,
        /// The field.
        field: &'static str,
    },
    /// A number that is none.
    #[error("the package `{package}` has `{field}: {value}`, which is not a number")]
    Number {
        /// The package's name.
        package: String,
        /// The field.
        field: String,
        /// Its value.
        value: String,
    },
    /// `SHA256` is not 64 lower-case hex digits.
    #[error("the package `{package}` has `SHA256: {value}`, which is not a digest")]
    Digest {
        /// The package's name.
        package: String,
        /// The field's value.
        value: String,
    },
}

impl<'a> Record<'a> {
    /// Reads one paragraph: of a Packages index, of `DEBIAN/control`, or of dpkg's status file.
    pub fn parse(paragraph: &Paragraph<'a>) -> Result<Self, IndexError> {
        let mut record = Self::default();
        let mut sizes = [("Size", ""), ("Installed-Size", "")];
        for field in paragraph.fields() {
            let field = field?;
            let value = field.value;
            match field.name {
                "Package" => record.name = value,
                "Version" => record.version = value,
                "Architecture" => record.architecture = value,
                "Source" => record.source = value.split([' ', '(']).next().unwrap_or(value),
                "Section" => record.section = value,
                "Priority" => record.priority = Priority::read(value),
                "Essential" => record.essential = value == "yes",
                "Protected" | "Important" => record.protected |= value == "yes",
                "Multi-Arch" => record.multi_arch = MultiArch::read(value),
                "Pre-Depends" => record.pre_depends = value,
                "Depends" => record.depends = value,
                "Recommends" => record.recommends = value,
                "Conflicts" => record.conflicts = value,
                "Breaks" => record.breaks = value,
                "Provides" => record.provides = value,
                "Replaces" => record.replaces = value,
                "Filename" => record.filename = value,
                "SHA256" => record.sha256 = value,
                "Size" => sizes[0].1 = value,
                "Installed-Size" => sizes[1].1 = value,
                _ => {}
            }
        }
        if record.source.is_empty() {
            record.source = record.name;
        }
        for (field, value) in
            [("Package", record.name), ("Version", record.version), ("Architecture", record.architecture)]
        {
            if value.is_empty() {
                return Err(IndexError::Missing {
                    package: record.name.into(),
                    line: paragraph.line(),
                    field,
                });
            }
        }
        record.size = number(record.name, sizes[0])?;
        record.installed_size = number(record.name, sizes[1])?;
        Ok(record)
    }

    /// The digest of the .deb; nothing for a record that is not from an index.
    pub fn digest(&self) -> Result<Option<Digest>, IndexError> {
        if self.sha256.is_empty() {
            return Ok(None);
        }
        Digest::from_hex(self.sha256).map(Some).map_err(|_shown_whole| IndexError::Digest {
            package: self.name.to_owned(),
            value: self.sha256.to_owned(),
        })
    }
}

/// Reads every paragraph of a Packages index.
pub fn records(text: &str) -> impl Iterator<Item = Result<Record<'_>, IndexError>> {
    Paragraphs::new(text).map(|paragraph| Record::parse(&paragraph))
}

fn number(package: &str, (field, value): (&str, &str)) -> Result<u64, IndexError> {
    if value.is_empty() {
        return Ok(0);
    }
    value.parse().map_err(|_shown_whole| IndexError::Number {
        package: package.to_owned(),
        field: field.to_owned(),
        value: value.to_owned(),
    })
}

impl Priority {
    /// A word that is not one of policy's counts as optional, as apt and dpkg have it.
    fn read(text: &str) -> Self {
        match text {
            "required" => Self::Required,
            "important" => Self::Important,
            "standard" => Self::Standard,
            "extra" => Self::Extra,
            _ => Self::Optional,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Important => "important",
            Self::Standard => "standard",
            Self::Optional => "optional",
            Self::Extra => "extra",
        })
    }
}

impl MultiArch {
    fn read(text: &str) -> Self {
        match text {
            "same" => Self::Same,
            "foreign" => Self::Foreign,
            "allowed" => Self::Allowed,
            _ => Self::No,
        }
    }
}
