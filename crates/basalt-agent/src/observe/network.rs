//! How others reach this machine: interfaces, addresses, routes, servers of names.

use std::{fs, io, path::Path};

use basalt_exec::addresses::addresses;
use basalt_node::doctor::{Interface, Network};

/// Looks at all of it.
pub(crate) fn network() -> io::Result<Network> {
    Ok(Network {
        interfaces: interfaces(Path::new("/sys/class/net"))?,
        default_route: has_default_route(&text("/proc/net/route")?, &text("/proc/net/ipv6_route")?),
        name_servers: has_name_server(&text("/run/systemd/resolve/resolv.conf")?)
            || has_name_server(&text("/etc/resolv.conf")?),
    })
}

/// Cards, and whatever else has an address: not the insides of bridges and containers that have none.
fn interfaces(folder: &Path) -> io::Result<Vec<Interface>> {
    let all = addresses()?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name().to_string_lossy().into_owned())
        };
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default().trim().to_owned();
        let number = read("ifindex").parse::<u32>().unwrap_or(0);
        let own = all.iter().filter(|one| one.interface == number && one.is_global);
        let addresses: Vec<String> = own.map(|one| format!("{}/{}", one.address, one.prefix)).collect();
        let is_card = path.join("device").exists();
        if name != "lo" && (is_card || !addresses.is_empty()) {
            // It can't be read while the interface is down.
            found.push(Interface { name, carrier: read("carrier") == "1", addresses });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Lines of interface, destination, gateway, flags … in hex (proc(5)); for IPv6 the destination and its length come first, and
/// the interface last. The kernel's own entry that refuses everything is on `lo`.
fn has_default_route(four: &str, six: &str) -> bool {
    let four = four.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let destination = words.next();
        destination == Some("00000000") && words.nth(5) == Some("00000000")
    });
    let six = six.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"00")
            && words.last() != Some(&"lo")
            && words.first().is_some_and(|destination| destination.bytes().all(|digit| digit == b'0'))
    });
    four || six
}

/// One that is not resolved's own, which asks others.
fn has_name_server(text: &str) -> bool {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver "));
    servers.map(str::trim).any(|server| !server.starts_with("127.0.0.5"))
}

fn text(path: &str) -> io::Result<String> {
    super::text_if_present(Path::new(path)).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_one_that_leads_somewhere() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
        let net = "eth0\t000200C0\t00000000\t0001\t0\t0\t1024\t00FFFFFF\t0\t0\t0\n";
        let default = "eth0\t00000000\t010200C0\t0003\t0\t0\t1024\t00000000\t0\t0\t0\n";
        let zero = "0".repeat(32);
        let six = |interface: &str| {
            format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 {interface}\n")
        };
        assert!(!has_default_route(&format!("{head}{net}"), &six("lo")));
        assert!(has_default_route(&format!("{head}{net}{default}"), ""));
        assert!(has_default_route("", &six("eth0")));
        assert!(!has_default_route("", ""));
    }

    #[test]
    fn the_stub_is_no_server() {
        assert!(!has_name_server("# x\nnameserver 127.0.0.53\noptions edns0\n"));
        assert!(has_name_server("nameserver 192.0.2.53\n"));
    }

    #[test]
    fn this_machine_has_interfaces_or_none() {
        let found = network().unwrap();
        assert!(found.interfaces.iter().all(|one| one.name != "lo"), "{found:?}");
    }
}
