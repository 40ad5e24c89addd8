//! What interfaces are made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{InterfaceName, Secret};
use crate::words::{WordError, serde_as_string, text_word};

/// A VLAN of another interface (IEEE 802.1Q).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `id` and `link`")]
pub struct Vlan {
    /// Its number: 1 to 4094.
    pub id: VlanId,
    /// The interface that it is a part of.
    pub link: InterfaceName,
}

/// The number of a VLAN: 1 to 4094 (IEEE 802.1Q; 0 and 4095 are reserved).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl std::str::FromStr for VlanId {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let refuse = || WordError::new(text, "the number of a VLAN", "a whole number from 1 to 4094");
        let number: u16 = text.parse().map_err(|_not_a_number| refuse())?;
        if (1..=4094).contains(&number) { Ok(Self(number)) } else { Err(refuse()) }
    }
}

impl std::fmt::Display for VlanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

serde_as_string!(
    VlanId,
    schemars::json_schema!({
        "type": ["integer", "string"], "description": "a whole number from 1 to 4094", "minimum": 1, "maximum": 4094
    })
);

/// Several interfaces as one (systemd.netdev(5), `[Bond]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping such as `members: [eth0, eth1]`"
)]
pub struct Bond {
    /// The interfaces.
    pub members: Vec<InterfaceName>,
    /// How they share the work. `active-backup` if not written.
    #[serde(default)]
    pub mode: BondMode,
    /// How often the link of each is looked at, in milliseconds. 100 if not written.
    #[serde(default)]
    pub monitor_milliseconds: Option<u32>,
    /// Which parts of a packet choose its interface.
    #[serde(default)]
    pub hash_policy: Option<HashPolicy>,
}

/// How the members of a bond share the work (the kernel's names).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BondMode {
    /// One works, the others wait.
    #[default]
    #[serde(rename = "active-backup")]
    ActiveBackup,
    /// LACP (IEEE 802.3ad): the switch takes part.
    #[serde(rename = "802.3ad")]
    Lacp,
    /// One after the other.
    #[serde(rename = "balance-rr")]
    RoundRobin,
    /// By a hash of the packet.
    #[serde(rename = "balance-xor")]
    Xor,
    /// All send everything.
    #[serde(rename = "broadcast")]
    Broadcast,
    /// By load, for what is sent.
    #[serde(rename = "balance-tlb")]
    TransmitLoad,
    /// By load, for what is sent and received.
    #[serde(rename = "balance-alb")]
    AdaptiveLoad,
}

/// Which parts of a packet choose its interface (the kernel's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HashPolicy {
    /// The addresses of cards.
    #[serde(rename = "layer2")]
    Layer2,
    /// Those, and IP addresses.
    #[serde(rename = "layer2+3")]
    Layer23,
    /// IP addresses and ports.
    #[serde(rename = "layer3+4")]
    Layer34,
}

impl BondMode {
    /// The kernel's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ActiveBackup => "active-backup",
            Self::Lacp => "802.3ad",
            Self::RoundRobin => "balance-rr",
            Self::Xor => "balance-xor",
            Self::Broadcast => "broadcast",
            Self::TransmitLoad => "balance-tlb",
            Self::AdaptiveLoad => "balance-alb",
        }
    }
}

impl HashPolicy {
    /// The kernel's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Layer2 => "layer2",
            Self::Layer23 => "layer2+3",
            Self::Layer34 => "layer3+4",
        }
    }
}

/// A switch between interfaces (systemd.netdev(5), `[Bridge]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `members: [eth0]`")]
pub struct Bridge {
    /// The interfaces. More may join later, such as those of virtual machines.
    #[serde(default)]
    pub members: Vec<InterfaceName>,
    /// Whether it speaks the spanning tree protocol. The kernel's choice (no) if not written.
    #[serde(default)]
    pub spanning_tree: Option<bool>,
}

/// The wireless networks that a card joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `networks:`")]
pub struct Wifi {
    /// The country whose rules for radio are kept (ISO 3166-1, two capital letters).
    #[serde(default)]
    pub country: Option<Country>,
    /// The networks; the strongest that is in reach is joined.
    pub networks: Vec<WifiNetwork>,
}

/// A wireless network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `ssid` and `passphrase`")]
pub struct WifiNetwork {
    /// Its name; documents merge networks by it.
    pub ssid: Ssid,
    /// Its passphrase (WPA2 or WPA3 personal). The network is open if not written.
    #[serde(default)]
    pub passphrase: Option<Secret>,
    /// Whether it doesn't say its name.
    #[serde(default)]
    pub hidden: Option<bool>,
}

text_word!(
    /// The name of a wireless network: 1 to 32 bytes (IEEE 802.11), here printable and without quotes.
    Ssid,
    "the name of a wireless network",
    "1 to 32 bytes of printable text without `\"` and `\\`",
    "^[^\\x00-\\x1f\"\\\\]{1,32}$",
    |text| matches!(text.len(), 1..=32) && !text.contains(|c: char| c.is_control() || c == '"' || c == '\\')
);

text_word!(
    /// A country (ISO 3166-1 alpha-2).
    Country,
    "a country",
    "two capital letters, such as `IT`",
    "^[A-Z]{2}$",
    |text| text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
);
