use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a message or a document says in place of a secret.
const REDACTED: &str = "<redacted>";

/// A text that nobody may see: it prints and serialises as `<redacted>`, so that no message, log or
/// `config show` can leak it. Whoever needs it calls [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What a message or a document says in its place.
    pub const REDACTED: &'static str = REDACTED;

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        // What was shown is not what was meant; and no error here may quote what was written.
        if text == REDACTED {
            return Err(de::Error::custom(
                "this is what is shown in place of a secret: write the secret itself",
            ));
        }
        if text.is_empty() || text.len() > 4096 || text.contains(char::is_control) {
            return Err(de::Error::custom("a secret is one line of 1 to 4096 bytes"));
        }
        Ok(Self(text.into_owned()))
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "description": "a secret; it is never shown", "minLength": 1, "maxLength": 4096,
            "writeOnly": true
        })
    }
}
