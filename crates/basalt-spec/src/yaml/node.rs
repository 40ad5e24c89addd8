//! The tree of a document: scalars as they are written, with byte ranges.

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Problem, ProblemKind};

/// A range of bytes in the text: where it starts and how long it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text as written, after YAML's escapes; `plain` when it has no quotes.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the text.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) value: Node,
}

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// How deep lists and mappings may be nested: a recipe needs five; the reader recurses.
const DEEPEST: usize = 32;

/// The document of `text`, and the duplicate keys that were left out of it.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Problem>), Box<Problem>> {
    let mut builder = Builder { text, stack: Vec::new(), root: None, problems: Vec::new() };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, at(span))?,
            Err(error) => {
                let offset = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                let problem = Problem::new(ProblemKind::Syntax, At { offset, length: 0 }, error.info());
                return Err(problem.into());
            }
        }
    }
    let Builder { root, problems, .. } = builder;
    let nothing = Node { at: At::default(), value: Value::Map(Vec::new()) };
    Ok((root.filter(|root| !root.is_null()).unwrap_or(nothing), problems))
}

impl Node {
    /// Nothing was written: an empty plain scalar, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// Nothing stands there at all, not even `null`. (The parser makes a `~` of it, which takes no room.)
    pub(crate) fn is_blank(&self) -> bool {
        self.is_null() && self.at.length == 0
    }

    /// Moves every place, for a text that stands behind another one.
    pub(crate) fn shift(&mut self, by: usize) {
        self.for_each_place(&mut |at| at.offset += by);
    }

    /// Gives every value one place, for a text that was made from another one.
    pub(crate) fn put_at(&mut self, place: At) {
        self.for_each_place(&mut |at| *at = place);
    }

    fn for_each_place(&mut self, change: &mut dyn FnMut(&mut At)) {
        change(&mut self.at);
        match &mut self.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.for_each_place(change)),
            Value::Map(entries) => {
                for entry in entries {
                    change(&mut entry.key_at);
                    entry.value.for_each_place(change);
                }
            }
        }
    }

    /// The value at `path`, or the last one on the way there.
    pub(crate) fn find(&self, path: &[Step]) -> &Self {
        let Some((step, rest)) = path.split_first() else { return self };
        self.child(step).map_or(self, |child| child.find(rest))
    }

    /// The place of the key that leads to `path`, if its last step is a key.
    pub(crate) fn find_key(&self, path: &[Step]) -> Option<At> {
        let (last, above) = path.split_last()?;
        match (&self.find(above).value, last) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| entry.key_at)
            }
            (Value::Map(_) | Value::List(_) | Value::Scalar { .. }, Step::Key(_) | Step::Index(_)) => None,
        }
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            (Value::List(items), Step::Index(index)) => items.get(*index),
            (Value::Map(_) | Value::List(_) | Value::Scalar { .. }, Step::Key(_) | Step::Index(_)) => None,
        }
    }

    /// The keys of a mapping, in the order of the text.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Scalar { .. } | Value::List(_) => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// Takes the key or item at `path` out; an item becomes an absent one, so that the others keep their numbers.
    pub(super) fn remove(&mut self, path: &[Step]) -> bool {
        let Some((step, rest)) = path.split_first() else { return false };
        match (&mut self.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                let Some(index) = entries.iter().position(|entry| entry.key == *key) else { return false };
                if rest.is_empty() {
                    entries.remove(index);
                    return true;
                }
                entries[index].value.remove(rest)
            }
            (Value::List(items), Step::Index(index)) => {
                if rest.is_empty() {
                    if *index < items.len() {
                        items.remove(*index);
                        return true;
                    }
                    return false;
                }
                items.get_mut(*index).is_some_and(|item| item.remove(rest))
            }
            (Value::Map(_) | Value::List(_) | Value::Scalar { .. }, Step::Key(_) | Step::Index(_)) => false,
        }
    }
}

/// A list or mapping whose end was not seen yet.
enum Open {
    List { at: At, items: Vec<Node> },
    Map { at: At, entries: Vec<Entry>, key: Option<(String, At)> },
}

struct Builder<'text> {
    text: &'text str,
    stack: Vec<Open>,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the parser's enum is non-exhaustive")]
    fn take(&mut self, event: Event<'_>, at: At) -> Result<(), Box<Problem>> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), at)?;
                let value =
                    Value::Scalar { text: text.into_owned(), plain: matches!(style, ScalarStyle::Plain) };
                self.close(Node { at: self.visible(at), value })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), at)?;
                self.open(Open::List { at, items: Vec::new() }, at)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), at)?;
                self.open(Open::Map { at, entries: Vec::new(), key: None }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::List { at: start, items }) => {
                    self.close(Node { at: spanning(start, at), value: Value::List(items) })
                }
                Some(Open::Map { at: start, entries, .. }) => {
                    self.close(Node { at: spanning(start, at), value: Value::Map(entries) })
                }
                None => Ok(()),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(plain_only(at)),
            Event::DocumentStart(..) if self.root.is_some() => {
                let message = "a second document starts here: a file holds one".to_owned();
                Err(Problem::new(ProblemKind::Syntax, at, message).into())
            }
            _ => Ok(()),
        }
    }

    fn refuse_properties(&self, anchor: usize, tag: bool, at: At) -> Result<(), Box<Problem>> {
        if anchor != 0 || tag { Err(plain_only(at)) } else { Ok(()) }
    }

    fn open(&mut self, open: Open, at: At) -> Result<(), Box<Problem>> {
        if self.stack.len() >= DEEPEST {
            let message = format!("lists and mappings are nested more than {DEEPEST} deep");
            return Err(Problem::new(ProblemKind::Syntax, at, message).into());
        }
        self.stack.push(open);
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node) -> Result<(), Box<Problem>> {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, key_at)) => match entries.iter().find(|entry| entry.key == key) {
                    Some(first) => {
                        let message = format!("`{key}` is written twice");
                        let problem = Problem::new(ProblemKind::DuplicateKey, key_at, message);
                        self.problems.push(problem.and("first written here", first.key_at));
                    }
                    None => entries.push(Entry { key, key_at, value: node }),
                },
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some((text, node.at)),
                    Value::List(_) | Value::Map(_) => {
                        let message = "a key must be a word, not a list or a mapping".to_owned();
                        return Err(Problem::new(ProblemKind::Syntax, node.at, message).into());
                    }
                },
            },
        }
        Ok(())
    }

    /// The first line of a value: a caret under a page of text helps nobody.
    fn visible(&self, at: At) -> At {
        let text = self.text.get(at.offset..at.offset + at.length).unwrap_or_default();
        At { length: text.lines().next().unwrap_or_default().trim_end().len(), ..at }
    }
}

fn plain_only(at: At) -> Box<Problem> {
    let message = "anchors (`&`), aliases (`*`) and tags (`!`) are not part of this language".to_owned();
    Problem::new(ProblemKind::Syntax, at, message)
        .help("write the value itself; quote it if it starts so")
        .into()
}

fn at(span: Span) -> At {
    let range = span.byte_range().unwrap_or_default();
    At { offset: range.start, length: range.end.saturating_sub(range.start) }
}

/// From the start of one place to the end of another.
fn spanning(start: At, end: At) -> At {
    At { offset: start.offset, length: (end.offset + end.length).saturating_sub(start.offset) }
}
