//! Changes a tree as a layer says: first everything that is hidden, then everything that is added.

use std::collections::{BTreeMap, HashMap};

use basalt_formats::tree::{FileName, Kind, Metadata, Node, NodeId, Tree};

use super::{
    LayerProblem,
    layer::{Added, Changes, Path, shown},
};

/// How many symbolic links lie on a path at most, as in Linux (`MAXSYMLINKS`).
const LINK_LIMIT: u32 = 40;

/// Applies the changes of one layer.
pub(super) fn apply(tree: &mut Tree, changes: Changes) -> Result<(), LayerProblem> {
    let Changes { whiteouts, opaque, entries } = changes;
    for path in opaque {
        if let Some(Kind::Directory(names)) = find(tree, &path)?.map(|id| &mut tree.node_mut(id).kind) {
            names.clear();
        }
    }
    for path in whiteouts {
        let Some((name, parent)) = path.split_last() else { continue };
        if let Some(Kind::Directory(names)) = find(tree, parent)?.map(|id| &mut tree.node_mut(id).kind) {
            names.remove(name);
        }
    }
    let mut seen = HashMap::new();
    for (path, added) in entries {
        place(tree, &mut seen, &path, added)?;
    }
    Ok(())
}

/// The places that this layer has filled, and what a directory was given.
type Seen = HashMap<(NodeId, FileName), Option<Metadata>>;

fn place(tree: &mut Tree, seen: &mut Seen, path: &Path, added: Added) -> Result<(), LayerProblem> {
    let Some((name, parent)) = path.split_last() else {
        if let Added::Node(node) = added {
            tree.node_mut(Tree::ROOT).metadata = node.metadata;
        }
        return Ok(());
    };
    let parent = walk(tree, parent, Missing::Make)?.ok_or_else(|| LayerProblem::NotDirectory(shown(path)))?;
    let directory = added.directory().cloned();
    let before = seen.insert((parent, name.clone()), directory.clone());
    // Archivers repeat directories, which says nothing new.
    if before.is_some_and(|before| before.is_none() || before != directory) {
        return Err(LayerProblem::Twice(shown(path)));
    }
    let standing = child(tree, parent, name);
    let id = match added {
        Added::HardLink(target) => link_target(tree, path, &target)?,
        Added::Node(node) => {
            let both = matches!(node.kind, Kind::Directory(_));
            let merged = standing.filter(|id| both && matches!(tree.node(*id).kind, Kind::Directory(_)));
            if let Some(id) = merged {
                tree.node_mut(id).metadata = node.metadata;
                return Ok(());
            }
            tree.add(node)
        }
    };
    tree.link(parent, name, id).map_err(|_no_directory| LayerProblem::NotDirectory(shown(path)))
}

/// What a hard link is to be another name of; the last part of its path is not followed.
fn link_target(tree: &mut Tree, path: &Path, target: &Path) -> Result<NodeId, LayerProblem> {
    let missing = || LayerProblem::LinkTarget { path: shown(path), target: shown(target) };
    let (name, parent) = target.split_last().ok_or_else(missing)?;
    let parent = find(tree, parent)?.ok_or_else(missing)?;
    let id = child(tree, parent, name).ok_or_else(missing)?;
    if matches!(tree.node(id).kind, Kind::Directory(_)) {
        return Err(LayerProblem::LinkDirectory { path: shown(path), target: shown(target) });
    }
    Ok(id)
}

fn child(tree: &Tree, parent: NodeId, name: &FileName) -> Option<NodeId> {
    match &tree.node(parent).kind {
        Kind::Directory(names) => names.get(name).copied(),
        Kind::File(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => None,
    }
}

/// What a walk does about a directory that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Give,
}

/// The directory at `path`, if it is there.
fn find(tree: &mut Tree, path: &[FileName]) -> Result<Option<NodeId>, LayerProblem> {
    match walk(tree, path, Missing::Give) {
        // What is no directory has nothing to hide and nothing to link to.
        Err(LayerProblem::NotDirectory(_)) => Ok(None),
        other => other,
    }
}

/// The directory at `path`. Symbolic links are followed as if the tree were the root: an absolute target begins there, and
/// `..` ends there.
fn walk(tree: &mut Tree, path: &[FileName], missing: Missing) -> Result<Option<NodeId>, LayerProblem> {
    let mut pending: Vec<FileName> = path.iter().rev().cloned().collect();
    let mut trail = vec![Tree::ROOT];
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == b".." {
            trail.truncate(trail.len().saturating_sub(1).max(1));
            continue;
        }
        let here = trail.last().copied().unwrap_or(Tree::ROOT);
        let id = match (child(tree, here, &name), missing) {
            (Some(id), _) => id,
            (None, Missing::Give) => return Ok(None),
            (None, Missing::Make) => {
                let kind = Kind::Directory(BTreeMap::new());
                let id = tree.add(Node { metadata: Metadata::root_owned(0o755), kind });
                tree.link(here, &name, id)
                    .map_err(|_no_directory| LayerProblem::NotDirectory(shown(path)))?;
                id
            }
        };
        match &tree.node(id).kind {
            Kind::Directory(_) => trail.push(id),
            Kind::Symlink(target) => {
                links += 1;
                if links > LINK_LIMIT {
                    return Err(LayerProblem::LinkLoop(shown(path)));
                }
                if target.starts_with(b"/") {
                    trail.truncate(1);
                }
                let parts = target.split(|byte| *byte == b'/');
                let parts = parts.filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec);
                pending.extend(parts.collect::<Vec<_>>().into_iter().rev());
            }
            Kind::File(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => {
                return Err(LayerProblem::NotDirectory(shown(path)));
            }
        }
    }
    Ok(Some(trail.last().copied().unwrap_or(Tree::ROOT)))
}
