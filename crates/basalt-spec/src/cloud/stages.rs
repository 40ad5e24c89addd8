//! `stages:` of Kairos: lists of steps at moments of the machine's life.

use super::{
    account,
    draft::{Draft, From},
    file,
    source::{entries, items, text},
    system, top,
};
use crate::yaml::{Entry, Node};

/// What can become of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Scripts run at this stage of ours. What is declared is true from the start.
    Start(&'static str),
    /// What is declared is true from the start; scripts would run before there is anything to run them.
    DeclareOnly,
    /// Only scripts: what is declared would be true for ever, and not only then.
    ScriptsOnly(&'static str),
    /// Nothing.
    Never(&'static str),
}

fn when(stage: &str) -> When {
    let (name, side) = stage.split_once('.').unwrap_or((stage, ""));
    match (name, side) {
        ("rootfs" | "initramfs", "" | "before" | "after") => When::DeclareOnly,
        ("fs" | "boot", "" | "before" | "after") => When::Start("boot"),
        ("network", "" | "before" | "after") => When::Start("network"),
        ("reconcile", "" | "before" | "after") => When::ScriptsOnly("reconcile"),
        ("before-install", "") | ("kairos-install", "pre") => When::ScriptsOnly("beforeInstall"),
        ("after-install", "") | ("kairos-install", "after") => When::ScriptsOnly("afterInstall"),
        ("before-upgrade", "") => When::ScriptsOnly("beforeUpgrade"),
        ("after-upgrade", "") => When::ScriptsOnly("afterUpgrade"),
        ("before-reset", "") => When::ScriptsOnly("beforeReset"),
        ("after-reset", "") => When::ScriptsOnly("afterReset"),
        ("after-install-chroot" | "after-upgrade-chroot" | "after-reset-chroot", _) => {
            When::Never("the system that is installed is verified and can't be changed: change the recipe")
        }
        ("provider-kairos" | "kairos-agent", _) => {
            When::Never("there are no stages of a Kubernetes provider")
        }
        _ => When::Never("there is no such stage"),
    }
}

pub(super) fn stages(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let Some(entries) = entries(node) else { return draft.malformed(from, "a mapping of stages") };
    for entry in entries {
        let from = from.key(entry);
        let when = when(&entry.key);
        if let When::Never(reason) = when {
            draft.refuse(&from, reason);
            continue;
        }
        let Some(steps) = items(&entry.value) else {
            draft.malformed(&from, "a list of steps");
            continue;
        };
        for (index, item) in steps.iter().enumerate() {
            step(draft, &from.item(index, item), when, item);
        }
    }
}

/// Conditions: a step that has one is not translated at all, for its other keys would hold always.
const CONDITIONS: [&str; 7] =
    ["if", "if_files", "only_os", "only_os_version", "only_arch", "only_service_manager", "node"];

fn step(draft: &mut Draft<'_>, from: &From, when: When, node: &Node) {
    let Some(keys) = entries(node) else { return draft.malformed(from, "a mapping") };
    if let Some(condition) = keys.iter().find(|entry| CONDITIONS.contains(&entry.key.as_str())) {
        let from = from.key(condition);
        draft.refuse(
            &from,
            "a document holds always, so the step is left out: put the condition into a script of `hooks`",
        );
        return;
    }
    for entry in keys {
        let from = from.key(entry);
        match (entry.key.as_str(), when) {
            ("name", _) => {}
            ("commands", When::Start(stage) | When::ScriptsOnly(stage)) => {
                top::commands(draft, &from, (stage, false), &entry.value);
            }
            ("commands", When::DeclareOnly) => {
                draft.refuse(&from, "nothing runs scripts in the initramfs: `boot` is the first stage");
            }
            (_, When::ScriptsOnly(_)) => {
                draft
                    .refuse(&from, "only `commands` can belong to this stage: what is declared holds always");
            }
            (_, When::Start(_) | When::DeclareOnly | When::Never(_)) => declared(draft, &from, entry, node),
        }
    }
}

fn declared(draft: &mut Draft<'_>, from: &From, entry: &Entry, step: &Node) {
    let value = &entry.value;
    match entry.key.as_str() {
        "files" => file::files(draft, from, value),
        "directories" => file::directories(draft, from, value),
        "users" => account::users(draft, from, value),
        "authorized_keys" => {
            for entry in draft.entries(from, value) {
                account::keys(draft, &from.key(entry), &entry.key, &entry.value);
            }
        }
        "hostname" => system::hostname(draft, from, value),
        "sysctl" => {
            for entry in draft.entries(from, value) {
                draft.set(&from.key(entry), &["sysctls", &entry.key], entry.value.clone());
            }
        }
        "modules" => {
            let modules = draft.items(from, value).to_vec();
            draft.add(from, &["modules"], modules);
        }
        "dns" => system::dns(draft, from, value),
        "timesyncd" => system::timesyncd(draft, from, value),
        "systemd_firstboot" => system::firstboot(draft, from, value),
        "systemctl" => system::systemctl(draft, from, value),
        "environment" => {
            let path = super::source::value(step, "environment_file");
            system::environment(draft, from, value, path);
        }
        "environment_file" if text(value).is_some() => draft.note(from, "files"),
        other => draft.refuse(from, reason(other)),
    }
}

fn reason(key: &str) -> &'static str {
    match key {
        "packages" | "package_pins" => "packages are the image's: add them to the recipe",
        "downloads" | "unpack_images" | "git" => {
            "nothing unverified is fetched at a start: bring it as an extension, or with the image"
        }
        "datasource" => "datasources are looked for by the machine itself",
        "layout" => "disks are never divided by a document that runs at each start: name them in `disks`",
        "ensure_entities" | "delete_entities" => "accounts are written in `users`",
        "after" => "steps run in their order",
        _ => "steps have no such key here",
    }
}
