//! A kernel command line as a document: `basalt.node.KEY=VALUE`.

use super::{super::named, KeyPath};
use crate::{
    diagnostic::{Problem, ProblemKind},
    yaml::{self, At, Entry, Node, Value},
};

/// What a word of ours begins with. The kernel leaves words with a dot to others (Documentation/admin-guide/kernel-parameters).
const PREFIX: &str = "basalt.node.";

/// A document without a key in its `spec`.
pub(crate) fn empty() -> Node {
    let at = At::default();
    let scalar = |text: &str| Node { at, value: Value::Scalar { text: text.to_owned(), plain: true } };
    let entry = |key: &str, value| Entry { key: key.to_owned(), key_at: at, value };
    let spec = Node { at, value: Value::Map(Vec::new()) };
    let entries = vec![
        entry("apiVersion", scalar("basalt.dev/v1alpha1")),
        entry("kind", scalar("NodeConfig")),
        entry("spec", spec),
    ];
    Node { at, value: Value::Map(entries) }
}

/// A document that says something of this key, to see whether it may.
pub(super) fn of_key(path: &KeyPath) -> Node {
    let mut root = empty();
    let value = Node { at: At::default(), value: Value::Scalar { text: "x".to_owned(), plain: true } };
    set(&mut root, path, value, &mut Vec::new());
    root
}

/// The document that a command line is; none if no word is ours.
pub(super) fn tree(line: &str) -> Result<Option<Node>, Vec<Problem>> {
    let mut root = empty();
    let (mut problems, mut any) = (Vec::new(), false);
    for (offset, word) in words(line) {
        let Some(assignment) = word.strip_prefix(PREFIX) else { continue };
        any = true;
        let at = At { offset, length: word.len() };
        let refuse = |message: String| Problem::new(ProblemKind::Syntax, at, message);
        let Some((key, value)) = split(assignment) else {
            problems.push(refuse(format!("`{word}` has no `=`")).help("write basalt.node.KEY=VALUE"));
            continue;
        };
        match key.parse::<KeyPath>() {
            Ok(path) => match value_of(value, at) {
                Ok(node) => set(&mut root, &path, node, &mut problems),
                Err(mut found) => problems.append(&mut found),
            },
            Err(error) => problems.push(refuse(error.to_string())),
        }
    }
    if problems.is_empty() { Ok(any.then_some(root)) } else { Err(problems) }
}

/// The `=` that ends the key: one in brackets belongs to a name.
fn split(assignment: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let at = assignment.bytes().position(|byte| {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        byte == b'=' && depth == 0
    })?;
    Some((&assignment[..at], &assignment[at + 1..]))
}

/// Words and where they begin. As in the kernel (lib/cmdline.c, `next_arg`), double quotes keep spaces in a word.
fn words(line: &str) -> Vec<(usize, &str)> {
    let (mut words, mut start, mut quoted) = (Vec::new(), None, false);
    for (index, byte) in line.bytes().enumerate() {
        let space = byte.is_ascii_whitespace() && !quoted;
        quoted ^= byte == b'"';
        match (start, space) {
            (None, false) => start = Some(index),
            (Some(begin), true) => {
                words.push((begin, &line[begin..index]));
                start = None;
            }
            (None, true) | (Some(_), false) => {}
        }
    }
    words.extend(start.map(|begin| (begin, &line[begin..])));
    words
}

/// What is assigned: a scalar as it is written, or a list or mapping in YAML's short form. Its place is the word.
fn value_of(value: &str, at: At) -> Result<Node, Vec<Problem>> {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if !value.starts_with(['[', '{']) {
        return Ok(Node { at, value: Value::Scalar { text: value.to_owned(), plain: true } });
    }
    let wrong = |problem: &Problem| Problem::new(problem.kind(), at, problem.message().to_owned());
    let (mut root, problems) =
        yaml::parse(value).map_err(|found| found.iter().map(wrong).collect::<Vec<_>>())?;
    if !problems.is_empty() {
        return Err(problems.iter().map(wrong).collect());
    }
    root.put_at(at);
    Ok(root)
}

/// Sets a key below `spec`, making what is above it.
fn set(root: &mut Node, path: &KeyPath, value: Node, problems: &mut Vec<Problem>) {
    let at = value.at;
    let Some(mut node) = child(root, "spec", at) else { return };
    let mut known = vec!["spec"];
    for segment in path.segments() {
        let key = named::name_key(&known);
        let next = match key {
            Some(key) => item(node, key, segment, at),
            None => child(node, segment, at),
        };
        let Some(next) = next else {
            let message =
                format!("`{}` is a value already, so nothing can be below it", known[1..].join("."));
            problems.push(Problem::new(ProblemKind::Conflict, at, message));
            return;
        };
        node = next;
        known.push(if key.is_some() { "*" } else { segment });
    }
    *node = value;
}

fn blank(at: At) -> Node {
    Node { at, value: Value::Map(Vec::new()) }
}

/// The value of a key of a mapping, made if need be; none if the node is no mapping.
fn child<'a>(node: &'a mut Node, key: &str, at: At) -> Option<&'a mut Node> {
    let Value::Map(entries) = &mut node.value else { return None };
    let index = match entries.iter().position(|entry| entry.key == key) {
        Some(index) => index,
        None => {
            entries.push(Entry { key: key.to_owned(), key_at: at, value: blank(at) });
            entries.len() - 1
        }
    };
    entries.get_mut(index).map(|entry| &mut entry.value)
}

/// The item of a list that has this name, made if need be.
fn item<'a>(node: &'a mut Node, key: &str, name: &str, at: At) -> Option<&'a mut Node> {
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        node.value = Value::List(Vec::new());
    }
    let Value::List(items) = &mut node.value else { return None };
    let found = items.iter().position(|item| named::name_of(item, key).is_some_and(|(own, _)| own == name));
    let index = found.unwrap_or_else(|| {
        let value = Node { at, value: Value::Scalar { text: name.to_owned(), plain: true } };
        items.push(Node { at, value: Value::Map(vec![Entry { key: key.to_owned(), key_at: at, value }]) });
        items.len() - 1
    });
    items.get_mut(index)
}
