//! The keys at the top of a text.

use super::{
    Flavour, account,
    draft::{Draft, From},
    file, kairos,
    source::{entries, items, shell_word, text, truth},
    stages, system,
};
use crate::{
    diagnostic::nearest,
    yaml::{Entry, Node},
};

/// Keys that only Kairos has.
const KAIROS: [&str; 16] = [
    "stages",
    "install",
    "upgrade",
    "reset",
    "k3s",
    "k3s-agent",
    "k0s",
    "k0s-worker",
    "p2p",
    "kubevip",
    "bundles",
    "kcrypt",
    "grub_options",
    "cluster",
    "phonehome",
    "config_url",
];

/// Keys without a translation, and why. Those that are not here have none because nobody thought of them.
const REFUSED: [(&str, &str); 36] = [
    ("packages", "packages are the image's: add them to the recipe"),
    ("package_upgrade", "packages are the image's: upgrade the image"),
    ("package_reboot_if_required", "packages are the image's: upgrade the image"),
    ("apt", "packages are the image's: add their sources to the recipe"),
    ("yum_repos", "packages are the image's"),
    ("snap", "packages are the image's"),
    ("ca_certs", "certificates are installed when the image is built: add them to the recipe's `files`"),
    ("ca-certs", "certificates are installed when the image is built: add them to the recipe's `files`"),
    ("chpasswd", "passwords are kept as hashes: write `passwordHash` below the user"),
    ("password", "passwords are kept as hashes: write `passwordHash` below the user"),
    ("swap", "there is no swap in this language: write a unit of the type `swap`"),
    ("disk_setup", "disks are never divided by a document that runs at each start: name them in `disks`"),
    ("fs_setup", "file systems are only made on empty disks: name them in `disks`"),
    (
        "bundles",
        "bundles are copied over the system once: bring the content as an extension or with the image",
    ),
    ("fail_on_bundles_errors", "there are no bundles"),
    ("p2p", "there is no peer-to-peer network: say `kubernetes.endpoint`"),
    ("kubevip", "there is no virtual address for the API: run kube-vip in the cluster"),
    ("kcrypt", "keys don't come from a network server: write `encryption.data.unlock`"),
    (
        "grub_options",
        "kernel arguments are signed with the image: write them into the recipe's `kernelArguments`",
    ),
    ("reset", "a reset is asked for at the machine, not declared"),
    ("upgrade", "an upgrade is `image` and `upgrade` of a NodeConfig, whose keys mean something else"),
    ("phonehome", "there is no fleet server to call"),
    ("phone_home", "a machine doesn't call anybody when it starts: write a hook of the stage `ready`"),
    ("config_url", "a document is not fetched from inside of another one"),
    ("cluster", "a cluster of this form is of a plug-in: write `kubernetes`"),
    ("env", "variables of the agent have no place: write those of services into their units"),
    ("strict", "a document is always read strictly"),
    ("final_message", "nothing prints a message at the end"),
    ("power_state", "a machine that restarts at each start would never be up: write a hook with `once`"),
    ("ansible", "nothing is configured from outside while the machine runs"),
    ("chef", "nothing is configured from outside while the machine runs"),
    ("puppet", "nothing is configured from outside while the machine runs"),
    ("salt_minion", "nothing is configured from outside while the machine runs"),
    ("rsyslog", "logs are journald's: write a drop-in as a file"),
    ("ssh_keys", "host keys are made by the machine and never leave it"),
    ("ssh_deletekeys", "host keys are made by the machine and kept"),
];

/// Which of the two a text was written for.
pub(super) fn guess(text: &str, root: &Node) -> Flavour {
    let header = text.lines().take(10).any(|line| matches!(line.trim(), "#kairos-config" | "#node-config"));
    if header || root.keys().any(|key| KAIROS.contains(&key)) { Flavour::Kairos } else { Flavour::CloudInit }
}

/// Everything of a text. Users come first, for other keys speak of them.
pub(super) fn document(draft: &mut Draft<'_>, root: &Node) {
    let Some(entries) = entries(root) else {
        return draft.malformed(&From::new("the text", root.at), "a mapping of keys");
    };
    let (users, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.key == "users");
    for entry in users.into_iter().chain(others) {
        if entry.key == "fqdn" && root.keys().any(|key| key == "hostname") {
            draft.refuse(
                &From::new(&entry.key, entry.key_at),
                "a machine has one name: leave `hostname` or `fqdn` out",
            );
            continue;
        }
        key(draft, &From::new(&entry.key, entry.key_at), entry);
    }
}

fn key(draft: &mut Draft<'_>, from: &From, entry: &Entry) {
    let value = &entry.value;
    if value.is_null() {
        return draft.note(from, "needs nothing: it is empty");
    }
    match entry.key.as_str() {
        "users" => account::users(draft, from, value),
        "ssh_authorized_keys" => account::keys_of_the_user(draft, from, value, false),
        "ssh_import_id" => account::keys_of_the_user(draft, from, value, true),
        "write_files" => file::files(draft, from, value),
        "runcmd" => run(draft, from, value),
        "bootcmd" => commands(draft, from, ("boot", false), value),
        "stages" => stages::stages(draft, from, value),
        "install" => kairos::install(draft, from, value),
        "k3s" | "k3s-agent" | "k0s" | "k0s-worker" => kairos::kubernetes(draft, from, entry),
        "name" if draft.flavour == Flavour::Kairos => {
            draft.note(from, "needs nothing: only a name of the text")
        }
        "debug" => draft.note(from, "needs nothing: the journal has it all"),
        other => system(draft, from, other, value),
    }
}

fn system(draft: &mut Draft<'_>, from: &From, key: &str, value: &Node) {
    match key {
        "hostname" | "fqdn" => system::hostname(draft, from, value),
        "timezone" | "locale" => draft.set(from, &[key], value.clone()),
        "keyboard" => system::keyboard(draft, from, value),
        "ntp" => system::ntp(draft, from, value),
        "mounts" => system::mounts(draft, from, value),
        "growpart" | "resize_rootfs" => draft.note(from, "needs nothing: the data partition always grows"),
        "manage_etc_hosts" => draft.note(from, "needs nothing: /etc/hosts always has the machine's name"),
        "prefer_fqdn_over_hostname" => draft.note(from, "needs nothing: a machine has one name"),
        "preserve_hostname" | "package_update" if truth(value) == Some(false) => {
            draft.note(from, "needs nothing: it is so");
        }
        "package_update" => draft.refuse(from, "packages are the image's: upgrade the image"),
        "disable_root" => system::sshd(draft, from, value, "PermitRootLogin"),
        "ssh_pwauth" => system::sshd(draft, from, value, "PasswordAuthentication"),
        _ => unknown(draft, from, key),
    }
}

fn unknown(draft: &mut Draft<'_>, from: &From, key: &str) {
    let known = [
        "users",
        "ssh_authorized_keys",
        "ssh_import_id",
        "write_files",
        "runcmd",
        "bootcmd",
        "stages",
        "install",
        "k3s",
        "k3s-agent",
        "k0s",
        "k0s-worker",
        "hostname",
        "fqdn",
        "timezone",
        "locale",
        "keyboard",
        "ntp",
        "mounts",
    ];
    match REFUSED.iter().find(|(refused, _)| *refused == key) {
        Some((_, reason)) => draft.refuse(from, reason),
        None => match nearest(key, known) {
            Some(near) => draft.refuse(from, &format!("it is not known here; did you mean `{near}`?")),
            None => draft.refuse(from, "it is not known here"),
        },
    }
}

/// `runcmd` runs once in cloud-init, when the network is there, and at every start in Kairos.
fn run(draft: &mut Draft<'_>, from: &From, value: &Node) {
    let when = match draft.flavour {
        Flavour::CloudInit => ("network", true),
        Flavour::Kairos => ("boot", false),
    };
    commands(draft, from, when, value);
}

/// A list of commands, each a line of a shell or a list of words, as one script.
pub(super) fn commands(draft: &mut Draft<'_>, from: &From, (stage, once): (&str, bool), value: &Node) {
    let Some(items) = items(value) else { return draft.malformed(from, "a list of commands") };
    // As both run it: with /bin/sh, and on after a command that failed.
    let mut script = "#!/bin/sh\n".to_owned();
    let mut complete = true;
    for (index, item) in items.iter().enumerate() {
        let words = super::source::items(item).filter(|_| !item.is_null());
        let line = match (text(item), words) {
            (Some(line), _) => Some(line.trim_end().to_owned()),
            (None, Some(words)) => {
                let words: Option<Vec<String>> =
                    words.iter().map(|word| text(word).map(shell_word)).collect();
                words.map(|words| words.join(" "))
            }
            (None, None) => None,
        };
        match line {
            Some(line) if draft.flavour == Flavour::Kairos && line.contains("{{") => {
                draft.refuse(
                    &from.item(index, item),
                    "templates (`{{ … }}`) are not filled in: let the script ask the machine",
                );
                complete = false;
            }
            Some(line) if line.starts_with("cloud-init") => {
                draft.refuse(
                    &from.item(index, item),
                    "cloud-init is not there: a hook has `once` in its place",
                );
                complete = false;
            }
            Some(line) => script = format!("{script}{line}\n"),
            None => {
                draft.malformed(&from.item(index, item), "a line of a shell or a list of words");
                complete = false;
            }
        }
    }
    match (complete, items) {
        (true, []) => draft.note(from, "needs nothing: it is empty"),
        (true, _) => draft.hook(from, stage, (script, once), value),
        (false, _) => draft.refuse(from, "its commands belong together, so none of them is translated"),
    }
}
