//! Things that are written with exactly one of several keys.

use std::fmt;

use crate::yaml::INCOMPLETE;

/// Why the keys of a thing don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) struct NotOne {
    what: String,
    known: Vec<&'static str>,
    found: Vec<&'static str>,
}

impl fmt::Display for NotOne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = quoted(&self.known);
        match self.found.as_slice() {
            // Another document may have it.
            [] => write!(f, "{INCOMPLETE}{} needs one of {known}", self.what),
            found => write!(f, "{} needs exactly one of {known}; it has {}", self.what, quoted(found)),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The one that is there.
pub(super) fn one_of<T, const N: usize>(
    what: &str,
    keys: [(&'static str, Option<T>); N],
) -> Result<T, NotOne> {
    let known = keys.iter().map(|(key, _)| *key).collect();
    let (mut found, mut values) = (Vec::new(), Vec::new());
    for (key, value) in keys {
        if let Some(value) = value {
            found.push(key);
            values.push(value);
        }
    }
    match (values.pop(), found.len()) {
        (Some(value), 1) => Ok(value),
        (Some(_) | None, _) => Err(NotOne { what: what.to_owned(), known, found }),
    }
}

/// A type has the JSON Schema of the form in which it is written.
macro_rules! schema_of {
    ($type:ty, $written:ty) => {
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$written>::schema_name()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$written>::json_schema(generator)
            }
        }
    };
}
pub(super) use schema_of;
