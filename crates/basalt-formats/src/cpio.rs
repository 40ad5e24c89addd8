//! The initramfs archive: cpio in the `newc` format, as Linux unpacks it
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

use crate::tree::{Device, Kind, Node, NodeId, ReadContent, Tree};

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
    let names = Names::of(tree);
    let mut archive = Vec::new();
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
        let data = if !is_file || shared.last == *path { data_of(node, content, &text)? } else { Vec::new() };
        let size = u32::try_from(data.len()).ok();
        let too_large = || WriteError::TooLarge { path: text(), size: data.len() as u64 };
        let header = Header {
            ino: shared.number,
            mode: u32::from(node.metadata.mode) | type_bits(&node.kind),
            uid: node.metadata.uid,
            gid: node.metadata.gid,
            links: shared.links,
            mtime: clamp(node.metadata.mtime, newest),
            size: size.ok_or_else(too_large)?,
            device: device(&node.kind),
        };
        header.append(&mut archive, path);
        archive.extend_from_slice(&data);
        pad(&mut archive, ALIGNMENT);
    }
    Header { links: 1, ..Header::default() }.append(&mut archive, TRAILER);
    pad(&mut archive, BLOCK);
    Ok(archive)
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
    fn append(&self, archive: &mut Vec<u8>, name: &[u8]) {
        let Self { ino, mode, uid, gid, links, mtime, size, device } = self;
        let name_size = name.len() as u32 + 1;
        // The device that holds the archive's files is 0:0; the checksum is unused.
        let fields = [*ino, *mode, *uid, *gid, *links, *mtime, *size, 0, 0, device.0, device.1, name_size, 0];
        archive.extend_from_slice(MAGIC);
        for field in fields {
            archive.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        archive.extend_from_slice(name);
        archive.push(0);
        pad(archive, ALIGNMENT);
    }
}

fn pad(archive: &mut Vec<u8>, unit: usize) {
    archive.resize(archive.len().next_multiple_of(unit), 0);
}

fn data_of(node: &Node, reader: &dyn ReadContent, path: &dyn Fn() -> String) -> Result<Vec<u8>, WriteError> {
    match &node.kind {
        Kind::File(content) if content.size > u64::from(u32::MAX) => {
            Err(WriteError::TooLarge { path: path(), size: content.size })
        }
        Kind::File(content) => {
            content.read(reader).map_err(|source| WriteError::Content { path: path(), source })
        }
        Kind::Symlink(target) => Ok(target.clone()),
        Kind::Directory(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => {
            Ok(Vec::new())
        }
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
