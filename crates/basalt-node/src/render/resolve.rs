//! Names and time: drop-ins of systemd-resolved and systemd-timesyncd, `/etc/hosts`, and the proxy.

use basalt_spec::node::{Dns, HostEntry, Network, Ntp, Proxy, Strictness};

use super::{RenderedFile, joined, sections};

pub(super) fn files(network: &Network) -> Vec<RenderedFile> {
    let Network { interfaces: _, dns: names, ntp, proxy: web, hosts: _ } = network;
    let mut files = Vec::new();
    files.extend(names.as_ref().map(dns));
    files.extend(ntp.as_ref().map(time));
    files.extend(web.iter().flat_map(proxy));
    files
}

/// resolved.conf(5).
fn dns(Dns { servers, fallback, domains, over_tls, dnssec }: &Dns) -> RenderedFile {
    let mut lines = Vec::new();
    lines.extend(joined("DNS", servers));
    lines.extend(joined("FallbackDNS", fallback));
    lines.extend(joined("Domains", domains));
    lines.extend(over_tls.map(|how| {
        let word = match how {
            Strictness::Never => "no",
            Strictness::IfPossible => "opportunistic",
            Strictness::Always => "yes",
        };
        format!("DNSOverTLS={word}")
    }));
    lines.extend(dnssec.map(|how| {
        let word = match how {
            Strictness::Never => "no",
            Strictness::IfPossible => "allow-downgrade",
            Strictness::Always => "yes",
        };
        format!("DNSSEC={word}")
    }));
    RenderedFile::new("/etc/systemd/resolved.conf.d/50-basalt.conf", sections(&[("Resolve", lines)]))
}

/// timesyncd.conf(5).
fn time(Ntp { servers, fallback }: &Ntp) -> RenderedFile {
    let lines = joined("NTP", servers).into_iter().chain(joined("FallbackNTP", fallback)).collect();
    RenderedFile::new("/etc/systemd/timesyncd.conf.d/50-basalt.conf", sections(&[("Time", lines)]))
}

/// For services systemd's own settings (systemd-system.conf(5), `DefaultEnvironment=`), for shells a profile. Programs don't
/// agree on the case of these names, so both are set.
fn proxy(Proxy { http, https, except }: &Proxy) -> Vec<RenderedFile> {
    let except: Vec<String> = except.iter().map(ToString::to_string).collect();
    let pairs = [
        ("http_proxy", http.as_ref().map(ToString::to_string)),
        ("https_proxy", https.as_ref().map(ToString::to_string)),
        ("no_proxy", (!except.is_empty()).then(|| except.join(","))),
    ];
    let set = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let assigned: Vec<String> = set
        .flat_map(|(name, value)| {
            [name.to_owned(), name.to_uppercase()].map(|name| format!("{name}={value}"))
        })
        .collect();
    if assigned.is_empty() {
        return Vec::new();
    }
    // `%` would begin a specifier of systemd's; the words hold no quotes, `$` or backslashes.
    let quoted: Vec<String> = assigned.iter().map(|one| format!("\"{}\"", one.replace('%', "%%"))).collect();
    let manager = sections(&[("Manager", vec![format!("DefaultEnvironment={}", quoted.join(" "))])]);
    let profile: String = assigned.iter().map(|one| format!("export '{one}'\n")).collect();
    vec![
        RenderedFile::new("/etc/systemd/system.conf.d/50-basalt-proxy.conf", manager),
        RenderedFile::new("/etc/profile.d/50-basalt-proxy.sh", profile),
    ]
}

/// hosts(5): the machine itself, and what the document names.
pub(super) fn hosts(hostname: Option<&str>, entries: &[HostEntry]) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    if let Some(name) = hostname {
        // The short name is what most programs look for; the whole name comes first, as hostname(1) wants it.
        let short = name.split('.').next().filter(|short| *short != name);
        let short = short.map(|short| format!(" {short}")).unwrap_or_default();
        text = format!("{text}127.0.1.1 {name}{short}\n");
    }
    for HostEntry { address, names } in entries {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        text = format!("{text}{address} {}\n", names.join(" "));
    }
    text
}
