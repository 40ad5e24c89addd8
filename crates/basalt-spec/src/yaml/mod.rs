//! YAML read by what a key wants, with the place of every key and value kept for messages.
//!
//! `text → node::parse → Node → read: deserialise, report, remove what was wrong, repeat → T or every problem`
//!
//! A scalar has no type of its own here: `version: 1.10` is the text `1.10` because a version is text, and
//! `hostname: no` is a host called `no`. Only a key that wants a number or a truth value reads one. Anchors, aliases,
//! tags and several documents are refused: a recipe is read by people first.

mod de;
mod node;

#[cfg(test)]
mod tests;

pub(crate) use de::INCOMPLETE;
pub(crate) use node::{At, Entry, Node, Step, Value};

use serde::de::DeserializeOwned;

use crate::diagnostic::Problem;

/// How many problems are reported at most; a file with more of them is not a recipe.
const MOST_PROBLEMS: usize = 40;

/// A document and the value in it.
pub(crate) struct Document<T> {
    /// The value.
    pub(crate) value: T,
    /// The tree it was read from, to find the place of a path.
    pub(crate) root: Node,
}

/// Reads a value, or says everything that is wrong with the text in the order of the text.
///
/// serde stops at the first error of a derived type. So: note it, remove the key or item that it is about, read
/// again. What a removal causes (a required key that is now missing) is not a problem of the text and not reported.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<Document<T>, Vec<Problem>> {
    let (root, problems) = parse(text)?;
    read_tree(root, problems)
}

/// The tree of a text, and the duplicate keys that were left out of it; or why it has none.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Problem>), Vec<Problem>> {
    node::parse(text).map_err(|problem| vec![*problem])
}

/// As [`read`], from a tree; `problems` are those that are known already.
pub(crate) fn read_tree<T: DeserializeOwned>(
    mut root: Node,
    mut problems: Vec<Problem>,
) -> Result<Document<T>, Vec<Problem>> {
    let mut removed: Vec<Vec<Step>> = Vec::new();
    while problems.len() < MOST_PROBLEMS {
        let error = match T::deserialize(de::NodeDeserializer::new(&root)) {
            Ok(value) if problems.is_empty() => return Ok(Document { value, root }),
            Ok(_) => break,
            Err(error) => error,
        };
        let caused = error.follows_from(&removed);
        let path = error.path().to_vec();
        if !caused {
            problems.push(error.into_problem(&root));
        }
        // The whole document is wrong, or what is left of it is: nothing more can be learnt.
        if path.is_empty() || !root.remove(&path) {
            break;
        }
        // Later items of a list move up: what was noted below the removed place is not there any more.
        removed.retain(|known| !known.starts_with(&path));
        removed.push(path);
    }
    problems.sort_by_key(|problem| problem.offset());
    Err(problems)
}
