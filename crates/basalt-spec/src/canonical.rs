//! Canonical JSON, and the digests made of it.
//!
//! Canonical is: keys sorted by their bytes, no white space, every effective value written, no floating point
//! numbers. It is what RFC 8785 gives for values of this sort.

use basalt_types::Digest;
use serde::Serialize;
use serde_json::Value;

/// The canonical form of a value.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// A value as JSON. Every type of this crate has only string keys and no numbers that JSON lacks, so this can't fail;
/// if a new one breaks that, its digest is that of `null` and the tests say so.
pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Pretty JSON and a newline, keys in the order that the type declares them: the form of files.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}

/// The digest of the canonical form.
pub(crate) fn digest(value: &Value) -> Digest {
    Digest::of(canonical(value).as_bytes())
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(entries) => {
            // Sorted here and not by serde_json's map, whose order is a feature that any crate can switch.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(item, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string())
        }
    }
}
