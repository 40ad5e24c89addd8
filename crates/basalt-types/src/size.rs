use std::{fmt, str::FromStr};

/// A number of bytes. Written as a whole number with a binary unit: `1GiB`, `512 MiB`, `4096` (bytes).
///
/// Decimal units are refused rather than guessed: partitions made of `1GB` by one tool and `1GiB` by another differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text is not a [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number and a unit.
    #[error(
        "`{0}` is not a size: expected a whole number and one of B, KiB, MiB, GiB, TiB, such as `512MiB`"
    )]
    Form(String),
    /// More bytes than 64 bits count.
    #[error("`{0}` is more than 2^64 bytes")]
    Overflow(String),
}

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// A size of `count` bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// A size of `count` mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// A size of `count` gibibytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The smallest multiple of `unit` that is not below this size.
    pub const fn round_up(self, unit: Self) -> Self {
        Self(self.0.div_ceil(unit.0) * unit.0)
    }

    /// For people: at most one decimal, in the largest binary unit that fits, such as `1.4 GiB`.
    pub fn human(self) -> String {
        let (unit, scale) = UNITS.into_iter().find(|(_, scale)| self.0 >= *scale).unwrap_or(("B", 1));
        if self.0.is_multiple_of(scale) {
            return format!("{} {unit}", self.0 / scale);
        }
        let tenths = (u128::from(self.0) * 10 + u128::from(scale) / 2) / u128::from(scale);
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || SizeError::Form(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(refuse());
        }
        let unit = match unit.trim_start() {
            "" => "B",
            unit => unit,
        };
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| SizeError::Overflow(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, scale): &(&str, u64)| self.0 >= *scale && self.0.is_multiple_of(*scale);
        let (unit, scale) = UNITS.into_iter().find(whole).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

crate::serde_as_string!(
    ByteSize,
    schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB|TiB)?$" })
);
