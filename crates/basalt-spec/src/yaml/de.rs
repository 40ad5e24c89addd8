//! serde over a [`Node`], with errors that know the path they happened at.

use std::fmt;

use serde::{
    de::{
        self, DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Unexpected, Visitor,
    },
    forward_to_deserialize_any,
};

use super::node::{Entry, Node, Step, Value};
use crate::diagnostic::{Problem, ProblemKind, nearest};

/// What serde refused, and where.
#[derive(Debug)]
pub(super) struct ReadError {
    kind: Refusal,
    /// From the root to the value; for an unknown key to that key.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Refusal {
    /// A word's own parser, or a check of a whole mapping.
    Value(String),
    /// A list where text was wanted, and the like: what was wanted.
    Type(String),
    UnknownKey(&'static [&'static str]),
    UnknownWord(String, &'static [&'static str]),
    Missing(&'static str),
    /// As a value, but something is missing rather than wrong.
    Incomplete(String),
}

/// What a check of a whole mapping writes before its message when a key is missing and none is wrong: serde knows that
/// only of single keys.
pub(crate) const INCOMPLETE: &str = "incomplete: ";

impl ReadError {
    fn new(kind: Refusal) -> Self {
        Self { kind, path: Vec::new() }
    }

    /// The error as seen one level up.
    fn below(mut self, step: Step) -> Self {
        self.path.insert(0, step);
        self
    }

    pub(super) fn path(&self) -> &[Step] {
        &self.path
    }

    /// Whether this may only be the consequence of what was taken out of the document: a required key is missing where
    /// it stood, or a check of a whole mapping fails that has lost a key.
    pub(super) fn follows_from(&self, removed: &[Vec<Step>]) -> bool {
        match &self.kind {
            Refusal::Missing(key) => {
                let mut wanted = self.path.clone();
                wanted.push(Step::Key((*key).to_owned()));
                removed.contains(&wanted)
            }
            Refusal::Value(_) | Refusal::Incomplete(_) => {
                removed.iter().any(|path| path.len() > self.path.len() && path.starts_with(&self.path))
            }
            Refusal::Type(_) | Refusal::UnknownKey(_) | Refusal::UnknownWord(..) => false,
        }
    }

    /// The error for people, with its place in the text.
    pub(super) fn into_problem(self, root: &Node) -> Problem {
        let node = root.find(&self.path);
        let key_at = root.find_key(&self.path).unwrap_or(node.at);
        // Nothing has no place; its key has.
        let value_at = if node.at.length == 0 { key_at } else { node.at };
        match self.kind {
            Refusal::Value(message) => Problem::new(ProblemKind::BadValue, value_at, message),
            Refusal::Incomplete(message) => Problem::new(ProblemKind::MissingKey, value_at, message),
            Refusal::Type(wanted) => {
                let message = format!("expected {wanted}, found {}", described(node));
                let at = if matches!(node.value, Value::Scalar { .. }) { value_at } else { key_at };
                Problem::new(ProblemKind::WrongType, at, message)
            }
            Refusal::UnknownKey(known) => {
                let key = match self.path.last() {
                    Some(Step::Key(key)) => key.as_str(),
                    Some(Step::Index(_)) | None => "",
                };
                let problem = Problem::new(ProblemKind::UnknownKey, key_at, format!("unknown key `{key}`"));
                suggest(problem, key, known, "keys here")
            }
            Refusal::UnknownWord(word, known) => {
                let problem =
                    Problem::new(ProblemKind::BadValue, value_at, format!("unknown value `{word}`"));
                suggest(problem, &word, known, "possible values")
            }
            Refusal::Missing(key) => {
                let at = if self.path.is_empty() { super::At { offset: 0, length: 0 } } else { key_at };
                Problem::new(ProblemKind::MissingKey, at, format!("the key `{key}` is missing"))
            }
        }
    }
}

fn suggest(problem: Problem, found: &str, known: &[&str], list: &str) -> Problem {
    match nearest(found, known.iter().copied()) {
        Some(near) => problem.label(format!("did you mean `{near}`?")),
        None => problem,
    }
    .help(format!("{list}: {}", known.join(", ")))
}

/// What stands there, in the words of a message.
fn described(node: &Node) -> String {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        Value::Scalar { text, .. } => format!("`{}`", text.lines().next().unwrap_or_default()),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Refusal::Value(message) | Refusal::Incomplete(message) => f.write_str(message),
            Refusal::Type(wanted) => write!(f, "expected {wanted}"),
            Refusal::UnknownKey(_) => f.write_str("unknown key"),
            Refusal::UnknownWord(word, _) => write!(f, "unknown value `{word}`"),
            Refusal::Missing(key) => write!(f, "the key `{key}` is missing"),
        }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        Self::new(match message.strip_prefix(INCOMPLETE) {
            Some(rest) => Refusal::Incomplete(rest.to_owned()),
            None => Refusal::Value(message),
        })
    }

    fn invalid_type(_: Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        // The words of serde's own visitors, in those of YAML.
        Self::new(Refusal::Type(match wanted.to_string().as_str() {
            "a string" => "text".to_owned(),
            "a sequence" => "a list".to_owned(),
            "a map" => "a mapping".to_owned(),
            other => other.to_owned(),
        }))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Refusal::UnknownKey(known))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Refusal::UnknownWord(word.to_owned(), known))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Refusal::Missing(key))
    }
}

/// A deserialiser that gives each visitor what it asks for, if the text says it.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'de> {
    node: &'de Node,
}

impl<'de> NodeDeserializer<'de> {
    pub(super) const fn new(node: &'de Node) -> Self {
        Self { node }
    }

    fn wants(wanted: &str) -> ReadError {
        ReadError::new(Refusal::Type(wanted.to_owned()))
    }

    fn unsigned(self) -> Result<u64, ReadError> {
        match &self.node.value {
            Value::Scalar { text, .. } => text.parse().map_err(|_not_a_number| Self::wants("a whole number")),
            Value::List(_) | Value::Map(_) => Err(Self::wants("a whole number")),
        }
    }
}

impl<'de> de::Deserializer<'de> for NodeDeserializer<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar { .. } if self.node.is_null() => visitor.visit_unit(),
            Value::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar { text, .. } if text == "true" => visitor.visit_bool(true),
            Value::Scalar { text, .. } if text == "false" => visitor.visit_bool(false),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => Err(Self::wants("`true` or `false`")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let number = u32::try_from(self.unsigned()?).map_err(|_large| Self::wants("a number below 2^32"))?;
        visitor.visit_u32(number)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// A key with nothing after it is an empty list: the last item of a list may be commented out.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_null() {
            return visitor.visit_seq(Items { items: &[], next: 0 });
        }
        self.deserialize_any(visitor)
    }

    /// A key with nothing after it is an empty mapping, for the same reason.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_null() {
            return visitor.visit_map(Entries { entries: &[], next: 0 });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::List(_) => Err(ReadError::invalid_type(Unexpected::Seq, &visitor)),
            Value::Scalar { .. } | Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                Err(Self::wants(&format!("one of {}", known.join(", "))))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct identifier
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(NodeDeserializer::new(node))
            .map(Some)
            .map_err(|error| error.below(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(Entry { key, .. }) = self.entries.get(self.next) else { return Ok(None) };
        let text: de::value::StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|error| error.below(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some(Entry { key, value, .. }) = self.entries.get(self.next) else {
            return Err(ReadError::custom("a value was asked for before its key"));
        };
        self.next += 1;
        seed.deserialize(NodeDeserializer::new(value)).map_err(|error| error.below(Step::Key(key.clone())))
    }
}
