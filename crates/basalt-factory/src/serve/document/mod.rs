//! The one document that the page shows twice: as YAML and as a form.
//!
//! ```text
//! text ─read▶ keys and values ─form▶ fields ─(a person)▶ fields ─wanted▶ keys and values ─edit▶ text
//! ```
//!
//! An edit by form replaces the lines of the keys that changed and no others: comments, order and style of everything else
//! stay as they were written. What is here knows YAML's shape and nothing of recipes' rules: those are the engine's
//! (`check`), for both views.

mod emit;
#[cfg(test)]
mod tests;

use basalt_spec::SpecError;
use serde_json::{Map, Value};

/// A recipe's keys in the order of the reference, which is where a new key goes.
const ORDER: [&str; 22] = [
    "apiVersion",
    "kind",
    "name",
    "version",
    "architecture",
    "from",
    "base",
    "packages",
    "recommends",
    "deselect",
    "kernel",
    "kernelArguments",
    "files",
    "units",
    "users",
    "locale",
    "timezone",
    "hostname",
    "keymap",
    "script",
    "disk",
    "outputs",
];

/// A YAML text that is a mapping, and what it says; every scalar is text, as nothing has a type before a key wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    text: String,
    keys: Map<String, Value>,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is no YAML, or no mapping.
    pub(super) fn read(text: &str) -> Result<Self, SpecError> {
        let keys = basalt_spec::read_yaml::<Map<String, Value>>("recipe.yaml", text)?;
        Ok(Self { text: text.to_owned(), keys })
    }

    /// The YAML.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The value of a top-level key.
    pub(super) fn key(&self, key: &str) -> Option<&Value> {
        self.keys.get(key)
    }

    /// The value at the end of this path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.keys.get(*first)?, |value, key| value.get(key))
    }

    /// The text at the end of this path; nothing where there is none.
    pub(super) fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The items of a list.
    pub(super) fn list_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// The document with these top-level keys changed; `None` takes a key away.
    pub(super) fn with(&self, changes: Vec<(&str, Option<Value>)>) -> Self {
        let mut keys = self.keys.clone();
        let mut text = self.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for (key, value) in changes {
            if keys.get(key) == value.as_ref() {
                continue;
            }
            text = replace(&text, key, value.as_ref());
            match value {
                Some(value) => drop(keys.insert(key.to_owned(), value)),
                None => drop(keys.remove(key)),
            }
        }
        match Self::read(&text) {
            Ok(read) if read.keys == keys => read,
            // A style that lines can't be replaced in, such as one long flow mapping: written anew, without comments.
            Ok(_) | Err(_) => Self { text: whole(&keys), keys },
        }
    }
}

/// The top-level key that the line with this number (from 1) belongs to.
pub(super) fn key_of_line(text: &str, line: usize) -> Option<&str> {
    text.lines().take(line).filter_map(key_of).last()
}

fn whole(keys: &Map<String, Value>) -> String {
    let mut entries: Vec<_> = keys.iter().collect();
    entries.sort_by_key(|(key, _)| place(key));
    entries.into_iter().map(|(key, value)| emit::entry(key, value, 0)).collect()
}

fn place(key: &str) -> usize {
    ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len())
}

/// The key that a line of the text begins with, if it is one of the outermost mapping.
fn key_of(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let is_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_word && (rest.is_empty() || rest.starts_with([' ', '\r']))).then_some(key)
}

/// The text with the lines of `key` replaced, added or taken away.
fn replace(text: &str, key: &str, value: Option<&Value>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let new = value.map(|value| emit::entry(key, value, 0)).unwrap_or_default();
    let found = lines.iter().position(|line| key_of(line) == Some(key));
    let (start, end) = match found {
        Some(start) => (start, end_of(&lines, start)),
        None => {
            let later = |line: &str| key_of(line).is_some_and(|other| place(other) > place(key));
            let at = match lines.iter().position(|line| later(line)) {
                Some(next) => above(&lines, next),
                None => lines.len(),
            };
            (at, at)
        }
    };
    let join = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    format!("{}{new}{}", join(&lines[..start]), join(&lines[end..]))
}

/// Where the lines of the key that begins at `start` end. Comments and blank lines above the next key are the next key's.
fn end_of(lines: &[&str], start: usize) -> usize {
    let begins = |line: &str| !line.is_empty() && !line.starts_with([' ', '\t', '#', '-', '\r']);
    let next = lines.iter().skip(start + 1).position(|line| begins(line));
    above(lines, next.map_or(lines.len(), |next| start + 1 + next)).max(start + 1)
}

/// The first of the comments and blank lines directly above line `at`.
fn above(lines: &[&str], at: usize) -> usize {
    let loose = |line: &&&str| line.trim().is_empty() || line.starts_with('#');
    at - lines[..at].iter().rev().take_while(loose).count()
}
