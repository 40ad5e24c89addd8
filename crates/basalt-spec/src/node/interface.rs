use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    link::{Bond, Bridge, Vlan, Wifi},
    one_of::schema_of,
    words::{
        CidrAddress, DnsServer, DomainName, InterfaceName, InterfacePattern, IpAddress, MacAddress,
        RouteTarget,
    },
};

/// A network interface: one that is there, or one made of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenInterface", into = "WrittenInterface")]
pub struct Interface {
    /// What other keys call it, and what an interface that is made is called.
    pub name: InterfaceName,
    /// What it is.
    pub kind: InterfaceKind,
    /// Its addresses and where they lead.
    pub addressing: Addressing,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// The address that it is given in place of its own.
    pub mac: Option<MacAddress>,
    /// Whether the machine counts as online without it.
    pub optional: bool,
}

/// What an [`Interface`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A card: found by a rule, or by the interface's name.
    Card(Option<Match>, Option<Wifi>),
    /// A VLAN of another interface.
    Vlan(Vlan),
    /// Several interfaces as one.
    Bond(Bond),
    /// A switch between interfaces.
    Bridge(Bridge),
}

/// The addresses of an interface and where they lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// Whom it asks.
    pub dhcp: Dhcp,
    /// Whether it listens to routers (IPv6).
    pub accept_router_advertisements: Option<bool>,
    /// Fixed addresses.
    pub addresses: Vec<CidrAddress>,
    /// Routers for everything that no route leads to, one for each family.
    pub gateways: Vec<IpAddress>,
    /// Other routes.
    pub routes: Vec<Route>,
    /// Who answers for names.
    pub dns: Vec<DnsServer>,
    /// Domains that are tried behind a short name.
    pub domains: Vec<DomainName>,
}

/// Whom an interface asks for an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dhcp {
    /// Nobody.
    #[default]
    None,
    /// DHCP for IPv4.
    Ipv4,
    /// DHCP for IPv6.
    Ipv6,
    /// DHCP for both.
    Both,
}

/// Which card an interface is. Everything that is written must be true of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: en*`")]
pub struct Match {
    /// A pattern of names that the kernel or udev gave.
    #[serde(default)]
    pub name: Option<InterfacePattern>,
    /// The address that it was made with.
    #[serde(default)]
    pub mac: Option<MacAddress>,
    /// A pattern of drivers, such as `virtio_net`.
    #[serde(default)]
    pub driver: Option<InterfacePattern>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `to` and `via`")]
pub struct Route {
    /// Where it leads: a network or `default`.
    pub to: RouteTarget,
    /// The router. The link itself if not written.
    #[serde(default)]
    pub via: Option<IpAddress>,
    /// Of several routes the one with the smallest is taken.
    #[serde(default)]
    pub metric: Option<u32>,
}

/// A network interface: a card, unless one of `vlan`, `bond` and `bridge` says what it is made of.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: eth0`")]
#[schemars(rename = "Interface")]
struct WrittenInterface {
    /// What other keys call it, and what a VLAN, bond or bridge is called. Documents merge interfaces by it.
    name: InterfaceName,
    /// Which card it is. The one of this name if not written.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    rule: Option<Match>,
    /// The wireless networks that it joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wifi: Option<Wifi>,
    /// A VLAN of another interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
    /// Several interfaces as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bond: Option<Bond>,
    /// A switch between interfaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bridge: Option<Bridge>,
    /// Whom it asks for an address: `none`, `ipv4`, `ipv6` or `both`.
    #[serde(default)]
    dhcp: Dhcp,
    /// Whether it listens to routers (IPv6). The system's own choice if not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accept_router_advertisements: Option<bool>,
    /// Fixed addresses, each with the length of its network's prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<CidrAddress>,
    /// Routers for everything that no route leads to: at most one for each family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<IpAddress>,
    /// Other routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Route>,
    /// Who answers for names on this interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dns: Vec<DnsServer>,
    /// Domains that are tried behind a short name; with `~` in front only a route for queries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    domains: Vec<DomainName>,
    /// The largest packet in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535))]
    mtu: Option<u32>,
    /// The address that it is given in place of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<MacAddress>,
    /// Whether the machine counts as online without it.
    #[serde(default)]
    optional: bool,
}

/// Why the keys of an interface don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum InterfaceError {
    #[error("`{name}` is made of other interfaces in more than one way: {found}")]
    Kinds { name: InterfaceName, found: String },
    #[error("`{name}` is made, so `{key}` has no card to speak of: leave it out")]
    NoCard { name: InterfaceName, key: &'static str },
    #[error("`{name}` has two gateways of one family: write the second as a route with a metric")]
    Gateways { name: InterfaceName },
    #[error("`{name}` can't have packets of {mtu} bytes: from 68 to 65535 (RFC 791)")]
    Mtu { name: InterfaceName, mtu: u32 },
}

impl TryFrom<WrittenInterface> for Interface {
    type Error = InterfaceError;

    fn try_from(written: WrittenInterface) -> Result<Self, InterfaceError> {
        let kind = written.kind()?;
        let WrittenInterface {
            name,
            rule: _,
            wifi: _,
            vlan: _,
            bond: _,
            bridge: _,
            dhcp,
            accept_router_advertisements,
            addresses,
            gateways,
            routes,
            dns,
            domains,
            mtu,
            mac,
            optional,
        } = written;
        let of_ipv6 = gateways.iter().filter(|gateway| gateway.is_ipv6()).count();
        if of_ipv6 > 1 || gateways.len() - of_ipv6 > 1 {
            return Err(InterfaceError::Gateways { name });
        }
        if let Some(mtu) = mtu.filter(|mtu| !(68..=65535).contains(mtu)) {
            return Err(InterfaceError::Mtu { name, mtu });
        }
        let addressing =
            Addressing { dhcp, accept_router_advertisements, addresses, gateways, routes, dns, domains };
        Ok(Self { name, kind, addressing, mtu, mac, optional })
    }
}

impl WrittenInterface {
    fn kind(&self) -> Result<InterfaceKind, InterfaceError> {
        let made: [(&'static str, Option<InterfaceKind>); 3] = [
            ("vlan", self.vlan.clone().map(InterfaceKind::Vlan)),
            ("bond", self.bond.clone().map(InterfaceKind::Bond)),
            ("bridge", self.bridge.clone().map(InterfaceKind::Bridge)),
        ];
        let found: Vec<_> = made.into_iter().filter_map(|(key, kind)| Some((key, kind?))).collect();
        let card = [("match", self.rule.is_some()), ("wifi", self.wifi.is_some())];
        match found.as_slice() {
            [] => Ok(InterfaceKind::Card(self.rule.clone(), self.wifi.clone())),
            [(_, kind)] => match card.into_iter().find(|(_, written)| *written) {
                Some((key, _)) => Err(InterfaceError::NoCard { name: self.name.clone(), key }),
                None => Ok(kind.clone()),
            },
            several => {
                let found = several.iter().map(|(key, _)| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                Err(InterfaceError::Kinds { name: self.name.clone(), found })
            }
        }
    }
}

impl From<Interface> for WrittenInterface {
    fn from(Interface { name, kind, addressing, mtu, mac, optional }: Interface) -> Self {
        let Addressing { dhcp, accept_router_advertisements, addresses, gateways, routes, dns, domains } =
            addressing;
        let (rule, wifi, vlan, bond, bridge) = match kind {
            InterfaceKind::Card(rule, wifi) => (rule, wifi, None, None, None),
            InterfaceKind::Vlan(vlan) => (None, None, Some(vlan), None, None),
            InterfaceKind::Bond(bond) => (None, None, None, Some(bond), None),
            InterfaceKind::Bridge(bridge) => (None, None, None, None, Some(bridge)),
        };
        Self {
            name,
            rule,
            wifi,
            vlan,
            bond,
            bridge,
            dhcp,
            accept_router_advertisements,
            addresses,
            gateways,
            routes,
            dns,
            domains,
            mtu,
            mac,
            optional,
        }
    }
}

schema_of!(Interface, WrittenInterface);
