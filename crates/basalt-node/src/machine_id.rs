use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// The id of a machine (machine-id(5)): 32 lower-case hex digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MachineId(u128);

/// Why a text is not a [`MachineId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a machine id: expected 32 lower-case hex digits that are not all zero")]
pub struct MachineIdError(String);

impl FromStr for MachineId {
    type Err = MachineIdError;

    /// Reads `/etc/machine-id` or the credential; one newline at the end is allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_suffix('\n').unwrap_or(text);
        let valid = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(digits, 16) {
            Ok(id) if valid && id != 0 => Ok(Self(id)),
            Ok(_) | Err(_) => Err(MachineIdError(text.to_owned())),
        }
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MachineId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_ids_are_read_strictly() {
        let text = "0f9e8d7c6b5a49382716051423324150";
        assert_eq!(text.parse::<MachineId>().unwrap().to_string(), text);
        assert!(format!("{text}\n").parse::<MachineId>().is_ok());
        let zeros = "0".repeat(32);
        for bad in [
            "",
            "uninitialized\n",
            &text[1..],
            &text.to_uppercase(),
            &zeros,
            "+f9e8d7c6b5a49382716051423324150",
        ] {
            assert!(bad.parse::<MachineId>().is_err(), "{bad}");
        }
    }
}
