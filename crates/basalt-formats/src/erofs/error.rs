//! Why an image can't be planned, written or read.

use std::io;

use super::{
    codec::CompressionProblem,
    directory::DirectoryProblem,
    format::{DataLayout, SuperblockError},
    lookup::ClusterError,
    xattr::{XattrDamage, XattrProblem},
};

/// Why a tree can't become an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The label is too long or holds NUL.
    #[error("the label `{label}` does not fit: at most 16 bytes without NUL")]
    Label {
        /// The label.
        label: String,
    },
    /// The compression is not possible.
    #[error(transparent)]
    Compression(#[from] CompressionProblem),
    /// The late file is not there, or is none.
    #[error("`{path}` is no regular file of the tree, and so can't be written late")]
    Late {
        /// Its path.
        path: String,
    },
    /// A node can't be stored.
    #[error("`{path}` can't be stored")]
    Node {
        /// The first path that leads to it.
        path: String,
        /// Why.
        source: NodeProblem,
    },
    /// The image would have more blocks than 32 bits can count.
    #[error("the image would take {size} bytes, more than 32 bits can count in blocks of 4096")]
    TooLarge {
        /// Bytes it would take.
        size: u64,
    },
}

/// Why a node can't be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeProblem {
    /// The name is empty, too long, `.`, `..`, or holds `/` or NUL.
    #[error(
        "its name is no file name: expected 1 to 255 bytes without `/` and NUL, and neither `.` nor `..`"
    )]
    Name,
    /// Two names lead to one directory, or a directory is inside itself.
    #[error("another name leads to the same directory")]
    DirectoryTwice,
    /// The mode holds more than permission bits.
    #[error("its mode {mode:#o} holds more than permission bits (0o7777)")]
    Mode {
        /// The mode.
        mode: u16,
    },
    /// The nanoseconds make a second or more.
    #[error("its modification time has {nanos} nanoseconds: expected less than a second")]
    Nanoseconds {
        /// The nanoseconds.
        nanos: u32,
    },
    /// The target of a symbolic link is empty, too long or holds NUL.
    #[error("it is a symbolic link with {length} bytes: expected 1 to 4095 without NUL")]
    Target {
        /// Bytes of the target.
        length: usize,
    },
    /// The device number is too large for Linux.
    #[error("its device number {major}:{minor} is too large: 12 bits and 20 bits fit")]
    Device {
        /// The driver.
        major: u32,
        /// The unit.
        minor: u32,
    },
    /// An attribute can't be stored.
    #[error(transparent)]
    Xattr(#[from] XattrProblem),
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The tree can't become an image.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The content of a file could not be compressed.
    #[error("`{path}` could not be compressed")]
    Compress {
        /// The first path that leads to it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An earlier image could not be read.
    #[error("the clusters of `{path}` could not be copied from an earlier image")]
    Donor {
        /// The first path that leads to the file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The tree is another one than before, in more than the bytes of its late file.
    #[error(
        "the tree has changed since its data was written: the image would be {found} bytes, not {expected}"
    )]
    Changed {
        /// Bytes of the image as it was planned.
        expected: u64,
        /// Bytes that it would have now.
        found: u64,
    },
    /// The content of a file could not be read.
    #[error("the content of `{path}` could not be read")]
    Content {
        /// The first path that leads to it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A part of the image could not be written.
    #[error("the image could not be written at byte {offset}")]
    Sink {
        /// Where the part starts.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// Why an image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("the image could not be read at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The superblock is damaged or asks for what is not supported.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// There are fewer bytes than the superblock says.
    #[error("the image is cut off: its superblock says {expected} bytes, there are {found}")]
    Truncated {
        /// Bytes that the superblock counts.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Something lies outside of the image.
    #[error("node {nid}: {what} would be at byte {offset}, {length} bytes long, outside of the image")]
    Outside {
        /// The node.
        nid: u64,
        /// What lies outside.
        what: &'static str,
        /// Where it would start.
        offset: u64,
        /// How long it would be.
        length: u64,
    },
    /// The format of an inode is unknown.
    #[error("node {nid}: the inode's format {format:#x} is unknown")]
    Format {
        /// The node.
        nid: u64,
        /// `i_format`.
        format: u16,
    },
    /// The data is stored in a way that this reader lacks.
    #[error("node {nid}: data layout {layout:?} is not supported for a node of this kind")]
    Unsupported {
        /// The node.
        nid: u64,
        /// How it is stored.
        layout: DataLayout,
    },
    /// The index of a compressed file is damaged, or of a kind that this reader lacks.
    #[error("node {nid}: its compressed data can't be read")]
    Cluster {
        /// The node.
        nid: u64,
        /// Why.
        source: ClusterError,
    },
    /// The sizes of compressed files add up to more than 64 bits can count.
    #[error("node {nid}: the sizes of compressed files add up to too much")]
    Sizes {
        /// Where the limit was passed.
        nid: u64,
    },
    /// A file lies in the packed file, which is not there or too short.
    #[error("node {nid}: a part of it is in a packed file, which is not there, too short or divided itself")]
    Fragment {
        /// The node.
        nid: u64,
    },
    /// The mode has no known file type.
    #[error("node {nid}: mode {mode:#o} has no known file type")]
    Mode {
        /// The node.
        nid: u64,
        /// The mode.
        mode: u16,
    },
    /// The nanoseconds make a second or more.
    #[error("node {nid}: its modification time has {nanos} nanoseconds")]
    Nanoseconds {
        /// The node.
        nid: u64,
        /// The nanoseconds.
        nanos: u32,
    },
    /// The inline part would leave the block of its inode.
    #[error("node {nid}: its inline part of {length} bytes leaves the block of the inode")]
    InlineCrossesBlock {
        /// The node.
        nid: u64,
        /// Bytes of the inline part.
        length: u64,
    },
    /// A directory is damaged.
    #[error("node {nid}: its directory block {block} is damaged")]
    Directory {
        /// The directory.
        nid: u64,
        /// Which of its blocks.
        block: u64,
        /// How.
        source: DirectoryProblem,
    },
    /// Two names lead to one directory.
    #[error("node {nid}: more than one name leads to this directory")]
    DirectoryTwice {
        /// The directory.
        nid: u64,
    },
    /// A name says another file type than its node has.
    #[error("node {nid}: a name leads here as file type {file_type}, which the node is not")]
    FileType {
        /// The node.
        nid: u64,
        /// The type that the entry states (`FT_*`).
        file_type: u8,
    },
    /// The root is no directory.
    #[error("node {nid}: the root is no directory")]
    RootKind {
        /// The root.
        nid: u64,
    },
    /// The target of a symbolic link is empty, too long or holds NUL.
    #[error("node {nid}: it is a symbolic link with {length} bytes: expected 1 to 4095 without NUL")]
    Target {
        /// The link.
        nid: u64,
        /// Bytes of the target.
        length: u64,
    },
    /// Extended attributes are damaged.
    #[error("node {nid}: its extended attributes are damaged")]
    Xattr {
        /// The node.
        nid: u64,
        /// How.
        source: XattrDamage,
    },
    /// The metadata is much larger than an image of this size can hold once.
    #[error("node {nid}: names, links and attributes add up to more than {limit} bytes")]
    Budget {
        /// Where the limit was passed.
        nid: u64,
        /// The limit.
        limit: u64,
    },
}
