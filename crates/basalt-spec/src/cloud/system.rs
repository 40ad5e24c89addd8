//! Settings of the system.

use super::{
    draft::{Draft, From},
    source::{entries, items, list, map, scalar, text, truth, value},
};
use crate::yaml::Node;

pub(super) fn hostname(draft: &mut Draft<'_>, from: &From, node: &Node) {
    if text(node).is_some_and(|name| name.contains("{{")) {
        let reason = "templates (`{{ … }}`) are not filled in: give each machine its name on the ESP or the command line";
        return draft.refuse(from, reason);
    }
    draft.set(from, &["hostname"], node.clone());
}

pub(super) fn keyboard(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for entry in draft.entries(from, node) {
        let from = from.key(entry);
        match entry.key.as_str() {
            "layout" => draft.set(&from, &["keymap"], entry.value.clone()),
            _ => draft.refuse(&from, "the console's keyboard has a layout only"),
        }
    }
}

pub(super) fn ntp(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let Some(entries) = entries(node) else { return draft.malformed(from, "a mapping") };
    let mut servers = Vec::new();
    for entry in entries {
        let from = from.key(entry);
        match (entry.key.as_str(), items(&entry.value)) {
            ("servers" | "pools", Some(items)) => {
                servers.extend(items.iter().cloned());
                draft.note(&from, "network.ntp.servers");
            }
            ("enabled", _) if truth(&entry.value) == Some(true) => {
                draft.note(&from, "needs nothing: it is so")
            }
            ("enabled", _) => {
                draft.refuse(&from, "the clock is always set: mask `systemd-timesyncd.service` in `units`")
            }
            ("ntp_client", _)
                if text(&entry.value) == Some("auto") || text(&entry.value) == Some("systemd-timesyncd") =>
            {
                draft.note(&from, "needs nothing: the client is systemd-timesyncd");
            }
            _ => draft.refuse(&from, "the client is systemd-timesyncd, which has servers only"),
        }
    }
    if !servers.is_empty() {
        draft.set(from, &["network", "ntp", "servers"], list(servers, node));
    }
}

/// Lines of fstab(5) as lists: device, path, type, options, and two numbers.
pub(super) fn mounts(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for (index, item) in draft.items(from, node).iter().enumerate() {
        let from = from.item(index, item);
        let fields: Vec<&str> = draft.texts(&from, item).into_iter().map(|(text, _)| text).collect();
        let [device, path, rest @ ..] = fields.as_slice() else {
            draft.malformed(&from, "a list of a device and a path at least");
            continue;
        };
        if *path == "none" || *path == "swap" || rest.first() == Some(&"swap") {
            draft.refuse(&from, "there is no swap in this language: write a unit of the type `swap`");
            continue;
        }
        let device = match device.contains('=') || device.starts_with('/') || device.contains(':') {
            true => (*device).to_owned(),
            // A short name is one of a device, unless it is the name of a file system in memory.
            false if rest.first() == Some(device) => (*device).to_owned(),
            false => format!("/dev/{device}"),
        };
        let mut made = vec![("path", scalar(path, item)), ("source", scalar(&device, item))];
        if let Some(sort) = rest.first().filter(|sort| **sort != "auto") {
            made.push(("type", scalar(sort, item)));
        }
        let options: Vec<&str> = rest.get(1).map(|all| all.split(',').collect()).unwrap_or_default();
        if options.contains(&"nofail") {
            made.push(("optional", scalar("true", item)));
        }
        let kept = options.iter().filter(|option| !matches!(**option, "nofail" | "defaults" | ""));
        let kept: Vec<Node> = kept.map(|option| scalar(option, item)).collect();
        if !kept.is_empty() {
            made.push(("options", list(kept, item)));
        }
        draft.add(&from, &["mounts"], vec![map(made, item)]);
    }
}

/// A setting of the SSH server, as a drop-in of sshd_config(5). Each of the two keys is a file of its own.
pub(super) fn sshd(draft: &mut Draft<'_>, from: &From, node: &Node, option: &str) {
    let Some(on) = truth(node) else { return draft.malformed(from, "`true` or `false`") };
    let word = match (option, on) {
        ("PermitRootLogin", true) => "no",
        ("PermitRootLogin", false) => "prohibit-password",
        (_, true) => "yes",
        (_, false) => "no",
    };
    let path = format!("/etc/ssh/sshd_config.d/40-{}.conf", option.to_ascii_lowercase());
    let made = vec![("path", scalar(&path, node)), ("content", scalar(&format!("{option} {word}\n"), node))];
    draft.add(from, &["files"], vec![map(made, node)]);
}

/// `dns` of a stage of Kairos.
pub(super) fn dns(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for entry in draft.entries(from, node) {
        let from = from.key(entry);
        let to = match entry.key.as_str() {
            "nameservers" => "servers",
            "search" => "domains",
            _ => {
                draft
                    .refuse(&from, "names are asked through systemd-resolved, which has servers and domains");
                continue;
            }
        };
        draft.set(&from, &["network", "dns", to], entry.value.clone());
    }
}

/// `timesyncd` of a stage of Kairos: keys of timesyncd.conf(5), servers between spaces.
pub(super) fn timesyncd(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for entry in draft.entries(from, node) {
        let from = from.key(entry);
        let to = match entry.key.as_str() {
            "NTP" => "servers",
            "FallbackNTP" => "fallback",
            _ => {
                draft.refuse(
                    &from,
                    "only `NTP` and `FallbackNTP` are known: write others as a drop-in in `files`",
                );
                continue;
            }
        };
        let Some(servers) = text(&entry.value) else {
            draft.malformed(&from, "text");
            continue;
        };
        let servers = servers.split_whitespace().map(|server| scalar(server, &entry.value)).collect();
        draft.set(&from, &["network", "ntp", to], list(servers, &entry.value));
    }
}

/// `systemd_firstboot` of a stage of Kairos: keys of systemd-firstboot(1).
pub(super) fn firstboot(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for entry in draft.entries(from, node) {
        let from = from.key(entry);
        match entry.key.to_ascii_lowercase().as_str() {
            key @ ("locale" | "keymap" | "timezone" | "hostname") => {
                draft.set(&from, &[key], entry.value.clone())
            }
            _ => draft.refuse(&from, "only `locale`, `keymap`, `timezone` and `hostname` are known here"),
        }
    }
}

/// `environment` of a stage of Kairos: a file of `NAME="value"`.
pub(super) fn environment(draft: &mut Draft<'_>, from: &From, node: &Node, path: Option<&Node>) {
    let Some(entries) = entries(node) else { return draft.malformed(from, "a mapping") };
    let mut content = String::new();
    for entry in entries {
        let Some(text) = text(&entry.value).filter(|text| !text.contains(['"', '\\', '\n', '$'])) else {
            draft.refuse(&from.key(entry), "only plain text on one line: write the file yourself in `files`");
            continue;
        };
        content = format!("{content}{}=\"{text}\"\n", entry.key);
    }
    let path = path.cloned().unwrap_or_else(|| scalar("/etc/environment", node));
    draft.add(from, &["files"], vec![map(vec![("path", path), ("content", scalar(&content, node))], node)]);
}

/// `systemctl` of a stage of Kairos.
pub(super) fn systemctl(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for entry in draft.entries(from, node) {
        let from = from.key(entry);
        let state = match entry.key.as_str() {
            "enable" => "enabled",
            "disable" => "disabled",
            "mask" => "masked",
            "start" => {
                draft.refuse(&from, "units start as they are enabled: write them below `enable`");
                continue;
            }
            "overrides" => {
                overrides(draft, &from, &entry.value);
                continue;
            }
            _ => {
                draft.refuse(&from, "units are enabled, disabled, masked or overridden");
                continue;
            }
        };
        for (name, unit) in draft.texts(&from, &entry.value) {
            let from = From::new(&from.path, unit.at);
            draft.set_unit(&from, &with_suffix(name), "state", scalar(state, unit));
        }
    }
}

fn overrides(draft: &mut Draft<'_>, from: &From, node: &Node) {
    for (index, item) in draft.items(from, node).iter().enumerate() {
        let from = from.item(index, item);
        let (service, content) = (value(item, "service").and_then(text), value(item, "content"));
        let (Some(service), Some(content)) = (service, content) else {
            draft.malformed(&from, "a mapping of `service` and `content`");
            continue;
        };
        let name = value(item, "name").and_then(text).unwrap_or("override.conf");
        let name = name.strip_suffix(".conf").unwrap_or(name);
        let drop_in = map(vec![("name", scalar(name, item)), ("content", content.clone())], item);
        let unit = with_suffix(service);
        draft.set_unit(&from, &unit, "dropIns", list(vec![drop_in], item));
    }
}

/// systemctl(1) takes a service without its suffix.
fn with_suffix(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{name}.service") }
}
