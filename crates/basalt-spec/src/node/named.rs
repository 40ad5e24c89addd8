//! Lists of named things: which key of an item is its name.

use std::collections::BTreeMap;

use crate::{
    diagnostic::{Problem, ProblemKind},
    yaml::{Node, Value},
};

/// Each list of named things below `spec`, and the key that names an item; `*` is any item of a list.
///
/// A test compares it with the JSON Schema: every list of mappings is here, but for `routes`, whose items have no name.
pub(super) const NAMED: [(&[&str], &str); 12] = [
    (&["users"], "name"),
    (&["files"], "path"),
    (&["units"], "name"),
    (&["units", "*", "dropIns"], "name"),
    (&["disks"], "name"),
    (&["mounts"], "path"),
    (&["extensions"], "name"),
    (&["hooks"], "name"),
    (&["network", "interfaces"], "name"),
    (&["network", "interfaces", "*", "wifi", "networks"], "ssid"),
    (&["network", "hosts"], "address"),
    (&["upgrade", "health", "checks"], "name"),
];

/// The key that names the items of the list at `path`, which starts with `spec`.
pub(super) fn name_key(path: &[&str]) -> Option<&'static str> {
    let (root, rest) = path.split_first()?;
    let fits = |pattern: &[&str]| pattern == rest;
    NAMED.iter().find(|(pattern, _)| *root == "spec" && fits(pattern)).map(|(_, key)| *key)
}

/// The name of an item, if it has one.
pub(super) fn name_of<'a>(item: &'a Node, key: &str) -> Option<(&'a str, &'a Node)> {
    let Value::Map(entries) = &item.value else { return None };
    let value = &entries.iter().find(|entry| entry.key == key)?.value;
    match &value.value {
        Value::Scalar { text, .. } => Some((text, value)),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// Two things of one name in one list. Between documents they would be one thing; in one document one of them is a
/// mistake.
pub(super) fn doubles(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    search(root, &mut Vec::new(), &mut problems);
    problems
}

fn search<'a>(node: &'a Node, path: &mut Vec<&'a str>, problems: &mut Vec<Problem>) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::Map(entries) => {
            for entry in entries {
                path.push(&entry.key);
                search(&entry.value, path, problems);
                path.pop();
            }
        }
        Value::List(items) => {
            let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
            let key = name_key(path);
            for item in items {
                let name = key.and_then(|key| name_of(item, key));
                if let Some((name, at)) = name
                    && let Some(first) = seen.insert(name, at)
                {
                    let list = path.iter().skip(1).filter(|step| **step != "*").copied().collect::<Vec<_>>();
                    let message = format!("`{name}` is in `{}` twice", list.join("."));
                    let problem = Problem::new(ProblemKind::Conflict, at.at, message);
                    problems.push(problem.and("first written here", first.at));
                }
                path.push("*");
                search(item, path, problems);
                path.pop();
            }
        }
    }
}
