//! The first look at a tree: every node that a name leads to, once, in path order.

use std::collections::BTreeSet;

use super::error::{NodeProblem, PlanError};
use crate::tree::{Kind, NodeId, Tree};

/// A node that will be written.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: NodeId,
    /// For a directory the one it is in; the root is in itself.
    pub(super) parent: NodeId,
    /// How many names lead here; for a directory 2 and its subdirectories, as POSIX counts.
    pub(super) links: u32,
    /// The first path, for errors.
    path: Vec<u8>,
}

impl Found {
    /// The error that names this node by its first path.
    pub(super) fn refuse(&self, source: NodeProblem) -> PlanError {
        PlanError::Node { path: path_text(&self.path), source }
    }
}

/// Finds every node: the root first, parents before children, names in byte order.
pub(super) fn survey(tree: &Tree) -> Result<Vec<Found>, PlanError> {
    let mut found: Vec<Found> = Vec::new();
    let mut places: Vec<Option<usize>> = vec![None; tree.arena_len()];
    let mut open = BTreeSet::new();
    let mut pending = vec![(Vec::new(), Tree::ROOT, Tree::ROOT)];
    while let Some((path, id, parent)) = pending.pop() {
        let refuse = |source| PlanError::Node { path: path_text(&path), source };
        let Kind::Directory(names) = &tree.node(id).kind else {
            match places[id.index()] {
                Some(place) => found[place].links += 1,
                None => {
                    places[id.index()] = Some(found.len());
                    found.push(Found { id, parent, links: 1, path });
                }
            }
            continue;
        };
        if !open.insert(id) {
            return Err(refuse(NodeProblem::DirectoryTwice));
        }
        let mut links = 2;
        for (name, child) in names.iter().rev() {
            let child_path = [path.as_slice(), b"/", name].concat();
            if !is_name(name) {
                return Err(PlanError::Node { path: path_text(&child_path), source: NodeProblem::Name });
            }
            links += u32::from(matches!(tree.node(*child).kind, Kind::Directory(_)));
            pending.push((child_path, *child, id));
        }
        found.push(Found { id, parent, links, path });
    }
    Ok(found)
}

/// What Linux takes as a name: 1 to 255 bytes, no NUL, no `/`, not `.` and not `..`.
fn is_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len())
        && !name.iter().any(|b| matches!(b, 0 | b'/'))
        && name != b"."
        && name != b".."
}

fn path_text(path: &[u8]) -> String {
    if path.is_empty() { "/".to_owned() } else { String::from_utf8_lossy(path).into_owned() }
}
