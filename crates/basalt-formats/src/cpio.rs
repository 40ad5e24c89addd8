//! The initramfs archive, and a system tree for whoever boots from memory: cpio in the `newc` format, as Linux unpacks it
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! An entry is a header of 110 bytes (magic `070701` and 13 numbers of 8 hex digits), the name with a NUL, padding to
//! 4 bytes, the data, padding to 4 bytes. Several names of one inode come one after another with the data in the last
//! only. An entry named `TRAILER!!!` ends the archive.
//!
//! Deterministic: the same tree gives the same bytes. Inode numbers count from 1 in path order. Extended attributes,
//! nanoseconds and times outside of 1970 to 2106 are not stored: the format has no place for them.

mod read;

use std::collections::BTreeMap;
use std::io;

use crate::tree::{Content, Device, Kind, Node, NodeId, ReadContent, Tree};

pub use read::{CpioError, Entry, entries};

/// `070701`: newc without checksums.
const MAGIC: &[u8; 6] = b"070701";
/// Bytes of a header.
const HEADER: usize = 110;
/// The name of the last entry.
const TRAILER: &[u8] = b"TRAILER!!!";
/// What names and data are padded to.
const ALIGNMENT: usize = 4;
/// Bytes of the archive are a multiple of this, so that a second archive can follow.
const BLOCK: usize = 512;
/// Bytes of a file that are in memory at a time.
const PIECE: u64 = 1 << 20;

/// Why a tree can't become an archive.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The content of a file could not be read.
    #[error("the content of `{path}` could not be read")]
    Content {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file is 4 GiB or larger.
    #[error("`{path}` has {size} bytes, more than the archive format can count")]
    TooLarge {
        /// Its path.
        path: String,
        /// Bytes of the file.
        size: u64,
    },
    /// A name is what ends the archive.
    #[error("`{path}` is the name that ends an archive")]
    Trailer {
        /// Its path.
        path: String,
    },
    /// The archive can't be put.
    #[error("the archive could not be written")]
    Sink(#[source] io::Error),
}

/// Why an archive could not be compressed.
#[derive(Debug, thiserror::Error)]
#[error("the initramfs could not be compressed at level {level}")]
pub struct CompressError {
    /// The level.
    level: i32,
    source: io::Error,
}

/// The archive of a tree. Later times than `newest` (seconds since 1970) become `newest`.
///
/// # Errors
/// When content can't be read or a file is too large.
pub fn write(tree: &Tree, content: &dyn ReadContent, newest: i64) -> Result<Vec<u8>, WriteError> {
    let mut archive = Vec::new();
    stream(tree, content, newest, &mut archive)?;
    Ok(archive)
}

/// Writes the archive of a tree piece by piece and gives its length, with the same bytes as [`write`].
///
/// # Errors
/// When content can't be read, a file is too large, or the sink fails.
pub fn stream(
    tree: &Tree,
    content: &dyn ReadContent,
    newest: i64,
    sink: &mut dyn io::Write,
) -> Result<u64, WriteError> {
    let names = Names::of(tree);
    let mut archive = Archive { sink, length: 0 };
    for (path, id) in &names.in_order {
        let shared = &names.shared[id];
        let node = tree.node(*id);
        let text = || String::from_utf8_lossy(path).into_owned();
        if path == TRAILER {
            return Err(WriteError::Trailer { path: text() });
        }
        // Linux links a file's names to the first one and fills it when data comes: with the last name. It does not
        // link symbolic links, so each needs its target.
        let is_file = matches!(node.kind, Kind::File(_));
        let data = if !is_file || shared.last == *path { Data::of(node) } else { Data::None };
        let too_large = |_| WriteError::TooLarge { path: text(), size: data.size() };
        let header = Header {
            ino: shared.number,
            mode: u32::from(node.metadata.mode) | type_bits(&node.kind),
            uid: node.metadata.uid,
            gid: node.metadata.gid,
            links: shared.links,
            mtime: clamp(node.metadata.mtime, newest),
            size: u32::try_from(data.size()).map_err(too_large)?,
            device: device(&node.kind),
        };
        archive.put(&header.encode(path))?;
        archive.put_data(&data, content, &text)?;
    }
    archive.put(&Header { links: 1, ..Header::default() }.encode(TRAILER))?;
    archive.pad(BLOCK)?;
    Ok(archive.length)
}

/// Compresses an archive as one zstd frame with a checksum. The same bytes and level give the same frame.
///
/// The kernel takes windows up to 128 MiB (`lib/decompress_unzstd.c`), which is what zstd's highest level uses.
///
/// # Errors
/// When the level does not exist or memory runs out.
pub fn compress_initramfs(archive: &[u8], level: i32) -> Result<Vec<u8>, CompressError> {
    let refuse = |source| CompressError { level, source };
    if !zstd::compression_level_range().contains(&level) || level == 0 {
        return Err(refuse(io::Error::new(
            io::ErrorKind::InvalidInput,
            "zstd has levels 1 to 22, and negative ones",
        )));
    }
    let compress = || -> io::Result<Vec<u8>> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        compressor.compress(archive)
    };
    compress().map_err(refuse)
}

/// The names of each node, and the order in which they are written.
struct Names {
    in_order: Vec<(Vec<u8>, NodeId)>,
    shared: BTreeMap<NodeId, Shared>,
}

/// What the names of one node share.
struct Shared {
    number: u32,
    links: u32,
    /// The name that comes last.
    last: Vec<u8>,
}

impl Names {
    /// Parents come first, names in byte order.
    fn of(tree: &Tree) -> Self {
        let mut in_order = Vec::new();
        let mut nodes: BTreeMap<NodeId, Shared> = BTreeMap::new();
        tree.walk(&mut |path, id| {
            let path = path.strip_prefix(b"/").unwrap_or(b".").to_vec();
            let number = nodes.len() as u32 + 1;
            let shared = nodes.entry(id).or_insert(Shared { number, links: 0, last: Vec::new() });
            shared.links += 1;
            shared.last.clone_from(&path);
            in_order.push((path, id));
        });
        for (id, shared) in &mut nodes {
            if let Kind::Directory(names) = &tree.node(*id).kind {
                let below = names.values().filter(|id| matches!(tree.node(**id).kind, Kind::Directory(_)));
                shared.links = 2 + below.count() as u32;
            }
        }
        Self { in_order, shared: nodes }
    }
}

#[derive(Default)]
struct Header {
    ino: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    size: u32,
    device: (u32, u32),
}

impl Header {
    /// The header, the name and what pads both.
    fn encode(&self, name: &[u8]) -> Vec<u8> {
        let Self { ino, mode, uid, gid, links, mtime, size, device } = self;
        let name_size = name.len() as u32 + 1;
        // The device that holds the archive's files is 0:0; the checksum is unused.
        let fields = [*ino, *mode, *uid, *gid, *links, *mtime, *size, 0, 0, device.0, device.1, name_size, 0];
        let mut bytes = MAGIC.to_vec();
        for field in fields {
            bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }
}

/// What follows a header.
enum Data<'a> {
    None,
    File(&'a Content),
    Target(&'a [u8]),
}

impl<'a> Data<'a> {
    fn of(node: &'a Node) -> Self {
        match &node.kind {
            Kind::File(content) => Self::File(content),
            Kind::Symlink(target) => Self::Target(target),
            Kind::Directory(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => {
                Self::None
            }
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::File(content) => content.size,
            Self::Target(target) => target.len() as u64,
        }
    }
}

/// The archive on its way.
struct Archive<'a> {
    sink: &'a mut dyn io::Write,
    length: u64,
}

impl Archive<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.length += bytes.len() as u64;
        self.sink.write_all(bytes).map_err(WriteError::Sink)
    }

    fn pad(&mut self, unit: usize) -> Result<(), WriteError> {
        let over = (self.length % unit as u64) as usize;
        if over == 0 { Ok(()) } else { self.put(&[0; BLOCK][..unit - over]) }
    }

    /// Puts data piece by piece, and what pads it.
    fn put_data(
        &mut self,
        data: &Data<'_>,
        reader: &dyn ReadContent,
        path: &dyn Fn() -> String,
    ) -> Result<(), WriteError> {
        match data {
            Data::None => {}
            Data::Target(target) => self.put(target)?,
            Data::File(content) => {
                let mut piece = vec![0; content.size.min(PIECE) as usize];
                let mut offset = 0;
                while offset < content.size {
                    let length = (content.size - offset).min(PIECE) as usize;
                    let read = content.read_at(reader, offset, &mut piece[..length]);
                    read.map_err(|source| WriteError::Content { path: path(), source })?;
                    self.put(&piece[..length])?;
                    offset += length as u64;
                }
            }
        }
        self.pad(ALIGNMENT)
    }
}

fn clamp(mtime: i64, newest: i64) -> u32 {
    mtime.min(newest).clamp(0, u32::MAX.into()) as u32
}

/// `S_IF*`.
const fn type_bits(kind: &Kind) -> u32 {
    match kind {
        Kind::Fifo => 0o01_0000,
        Kind::CharDevice(_) => 0o02_0000,
        Kind::Directory(_) => 0o04_0000,
        Kind::BlockDevice(_) => 0o06_0000,
        Kind::File(_) => 0o10_0000,
        Kind::Symlink(_) => 0o12_0000,
        Kind::Socket => 0o14_0000,
    }
}

const fn device(kind: &Kind) -> (u32, u32) {
    match kind {
        Kind::CharDevice(Device { major, minor }) | Kind::BlockDevice(Device { major, minor }) => {
            (*major, *minor)
        }
        Kind::Directory(_) | Kind::File(_) | Kind::Symlink(_) | Kind::Fifo | Kind::Socket => (0, 0),
    }
}
