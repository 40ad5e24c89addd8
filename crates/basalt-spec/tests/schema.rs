//! The JSON Schema in `docs/schema` is the one that the types make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the golden file is in the repository")]

use std::path::PathBuf;

use basalt_spec::{node_config_schema, node_config_schema_text, recipe_schema, recipe_schema_text};
use serde_json::Value;

#[test]
fn the_schemas_in_the_repository_are_current() {
    for (name, made) in
        [("recipe.schema.json", recipe_schema_text()), ("node-config.schema.json", node_config_schema_text())]
    {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema").join(name);
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        if written != made {
            // The next run passes: look at the difference, then commit it.
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, made).unwrap();
            panic!("{} was not current: it is now", path.display());
        }
    }
}

/// Every mapping of a schema, by its name.
fn definitions(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let inner = schema["$defs"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value));
    inner.chain([("the document", schema)])
}

#[test]
fn every_key_has_a_description_and_unknown_keys_are_refused() {
    for schema in [recipe_schema(), node_config_schema()] {
        let mut bare = Vec::new();
        for (name, value) in definitions(&schema) {
            let Some(properties) = value.get("properties").and_then(|p| p.as_object()) else { continue };
            assert_eq!(value["additionalProperties"], false, "{name} takes unknown keys");
            bare.extend(
                properties
                    .iter()
                    .filter(|(_, p)| p.get("description").is_none())
                    .map(|(k, _)| format!("{name}.{k}")),
            );
        }
        assert_eq!(bare, Vec::<String>::new(), "keys without a description");
    }
    let schema = recipe_schema();
    assert_eq!(schema["required"], serde_json::json!(["apiVersion", "kind", "name"]));
    assert_eq!(schema["properties"]["disk"]["default"]["esp"], "1GiB");
    assert_eq!(node_config_schema()["required"], serde_json::json!(["apiVersion", "kind"]));
}

/// A list of mappings that documents don't merge by name would be replaced whole without anybody having decided so.
#[test]
fn every_list_of_mappings_says_how_it_merges() {
    let schema = node_config_schema();
    let mut without = Vec::new();
    for (name, value) in definitions(&schema) {
        for (key, property) in value["properties"].as_object().into_iter().flatten() {
            let Some(target) = property["items"]["$ref"].as_str() else { continue };
            let item = &schema["$defs"][target.rsplit('/').next().unwrap()];
            if item["type"] == "object" {
                without.push(format!("{name}.{key}"));
            }
        }
    }
    assert_eq!(
        without,
        ["Interface.routes"],
        "give the list its name in node/named.rs, or say here why it has none"
    );
    let interfaces = &schema["$defs"]["Network"]["properties"]["interfaces"];
    assert_eq!(interfaces["x-kubernetes-list-map-keys"], serde_json::json!(["name"]));
    let marked = definitions(&schema)
        .flat_map(|(_, value)| value["properties"].as_object().into_iter().flatten())
        .filter(|(_, property)| property.get("x-kubernetes-list-type").is_some())
        .count();
    assert_eq!(marked, 12);
}

/// The keys of a schema that a page of the book doesn't name in backticks or in a block of code.
fn absent(schema: &Value, book: &str) -> Vec<String> {
    definitions(schema)
        .filter_map(|(_, value)| value["properties"].as_object())
        .flat_map(|keys| keys.keys().filter(|key| !book.contains(key.as_str())).cloned())
        .collect()
}

#[test]
fn the_book_names_every_key() {
    let recipe = absent(&recipe_schema(), include_str!("../../../docs/book/src/reference/recipe.md"));
    assert_eq!(
        recipe,
        ["inline"],
        "keys that the book doesn't name; `inline` is the long form of a script's text"
    );
    let node = absent(&node_config_schema(), include_str!("../../../docs/book/src/reference/node-config.md"));
    assert_eq!(node, Vec::<String>::new(), "keys that the book doesn't name");
}
