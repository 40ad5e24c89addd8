//! Reading the text that is converted.

use crate::yaml::{Entry, Node, Value};

/// The entries of a mapping.
pub(super) fn entries(node: &Node) -> Option<&[Entry]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        Value::List(_) | Value::Scalar { .. } => None,
    }
}

/// The items of a list; nothing is an empty one.
pub(super) fn items(node: &Node) -> Option<&[Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        Value::Scalar { .. } if node.is_null() => Some(&[]),
        Value::Map(_) | Value::Scalar { .. } => None,
    }
}

/// A scalar's text.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => Some(text),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
    }
}

/// A truth value, in all the words that readers of YAML 1.1 take.
pub(super) fn truth(node: &Node) -> Option<bool> {
    match text(node)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The value of a key.
pub(super) fn value<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entries(node)?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

/// A word of a shell's command line.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b':' | b'=' | b',' | b'+' | b'@')
    };
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A list of text, or one text as a list of one; or the text between commas if that is the form of the key.
pub(super) fn words(node: &Node, commas: bool) -> Option<Vec<Node>> {
    match text(node) {
        Some(whole) if commas => Some(whole.split(',').map(|word| scalar(word.trim(), node)).collect()),
        Some(_) => Some(vec![node.clone()]),
        None => items(node).map(<[Node]>::to_vec),
    }
}

/// A scalar where another node is.
pub(super) fn scalar(text: &str, like: &Node) -> Node {
    Node { at: like.at, value: Value::Scalar { text: text.to_owned(), plain: false } }
}

/// A list where another node is.
pub(super) fn list(items: Vec<Node>, like: &Node) -> Node {
    Node { at: like.at, value: Value::List(items) }
}

/// A mapping where another node is.
pub(super) fn map(entries: Vec<(&str, Node)>, like: &Node) -> Node {
    let entries = entries
        .into_iter()
        .map(|(key, value)| Entry { key: key.to_owned(), key_at: value.at, value })
        .collect();
    Node { at: like.at, value: Value::Map(entries) }
}
