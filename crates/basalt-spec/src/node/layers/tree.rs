//! The merge itself, on trees that know nothing of what their keys mean but which lists have names.

use super::super::named;
use crate::yaml::{At, Entry, Node, Value};

/// A document's tree, ready to be laid over another one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Layer {
    /// Replaces what is below it: a scalar, a list whose items have no names.
    Leaf(Node),
    /// Takes away what is below it.
    Gone(At),
    /// Merges with a mapping, or a list of named things, below it.
    Parts(Parts),
}

/// A mapping or a list of named things.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parts {
    at: At,
    shape: Shape,
    /// Whether it replaces what is below it, because something above which it stands did already. Without it the merge
    /// would not be associative: what `null` took away would come back when the upper two are merged first.
    fresh: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Map,
    /// A list; this key of an item is its name.
    Named,
}

/// A key and its value, or a name and its item.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    name: String,
    name_at: At,
    value: Layer,
}

impl Layer {
    /// The layer of a whole document.
    pub(super) fn of(root: &Node) -> Self {
        Self::at_path(root, &mut Vec::new())
    }

    fn at_path<'a>(node: &'a Node, path: &mut Vec<&'a str>) -> Self {
        match &node.value {
            Value::Scalar { .. } if node.is_null() => Self::Gone(node.at),
            Value::Scalar { .. } => Self::Leaf(node.clone()),
            Value::Map(entries) => {
                let mut parts = Vec::new();
                // Nothing after a key says nothing: its lines may be commented out. `null` takes away.
                for entry in entries.iter().filter(|entry| !entry.value.is_blank()) {
                    path.push(&entry.key);
                    let value = Self::at_path(&entry.value, path);
                    path.pop();
                    parts.push(Part { name: entry.key.clone(), name_at: entry.key_at, value });
                }
                Self::Parts(Parts { at: node.at, shape: Shape::Map, fresh: false, parts })
            }
            Value::List(items) => {
                let named = named::name_key(path).and_then(|key| named_parts(items, key, path));
                match named {
                    Some(parts) => {
                        Self::Parts(Parts { at: node.at, shape: Shape::Named, fresh: false, parts })
                    }
                    None => Self::Leaf(node.clone()),
                }
            }
        }
    }

    /// This layer with `above` over it.
    pub(super) fn under(self, above: Self) -> Self {
        match (self, above) {
            (Self::Parts(below), Self::Parts(above)) if !above.fresh && below.shape == above.shape => {
                Self::Parts(below.under(above))
            }
            // Over anything else it starts afresh, and says so to whatever it is laid over later.
            (Self::Parts(_) | Self::Leaf(_) | Self::Gone(_), Self::Parts(above)) => {
                Self::Parts(Parts { fresh: true, ..above })
            }
            (Self::Parts(_) | Self::Leaf(_) | Self::Gone(_), above @ (Self::Leaf(_) | Self::Gone(_))) => {
                above
            }
        }
    }

    /// The tree that is left when nothing more comes above; none if it is taken away.
    pub(super) fn settle(self) -> Option<Node> {
        match self {
            Self::Gone(_) => None,
            Self::Leaf(node) => Some(node),
            Self::Parts(Parts { at, shape, fresh: _, parts }) => {
                let settled = parts.into_iter().filter_map(|Part { name, name_at, value }| {
                    Some(Entry { key: name, key_at: name_at, value: value.settle()? })
                });
                let value = match shape {
                    Shape::Map => Value::Map(settled.collect()),
                    Shape::Named => Value::List(settled.map(|entry| entry.value).collect()),
                };
                Some(Node { at, value })
            }
        }
    }

    /// As [`Layer::settle`]; a document that is nothing is an empty one.
    pub(super) fn settle_to_document(self, at: At) -> Node {
        self.settle().unwrap_or(Node { at, value: Value::Map(Vec::new()) })
    }
}

impl Parts {
    fn under(self, above: Self) -> Self {
        let mut parts = self.parts;
        for part in above.parts {
            match parts.iter().position(|below| below.name == part.name) {
                Some(index) => {
                    let below = std::mem::replace(&mut parts[index].value, Layer::Gone(part.name_at));
                    parts[index] = Part { value: below.under(part.value), ..part };
                }
                None => parts.push(part),
            }
        }
        // Who says the last word on a part of it is where a reader looks first; the mapping itself began below.
        Self { parts, at: self.at, ..self }
    }
}

/// The items of a list by their names; none if an item has no name, which reading the document refuses later.
fn named_parts<'a>(items: &'a [Node], key: &'static str, path: &mut Vec<&'a str>) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for item in items {
        let (name, name_node) = named::name_of(item, key)?;
        path.push("*");
        let value = if removes(item, key) { Layer::Gone(item.at) } else { Layer::at_path(item, path) };
        path.pop();
        parts.push(Part { name: name.to_owned(), name_at: name_node.at, value });
    }
    Some(parts)
}

/// An item that only has its name and `remove: true`.
fn removes(item: &Node, key: &str) -> bool {
    let Value::Map(entries) = &item.value else { return false };
    let says_so = |entry: &Entry| {
        entry.key == "remove" && matches!(&entry.value.value, Value::Scalar { text, .. } if text == "true")
    };
    entries.len() == 2 && entries.iter().any(|entry| entry.key == key) && entries.iter().any(says_so)
}
