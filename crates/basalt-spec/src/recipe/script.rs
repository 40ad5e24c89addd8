use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::words::RelativePath;

/// Commands to run inside the image: as text, or from a file beside the recipe.
///
/// The first line may name the interpreter (`#!`); `/bin/sh -eu` otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Script {
    /// The text itself.
    Inline(String),
    /// A file beside the recipe.
    Source(RelativePath),
}

/// The long form of a script.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenScript {
    /// The text itself.
    #[serde(default)]
    inline: Option<String>,
    /// A file beside the recipe.
    #[serde(default)]
    source: Option<RelativePath>,
}

impl<'de> Deserialize<'de> for Script {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScriptVisitor)
    }
}

struct ScriptVisitor;

impl<'de> de::Visitor<'de> for ScriptVisitor {
    type Value = Script;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script's text or `source: FILE`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Script, E> {
        Ok(Script::Inline(text.to_owned()))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Script, A::Error> {
        let written = WrittenScript::deserialize(de::value::MapAccessDeserializer::new(map))?;
        match (written.inline, written.source) {
            (Some(text), None) => Ok(Script::Inline(text)),
            (None, Some(path)) => Ok(Script::Source(path)),
            (Some(_), Some(_)) | (None, None) => {
                Err(de::Error::custom("a script has exactly one of `inline` and `source`"))
            }
        }
    }
}

impl JsonSchema for Script {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Script".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Commands to run inside the image: as text, or from a file beside the recipe.",
            "anyOf": [{ "type": "string" }, generator.subschema_for::<WrittenScript>()],
        })
    }
}
