//! Interfaces as units of systemd-networkd (systemd.network(5), systemd.netdev(5)), and wireless networks as a
//! configuration of wpa_supplicant (wpa_supplicant.conf(5)).

use basalt_spec::node::{
    Addressing, Bond, Bridge, Dhcp, Interface, InterfaceKind, Match, Vlan, Wifi, WifiNetwork,
};

use super::{RenderedFile, joined, sections, yes_no};

/// The units of all interfaces; with none every wired card asks by DHCP.
pub(super) fn interfaces(interfaces: &[Interface]) -> Vec<RenderedFile> {
    if interfaces.is_empty() {
        // Behind every other unit: a document of another layer may have some.
        let text = sections(&[
            ("Match", vec!["Type=ether".to_owned(), "Kind=!*".to_owned()]),
            ("Network", vec!["DHCP=yes".to_owned()]),
        ]);
        return vec![RenderedFile::new("/etc/systemd/network/90-basalt-default.network", text)];
    }
    interfaces.iter().flat_map(|one| interface(one, interfaces)).collect()
}

fn interface(one: &Interface, all: &[Interface]) -> Vec<RenderedFile> {
    let path = |ending: &str| format!("/etc/systemd/network/50-basalt-{}.{ending}", one.name);
    let mut files = vec![RenderedFile::new(path("network"), network(one, all))];
    files.extend(netdev(one).map(|text| RenderedFile::new(path("netdev"), text)));
    if let InterfaceKind::Card(_, Some(wifi)) = &one.kind {
        let path = format!("/etc/wpa_supplicant/wpa_supplicant-{}.conf", one.name);
        files.push(RenderedFile::secret(path, supplicant(wifi)));
    }
    files
}

fn network(one: &Interface, all: &[Interface]) -> String {
    let Interface { name: _, kind: _, addressing, mtu, mac, optional } = one;
    let mut link = Vec::new();
    link.extend(mtu.map(|mtu| format!("MTUBytes={mtu}")));
    // A made interface has its address from its netdev.
    if matches!(one.kind, InterfaceKind::Card(..)) {
        link.extend(mac.as_ref().map(|mac| format!("MACAddress={mac}")));
    }
    if *optional {
        link.push("RequiredForOnline=no".to_owned());
    }
    let mut lines = masters(one, all);
    lines.extend(addresses(addressing));
    let mut text = sections(&[("Match", matched(one)), ("Link", link), ("Network", lines)]);
    for route in &addressing.routes {
        let mut lines = Vec::new();
        // systemd takes no word for the default route: none is a destination of everything.
        if route.to.is_default() {
            let ipv6 = route.via.as_ref().is_some_and(|via| via.is_ipv6());
            lines.push(format!("Destination={}", if ipv6 { "::/0" } else { "0.0.0.0/0" }));
        } else {
            lines.push(format!("Destination={}", route.to));
        }
        lines.extend(route.via.as_ref().map(|via| format!("Gateway={via}")));
        lines.extend(route.metric.map(|metric| format!("Metric={metric}")));
        text = format!("{text}\n{}", sections(&[("Route", lines)]));
    }
    text
}

fn matched(one: &Interface) -> Vec<String> {
    match &one.kind {
        InterfaceKind::Card(Some(Match { name, mac, driver }), _) => {
            let mut lines = Vec::new();
            lines.extend(name.as_ref().map(|name| format!("Name={name}")));
            // The address that the card was made with: its own may be changed below.
            lines.extend(mac.as_ref().map(|mac| format!("PermanentMACAddress={mac}")));
            lines.extend(driver.as_ref().map(|driver| format!("Driver={driver}")));
            if lines.is_empty() {
                lines.push(format!("Name={}", one.name));
            }
            lines
        }
        InterfaceKind::Card(None, _)
        | InterfaceKind::Vlan(_)
        | InterfaceKind::Bond(_)
        | InterfaceKind::Bridge(_) => vec![format!("Name={}", one.name)],
    }
}

/// What this interface is a part of: systemd says it at the part.
fn masters(one: &Interface, all: &[Interface]) -> Vec<String> {
    let of = |other: &Interface| match &other.kind {
        InterfaceKind::Card(..) => None,
        InterfaceKind::Vlan(vlan) => (vlan.link == one.name).then(|| format!("VLAN={}", other.name)),
        InterfaceKind::Bond(bond) => bond.members.contains(&one.name).then(|| format!("Bond={}", other.name)),
        InterfaceKind::Bridge(bridge) => {
            bridge.members.contains(&one.name).then(|| format!("Bridge={}", other.name))
        }
    };
    all.iter().filter_map(of).collect()
}

fn addresses(addressing: &Addressing) -> Vec<String> {
    let Addressing { dhcp, accept_router_advertisements, addresses, gateways, routes: _, dns, domains } =
        addressing;
    let word = match dhcp {
        Dhcp::None => "no",
        Dhcp::Ipv4 => "ipv4",
        Dhcp::Ipv6 => "ipv6",
        Dhcp::Both => "yes",
    };
    let mut lines = vec![format!("DHCP={word}")];
    lines.extend(accept_router_advertisements.map(|accept| format!("IPv6AcceptRA={}", yes_no(accept))));
    lines.extend(addresses.iter().map(|address| format!("Address={address}")));
    lines.extend(gateways.iter().map(|gateway| format!("Gateway={gateway}")));
    lines.extend(joined("DNS", dns));
    lines.extend(joined("Domains", domains));
    lines
}

fn netdev(one: &Interface) -> Option<String> {
    let (kind, own) = match &one.kind {
        InterfaceKind::Card(..) => return None,
        InterfaceKind::Vlan(Vlan { id, link: _ }) => ("vlan", ("VLAN", vec![format!("Id={id}")])),
        InterfaceKind::Bond(Bond { members: _, mode, monitor_milliseconds, hash_policy }) => {
            let mut lines = vec![format!("Mode={}", mode.word())];
            lines.push(format!("MIIMonitorSec={}ms", monitor_milliseconds.unwrap_or(100)));
            lines.extend(hash_policy.map(|policy| format!("TransmitHashPolicy={}", policy.word())));
            ("bond", ("Bond", lines))
        }
        InterfaceKind::Bridge(Bridge { members: _, spanning_tree }) => {
            let lines = spanning_tree.map(|on| format!("STP={}", yes_no(on))).into_iter().collect();
            ("bridge", ("Bridge", lines))
        }
    };
    let mut head = vec![format!("Name={}", one.name), format!("Kind={kind}")];
    head.extend(one.mac.as_ref().map(|mac| format!("MACAddress={mac}")));
    Some(sections(&[("NetDev", head), own]))
}

fn supplicant(Wifi { country, networks }: &Wifi) -> String {
    let mut text = country.as_ref().map(|country| format!("country={country}\n")).unwrap_or_default();
    for WifiNetwork { ssid, passphrase, hidden } in networks {
        let mut lines = vec![format!("ssid=\"{ssid}\"")];
        if *hidden == Some(true) {
            lines.push("scan_ssid=1".to_owned());
        }
        match passphrase {
            // Between quotes anything but a line break is taken as it is, further quotes too.
            Some(secret) => {
                lines.push("key_mgmt=WPA-PSK SAE".to_owned());
                lines.push("ieee80211w=1".to_owned());
                lines.push(format!("psk=\"{}\"", secret.reveal()));
            }
            None => lines.push("key_mgmt=NONE".to_owned()),
        }
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        text = format!("{text}network={{\n{lines}}}\n");
    }
    text
}
