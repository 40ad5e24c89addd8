//! The JSON Schema in `docs/schema` is the one that the types make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the golden file is in the repository")]

use std::path::PathBuf;

use basalt_spec::{recipe_schema, recipe_schema_text};

#[test]
fn the_schema_in_the_repository_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/recipe.schema.json");
    let made = recipe_schema_text();
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    if written != made {
        // The next run passes: look at the difference, then commit it.
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
        panic!("{} was not current: it is now", path.display());
    }
}

#[test]
fn every_key_has_a_description_and_unknown_keys_are_refused() {
    let schema = recipe_schema();
    let mut bare = Vec::new();
    let definitions = schema["$defs"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in definitions.chain([("Recipe", &schema)]) {
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
    assert_eq!(schema["required"], serde_json::json!(["apiVersion", "kind", "name"]));
    assert_eq!(schema["properties"]["disk"]["default"]["esp"], "1GiB");
}

#[test]
fn the_book_names_every_key() {
    let book = include_str!("../../../docs/book/src/reference/recipe.md");
    let schema = recipe_schema();
    let mut absent = Vec::new();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for keys in definitions.chain([&schema]).filter_map(|value| value["properties"].as_object()) {
        absent.extend(keys.keys().filter(|key| !book.contains(key.as_str())));
    }
    assert_eq!(
        absent,
        ["inline"],
        "keys that the book doesn't name; `inline` is the long form of a script's text"
    );
}
