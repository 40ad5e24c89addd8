//! Values as YAML of the sort that a recipe is: block style, quotes only where they are needed.

use serde_json::{Map, Value};

/// One key of a mapping with its value, as lines.
pub(super) fn entry(key: &str, value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            format!("{pad}{key}:\n{}", mapping(map, indent + 2))
        }
        Value::Array(items) if !items.is_empty() => format!("{pad}{key}:\n{}", list(items, indent + 2)),
        Value::String(text) => format!("{pad}{key}: {}\n", scalar(text, indent + 2)),
        Value::Object(_) => format!("{pad}{key}: {{}}\n"),
        Value::Array(_) => format!("{pad}{key}: []\n"),
        Value::Null => format!("{pad}{key}:\n"),
        Value::Bool(_) | Value::Number(_) => format!("{pad}{key}: {value}\n"),
    }
}

fn mapping(map: &Map<String, Value>, indent: usize) -> String {
    ordered(map).into_iter().map(|(key, value)| entry(key, value, indent)).collect()
}

fn list(items: &[Value], indent: usize) -> String {
    let pad = " ".repeat(indent);
    let item = |item: &Value| match item {
        Value::Object(map) if !map.is_empty() => {
            // The first key stands behind the dash.
            let lines = mapping(map, indent + 2);
            format!("{pad}- {}", lines.trim_start())
        }
        Value::String(text) => format!("{pad}- {}\n", scalar(text, indent + 2)),
        other @ (Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_)) => {
            format!("{pad}- {other}\n")
        }
    };
    items.iter().map(item).collect()
}

/// What names a thing comes first, long text last; the rest by the alphabet.
fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    const FIRST: [&str; 5] = ["path", "name", "suite", "ref", "enable"];
    const LAST: [&str; 2] = ["sshAuthorizedKeys", "content"];
    let place = |key: &str| match FIRST.iter().position(|first| *first == key) {
        Some(place) => place,
        None if LAST.contains(&key) => FIRST.len() + 1,
        None => FIRST.len(),
    };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| (place(key), key.as_str()));
    entries
}

/// Text as a scalar, plain if it can be; text of several lines as a literal block (YAML 1.2.2 section 8.1.2).
fn scalar(text: &str, indent: usize) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let literal = text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.chars().any(|letter| letter.is_control() && letter != '\n');
    if !literal {
        return quoted(text);
    }
    let body = text.trim_end_matches('\n');
    let chomp = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let pad = " ".repeat(indent);
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let lines = lines.map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") });
    format!("|{chomp}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// In double quotes: JSON's escapes are YAML's (YAML 1.2.2 section 5.7).
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn is_plain(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'.' | b'$' | b'+');
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.$+-=@%,:;()^ ".contains(&byte);
    text.bytes().next().is_some_and(first)
        && text.bytes().all(inner)
        && !text.contains(": ")
        && !text.ends_with([' ', ':'])
        && text != "null"
        && text != "Null"
        && text != "NULL"
}
