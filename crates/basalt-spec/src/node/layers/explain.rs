//! Where each key comes from, and what changes when a document is added.

use serde::Serialize;

use super::{super::named, KeyPath, Merged, Place, text};
use crate::yaml::{Node, Value};

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The key.
    pub key: KeyPath,
    /// What it is in the end, as YAML; none if it is taken away. Secrets are redacted.
    pub value: Option<String>,
    /// Every document that says something of it, by rising precedence. What is said last counts; mappings and lists of
    /// named things are the sum.
    pub mentions: Vec<Mention>,
}

/// What one document says of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mention {
    /// Where.
    pub place: Place,
    /// The value as YAML; none if it is taken away.
    pub value: Option<String>,
}

/// A value that two sets of documents give differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The key.
    pub key: KeyPath,
    /// What it was.
    pub before: Option<Mention>,
    /// What it becomes.
    pub after: Option<Mention>,
}

impl Merged {
    /// What is known of a key; none if no document says anything of it.
    pub fn explain(&self, key: &KeyPath) -> Option<Explained> {
        let shown = |node: &Node| text::shown(node, key);
        let mentions: Vec<Mention> = self
            .layers
            .sources
            .iter()
            .filter_map(|source| {
                let (node, removed) = find(&source.root, key)?;
                let place = self.layers.place(node.at)?;
                Some(Mention { place, value: (!removed).then(|| shown(node)) })
            })
            .collect();
        let value = find(&self.root, key).map(|(node, _)| shown(node));
        (!mentions.is_empty()).then(|| Explained { key: key.clone(), value, mentions })
    }

    /// Every value at the end of a path, with the document that it comes from. Secrets are redacted.
    pub fn leaves(&self) -> Vec<(KeyPath, Mention)> {
        let mut found = Vec::new();
        if let Some(spec) = spec(&self.root) {
            self.collect(spec, &KeyPath::default(), &mut found);
        }
        found
    }

    fn collect(&self, node: &Node, key: &KeyPath, found: &mut Vec<(KeyPath, Mention)>) {
        let named = list_key(key);
        match (&node.value, named) {
            (Value::Map(entries), _) if !entries.is_empty() => {
                for entry in entries {
                    self.collect(&entry.value, &key.join(&entry.key), found);
                }
            }
            (Value::List(items), Some(name)) if !items.is_empty() => {
                for item in items {
                    if let Some((name, _)) = named::name_of(item, name) {
                        self.collect(item, &key.join(name), found);
                    }
                }
            }
            (Value::Map(_) | Value::List(_) | Value::Scalar { .. }, _) => {
                let value = Some(text::shown(node, key));
                found.extend(self.layers.place(node.at).map(|place| (key.clone(), Mention { place, value })));
            }
        }
    }

    /// What changes from this to `after`, in the order of `after`; what is taken away comes last.
    pub fn differences(&self, after: &Self) -> Vec<Difference> {
        let (old, new) = (self.leaves(), after.leaves());
        let in_ = |list: &[(KeyPath, Mention)], key: &KeyPath| {
            list.iter().find(|(own, _)| own == key).map(|(_, mention)| mention.clone())
        };
        let changed = new.iter().filter_map(|(key, mention)| {
            let before = in_(&old, key);
            // Secrets look alike when they are redacted: what they are is compared.
            let same = before.is_some() && self.raw(key) == after.raw(key);
            (!same).then(|| Difference { key: key.clone(), before, after: Some(mention.clone()) })
        });
        let gone = old.iter().filter(|(key, _)| in_(&new, key).is_none()).map(|(key, mention)| Difference {
            key: key.clone(),
            before: Some(mention.clone()),
            after: None,
        });
        changed.chain(gone).collect()
    }

    fn raw(&self, key: &KeyPath) -> Option<String> {
        find(&self.root, key).map(|(node, _)| text::raw(node))
    }

    /// The whole document as JSON, secrets redacted; keys that no document writes are left out.
    ///
    /// # Errors
    /// When a value can't be JSON, which none of today's can't.
    pub fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        let mut value = serde_json::to_value(&self.config)?;
        text::redact_json(&mut value, &mut Vec::new());
        Ok(value)
    }

    /// The whole document as YAML, secrets redacted; with the place of each value behind it if that is wanted.
    pub fn text(&self, provenance: Provenance) -> String {
        let place = |node: &Node| match provenance {
            Provenance::Shown => self.layers.place(node.at).map(|place| place.to_string()),
            Provenance::Hidden => None,
        };
        text::document(&self.root, &place)
    }
}

/// Whether a text says where its values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Behind each value.
    Shown,
    /// Not at all.
    Hidden,
}

fn spec(root: &Node) -> Option<&Node> {
    value_of(root, "spec")
}

fn value_of<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

/// The key that names the items of the list at a path.
pub(super) fn list_key(key: &KeyPath) -> Option<&'static str> {
    named::name_key(&pattern(key))
}

/// A path as [`named`] has it: `spec` first, and `*` for items.
pub(super) fn pattern(key: &KeyPath) -> Vec<&str> {
    let mut path = vec!["spec"];
    for segment in key.segments() {
        path.push(if named::name_key(&path).is_some() { "*" } else { segment });
    }
    path
}

/// The value at a path, and whether it is taken away there.
fn find<'a>(root: &'a Node, key: &KeyPath) -> Option<(&'a Node, bool)> {
    let mut node = spec(root)?;
    let mut path = KeyPath::default();
    for segment in key.segments() {
        node = match (&node.value, list_key(&path)) {
            (Value::List(items), Some(name)) => {
                items.iter().find(|item| named::name_of(item, name).is_some_and(|(own, _)| own == segment))?
            }
            (Value::List(items), None) => items.get(segment.parse::<usize>().ok()?)?,
            (Value::Map(_) | Value::Scalar { .. }, _) => value_of(node, segment)?,
        };
        if node.is_blank() {
            return None;
        }
        path = path.join(segment);
    }
    let removed = node.is_null() || value_of(node, "remove").is_some();
    Some((node, removed))
}
