//! Several documents as one: the merge, and where each key comes from.
//!
//! `(name, text)… → Layers (each document's keys and words checked) → merge → Merged: NodeConfig + provenance`
//!
//! The rule ([decision 010](../../../../../docs/decisions/010-node-config-merge.md)): mappings merge by key, lists of
//! named things merge by name, everything else is replaced, `null` and `remove: true` take away.

mod assignment;
mod explain;
mod key_path;
mod refusal;
mod text;
mod tree;

#[cfg(test)]
mod tests;

pub use explain::{Difference, Explained, Mention, Provenance};
pub use key_path::{KeyPath, KeyPathError, UnknownKey};
pub use refusal::MergeError;

pub(crate) use assignment::empty as empty_tree;
pub(crate) use text::tree_text;

use serde::Serialize;

use super::{NodeConfig, check, named};
use crate::{
    diagnostic::{Problem, ProblemKind, SpecError},
    yaml::{self, At, Document, Node},
};
use tree::Layer;

/// Documents by rising precedence.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    sources: Vec<Source>,
}

/// One document: its text, and its tree with places that are unique among all documents.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    /// What was added to every place of the tree.
    base: usize,
    root: Node,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The document, as it was named.
    pub source: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

/// What all documents together say.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The value.
    pub config: NodeConfig,
    root: Node,
    layers: Layers,
}

impl Layers {
    /// Adds a document above those that are there. `name` is what messages and provenance call it.
    ///
    /// # Errors
    /// Everything that is wrong with the document by itself. What it lacks may be in another one.
    pub fn push(&mut self, name: &str, text: &str) -> Result<(), SpecError> {
        let (root, problems) = yaml::parse(text).map_err(|problems| SpecError::new(name, text, problems))?;
        self.push_tree(name, text, (root, problems))
    }

    /// Adds the assignments of a kernel command line: `basalt.node.KEY=VALUE`, where `KEY` is as
    /// `config explain` prints it. Other words are somebody else's. True if there were any.
    ///
    /// # Errors
    /// As [`Layers::push`]; places are in the command line.
    pub fn push_command_line(&mut self, name: &str, line: &str) -> Result<bool, SpecError> {
        let root = assignment::tree(line).map_err(|problems| SpecError::new(name, line, problems))?;
        let Some(root) = root else { return Ok(false) };
        self.push_tree(name, line, (root, Vec::new())).map(|()| true)
    }

    fn push_tree(
        &mut self,
        name: &str,
        text: &str,
        (mut root, problems): (Node, Vec<Problem>),
    ) -> Result<(), SpecError> {
        one_layer(&root, problems).map_err(|problems| SpecError::new(name, text, problems))?;
        let base = self.sources.last().map_or(0, |last| last.base + last.text.len() + 1);
        root.shift(base);
        self.sources.push(Source { name: name.to_owned(), text: text.to_owned(), base, root });
        Ok(())
    }

    /// The documents' names, by rising precedence.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| source.name.as_str())
    }

    /// What they say together.
    ///
    /// # Errors
    /// What only shows in the whole: keys of two documents that contradict each other, an interface that is made of one
    /// that no document has.
    pub fn merge(self) -> Result<Merged, MergeError> {
        let empty = Layer::of(&assignment::empty());
        let whole = self.sources.iter().map(|source| Layer::of(&source.root)).fold(empty, Layer::under);
        let document =
            match yaml::read_tree::<NodeConfig>(whole.settle_to_document(At::default()), Vec::new()) {
                Ok(document) => document,
                Err(problems) => return Err(MergeError::new(&self, &problems)),
            };
        let mut problems = check::conflicts(&document.value.spec, &document.root);
        problems.extend(check::references(&document.value.spec, &document.root));
        if !problems.is_empty() {
            problems.sort_by_key(Problem::offset);
            return Err(MergeError::new(&self, &problems));
        }
        Ok(Merged { config: document.value, root: document.root, layers: self })
    }

    /// Where a place of any document is.
    fn place(&self, at: At) -> Option<Place> {
        let source = self.sources.iter().rev().find(|source| source.base <= at.offset)?;
        let before = source.text.get(..at.offset - source.base)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Place {
            source: source.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..)?.chars().count() + 1,
        })
    }
}

/// The value of one document's tree; `problems` are those that were found when it was parsed.
pub(super) fn whole(root: &Node, problems: Vec<Problem>) -> Result<NodeConfig, Vec<Problem>> {
    let Document { value, root: own } = yaml::read_tree::<NodeConfig>(own(root), problems)?;
    let mut problems = check::conflicts(&value.spec, &own);
    problems.extend(named::doubles(root));
    if problems.is_empty() {
        return Ok(value);
    }
    problems.sort_by_key(Problem::offset);
    Err(problems)
}

/// Whether a tree that was made is a document.
pub(crate) fn check_tree(root: &Node) -> Result<(), Vec<Problem>> {
    whole(root, Vec::new()).map(drop)
}

/// What is wrong with a document whatever is below it. Another document may have what is missing in this one.
fn one_layer(root: &Node, problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    let mut problems = match yaml::read_tree::<NodeConfig>(own(root), problems) {
        Ok(document) => check::conflicts(&document.value.spec, &document.root),
        Err(problems) => problems,
    };
    problems.retain(|problem| problem.kind() != ProblemKind::MissingKey || problem.is_about_all());
    problems.extend(named::doubles(root));
    problems.sort_by_key(Problem::offset);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A document without what it takes away, which is no part of what it says.
fn own(root: &Node) -> Node {
    Layer::of(root).settle_to_document(root.at)
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}
