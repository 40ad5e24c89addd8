//! `install:`, `k3s:` and their like of Kairos.

use super::{
    draft::{Draft, From},
    source::{entries, items, list, map, scalar, text, truth, value},
};
use crate::yaml::{Entry, Node};

pub(super) fn install(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let Some(keys) = entries(node) else { return draft.malformed(from, "a mapping") };
    for entry in keys {
        install_key(draft, &from.key(entry), entry, node);
    }
}

fn install_key(draft: &mut Draft<'_>, from: &From, entry: &Entry, install: &Node) {
    let node = &entry.value;
    match entry.key.as_str() {
        "device" => match text(node) {
            Some("auto") => {
                let largest = map(vec![("prefer", scalar("largest", node))], node);
                draft.set(from, &["install", "disk"], largest);
            }
            Some(path) if path.starts_with("/dev/") => {
                draft.set(from, &["install", "disk"], map(vec![("path", node.clone())], node));
            }
            Some(_) | None => draft.refuse(from, "a disk is a path below /dev, or a rule of `install.disk`"),
        },
        "auto" => match (truth(node), value(install, "device")) {
            (Some(true), Some(_)) => {
                draft.note(from, "install.disk: a document with a disk is followed without asking")
            }
            (Some(true), None) => draft.refuse(from, "no disk is erased without being named: write `device`"),
            (Some(false), None) => draft.note(from, "needs nothing: without a disk somebody is asked"),
            (Some(false), Some(_)) => {
                draft.refuse(from, "a disk that is named is erased without asking: leave `device` out")
            }
            (None, _) => draft.malformed(from, "`true` or `false`"),
        },
        "reboot" | "poweroff" if truth(node) == Some(true) => {
            let after = if entry.key == "reboot" { "reboot" } else { "powerOff" };
            draft.set(from, &["install", "after"], scalar(after, node));
        }
        "reboot" | "poweroff" => draft.note(from, "needs nothing: it is not asked for"),
        "source" | "image" => source(draft, from, node),
        "encrypted_partitions" => encrypted(draft, from, node),
        "system" => {
            match (value(node, "uri").or_else(|| value(node, "source")), entries(node).map(<[_]>::len)) {
                (Some(uri), Some(1)) => source(draft, from, uri),
                _ => draft.refuse(from, "slots have the sizes of the recipe; only `uri` can be said here"),
            }
        }
        "grub_options" => {
            draft.refuse(
                from,
                "kernel arguments are signed with the image: write them into the recipe's `kernelArguments`",
            );
        }
        "partitions" | "extra-partitions" | "no-format" | "no_format" => {
            draft.refuse(from, "the layout is the recipe's `disk`");
        }
        "bundles" => draft.refuse(from, "bundles are copied over the system once: write `extensions`"),
        "bind_mounts" | "ephemeral_mounts" => {
            draft
                .refuse(from, "what is kept is /var and what leads there; the rest is verified or in memory");
        }
        _ => draft.refuse(from, "the installer has no such setting"),
    }
}

/// `oci:REF` and `docker:REF` are what `image.ref` is without a word in front.
fn source(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let reference = text(node)
        .and_then(|uri| ["oci:", "docker:", "container:"].iter().find_map(|word| uri.strip_prefix(word)));
    match reference {
        Some(reference) => {
            draft.set(from, &["image", "ref"], scalar(reference.trim_start_matches('/'), node))
        }
        None => draft.refuse(from, "an image comes from a registry here: `oci:HOST/NAME:TAG`"),
    }
}

fn encrypted(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let labels: Vec<&str> = draft.texts(from, node).into_iter().map(|(text, _)| text).collect();
    if labels.contains(&"COS_PERSISTENT") {
        let unlock = list(vec![scalar("tpm2", node), scalar("recoveryKey", node)], node);
        draft.set(from, &["encryption", "data", "unlock"], unlock);
    }
    for label in labels.iter().filter(|label| !matches!(**label, "COS_PERSISTENT" | "COS_OEM")) {
        draft.refuse(from, &format!("there is no partition `{label}`: `/var` is the one that is encrypted"));
    }
    if labels.contains(&"COS_OEM") && !labels.contains(&"COS_PERSISTENT") {
        draft.refuse(
            from,
            "there is no such partition: what it holds is on `/var`, which COS_PERSISTENT means",
        );
    }
}

/// `k3s`, `k3s-agent`, `k0s` and `k0s-worker`.
pub(super) fn kubernetes(draft: &mut Draft<'_>, from: &From, entry: &Entry) {
    let node = &entry.value;
    let Some(keys) = entries(node) else { return draft.malformed(from, "a mapping") };
    match value(node, "enabled").map(truth) {
        Some(Some(true)) => {}
        Some(Some(false)) => return draft.note(from, "needs nothing: it is not enabled"),
        Some(None) | None => return draft.refuse(from, "it does nothing without `enabled: true`"),
    }
    let distribution = if entry.key.starts_with("k3s") { "k3s" } else { "k0s" };
    let worker = entry.key.ends_with("-agent") || entry.key.ends_with("-worker");
    let environment = value(node, "env").and_then(entries).unwrap_or_default();
    let joins = environment.iter().any(|entry| entry.key == "K3S_URL");
    let role = match (worker, joins) {
        (true, _) => "worker",
        (false, true) => "controlPlane",
        (false, false) => "init",
    };
    draft.set(from, &["kubernetes", "distribution"], scalar(distribution, node));
    draft.set(from, &["kubernetes", "role"], scalar(role, node));
    for entry in keys {
        let from = from.key(entry);
        match entry.key.as_str() {
            "enabled" => {}
            "args" => match items(&entry.value) {
                Some(arguments) => {
                    draft.set(&from, &["kubernetes", "arguments"], list(arguments.to_vec(), &entry.value));
                }
                None => draft.malformed(&from, "a list"),
            },
            "env" => {
                for entry in draft.entries(&from, &entry.value) {
                    variable(draft, &from.key(entry), entry);
                }
            }
            "replace_args" | "replace_env" if truth(&entry.value) == Some(true) => {
                draft.note(&from, "needs nothing: arguments and environment are always the document's");
            }
            _ => draft.refuse(&from, "there is no such setting of a cluster's node"),
        }
    }
}

fn variable(draft: &mut Draft<'_>, from: &From, entry: &Entry) {
    let path: &[&str] = match entry.key.as_str() {
        "K3S_URL" => &["kubernetes", "endpoint"],
        "K3S_TOKEN" => &["kubernetes", "token"],
        "K3S_TOKEN_FILE" => &["kubernetes", "tokenFile"],
        name => &["kubernetes", "environment", name],
    };
    draft.set(from, path, entry.value.clone());
}
