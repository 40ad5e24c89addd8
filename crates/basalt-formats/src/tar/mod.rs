//! A file tree as a tar archive in the pax interchange format (POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax
//! Extended Header"): what other programs unpack, and what the layers of container images are made of.
//!
//! # Layout of an entry
//!
//! | bytes | holds |
//! |---|---|
//! | 512 + records, padded to 512 | extended header, when the fields of the next one have no room for a value |
//! | 512 | header |
//! | the file's | data, padded to 512 |
//!
//! Two blocks of zeros end the archive.
//!
//! # Flow
//!
//! names in order → the first name of a node is the node, the others are links to it → pieces of 256 KiB are read on all
//! cores → the sink gets them in order.
//!
//! The same tree gives the same bytes. Memory: 32 MiB and the tree's paths.
//!
//! Not here: compression (the sink's), whiteouts of container layers, reading.

pub(crate) mod header;
mod pax;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io::{self, Write},
    ops::Range,
};

use crate::{
    blocks::in_order,
    tree::{Kind, NodeId, ReadContent, Tree},
};

use header::BLOCK;

/// Bytes of a file that are read at a time.
const PIECE: u64 = 256 << 10;
/// Pieces in memory at a time, twice.
const BATCH: usize = 64;

/// Why a tree can't become an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The content of a file could not be read.
    #[error("the content of `{path}` could not be read")]
    Content {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The archive can't be put.
    #[error("the archive could not be written")]
    Sink(#[source] io::Error),
    /// Nothing in the format stands for a socket.
    #[error("`{0}` is a socket, which an archive can't hold")]
    Socket(String),
    /// The name has a character that ends it in the archive.
    #[error("`{path}` has the extended attribute `{name}`, whose name an archive can't hold")]
    Attribute {
        /// Its path.
        path: String,
        /// The attribute.
        name: String,
    },
}

/// One name in the archive.
struct Entry {
    /// As archives have it: without the leading `/`, and with one behind a directory's.
    path: Vec<u8>,
    id: NodeId,
    /// The entry that has the node already.
    link: Option<usize>,
}

/// What is made and written at once.
struct Piece<'a> {
    entry: &'a Entry,
    /// Bytes of the file; those from 0 on have the headers in front.
    range: Range<u64>,
    /// Bytes of the whole file.
    size: u64,
}

/// Writes the archive of a tree and gives its length. Later times than `newest` (seconds since 1970) become `newest`.
///
/// # Errors
/// When content can't be read, the tree holds what an archive can't, or the sink fails.
pub fn write(
    tree: &Tree,
    content: &dyn ReadContent,
    newest: i64,
    sink: &mut (dyn Write + Send),
) -> Result<u64, TarError> {
    let entries = entries(tree);
    let pieces = entries.iter().flat_map(|entry| pieces(tree, entry));
    let mut length = 0;
    let archive = Archive { tree, content, newest, entries: &entries };
    let make = |(): &mut (), piece: Piece<'_>| archive.bytes(&piece);
    in_order(
        (pieces, BATCH),
        || (),
        make,
        |bytes| {
            length += bytes.len() as u64;
            sink.write_all(&bytes).map_err(TarError::Sink)
        },
    )?;
    let end = [0; 2 * BLOCK];
    sink.write_all(&end).map_err(TarError::Sink)?;
    Ok(length + end.len() as u64)
}

/// Parents first, names in byte order.
fn entries(tree: &Tree) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut first: HashMap<NodeId, usize> = HashMap::new();
    tree.walk(&mut |path, id| {
        let mut path = path.strip_prefix(b"/").unwrap_or(b".").to_vec();
        if matches!(tree.node(id).kind, Kind::Directory(_)) {
            path.push(b'/');
        }
        let index = entries.len();
        let link = Some(*first.entry(id).or_insert(index)).filter(|first| *first != index);
        entries.push(Entry { path, id, link });
    });
    entries
}

/// At least one.
fn pieces<'a>(tree: &Tree, entry: &'a Entry) -> impl Iterator<Item = Piece<'a>> {
    let size = match &tree.node(entry.id).kind {
        Kind::File(content) if entry.link.is_none() => content.size,
        Kind::File(_)
        | Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => 0,
    };
    let starts = (0..size.div_ceil(PIECE).max(1)).map(|piece| piece * PIECE);
    starts.map(move |start| Piece { entry, range: start..(start + PIECE).min(size), size })
}

/// What pieces are made from.
struct Archive<'a> {
    tree: &'a Tree,
    content: &'a dyn ReadContent,
    newest: i64,
    entries: &'a [Entry],
}

impl Archive<'_> {
    fn bytes(&self, piece: &Piece<'_>) -> Result<Vec<u8>, TarError> {
        let Piece { entry, range, size } = piece;
        let mut bytes = if range.start == 0 { self.headers(entry, *size)? } else { Vec::new() };
        if let (Kind::File(content), true) = (&self.tree.node(entry.id).kind, !range.is_empty()) {
            let headers = bytes.len();
            bytes.resize(headers + (range.end - range.start) as usize, 0);
            content
                .read_at(self.content, range.start, &mut bytes[headers..])
                .map_err(|source| TarError::Content { path: lossy(&entry.path), source })?;
            // Only the last piece is not made of whole blocks.
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        Ok(bytes)
    }

    fn headers(&self, entry: &Entry, size: u64) -> Result<Vec<u8>, TarError> {
        let first = entry.link.map(|first| self.entries[first].path.as_slice());
        pax::headers(
            &pax::Named { path: &entry.path, node: self.tree.node(entry.id), first, size },
            self.newest,
        )
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
