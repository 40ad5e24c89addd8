use std::net::IpAddr;

use crate::words::{Hostname, shaped, text_word};

text_word!(
    /// The address of a network card (IEEE 802, EUI-48): six bytes in hex with `:` between them.
    MacAddress,
    "a MAC address",
    "six bytes in hex with `:` between them, such as `52:54:00:12:34:56`",
    "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$",
    |text| {
        let byte = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        text.split(':').count() == 6 && text.split(':').all(byte)
    }
);

text_word!(
    /// An IPv4 or IPv6 address.
    IpAddress,
    "an IP address",
    "an IPv4 or IPv6 address, such as `192.0.2.1` or `2001:db8::1`",
    "^[0-9a-fA-F:.]+$",
    |text| text.parse::<IpAddr>().is_ok()
);

text_word!(
    /// An address and the length of its network's prefix (RFC 4632).
    CidrAddress,
    "an address with its prefix length",
    "an address and a prefix length, such as `192.0.2.10/24` or `2001:db8::10/64`",
    "^[0-9a-fA-F:.]+/[0-9]{1,3}$",
    cidr
);

text_word!(
    /// Where a route leads: a network, or `default` for everything else.
    RouteTarget,
    "a route's target",
    "`default` or a network such as `10.0.0.0/8`",
    "^(default|[0-9a-fA-F:.]+/[0-9]{1,3})$",
    |text| text == "default" || cidr(text)
);

text_word!(
    /// The name of a network interface, as the kernel takes it (net/core/dev.c, `dev_valid_name`): at most 15 bytes,
    /// without spaces, `/` and `:`; also without what systemd.network(5) would read as a pattern or a specifier.
    InterfaceName,
    "an interface's name",
    "1 to 15 letters, digits, `.`, `_` and `-`, such as `eth0`",
    "^[A-Za-z0-9_][A-Za-z0-9._-]{0,14}$",
    |text| {
        let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        shaped(text, 15, first, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && !text.bytes().all(|b| b.is_ascii_digit())
            && !matches!(text, "all" | "default")
    }
);

text_word!(
    /// A pattern of interface names (fnmatch(3), as in systemd.link(5) `OriginalName=`).
    InterfacePattern,
    "a pattern of interface names",
    "a name in which `*`, `?` and `[…]` stand for others, such as `en*`",
    "^[A-Za-z0-9._*?\\[\\]-]{1,32}$",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'*' | b'?' | b'[' | b']');
        shaped(text, 32, allowed, allowed)
    }
);

text_word!(
    /// A domain for the search list of DNS (resolved.conf(5), `Domains=`); with `~` in front only a route for queries.
    DomainName,
    "a domain",
    "a domain such as `example.org`, or `~example.org` to only send its queries here",
    "^~?[A-Za-z0-9_.-]+$|^~\\.$",
    |text| {
        let plain = text.strip_prefix('~').unwrap_or(text);
        text == "~." || domain(plain)
    }
);

text_word!(
    /// A DNS server (resolved.conf(5), `DNS=`): an address, and after `#` the name that its certificate must have.
    DnsServer,
    "a DNS server",
    "an IP address, or `ADDRESS#NAME` for DNS over TLS, such as `9.9.9.9#dns.example.org`",
    "^[0-9a-fA-F:.]+(#[A-Za-z0-9.-]+)?$",
    |text| {
        let (address, name) = text.split_once('#').unwrap_or((text, "x"));
        address.parse::<IpAddr>().is_ok() && domain(name)
    }
);

text_word!(
    /// A time server (timesyncd.conf(5), `NTP=`): a host's name or an address.
    NtpServer,
    "a time server",
    "a host's name or an IP address, such as `0.pool.example.org`",
    "^[A-Za-z0-9:._-]+$",
    |text| text.parse::<IpAddr>().is_ok() || domain(text)
);

text_word!(
    /// An address of the web: `http` or `https`, a host, and no white space, quotes or line breaks.
    HttpUrl,
    "a web address",
    "an http:// or https:// address",
    "^https?://[^\\s\"'\\\\]+$",
    |text| {
        let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let inner = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\' | b'`' | b'$');
        let host = |b: u8| b.is_ascii_alphanumeric() || b == b'[';
        rest.is_some_and(|rest| shaped(rest, 2000, host, inner))
    }
);

text_word!(
    /// A host and a TCP port.
    HostPort,
    "a host and a port",
    "`HOST:PORT`, such as `127.0.0.1:6443` or `[::1]:22`",
    "^(\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$",
    |text| {
        let Some((host, port)) = text.rsplit_once(':') else { return false };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let known = match inner {
            Some(inner) => inner.contains(':') && inner.parse::<IpAddr>().is_ok(),
            None => domain(host),
        };
        known && port.parse::<u16>().is_ok_and(|port| port > 0)
    }
);

fn cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.bytes().all(|b| b.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
}

/// Labels of letters, digits, `-` and `_` (SRV owners have one), at most 253 in all (RFC 1035, section 2.3.4).
fn domain(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= 253
        && text.trim_end_matches('.').split('.').all(|label| {
            shaped(label, 63, |b| b.is_ascii_alphanumeric() || b == b'_', allowed) && !label.ends_with('-')
        })
}

impl CidrAddress {
    /// Whether it is an address of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.as_str().contains(':')
    }
}

impl IpAddress {
    /// Whether it is an address of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.as_str().contains(':')
    }
}

impl RouteTarget {
    /// Everything that no other route leads to.
    pub fn is_default(&self) -> bool {
        self.as_str() == "default"
    }
}

impl From<&InterfaceName> for InterfacePattern {
    /// A name is a pattern of itself: it has none of the characters that stand for others.
    fn from(name: &InterfaceName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl From<&Hostname> for DomainName {
    /// A host's name has the form of a domain's.
    fn from(name: &Hostname) -> Self {
        Self(name.as_str().to_owned())
    }
}
