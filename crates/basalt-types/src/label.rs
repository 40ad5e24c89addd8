use std::{fmt, str::FromStr};

/// A GPT partition name: 1 to 36 UTF-16 code units (UEFI specification 2.10, table 5-6), no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartLabel(String);

/// Why a text is not a [`PartLabel`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a partition label: expected 1 to 36 UTF-16 units and no control character")]
pub struct LabelError(String);

impl PartLabel {
    /// The longest label, in UTF-16 code units.
    pub const MAX_UNITS: usize = 36;

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartLabel {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = text.encode_utf16().count();
        if units == 0 || units > Self::MAX_UNITS || text.chars().any(char::is_control) {
            return Err(LabelError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PartLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PartLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

crate::serde_as_string!(
    PartLabel,
    schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": PartLabel::MAX_UNITS })
);
