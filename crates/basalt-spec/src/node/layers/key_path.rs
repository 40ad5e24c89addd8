use std::{fmt, str::FromStr};

use crate::{ProblemKind, node::NodeConfig, yaml};

/// Where a value is in a document: keys and names with `.` between them, and in `[…]` what has other characters than
/// letters, digits, `-` and `_`: `users.admin.shell`, `sysctls[net.ipv4.ip_forward]`. A leading `spec.` may be left
/// out, and is not printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

/// Why a text is no path of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyPathError {
    /// Two dots, or a dot at an end.
    #[error("`{0}` has an empty key: expected a path such as `users.admin.shell`")]
    Empty(String),
    /// A `[` without its `]`.
    #[error("`{0}` has a `[` or `]` without the other")]
    Bracket(String),
}

/// A key that no document may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no document may have a key `{key}`{}", near.as_ref().map(|near| format!(": {near}")).unwrap_or_default())]
pub struct UnknownKey {
    key: String,
    near: Option<String>,
}

impl KeyPath {
    /// The keys and names from `spec` down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a document may have this key.
    ///
    /// # Errors
    /// When it may not, with the nearest one that it may.
    pub fn known(&self) -> Result<(), UnknownKey> {
        let Err(problems) = yaml::read_tree::<NodeConfig>(super::assignment::of_key(self), Vec::new()) else {
            return Ok(());
        };
        match problems.iter().find(|problem| problem.kind() == ProblemKind::UnknownKey) {
            Some(problem) => {
                Err(UnknownKey { key: self.to_string(), near: problem.hint().map(str::to_owned) })
            }
            None => Ok(()),
        }
    }

    /// This path and one more segment.
    #[must_use]
    pub(crate) fn join(&self, segment: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_owned());
        Self(segments)
    }
}

/// A segment that is printed without brackets.
fn is_word(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

impl FromStr for KeyPath {
    type Err = KeyPathError;

    fn from_str(text: &str) -> Result<Self, KeyPathError> {
        let whole = || text.to_owned();
        let mut segments = Vec::new();
        let mut rest = text.strip_prefix("spec.").unwrap_or(text);
        // A path may be followed by `[` without a dot, and nothing else.
        let mut dotted = true;
        while !rest.is_empty() {
            let segment;
            if let Some(inner) = rest.strip_prefix('[') {
                let end = closing(inner).ok_or_else(|| KeyPathError::Bracket(whole()))?;
                (segment, rest) = (&inner[..end], &inner[end + 1..]);
            } else if dotted {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (segment, rest) = rest.split_at(end);
            } else {
                return Err(KeyPathError::Empty(whole()));
            }
            if segment.is_empty() {
                return Err(KeyPathError::Empty(whole()));
            }
            segments.push(segment.to_owned());
            dotted = rest.starts_with('.');
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
        if dotted { Err(KeyPathError::Empty(whole())) } else { Ok(Self(segments)) }
    }
}

/// Where the `]` is that belongs to a `[` just before `text`: a name may have pairs of its own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 0 => return Some(index),
            b']' => depth -= 1,
            _ => {}
        }
    }
    None
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match (is_word(segment), index) {
                (true, 0) => f.write_str(segment)?,
                (true, _) => write!(f, ".{segment}")?,
                (false, _) => write!(f, "[{segment}]")?,
            }
        }
        Ok(())
    }
}

impl serde::Serialize for KeyPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
