//! One in-memory file tree, which every writer (EROFS, cpio, tar) takes and every reader gives.
//!
//! Nodes live in an arena; a directory maps names to node ids, so a hard link is two names for one id. File content
//! is not in the tree: a [`Content`] says how long it is and where a [`ReadContent`] finds it.
//!
//! Not here: reading a directory of the host (`basalt-exec`), and rules about what a tree should hold
//! (`basalt-image`).

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use crate::ReadAt;

/// A file name: any bytes except NUL and `/` (POSIX); Linux does not ask for UTF-8.
pub type FileName = Vec<u8>;

/// The place of a node in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// What every inode has, whatever its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with set-uid, set-gid and sticky: the low 12 bits of `st_mode`.
    pub mode: u16,
    /// Owner, as the image's `/etc/passwd` numbers it.
    pub uid: u32,
    /// Group, as the image's `/etc/group` numbers it.
    pub gid: u32,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// The nanoseconds of the modification time, below 1,000,000,000.
    pub mtime_nanos: u32,
    /// Extended attributes by full name, such as `security.capability`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory: names in byte order.
    Directory(BTreeMap<FileName, NodeId>),
    /// A regular file.
    File(Content),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A device number, as `mknod` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The unit.
    pub minor: u32,
}

/// The bytes of a regular file: how many, and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Length in bytes.
    pub size: u64,
    /// Where the bytes are.
    pub source: Source,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In memory.
    Inline(Arc<[u8]>),
    /// In store number `store` of the reader, from byte `offset` on.
    Stored {
        /// Which store: the [`ReadContent`] in use gives the number its meaning.
        store: u32,
        /// The first byte.
        offset: u64,
    },
    /// One content behind the other, such as a file whose last part lies elsewhere. Their sizes add up.
    Parts(Arc<[Content]>),
}

/// One inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Owner, mode, times, extended attributes.
    pub metadata: Metadata,
    /// What it is.
    pub kind: Kind,
}

/// A file tree with one root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// Gives the bytes of stored content.
pub trait ReadContent: Sync {
    /// Fills `buffer` with the bytes of `store` from `offset` on; an early end is an error.
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A reader for trees whose stores are these, by number: the images that build steps hand on.
#[derive(Clone, Copy)]
pub struct Stores<'a>(pub &'a [&'a dyn ReadAt]);

/// A reader for trees whose files are all in memory.
#[derive(Clone, Copy, Debug)]
pub struct NoStores;

/// Why a path could not be used in a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A part of the path that must be a directory is not one.
    #[error("`{0}` is not a directory")]
    NotDirectory(String),
    /// Nothing is there.
    #[error("`{0}` does not exist")]
    Missing(String),
    /// A directory stands where a file was to be put.
    #[error("`{0}` is a directory")]
    IsDirectory(String),
    /// Symbolic links lead round in a circle.
    #[error("`{0}` goes through more than 40 symbolic links")]
    LinkLoop(String),
}

impl Metadata {
    /// Owned by root, with this mode.
    pub fn root_owned(mode: u16) -> Self {
        Self { mode, ..Self::default() }
    }
}

impl Content {
    /// Content held in memory.
    pub fn inline(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, source: Source::Inline(bytes) }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When the range is not inside the content, or the store can't be read.
    pub fn read_at(&self, reader: &dyn ReadContent, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &self.source {
            Source::Inline(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
                Ok(())
            }
            Source::Stored { store, offset: base } => {
                let from = base.checked_add(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
                reader.read_stored(*store, from, buffer)
            }
            Source::Parts(parts) => read_parts(parts, reader, offset, buffer),
        }
    }

    /// All the bytes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn read(&self, reader: &dyn ReadContent) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).map_err(io::Error::other)?];
        self.read_at(reader, 0, &mut bytes)?;
        Ok(bytes)
    }
}

impl ReadContent for Stores<'_> {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let found = usize::try_from(store).map_err(io::Error::other).map(|store| self.0.get(store))?;
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no store {store}"));
        found.ok_or_else(missing)?.read_at(offset, buffer)
    }
}

impl fmt::Debug for Stores<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|store| store.size())).finish()
    }
}

impl ReadContent for NoStores {
    fn read_stored(&self, store: u32, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("this tree has no store {store}")))
    }
}

impl NodeId {
    /// The place in the arena, below [`Tree::arena_len`]: for tables beside the tree.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Tree {
    /// The id of the root directory.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree that holds an empty root directory, mode 0755, owned by root.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node {
                metadata: Metadata::root_owned(0o755),
                kind: Kind::Directory(BTreeMap::new()),
            }],
        }
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The node with this id, to change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// How many nodes the arena holds, also those that no name leads to any more.
    pub fn arena_len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node that no name leads to yet.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        id
    }

    /// Gives `id` a name in the directory `parent`; what had the name before loses it.
    ///
    /// # Errors
    /// When `parent` is not a directory.
    pub fn link(&mut self, parent: NodeId, name: &[u8], id: NodeId) -> Result<(), TreeError> {
        let Kind::Directory(entries) = &mut self.node_mut(parent).kind else {
            return Err(TreeError::NotDirectory(lossy(name)));
        };
        entries.insert(name.to_vec(), id);
        Ok(())
    }

    /// The node that `path` names, without following a symbolic link anywhere.
    pub fn lookup(&self, path: &str) -> Option<NodeId> {
        let mut id = Self::ROOT;
        for name in components(path) {
            let Kind::Directory(entries) = &self.node(id).kind else { return None };
            id = *entries.get(name)?;
        }
        Some(id)
    }

    /// The node that `path` names, following every symbolic link inside the tree, the last one too.
    ///
    /// # Errors
    /// When a part is missing or not a directory, or links lead round in a circle.
    pub fn resolve(&self, path: &str) -> Result<NodeId, TreeError> {
        let mut pending: Vec<FileName> = components(path).map(<[u8]>::to_vec).rev().collect();
        let mut trail = vec![Self::ROOT];
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == b".." {
                trail.truncate(trail.len().saturating_sub(1).max(1));
                continue;
            }
            let here = trail.last().copied().unwrap_or(Self::ROOT);
            let Kind::Directory(entries) = &self.node(here).kind else {
                return Err(TreeError::NotDirectory(path.to_owned()));
            };
            let id = *entries.get(&name).ok_or_else(|| TreeError::Missing(path.to_owned()))?;
            if let Kind::Symlink(target) = &self.node(id).kind {
                links += 1;
                if links > 40 {
                    return Err(TreeError::LinkLoop(path.to_owned()));
                }
                if target.starts_with(b"/") {
                    trail.truncate(1);
                }
                let parts = target.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
                pending.extend(parts.map(<[u8]>::to_vec).rev());
            } else {
                trail.push(id);
            }
        }
        Ok(trail.last().copied().unwrap_or(Self::ROOT))
    }

    /// The directory at `path`, following symbolic links; missing ones are made, mode 0755, owned by root.
    ///
    /// # Errors
    /// When a part of the path is there and is no directory.
    pub fn make_directories(&mut self, path: &str) -> Result<NodeId, TreeError> {
        let mut here = Self::ROOT;
        let mut walked = String::new();
        for name in components(path) {
            walked.push('/');
            walked.push_str(&lossy(name));
            let found = self.resolve(&walked);
            here = match found {
                Ok(id) => id,
                Err(TreeError::Missing(_)) => {
                    let kind = Kind::Directory(BTreeMap::new());
                    let id = self.add(Node { metadata: Metadata::root_owned(0o755), kind });
                    self.link(here, name, id)?;
                    id
                }
                Err(other) => return Err(other),
            };
            if !matches!(self.node(here).kind, Kind::Directory(_)) {
                return Err(TreeError::NotDirectory(walked));
            }
        }
        Ok(here)
    }

    /// Puts `node` at `path`, making the directories above it; a file or link that was there is replaced.
    ///
    /// # Errors
    /// When something above is no directory, or a directory stands there and `node` is not one.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<NodeId, TreeError> {
        let (parent, name) = match path.trim_end_matches('/').rsplit_once('/') {
            Some((parent, name)) => (self.make_directories(parent)?, name),
            None => (Self::ROOT, path),
        };
        let Kind::Directory(entries) = &self.node(parent).kind else {
            return Err(TreeError::NotDirectory(path.to_owned()));
        };
        let standing = entries.get(name.as_bytes()).copied();
        if let Some(standing) = standing.filter(|id| matches!(self.node(*id).kind, Kind::Directory(_))) {
            if !matches!(node.kind, Kind::Directory(_)) {
                return Err(TreeError::IsDirectory(path.to_owned()));
            }
            self.node_mut(standing).metadata = node.metadata;
            return Ok(standing);
        }
        let id = self.add(node);
        self.link(parent, name.as_bytes(), id)?;
        Ok(id)
    }

    /// Takes the name `path` out of the tree with all below it; gives the node it led to. No link is followed.
    pub fn remove(&mut self, path: &str) -> Option<NodeId> {
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        let parent = self.lookup(parent)?;
        let Kind::Directory(entries) = &mut self.node_mut(parent).kind else { return None };
        entries.remove(name.as_bytes())
    }

    /// Visits every name below the root, parents first, names in byte order; the root itself comes first with an
    /// empty path. A node with several names is visited once for each.
    pub fn walk(&self, visit: &mut dyn FnMut(&[u8], NodeId)) {
        let mut pending = vec![(Vec::new(), Self::ROOT)];
        while let Some((path, id)) = pending.pop() {
            visit(&path, id);
            if let Kind::Directory(entries) = &self.node(id).kind {
                for (name, child) in entries.iter().rev() {
                    let mut below = path.clone();
                    below.push(b'/');
                    below.extend_from_slice(name);
                    pending.push((below, *child));
                }
            }
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills `buffer` from the parts that lie behind one another.
fn read_parts(parts: &[Content], reader: &dyn ReadContent, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut skip = offset;
    let mut rest = buffer;
    for part in parts {
        if rest.is_empty() {
            return Ok(());
        }
        let here = part.size.saturating_sub(skip).min(rest.len() as u64);
        let (now, later) = rest.split_at_mut(usize::try_from(here).map_err(io::Error::other)?);
        if !now.is_empty() {
            part.read_at(reader, skip, now)?;
        }
        skip = skip.saturating_sub(part.size);
        rest = later;
    }
    if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::as_bytes)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
