use std::{borrow::Cow, fmt, str::FromStr};

/// A GPT partition name: 1 to 36 UTF-16 code units (UEFI specification 2.10, table 5-6), no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartLabel(Cow<'static, str>);

/// Why a text is not a [`PartLabel`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a partition label: expected 1 to 36 UTF-16 units and no control character")]
pub struct LabelError(String);

impl PartLabel {
    /// The longest label, in UTF-16 code units.
    pub const MAX_UNITS: usize = 36;

    /// A label that is known when the program is compiled: in a constant, a wrong one doesn't compile.
    ///
    /// # Panics
    /// When the text is empty, longer than 36 bytes or not printable ASCII.
    pub const fn constant(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= Self::MAX_UNITS, "a label has 1 to 36 characters");
        let mut index = 0;
        while index < bytes.len() {
            assert!(bytes[index] >= b' ' && bytes[index] < 0x7f, "a constant label is printable ASCII");
            index += 1;
        }
        Self(Cow::Borrowed(text))
    }

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
        Ok(Self(Cow::Owned(text.to_owned())))
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
