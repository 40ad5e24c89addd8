//! Small edits of a tree: read a text, put a file, make a link, all with the image's one time.

use std::io;

use basalt_formats::tree::{Content, Kind, Metadata, Node, NodeId, ReadContent, Tree, TreeError};

/// A tree, where its bytes are, and the time that new nodes get.
pub(crate) struct Editor<'a> {
    pub(crate) tree: &'a mut Tree,
    reader: &'a dyn ReadContent,
    epoch: i64,
}

/// Why an edit failed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The tree doesn't allow it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The content of a file can't be read from its store.
    #[error("`{path}` can't be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file that must be text is not.
    #[error("`{0}` is not UTF-8 text")]
    NotText(String),
    /// Something else stands where a file must be.
    #[error("`{0}` is not a regular file")]
    NotFile(String),
}

/// The largest configuration file that is read whole: what is larger is no configuration.
const LARGEST_TEXT: u64 = 16 << 20;

impl<'a> Editor<'a> {
    pub(crate) fn new(tree: &'a mut Tree, reader: &'a dyn ReadContent, epoch: u64) -> Self {
        Self { tree, reader, epoch: i64::try_from(epoch).unwrap_or(i64::MAX) }
    }

    /// Whether `path` leads to something, through links.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.tree.resolve(path).is_ok()
    }

    /// The text of the file at `path`, through links; `None` when nothing is there.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, EditError> {
        let id = match self.tree.resolve(path) {
            Ok(id) => id,
            Err(TreeError::Missing(_)) => return Ok(None),
            Err(other) => return Err(other.into()),
        };
        self.text_of(id, path).map(Some)
    }

    /// The text of the file `id`; `path` is for messages.
    pub(crate) fn text_of(&self, id: NodeId, path: &str) -> Result<String, EditError> {
        let Kind::File(content) = &self.tree.node(id).kind else {
            return Err(EditError::NotFile(path.to_owned()));
        };
        if content.size > LARGEST_TEXT {
            return Err(EditError::NotText(path.to_owned()));
        }
        let read = |source| EditError::Read { path: path.to_owned(), source };
        let bytes = content.read(self.reader).map_err(read)?;
        String::from_utf8(bytes).map_err(|_bytes| EditError::NotText(path.to_owned()))
    }

    /// Changes the text of the file at `path`, through links, and keeps its owner and mode; a missing one is made with
    /// `mode`, owned by root.
    pub(crate) fn write(&mut self, path: &str, text: String, mode: u16) -> Result<(), EditError> {
        let mtime = self.epoch;
        match self.tree.resolve(path) {
            Ok(id) => {
                let node = self.tree.node_mut(id);
                if !matches!(node.kind, Kind::File(_)) {
                    return Err(EditError::NotFile(path.to_owned()));
                }
                node.kind = Kind::File(Content::inline(text.into_bytes()));
                node.metadata.mtime = mtime;
                node.metadata.mtime_nanos = 0;
                Ok(())
            }
            Err(TreeError::Missing(_)) => {
                let content = Content::inline(text.into_bytes());
                self.put(path, Kind::File(content), self.rooted(mode))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Puts a node at `path`, in place of a file or link that was there.
    pub(crate) fn put(&mut self, path: &str, kind: Kind, metadata: Metadata) -> Result<(), EditError> {
        self.tree.insert(path, Node { metadata, kind })?;
        Ok(())
    }

    /// A symbolic link at `path`, in place of a file or link that was there.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<(), EditError> {
        self.put(path, Kind::Symlink(target.as_bytes().to_vec()), self.rooted(0o777))
    }

    /// Metadata of something new: owned by root, as old as the image.
    pub(crate) fn rooted(&self, mode: u16) -> Metadata {
        self.owned(mode, 0, 0)
    }

    /// Metadata of something new.
    pub(crate) fn owned(&self, mode: u16, uid: u32, gid: u32) -> Metadata {
        Metadata { uid, gid, mtime: self.epoch, ..Metadata::root_owned(mode) }
    }

    /// The names in the directory at `path`, through links; nothing when it isn't one.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = match self.tree.resolve(path).map(|id| &self.tree.node(id).kind) {
            Ok(Kind::Directory(entries)) => entries,
            Ok(
                Kind::File(_)
                | Kind::Symlink(_)
                | Kind::CharDevice(_)
                | Kind::BlockDevice(_)
                | Kind::Fifo
                | Kind::Socket,
            )
            | Err(_) => return Vec::new(),
        };
        entries.keys().filter_map(|name| String::from_utf8(name.clone()).ok()).collect()
    }

    /// The target of the symbolic link at `path` itself.
    pub(crate) fn link_target(&self, path: &str) -> Option<String> {
        match &self.tree.node(self.tree.lookup(path)?).kind {
            Kind::Symlink(target) => Some(String::from_utf8_lossy(target).into_owned()),
            Kind::Directory(_)
            | Kind::File(_)
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo
            | Kind::Socket => None,
        }
    }

    /// Seconds since 1970 that new things carry.
    pub(crate) const fn epoch(&self) -> i64 {
        self.epoch
    }
}
