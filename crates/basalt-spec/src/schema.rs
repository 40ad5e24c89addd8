//! JSON Schemas for editors, from the types that parse.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::{canonical, node, node::NodeConfig, recipe::Recipe};

/// The JSON Schema (draft 2020-12) of a recipe.
pub fn recipe_schema() -> Value {
    titled::<Recipe>("A recipe of Basalt")
}

/// The JSON Schema (draft 2020-12) of a node's configuration. Lists that documents merge by name say so in the words of
/// Kubernetes (`x-kubernetes-list-map-keys`).
pub fn node_config_schema() -> Value {
    let mut value = titled::<NodeConfig>("A node's configuration of Basalt");
    node::mark_named(&mut value);
    value
}

fn titled<T: schemars::JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    if let Value::Object(keys) = &mut value {
        keys.insert("title".to_owned(), title.into());
    }
    value
}

/// The schema as its file has it: pretty JSON with sorted keys and a newline.
pub fn recipe_schema_text() -> String {
    canonical::pretty(&sorted(recipe_schema()))
}

/// The schema of a node's configuration as its file has it.
pub fn node_config_schema_text() -> String {
    canonical::pretty(&sorted(node_config_schema()))
}

/// The same value with the keys of every object in byte order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
