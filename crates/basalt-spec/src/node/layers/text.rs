//! Trees as YAML for people.

use super::{KeyPath, explain::pattern};
use crate::{
    node::words::Secret,
    yaml::{Node, Value},
};

/// What is never shown; `*` is any item or key. A test compares it with the JSON Schema.
pub(super) const SECRETS: [&[&str]; 4] = [
    &["spec", "users", "*", "passwordHash"],
    &["spec", "network", "interfaces", "*", "wifi", "networks", "*", "passphrase"],
    &["spec", "kubernetes", "token"],
    &["spec", "kubernetes", "environment", "*"],
];

/// What stands behind a value.
type Comment<'a> = &'a dyn Fn(&Node) -> Option<String>;

/// A tree as a document. Nothing is redacted: this is for documents that are made, not for those that are shown.
pub(crate) fn tree_text(root: &Node) -> String {
    let mut writer = Writer { text: String::new(), comment: &|_| None, redact: false };
    writer.entries(root, 0, None);
    writer.text
}

/// A document without its secrets, with a comment behind each value.
pub(super) fn document(root: &Node, comment: Comment<'_>) -> String {
    let mut writer = Writer { text: String::new(), comment, redact: true };
    let Value::Map(entries) = &root.value else { return String::new() };
    for entry in entries {
        let key = (entry.key == "spec").then(KeyPath::default);
        writer.key(&entry.key, &entry.value, 0, key.as_ref());
    }
    writer.text
}

/// A value at a path, without its secrets: on one line if it is a scalar.
pub(super) fn shown(node: &Node, key: &KeyPath) -> String {
    let mut writer = Writer { text: String::new(), comment: &|_| None, redact: true };
    writer.alone(node, Some(key));
    writer.text
}

/// A value as it is, secrets too: to compare, not to print.
pub(super) fn raw(node: &Node) -> String {
    let mut writer = Writer { text: String::new(), comment: &|_| None, redact: false };
    writer.alone(node, None);
    writer.text
}

/// Takes out of a document in JSON what is never shown, and what nobody wrote.
pub(super) fn redact_json(value: &mut serde_json::Value, path: &mut Vec<String>) {
    use serde_json::Value as Json;
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    match value {
        Json::String(text) if is_secret(&steps) => REDACTED.clone_into(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        Json::Array(items) => {
            path.push("*".to_owned());
            items.iter_mut().for_each(|item| redact_json(item, path));
            path.pop();
        }
        Json::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                path.push(key.clone());
                redact_json(value, path);
                path.pop();
            }
            let empty = |value: &Json| match value {
                Json::Null => true,
                Json::Array(items) => items.is_empty(),
                Json::Object(entries) => entries.is_empty(),
                Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
            };
            entries.retain(|_, value| !empty(value));
        }
    }
}

const REDACTED: &str = Secret::REDACTED;

/// Whether what is at a path is never shown.
fn is_secret(path: &[&str]) -> bool {
    let fits = |secret: &&[&str]| {
        secret.len() == path.len() && secret.iter().zip(path).all(|(a, b)| *a == "*" || a == b)
    };
    SECRETS.iter().any(fits)
}

struct Writer<'a> {
    text: String,
    comment: Comment<'a>,
    redact: bool,
}

impl Writer<'_> {
    fn alone(&mut self, node: &Node, key: Option<&KeyPath>) {
        match &node.value {
            Value::Scalar { text, .. } => {
                let text = if self.secret(key) { quoted(REDACTED) } else { scalar(text) };
                self.text.push_str(&text);
            }
            Value::Map(_) => self.entries(node, 0, key),
            Value::List(items) => self.items(items, 0, key),
        }
    }

    fn secret(&self, key: Option<&KeyPath>) -> bool {
        key.filter(|_| self.redact).is_some_and(|key| is_secret(&pattern(key)))
    }

    fn entries(&mut self, node: &Node, indent: usize, key: Option<&KeyPath>) {
        let Value::Map(entries) = &node.value else { return };
        for entry in entries {
            let below = key.map(|key| key.join(&entry.key));
            self.key(&entry.key, &entry.value, indent, below.as_ref());
        }
    }

    fn key(&mut self, name: &str, value: &Node, indent: usize, key: Option<&KeyPath>) {
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(&scalar(name));
        self.text.push(':');
        self.value(value, indent, key);
    }

    /// What follows a key's `:`.
    fn value(&mut self, node: &Node, indent: usize, key: Option<&KeyPath>) {
        match &node.value {
            Value::Map(entries) if entries.is_empty() => self.end(node, " {}"),
            Value::List(items) if items.is_empty() => self.end(node, " []"),
            Value::Map(_) => {
                self.text.push('\n');
                self.entries(node, indent + 2, key);
            }
            Value::List(items) => {
                self.text.push('\n');
                self.items(items, indent + 2, key);
            }
            Value::Scalar { .. } if self.secret(key) => self.end(node, &format!(" {}", quoted(REDACTED))),
            Value::Scalar { text, .. } if is_block(text) => {
                let chomp = if text.ends_with('\n') { " |" } else { " |-" };
                self.end(node, chomp);
                for line in text.lines() {
                    let space = if line.is_empty() { String::new() } else { " ".repeat(indent + 2) };
                    self.text.push_str(&format!("{space}{line}\n"));
                }
            }
            Value::Scalar { text, .. } => self.end(node, &format!(" {}", scalar(text))),
        }
    }

    fn items(&mut self, items: &[Node], indent: usize, key: Option<&KeyPath>) {
        for (index, item) in items.iter().enumerate() {
            let name = key.and_then(super::explain::list_key);
            let name = name.and_then(|name| crate::node::named::name_of(item, name));
            let below =
                key.map(|key| name.map_or_else(|| key.join(&index.to_string()), |(name, _)| key.join(name)));
            let start = self.text.len();
            match &item.value {
                Value::Map(entries) if !entries.is_empty() => {
                    self.entries(item, indent + 2, below.as_ref());
                    // The first key stands behind the dash.
                    self.text.replace_range(start + indent..start + indent + 1, "-");
                }
                Value::Map(_) | Value::List(_) | Value::Scalar { .. } => {
                    self.text.push_str(&" ".repeat(indent));
                    self.text.push('-');
                    self.value(item, indent, below.as_ref());
                }
            }
        }
    }

    fn end(&mut self, node: &Node, text: &str) {
        self.text.push_str(text);
        if let Some(comment) = (self.comment)(node) {
            self.text.push_str("  # ");
            self.text.push_str(&comment);
        }
        self.text.push('\n');
    }
}

/// Several lines that a block can hold as they are: it can't begin with a space, hold other control characters, or end
/// with more than one line break.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.ends_with("\n\n")
        && !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
        && !text.lines().any(|line| !line.is_empty() && line.trim().is_empty())
}

/// A scalar on one line: plain where no reader of YAML could take it for something else.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./@+=,()%$^~!*&'\"<>?;[]{}| ".contains(c) || c == ':';
    let begins =
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_' || c == '.' || c == '$');
    let safe = begins
        && text.chars().all(plain)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !matches!(text.to_ascii_lowercase().as_str(), "null" | "yes" | "no" | "on" | "off");
    if safe { text.to_owned() } else { quoted(text) }
}

/// In double quotes, with JSON's escapes, which are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
