use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    interface::Interface,
    words::{DnsServer, DomainName, HttpUrl, IpAddress, NtpServer},
};
use crate::words::Hostname;

/// How the machine talks to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `interfaces:`")]
pub struct Network {
    /// The interfaces. Every wired one asks by DHCP if none is written.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// Who answers for names, beside the servers that interfaces bring.
    #[serde(default)]
    pub dns: Option<Dns>,
    /// Who tells the time.
    #[serde(default)]
    pub ntp: Option<Ntp>,
    /// Who fetches from the web for this machine.
    #[serde(default)]
    pub proxy: Option<Proxy>,
    /// Names that need no server (hosts(5)).
    #[serde(default)]
    pub hosts: Vec<HostEntry>,
}

/// Who answers for names (resolved.conf(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping such as `servers: [192.0.2.53]`"
)]
pub struct Dns {
    /// Addresses, or `ADDRESS#NAME` for DNS over TLS.
    #[serde(default)]
    pub servers: Vec<DnsServer>,
    /// Who is asked when nobody else is known.
    #[serde(default)]
    pub fallback: Vec<DnsServer>,
    /// Domains that are tried behind a short name; with `~` in front only a route for queries.
    #[serde(default)]
    pub domains: Vec<DomainName>,
    /// Whether queries go over TLS. The system's own choice if not written.
    #[serde(default)]
    pub over_tls: Option<Strictness>,
    /// Whether answers must be signed. The system's own choice if not written.
    #[serde(default)]
    pub dnssec: Option<Strictness>,
}

/// How much of a protection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Strictness {
    /// Not used.
    Never,
    /// Used where the other side can.
    IfPossible,
    /// Nothing goes without it.
    Always,
}

/// Who tells the time (timesyncd.conf(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping such as `servers: [192.0.2.123]`"
)]
pub struct Ntp {
    /// Hosts or addresses.
    #[serde(default)]
    pub servers: Vec<NtpServer>,
    /// Who is asked when nobody else is known.
    #[serde(default)]
    pub fallback: Vec<NtpServer>,
}

/// Who fetches from the web for this machine, for services, shells and the agent itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `https: ADDRESS`")]
pub struct Proxy {
    /// For http:// addresses.
    #[serde(default)]
    pub http: Option<HttpUrl>,
    /// For https:// addresses.
    #[serde(default)]
    pub https: Option<HttpUrl>,
    /// Hosts, domains (`.example.org`) and networks that are asked directly.
    #[serde(default)]
    pub except: Vec<ProxyException>,
}

crate::words::text_word!(
    /// Whom a proxy is not asked for: a host, a domain with a `.` in front, an address, a network or `*`.
    ProxyException,
    "an exception from the proxy",
    "a host, `.DOMAIN`, an address, a network or `*`",
    "^[A-Za-z0-9.:*/_-]+$",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'*' | b'/' | b'_' | b'-');
        crate::words::shaped(text, 253, allowed, allowed)
    }
);

/// Names that need no server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `address` and `names`")]
pub struct HostEntry {
    /// The address; documents merge entries by it.
    pub address: IpAddress,
    /// What it is called.
    pub names: Vec<Hostname>,
}
