//! The names of unified kernel images under `EFI/Linux/` with their boot counters (boot loader specification, UAPI.1,
//! section "Boot counting").
//!
//! `edge_1.0.0+3-0.efi` has three tries left and none done. The boot loader renames the file before each try
//! (`+2-1`); who finds the boot good takes the counter away (`edge_1.0.0.efi`); with no try left the boot loader
//! prefers every other entry.
//!
//! Not here: renaming, and which entry the boot loader takes.

use std::{fmt, str::FromStr};

use basalt_types::{ImageName, ImageVersion};

/// The name of a boot entry's file.
///
/// `Display` prints the numbers without leading zeros, so a file that another tool named `+03` must be opened by the name
/// that it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName {
    stem: String,
    tries: Option<Tries>,
}

/// A boot counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tries {
    /// How often the entry may still be tried.
    pub left: u32,
    /// How often it was tried; `None` where the name has no such part, which means 0.
    pub done: Option<u32>,
}

/// What the counter says about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// No counter: a boot was found good, or nobody counts.
    Good,
    /// Tries are left: nobody knows yet.
    Indeterminate,
    /// No try is left.
    Bad,
}

/// Why a text is not an [`EntryName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryNameError {
    /// The boot loader looks at `.efi` only.
    #[error("`{0}` is not a boot entry: it does not end in `.efi`")]
    Extension(String),
    /// Nothing before the counter, a separator, or a character that FAT refuses.
    #[error("`{0}` is not a boot entry: the part before `.efi` is empty or no FAT file name")]
    Stem(String),
}

impl Tries {
    /// A counter for a new entry: nothing done, printed as `+LEFT-0`.
    pub const fn fresh(left: u32) -> Self {
        Self { left, done: Some(0) }
    }

    /// The counter after one more try, as the boot loader writes it; `None` when no try is left.
    pub fn after_try(self) -> Option<Self> {
        let left = self.left.checked_sub(1)?;
        Some(Self { left, done: Some(self.done.unwrap_or(0).saturating_add(1)) })
    }
}

impl EntryName {
    /// The name of a release's entry: `<name>_<version>`, with this counter.
    pub fn of_image(name: &ImageName, version: &ImageVersion, tries: Option<Tries>) -> Self {
        Self { stem: format!("{name}_{version}"), tries }
    }

    /// What is before the counter and `.efi`.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The counter.
    pub fn tries(&self) -> Option<Tries> {
        self.tries
    }

    /// The image's name and version; `None` when the stem is not of that form, so the entry is not ours.
    pub fn image(&self) -> Option<(ImageName, ImageVersion)> {
        let (name, version) = self.stem.split_once('_')?;
        match (name.parse(), version.parse()) {
            (Ok(name), Ok(version)) => Some((name, version)),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => None,
        }
    }

    /// The same entry with another counter, or without one: found good.
    pub fn with_tries(self, tries: Option<Tries>) -> Self {
        Self { tries, ..self }
    }

    /// What the counter says.
    pub fn assessment(&self) -> Assessment {
        match self.tries {
            None => Assessment::Good,
            Some(Tries { left: 0, done: _ }) => Assessment::Bad,
            Some(Tries { left: 1.., done: _ }) => Assessment::Indeterminate,
        }
    }

    /// Whether there is no counter.
    pub fn is_good(&self) -> bool {
        self.assessment() == Assessment::Good
    }

    /// Whether tries are left.
    pub fn is_indeterminate(&self) -> bool {
        self.assessment() == Assessment::Indeterminate
    }

    /// Whether no try is left.
    pub fn is_bad(&self) -> bool {
        self.assessment() == Assessment::Bad
    }
}

impl FromStr for EntryName {
    type Err = EntryNameError;

    /// Accepts `.efi` in any case, since FAT does. What looks like a counter and is none belongs to the stem.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let end = text
            .len()
            .checked_sub(4)
            .filter(|end| text.get(*end..).is_some_and(|extension| extension.eq_ignore_ascii_case(".efi")));
        let base = &text[..end.ok_or_else(|| EntryNameError::Extension(text.to_owned()))?];
        let counted = base.rsplit_once('+').and_then(|(stem, counter)| Some((stem, parse_tries(counter)?)));
        let (stem, tries) = match counted {
            Some((stem, tries)) => (stem, Some(tries)),
            None => (base, None),
        };
        let refused = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c);
        if stem.is_empty() || stem.contains(refused) {
            return Err(EntryNameError::Stem(text.to_owned()));
        }
        Ok(Self { stem: stem.to_owned(), tries })
    }
}

/// `LEFT` or `LEFT-DONE`, digits only.
fn parse_tries(text: &str) -> Option<Tries> {
    let number = |digits: &str| {
        let all_digits = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if all_digits { digits.parse::<u32>().ok() } else { None }
    };
    match text.split_once('-') {
        Some((left, done)) => Some(Tries { left: number(left)?, done: Some(number(done)?) }),
        None => Some(Tries { left: number(text)?, done: None }),
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem)?;
        match self.tries {
            None => {}
            Some(Tries { left, done: None }) => write!(f, "+{left}")?,
            Some(Tries { left, done: Some(done) }) => write!(f, "+{left}-{done}")?,
        }
        f.write_str(".efi")
    }
}

#[cfg(test)]
#[path = "bootentry_tests.rs"]
mod tests;
