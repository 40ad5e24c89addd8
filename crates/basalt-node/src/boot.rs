use std::fmt;

use basalt_image::layout::System;
use basalt_types::{Digest, Guid, Slot};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How this boot began: what `basalt-init` leaves in `/run/basalt/boot.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootFacts {
    /// The root hash of the kernel command line, by which the root is verified.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub root_hash: Digest,
    /// The partition that holds the root, such as `/dev/vda2`.
    pub root_device: String,
    /// The partition that holds its hash tree.
    pub verity_device: String,
    /// The disk of both; none when they came with the initramfs.
    pub disk: Option<String>,
    /// The id of the root partition.
    pub root_part_uuid: Guid,
    /// Which system it is by its label; none when the label is not ours.
    pub slot: Option<BootSlot>,
    /// When the init program started, in microseconds since the kernel did (`CLOCK_BOOTTIME`).
    pub init_start_usec: u64,
    /// When it handed over.
    pub init_end_usec: u64,
}

/// Which system was booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootSlot {
    /// Slot A of the machine's disk.
    A,
    /// Slot B.
    B,
    /// The known-good release.
    Recovery,
    /// A live medium, or the network: everything that is written is in memory, and no disk belongs to it.
    Live,
}

impl BootFacts {
    /// Where they are.
    pub const PATH: &'static str = "/run/basalt/boot.json";

    /// Whether everything that this system writes is in memory, and no slot of the disk runs: live, or recovery.
    pub fn is_volatile(&self) -> bool {
        matches!(self.slot, Some(BootSlot::Live | BootSlot::Recovery))
    }

    /// Whether this is a live system, which no disk belongs to.
    pub fn is_live(&self) -> bool {
        self.slot == Some(BootSlot::Live)
    }
}

impl BootSlot {
    /// The system of the disk's layout; a live one is in none.
    pub const fn system(self) -> Option<System> {
        match self {
            Self::A => Some(System::A),
            Self::B => Some(System::B),
            Self::Recovery => Some(System::Recovery),
            Self::Live => None,
        }
    }
}

impl From<Slot> for BootSlot {
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::A => Self::A,
            Slot::B => Self::B,
        }
    }
}

impl fmt::Display for BootSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
            Self::Recovery => "recovery",
            Self::Live => "live",
        })
    }
}

/// A root hash is written as 64 hex digits, without the algorithm's name, as in `roothash=`.
pub(crate) fn to_hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digest.hex())
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
    Digest::from_hex(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hand_over_file_is_read() {
        let hash = Digest::of(b"x").hex();
        let json = format!(
            r#"{{"rootHash":"{hash}","rootDevice":"/dev/vda2","verityDevice":"/dev/vda3","disk":"/dev/vda",
            "rootPartUuid":"2d711642-b726-b044-01f2-7aa5ba4a3b8b","slot":"recovery","initStartUsec":1,"initEndUsec":2}}"#
        );
        let facts: BootFacts = serde_json::from_str(&json).unwrap();
        assert_eq!(facts.slot.and_then(BootSlot::system), Some(System::Recovery));
        assert_eq!(
            serde_json::from_str::<BootFacts>(&serde_json::to_string(&facts).unwrap()).unwrap(),
            facts
        );
        let unnamed = json.replace(r#""recovery""#, "null");
        assert_eq!(serde_json::from_str::<BootFacts>(&unnamed).unwrap().slot, None);
        assert!(serde_json::from_str::<BootFacts>(&json.replace(&hash, "00")).is_err());
        let live = json.replace(r#""recovery""#, r#""live""#).replace(r#""/dev/vda""#, "null");
        let facts: BootFacts = serde_json::from_str(&live).unwrap();
        assert_eq!((facts.is_live(), facts.disk), (true, None));
    }
}
