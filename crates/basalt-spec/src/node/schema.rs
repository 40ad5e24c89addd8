//! What the JSON Schema says beside the types.

use serde_json::{Value, json};

use super::named::NAMED;

/// Marks each list of named things, and lets an item say that it is removed.
pub(crate) fn mark_named(schema: &mut Value) {
    for (path, key) in NAMED {
        if let Some(list) = property(schema, path) {
            list["x-kubernetes-list-type"] = json!("map");
            list["x-kubernetes-list-map-keys"] = json!([key]);
            let removed = json!({
                "description": "takes the item out that documents of lower precedence have",
                "type": "object",
                "properties": {key: {"type": "string"}, "remove": {"const": true}},
                "required": [key, "remove"],
                "additionalProperties": false,
            });
            let item = list["items"].take();
            list["items"] = json!({"anyOf": [item, removed]});
        }
    }
}

/// The schema of the list at `path` below `spec`.
fn property<'a>(schema: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    let mut name = "NodeSpec".to_owned();
    let (last, above) = path.split_last()?;
    let mut above = above.iter().peekable();
    while let Some(key) = above.next() {
        let next = &schema["$defs"][&name]["properties"][*key];
        name = match above.next_if(|next| **next == "*") {
            // Marked before: an item is a reference, or one of the marks' two forms.
            Some(_) => reference(&next["items"]).or_else(|| reference(&next["items"]["anyOf"][0]))?,
            None => reference(next)?,
        };
    }
    schema["$defs"].get_mut(&name)?["properties"].get_mut(*last)
}

/// The definition that a schema refers to, also where it may be `null`.
fn reference(schema: &Value) -> Option<String> {
    let target = schema["$ref"].as_str().or_else(|| schema["anyOf"][0]["$ref"].as_str())?;
    target.rsplit('/').next().map(str::to_owned)
}
