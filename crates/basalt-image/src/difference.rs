//! What differs between two file trees: names that came and went, and what changed about those that stayed.

use std::{collections::BTreeMap, fmt, io};

use basalt_formats::tree::{Content, Kind, NodeId, ReadContent, Tree};
use serde::Serialize;

/// A tree and whoever has its bytes.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The names and their metadata.
    pub tree: &'a Tree,
    /// The bytes of its files.
    pub reader: &'a dyn ReadContent,
}

/// The difference between two trees, each list by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TreeDifference {
    /// Names that only the second tree has, and their sizes.
    pub added: Vec<Entry>,
    /// Names that only the first tree has, and their sizes.
    pub removed: Vec<Entry>,
    /// Names that both have, of which something else is said.
    pub changed: Vec<Change>,
}

/// A name on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The path, from `/`.
    pub path: String,
    /// The size of a regular file, 0 otherwise.
    pub size: u64,
}

/// A name on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The path, from `/`.
    pub path: String,
    /// What is different about it.
    pub aspects: Vec<Aspect>,
    /// The size on the first side.
    pub before: u64,
    /// The size on the second side.
    pub after: u64,
}

/// Something that can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// A file became a directory, a link a file…
    Kind,
    /// The bytes of a file, the target of a link, the number of a device.
    Content,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// Modification time.
    Time,
    /// Extended attributes.
    Xattrs,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").finish_non_exhaustive()
    }
}

/// Compares two trees.
///
/// # Errors
/// When the bytes of a file can't be read.
pub fn compare(first: Side<'_>, second: Side<'_>) -> io::Result<TreeDifference> {
    let (before, mut after) = (names(first.tree), names(second.tree));
    let mut difference = TreeDifference::default();
    for (path, old) in before {
        let Some(new) = after.remove(&path) else {
            difference.removed.push(entry(first.tree, path, old));
            continue;
        };
        let aspects = aspects(first, old, second, new)?;
        if !aspects.is_empty() {
            let (before, after) = (size(first.tree, old), size(second.tree, new));
            difference.changed.push(Change { path, aspects, before, after });
        }
    }
    difference.added = after.into_iter().map(|(path, id)| entry(second.tree, path, id)).collect();
    Ok(difference)
}

impl TreeDifference {
    /// Whether the trees are the same.
    pub fn is_empty(&self) -> bool {
        let Self { added, removed, changed } = self;
        added.is_empty() && removed.is_empty() && changed.is_empty()
    }
}

fn names(tree: &Tree) -> BTreeMap<String, NodeId> {
    let mut names = BTreeMap::new();
    tree.walk(&mut |path, id| {
        let path = if path.is_empty() { "/".to_owned() } else { String::from_utf8_lossy(path).into_owned() };
        names.insert(path, id);
    });
    names
}

fn entry(tree: &Tree, path: String, id: NodeId) -> Entry {
    Entry { path, size: size(tree, id) }
}

fn size(tree: &Tree, id: NodeId) -> u64 {
    match &tree.node(id).kind {
        Kind::File(content) => content.size,
        Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => 0,
    }
}

pub(crate) fn aspects(
    first: Side<'_>,
    old: NodeId,
    second: Side<'_>,
    new: NodeId,
) -> io::Result<Vec<Aspect>> {
    let (old, new) = (first.tree.node(old), second.tree.node(new));
    let (a, b) = (&old.metadata, &new.metadata);
    let same_kind = std::mem::discriminant(&old.kind) == std::mem::discriminant(&new.kind);
    let same_content = match (&old.kind, &new.kind) {
        (Kind::File(old), Kind::File(new)) => same_bytes(first.reader, old, second.reader, new)?,
        (Kind::Directory(_), Kind::Directory(_)) => true,
        (old, new) => old == new,
    };
    let table = [
        (Aspect::Kind, same_kind),
        (Aspect::Content, same_content || !same_kind),
        (Aspect::Mode, a.mode == b.mode),
        (Aspect::Owner, (a.uid, a.gid) == (b.uid, b.gid)),
        (Aspect::Time, (a.mtime, a.mtime_nanos) == (b.mtime, b.mtime_nanos)),
        (Aspect::Xattrs, a.xattrs == b.xattrs),
    ];
    Ok(table.into_iter().filter(|(_, same)| !same).map(|(aspect, _)| aspect).collect())
}

/// Compares in pieces of 1 MiB, so that a large file costs little memory.
fn same_bytes(
    old_reader: &dyn ReadContent,
    old: &Content,
    new_reader: &dyn ReadContent,
    new: &Content,
) -> io::Result<bool> {
    const PIECE: u64 = 1 << 20;
    if old.size != new.size {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut offset = 0;
    while offset < old.size {
        let length = usize::try_from(PIECE.min(old.size - offset)).map_err(io::Error::other)?;
        left.resize(length, 0);
        right.resize(length, 0);
        old.read_at(old_reader, offset, &mut left)?;
        new.read_at(new_reader, offset, &mut right)?;
        if left != right {
            return Ok(false);
        }
        offset += length as u64;
    }
    Ok(true)
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Content => "content",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Time => "time",
            Self::Xattrs => "xattrs",
        })
    }
}

impl fmt::Display for TreeDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let human = |size: u64| basalt_types::ByteSize::bytes(size).human();
        for Entry { path, size } in &self.removed {
            writeln!(f, "- {path} ({})", human(*size))?;
        }
        for Entry { path, size } in &self.added {
            writeln!(f, "+ {path} ({})", human(*size))?;
        }
        for Change { path, aspects, before, after } in &self.changed {
            let words: Vec<String> = aspects.iter().map(Aspect::to_string).collect();
            write!(f, "~ {path}: {}", words.join(", "))?;
            if before != after {
                write!(f, " ({} → {})", human(*before), human(*after))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
