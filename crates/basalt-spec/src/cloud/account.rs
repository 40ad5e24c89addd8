//! Users, keys and passwords.

use super::{
    draft::{Draft, From},
    source::{entries, items, list, scalar, text, truth, words},
};
use crate::yaml::{Entry, Node};

/// `users:` in both forms: cloud-init's list, and the mapping of a stage of Kairos.
pub(super) fn users(draft: &mut Draft<'_>, from: &From, node: &Node) {
    if let Some(entries) = entries(node) {
        for entry in entries {
            user(draft, &from.key(entry), &entry.key, &entry.value);
        }
        return;
    }
    let Some(items) = items(node) else { return draft.malformed(from, "a list of users") };
    for (index, item) in items.iter().enumerate() {
        let from = from.item(index, item);
        match (text(item), super::source::value(item, "name").and_then(text)) {
            (Some("default"), _) => {
                draft.refuse(&from, "an image has no default user: name the user and what it may do");
            }
            (Some(name), _) => draft.user(name, item.at),
            (None, Some(name)) => user(draft, &from, name, item),
            (None, None) => draft.malformed(&from, "a user with a name"),
        }
    }
}

fn user(draft: &mut Draft<'_>, from: &From, name: &str, node: &Node) {
    let Some(entries) = entries(node) else { return draft.malformed(from, "a mapping") };
    draft.user(name, node.at);
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    let password = ["passwd", "hashed_passwd"].into_iter().any(has);
    for entry in entries {
        let from = from.key(entry);
        key_of_user(draft, &from, (name, password), entry);
    }
}

fn key_of_user(draft: &mut Draft<'_>, from: &From, (name, password): (&str, bool), entry: &Entry) {
    let value = &entry.value;
    match entry.key.as_str() {
        "name" => draft.note(from, format!("users.{name}")),
        "gecos" | "uid" | "shell" => draft.set_user(from, name, &entry.key, value.clone()),
        "homedir" => draft.set_user(from, name, "home", value.clone()),
        "passwd" | "hashed_passwd" if text(value).is_some_and(|hash| hash.starts_with('$')) => {
            draft.set_user(from, name, "passwordHash", value.clone());
        }
        "passwd" | "hashed_passwd" | "plain_text_passwd" => {
            draft.refuse(
                from,
                "passwords are kept as hashes: make one with `mkpasswd` and write `passwordHash`",
            );
        }
        "groups" => match words(value, true) {
            Some(groups) => draft.set_user(from, name, "groups", list(groups, value)),
            None => draft.malformed(from, "a list of groups"),
        },
        "sudo" => sudo(draft, from, (name, password), value),
        "ssh_authorized_keys" | "ssh-authorized-keys" => keys(draft, from, name, value),
        "ssh_import_id" => imported(draft, from, name, value),
        "lock_passwd" | "lock-passwd" => match (truth(value), password) {
            (Some(false), true) => draft.note(from, "needs nothing: a password that is given is not locked"),
            (Some(true), false) => draft.note(from, "needs nothing: without `passwordHash` it is locked"),
            (Some(true), true) => {
                draft.refuse(from, "a password that is given is not locked: leave one of them out")
            }
            (Some(false), false) | (None, _) => draft.refuse(from, "a user without a password has it locked"),
        },
        "primary_group" if text(value) == Some(name) => {
            draft.note(from, "needs nothing: each user has its own group")
        }
        "no_create_home" | "no_user_group" | "no_log_init" | "system" if truth(value) == Some(false) => {
            draft.note(from, "needs nothing: it is so");
        }
        _ => draft.refuse(from, "accounts of a NodeConfig have no such setting"),
    }
}

fn sudo(draft: &mut Draft<'_>, from: &From, (name, password): (&str, bool), value: &Node) {
    let rules: Vec<String> = match (truth(value), words(value, false)) {
        (Some(false), _) => return draft.set_user(from, name, "sudo", scalar("false", value)),
        (_, Some(rules)) => {
            rules.iter().filter_map(text).map(|rule| rule.split_whitespace().collect()).collect()
        }
        (_, None) => Vec::new(),
    };
    let all = |rule: &String| matches!(rule.as_str(), "ALL=(ALL)ALL" | "ALL=(ALL:ALL)ALL");
    let free = |rule: &String| matches!(rule.as_str(), "ALL=(ALL)NOPASSWD:ALL" | "ALL=(ALL:ALL)NOPASSWD:ALL");
    match rules.as_slice() {
        [rule] if free(rule) && !password || all(rule) && password => {
            draft.set_user(from, name, "sudo", scalar("true", value));
        }
        [rule] if free(rule) => {
            draft.refuse(
                from,
                "`sudo: true` asks a user for the password that it has: leave the password out for NOPASSWD",
            );
        }
        _ => draft.refuse(
            from,
            "only `ALL=(ALL) NOPASSWD:ALL` is `sudo: true`: write other rules as a file below /etc/sudoers.d",
        ),
    }
}

/// Keys, and in Kairos also where keys are, under names that are ours too.
pub(super) fn keys(draft: &mut Draft<'_>, from: &From, name: &str, value: &Node) {
    match words(value, false) {
        Some(keys) => draft.add_keys(from, name, keys.iter().map(trimmed).collect()),
        None => draft.malformed(from, "a list of keys"),
    }
}

/// A key without the line break that a block of text has.
fn trimmed(key: &Node) -> Node {
    text(key).map_or_else(|| key.clone(), |text| scalar(text.trim(), key))
}

/// `ssh_import_id`: `gh:NAME` is an account of GitHub's.
fn imported(draft: &mut Draft<'_>, from: &From, name: &str, value: &Node) {
    let Some(ids) = words(value, false) else { return draft.malformed(from, "a list of accounts") };
    let mut sources = Vec::new();
    for id in &ids {
        match text(id).and_then(|id| id.strip_prefix("gh:")) {
            Some(account) => sources.push(scalar(&format!("github:{account}"), id)),
            None => draft
                .refuse(&From::new(&from.path, id.at), "only GitHub's accounts (`gh:NAME`) are known here"),
        }
    }
    if !sources.is_empty() {
        draft.add_keys(from, name, sources);
    }
}

/// Keys that name no user: they are the only user's, if there is one only.
pub(super) fn keys_of_the_user(draft: &mut Draft<'_>, from: &From, value: &Node, import: bool) {
    let users = draft.users();
    match users.as_slice() {
        [user] if import => imported(draft, from, user, value),
        [user] => keys(draft, from, user, value),
        [] => draft.refuse(
            from,
            "an image has no default user that these keys could be for: write them below a user",
        ),
        _ => draft.refuse(from, "there are several users: write the keys below the one that they are for"),
    }
}
