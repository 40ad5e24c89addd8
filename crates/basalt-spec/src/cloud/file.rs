//! Files and directories.

use super::{
    draft::{Draft, From},
    source::{entries, items, map, scalar, text, truth},
};
use crate::yaml::{Entry, Node};

/// `write_files`, and `files` of a stage of Kairos.
pub(super) fn files(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let Some(items) = items(node) else { return draft.malformed(from, "a list of files") };
    for (index, item) in items.iter().enumerate() {
        file(draft, &from.item(index, item), item);
    }
}

/// The parts of an owner, which Kairos writes in numbers.
#[derive(Default)]
struct Parts {
    entries: Vec<(&'static str, Node)>,
    encoding: Option<Node>,
    content: Option<Node>,
    user: Option<Node>,
    group: Option<Node>,
    /// A key that was refused and without which the file would be another one.
    refused: bool,
}

fn file(draft: &mut Draft<'_>, from: &From, item: &Node) {
    let Some(entries) = entries(item) else { return draft.malformed(from, "a mapping") };
    let mut parts = Parts::default();
    for entry in entries {
        part(draft, &from.key(entry), entry, &mut parts);
    }
    let Parts { entries: mut made, encoding, content, user, group, refused } = parts;
    if refused {
        return;
    }
    made.extend(owner(user.as_ref(), group.as_ref()).map(|(text, like)| ("owner", scalar(&text, like))));
    let content = content.unwrap_or_else(|| scalar("", item));
    let encoding = encoding.as_ref().and_then(text).unwrap_or("text/plain").to_owned();
    match encoding.as_str() {
        "text/plain" | "" => made.push(("content", content)),
        "b64" | "base64" => made.push(("base64", content)),
        _ => {
            let reason =
                "compressed content is not unpacked: write it as base64, or bring the file with the image";
            return draft.refuse(&From::new(format!("{}.encoding", from.path), from.at), reason);
        }
    }
    draft.add(from, &["files"], vec![map(made, item)]);
}

fn part(draft: &mut Draft<'_>, from: &From, entry: &Entry, parts: &mut Parts) {
    let value = &entry.value;
    match entry.key.as_str() {
        "path" => parts.entries.push(("path", value.clone())),
        "permissions" => match text(value).map(octal) {
            Some(mode) => parts.entries.push(("mode", scalar(&mode, value))),
            None => draft.malformed(from, "a mode"),
        },
        "content" => parts.content = Some(value.clone()),
        "encoding" => parts.encoding = Some(value.clone()),
        // In Kairos `owner` is a number and `ownerstring` is a name; in cloud-init `owner` is `user:group`.
        "owner" | "ownerstring" => parts.user = Some(value.clone()),
        "group" => parts.group = Some(value.clone()),
        "append" if truth(value) == Some(false) => draft.note(from, "needs nothing: it is so"),
        "append" => {
            parts.refused = true;
            draft.refuse(from, "a file is written whole, for it must be the same at every start");
        }
        "defer" => draft.note(from, "needs nothing: users are there before files"),
        _ => {
            parts.refused = true;
            draft.refuse(from, "files of a NodeConfig have no such setting");
        }
    }
}

/// `644`, `0644`, `0o644` and `"0644"` are one mode.
fn octal(text: &str) -> String {
    text.strip_prefix("0o").unwrap_or(text).to_owned()
}

fn owner<'a>(user: Option<&'a Node>, group: Option<&'a Node>) -> Option<(String, &'a Node)> {
    let like = user.or(group)?;
    let (user, group) = (user.and_then(text).unwrap_or("0"), group.and_then(text));
    let whole = match group {
        Some(group) if !user.contains(':') => format!("{user}:{group}"),
        Some(_) | None => user.to_owned(),
    };
    Some((whole, like))
}

/// `directories` of a stage of Kairos.
pub(super) fn directories(draft: &mut Draft<'_>, from: &From, node: &Node) {
    let Some(items) = items(node) else { return draft.malformed(from, "a list of directories") };
    for (index, item) in items.iter().enumerate() {
        let from = from.item(index, item);
        let Some(entries) = entries(item) else {
            draft.malformed(&from, "a mapping");
            continue;
        };
        let mut parts = Parts::default();
        for entry in entries {
            match entry.key.as_str() {
                "path" | "permissions" | "owner" | "ownerstring" | "group" => {
                    part(draft, &from.key(entry), entry, &mut parts);
                }
                _ => draft.refuse(&from.key(entry), "directories of a NodeConfig have no such setting"),
            }
        }
        let Parts { entries: mut made, user, group, .. } = parts;
        made.extend(owner(user.as_ref(), group.as_ref()).map(|(text, like)| ("owner", scalar(&text, like))));
        made.push(("directory", scalar("true", item)));
        draft.add(&from, &["files"], vec![map(made, item)]);
    }
}
