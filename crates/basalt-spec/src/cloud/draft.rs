//! The document that is being made, and the report of it.

use super::{Flavour, Translation, source};
use crate::{
    diagnostic::{Problem, ProblemKind},
    node,
    yaml::{At, Entry, Node, Value},
};

/// A document in the making. Its values have the places of the text that they come from.
pub(super) struct Draft<'a> {
    text: &'a str,
    pub(super) flavour: Flavour,
    root: Node,
    translated: Vec<Translation>,
    refused: Vec<Problem>,
    hooks: usize,
}

/// A key of the text that is at hand: its path for the report, and its place.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub(super) path: String,
    pub(super) at: At,
}

impl From {
    pub(super) fn new(path: impl Into<String>, at: At) -> Self {
        Self { path: path.into(), at }
    }

    /// A key below this one.
    pub(super) fn key(&self, entry: &Entry) -> Self {
        Self::new(format!("{}.{}", self.path, entry.key), entry.key_at)
    }

    /// An item of this list.
    pub(super) fn item(&self, index: usize, item: &Node) -> Self {
        Self::new(format!("{}[{index}]", self.path), item.at)
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(text: &'a str, flavour: Flavour) -> Self {
        let root = node::empty_tree();
        Self { text, flavour, root, translated: Vec::new(), refused: Vec::new(), hooks: 0 }
    }

    /// The tree, the report and what was refused.
    pub(super) fn finish(mut self) -> (Node, Vec<Translation>, Vec<Problem>) {
        self.translated.sort_by_key(|one| one.line);
        (self.root, self.translated, self.refused)
    }

    /// Notes what became of a key.
    pub(super) fn note(&mut self, from: &From, to: impl Into<String>) {
        let before = self.text.get(..from.at.offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        self.translated.push(Translation { from: from.path.clone(), line, to: to.into() });
    }

    /// Notes that a key has no translation.
    pub(super) fn refuse(&mut self, from: &From, reason: &str) {
        let message = format!("`{}` has no translation: {reason}", from.path);
        self.refused.push(Problem::new(ProblemKind::Untranslatable, from.at, message));
    }

    /// Notes that the text doesn't have the form that its own readers ask for.
    pub(super) fn malformed(&mut self, from: &From, wanted: &str) {
        let message = format!("`{}` is not {wanted}", from.path);
        self.refused.push(Problem::new(ProblemKind::WrongType, from.at, message));
    }

    /// Sets a key below `spec`.
    pub(super) fn set(&mut self, from: &From, path: &[&str], value: Node) {
        let (at, mut taken) = (value.at, false);
        edit(&mut self.root, &below_spec(path), at, &mut |place| taken = !put(place, &value));
        self.placed(from, &path.join("."), taken);
    }

    /// Two keys of a text can mean one key of a document: the later one doesn't win in silence.
    fn placed(&mut self, from: &From, to: &str, taken: bool) {
        if taken {
            self.refuse(from, &format!("an earlier key says something else of `{to}`"));
        } else {
            self.note(from, to);
        }
    }

    /// The entries of a mapping; anything else is noted as malformed.
    pub(super) fn entries<'n>(&mut self, from: &From, node: &'n Node) -> &'n [Entry] {
        source::entries(node).unwrap_or_else(|| {
            self.malformed(from, "a mapping");
            &[]
        })
    }

    /// The items of a list; anything else is noted as malformed.
    pub(super) fn items<'n>(&mut self, from: &From, node: &'n Node) -> &'n [Node] {
        source::items(node).unwrap_or_else(|| {
            self.malformed(from, "a list");
            &[]
        })
    }

    /// The text of each item of a list; anything else is noted as malformed.
    pub(super) fn texts<'n>(&mut self, from: &From, node: &'n Node) -> Vec<(&'n str, &'n Node)> {
        let mut texts = Vec::new();
        for (index, item) in self.items(from, node).iter().enumerate() {
            match source::text(item) {
                Some(text) => texts.push((text, item)),
                None => self.malformed(&from.item(index, item), "text"),
            }
        }
        texts
    }

    /// Adds items to a list below `spec`.
    pub(super) fn add(&mut self, from: &From, path: &[&str], items: Vec<Node>) {
        edit(&mut self.root, &below_spec(path), from.at, &mut |list| append(list, &items));
        self.note(from, path.join("."));
    }

    /// Sets a key of a user, who is made if need be.
    pub(super) fn set_user(&mut self, from: &From, name: &str, key: &str, value: Node) {
        let at = value.at;
        self.named("users", name, at, &mut |user| {
            edit(user, &[key], at, &mut |place| place.clone_from(&value))
        });
        self.note(from, format!("users.{name}.{key}"));
    }

    /// Adds keys of a user.
    pub(super) fn add_keys(&mut self, from: &From, name: &str, keys: Vec<Node>) {
        const KEY: &str = "sshAuthorizedKeys";
        self.named("users", name, from.at, &mut |user| {
            edit(user, &[KEY], from.at, &mut |list| append(list, &keys));
        });
        self.note(from, format!("users.{name}.{KEY}"));
    }

    /// A user of the document, made if need be.
    pub(super) fn user(&mut self, name: &str, at: At) {
        self.named("users", name, at, &mut |_| {});
    }

    /// Sets a key of a unit, which is made if need be.
    pub(super) fn set_unit(&mut self, from: &From, name: &str, key: &str, value: Node) {
        let (at, mut taken) = (value.at, false);
        self.named("units", name, at, &mut |unit| {
            edit(unit, &[key], at, &mut |place| taken = !put(place, &value));
        });
        self.placed(from, &format!("units[{name}].{key}"), taken);
    }

    /// The names of the users so far.
    pub(super) fn users(&self) -> Vec<String> {
        let users = source::value(&self.root, "spec").and_then(|spec| source::value(spec, "users"));
        let users = users.and_then(source::items).unwrap_or_default().iter();
        users.filter_map(|user| source::text(source::value(user, "name")?)).map(str::to_owned).collect()
    }

    /// Changes the item of a list below `spec` that has this name, made if need be.
    fn named(&mut self, list: &str, name: &str, at: At, change: &mut dyn FnMut(&mut Node)) {
        edit(&mut self.root, &below_spec(&[list]), at, &mut |list| {
            let mut items = taken_list(list);
            let own = |item: &Node| source::value(item, "name").and_then(source::text) == Some(name);
            let index = items.iter().position(own).unwrap_or(items.len());
            if index == items.len() {
                let node = Node { at, value: Value::Scalar { text: name.to_owned(), plain: false } };
                items.push(source::map(vec![("name", node.clone())], &node));
            }
            change(&mut items[index]);
            list.value = Value::List(items);
        });
    }

    /// Adds a script at a stage of ours. Hooks run in the order of their names, so each begins with its number.
    pub(super) fn hook(&mut self, from: &From, stage: &str, (script, once): (String, bool), like: &Node) {
        self.hooks += 1;
        let slug: String = from
            .path
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let slug: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
        let name: String = format!("{:02}-{}", self.hooks, slug.join("-")).chars().take(60).collect();
        let mut entries = vec![
            ("name", source::scalar(name.trim_end_matches('-'), like)),
            ("stage", source::scalar(stage, like)),
            ("script", source::scalar(&script, like)),
        ];
        if once {
            entries.push(("once", source::scalar("true", like)));
        }
        self.add(from, &["hooks"], vec![source::map(entries, like)]);
    }
}

fn below_spec<'a>(path: &[&'a str]) -> Vec<&'a str> {
    std::iter::once("spec").chain(path.iter().copied()).collect()
}

/// Changes the value at a path, made if need be. What is no mapping on the way becomes one.
fn edit(node: &mut Node, path: &[&str], at: At, change: &mut dyn FnMut(&mut Node)) {
    let Some((key, rest)) = path.split_first() else { return change(node) };
    let mut entries = match std::mem::replace(&mut node.value, Value::Map(Vec::new())) {
        Value::Map(entries) => entries,
        Value::List(_) | Value::Scalar { .. } => Vec::new(),
    };
    let index = entries.iter().position(|entry| entry.key == *key).unwrap_or(entries.len());
    if index == entries.len() {
        let value = Node { at, value: Value::Map(Vec::new()) };
        entries.push(Entry { key: (*key).to_owned(), key_at: at, value });
    }
    edit(&mut entries[index].value, rest, at, change);
    node.value = Value::Map(entries);
}

/// Puts a value where nothing is yet; false if something else is there.
fn put(place: &mut Node, value: &Node) -> bool {
    let fresh = matches!(&place.value, Value::Map(entries) if entries.is_empty());
    if fresh {
        place.clone_from(value);
    }
    fresh || place.value == value.value
}

fn append(list: &mut Node, items: &[Node]) {
    let mut known = taken_list(list);
    known.extend_from_slice(items);
    list.value = Value::List(known);
}

/// The items of a list, taken out of it; none if it is no list yet.
fn taken_list(list: &mut Node) -> Vec<Node> {
    match std::mem::replace(&mut list.value, Value::Map(Vec::new())) {
        Value::List(items) => items,
        Value::Map(_) | Value::Scalar { .. } => Vec::new(),
    }
}
