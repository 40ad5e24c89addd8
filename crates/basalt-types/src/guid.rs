use std::{fmt, str::FromStr};

/// A GUID as text shows it: 8-4-4-4-12 hex digits, lower case. Kept in the order of the text.
///
/// GPT stores the first three fields little-endian (UEFI specification 2.10, appendix A); [`Guid::to_gpt`] and
/// [`Guid::from_gpt`] convert.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// Why a text is not a [`Guid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a GUID: expected 32 hex digits in groups of 8-4-4-4-12")]
pub struct GuidError(String);

impl Guid {
    /// The all-zero GUID, which GPT uses for an unused entry.
    pub const NIL: Self = Self([0; 16]);

    /// A GUID from its bytes in the order of the text; verity PARTUUIDs are made so from the root hash.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A constant from its 128-bit value, so that a table of types reads like the specification.
    pub const fn from_u128(value: u128) -> Self {
        Self(value.to_be_bytes())
    }

    /// A version 8 (custom, RFC 9562 section 5.8) GUID from the first bytes of a digest: for ids that must be the
    /// same in every build of the same input.
    pub fn derived(digest: &crate::Digest) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The bytes in the order of the text.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The bytes as a GPT stores them.
    pub const fn to_gpt(self) -> [u8; 16] {
        let b = self.0;
        [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
    }

    /// Reads the bytes as a GPT stores them. The conversion is its own inverse.
    pub const fn from_gpt(bytes: [u8; 16]) -> Self {
        Self(Self(bytes).to_gpt())
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || GuidError(text.to_owned());
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        if lengths != [8, 4, 4, 4, 12] || !text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        u128::from_str_radix(&groups.concat(), 16).map(Self::from_u128).map_err(|_unreachable| refuse())
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::serde_as_string!(Guid, schemars::json_schema!({ "type": "string", "format": "uuid" }));
