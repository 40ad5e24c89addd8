//! Debian's version order (Debian policy section 5.6.12): `[epoch:]upstream[-revision]`.

use std::{cmp::Ordering, fmt, str::FromStr};

#[cfg(test)]
mod tests;

/// A version that was checked for its form. Two versions are equal when neither is later: `1.0` equals `0:1.0-0`.
#[derive(Clone)]
pub struct Version(String);

/// Why a text is not a [`Version`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing, or nothing after the epoch.
    #[error("`{0}` is not a version: there is no upstream version in it")]
    Empty(String),
    /// What is before the first colon is not a number that fits 31 bits.
    #[error("`{0}` is not a version: the epoch before the colon is not a number")]
    Epoch(String),
    /// A character that policy does not allow.
    #[error("`{0}` is not a version: `{1}` cannot be in one")]
    Character(String, char),
}

impl Version {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once(':') {
            Some((epoch, rest)) => {
                // dpkg keeps the epoch in a C int and refuses what does not fit.
                let number = epoch.bytes().all(|b| b.is_ascii_digit()) && epoch.parse::<i32>().is_ok();
                if !number {
                    return Err(VersionError::Epoch(text.to_owned()));
                }
                rest
            }
            None => text,
        };
        let revision = rest.rfind('-').map_or("", |dash| &rest[dash + 1..]);
        if rest.is_empty() || rest.starts_with('-') || (rest.contains('-') && revision.is_empty()) {
            return Err(VersionError::Empty(text.to_owned()));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~' | ':');
        match rest.chars().find(|c| !allowed(c)) {
            Some(wrong) => Err(VersionError::Character(text.to_owned(), wrong)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// Compares two versions as texts. Total for any input, so an index with a strange version still has an order.
pub fn compare(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let (left, right) = (parts(left), parts(right));
    compare_numbers(left.0, right.0)
        .then_with(|| compare_part(left.1, right.1))
        .then_with(|| compare_part(left.2, right.2))
}

/// Epoch, upstream version and revision; what is missing is empty, which compares like `0`.
fn parts(version: &str) -> (&[u8], &[u8], &[u8]) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.as_bytes(), upstream.as_bytes(), revision.as_bytes())
}

/// Alternates between the longest run without digits (by [`weight`]) and the longest run of digits (as a number).
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (ours, theirs) = (take(&mut left, false), take(&mut right, false));
        let longest = ours.len().max(theirs.len());
        let at = |word: &[u8], index: usize| word.get(index).map_or(0, |&b| weight(b));
        let order = (0..longest)
            .map(|index| at(ours, index).cmp(&at(theirs, index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
            .then_with(|| compare_numbers(take(&mut left, true), take(&mut right, true)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the longest prefix that is (or is not) made of digits.
fn take<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|b| b.is_ascii_digit() != digits).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// `~` sorts before the end of the part, letters before everything else.
fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        b'a'..=b'z' | b'A'..=b'Z' => i32::from(byte),
        other => i32::from(other) + 256,
    }
}

/// Decimal numbers of any length.
fn compare_numbers(left: &[u8], right: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|&b| b != b'0').unwrap_or(digits.len());
    let (left, right) = (&left[significant(left)..], &right[significant(right)..]);
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}
