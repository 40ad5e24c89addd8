use std::{fmt, ops::Not, str::FromStr};

/// One of the two places that a release of the image can be in. The other one is `!slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The slot that a factory-made disk carries.
    A,
    /// The slot that the first boot creates and the first upgrade fills.
    B,
}

/// Why a text is not a [`Slot`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a slot: expected `a` or `b`")]
pub struct SlotError(String);

impl Not for Slot {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl FromStr for Slot {
    type Err = SlotError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            other => Err(SlotError(other.to_owned())),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

crate::serde_as_string!(Slot, schemars::json_schema!({ "type": "string", "enum": ["a", "b"] }));
