//! Where everything goes: a pure function from a tree to positions.
//!
//! ```text
//! byte 0      1024   1152                                                          data start
//! | boot code | superblock | inodes, each with its inline part | directory blocks | shared xattrs | 0… | file data |
//! ```
//!
//! Inodes and data are in path order. An inode with its inline part never crosses a block. What is inline: a symbolic
//! link, a file or the last part of a directory that fits behind its inode; a file of a block or more is contiguous in
//! the data area, which costs 2 % of a Debian tree, halves the metadata and keeps it still when large files change.
//! The data area starts at a multiple of up to 1 MiB, so that it does not move when metadata grows a little.

use std::collections::BTreeMap;

use basalt_types::Guid;

use super::{
    directory::{self, FileType},
    error::{NodeProblem, PlanError},
    format::{BLOCK, BLOCK_BITS, DataLayout, Inode, SLOT, SUPER_OFFSET, SUPER_SIZE, Superblock},
    survey::{Found, survey},
    xattr::{self, Shared},
};
use crate::tree::{Content, Device, Kind, Node, NodeId, Tree};

/// What the caller decides about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The volume's id.
    pub uuid: Guid,
    /// The volume's name, at most 16 bytes, without NUL; may be empty.
    pub label: String,
    /// Seconds since 1970. A node whose modification time is exactly this needs half the inode.
    pub epoch: i64,
}

/// A planned image: its size and the place of every byte, before the first one is written.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    pub(super) tree: &'a Tree,
    pub(super) size: u64,
    /// What is in memory already: superblock, inodes, directories, links, shared attributes.
    pub(super) rendered: Vec<u8>,
    /// Everything that is not zero, by ascending offset, without overlap.
    pub(super) pieces: Vec<Piece<'a>>,
}

/// Bytes of the image that lie together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) source: PieceSource<'a>,
}

/// Where the bytes of a piece come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum PieceSource<'a> {
    /// From this byte on of [`Layout::rendered`].
    Rendered(usize),
    /// The content of a regular file, from its start.
    File(NodeId, &'a Content),
}

/// A node with everything that decides its place.
struct Planned<'a> {
    found: &'a Found,
    header: Inode,
    xattrs: Vec<u8>,
    /// Bytes directly behind header and attributes.
    inline: u64,
    /// Byte offset of the inode.
    offset: u64,
    /// Byte offset of the blocks, when there are any.
    blocks: u64,
}

impl<'a> Layout<'a> {
    /// Decides where everything goes. The same tree and options give the same layout.
    ///
    /// # Errors
    /// When the tree can't be an EROFS image: see [`PlanError`].
    pub fn plan(tree: &'a Tree, options: &Options) -> Result<Self, PlanError> {
        if options.label.len() > 16 || options.label.contains('\0') {
            return Err(PlanError::Label { label: options.label.clone() });
        }
        let found = survey(tree)?;
        let shared = Shared::collect(found.iter().map(|found| &tree.node(found.id).metadata))
            .map_err(|(index, problem)| found[index].refuse(problem.into()))?;
        let mut nodes = Vec::with_capacity(found.len());
        for each in &found {
            let planned = Planned::new(tree, each, &shared, options.epoch);
            nodes.push(planned.map_err(|problem| each.refuse(problem))?);
        }
        let ends = place(tree, &mut nodes, shared.bytes().len() as u64);
        let blocks = u32::try_from(ends.image / BLOCK).ok().filter(|blocks| *blocks != u32::MAX);
        let superblock = Superblock {
            uuid: options.uuid,
            label: options.label.clone().into_bytes(),
            epoch: options.epoch,
            epoch_nanos: 0,
            inodes: nodes.len() as u64,
            blocks: blocks.ok_or(PlanError::TooLarge { size: ends.image })?,
            block_bits: BLOCK_BITS,
            root_nid: (nodes[0].offset / SLOT) as u16,
            meta_block: 0,
            xattr_block: (ends.shared / BLOCK) as u32,
        };
        let mut layout = Self { tree, size: ends.image, rendered: Vec::new(), pieces: Vec::new() };
        layout.add_rendered(SUPER_OFFSET, &superblock.encode());
        layout.add_nodes(&nodes, options.epoch);
        layout.add_rendered(ends.shared, shared.bytes());
        layout.pieces.sort_unstable_by_key(|piece| piece.offset);
        Ok(layout)
    }

    /// Bytes of the image: a multiple of 4096.
    pub fn image_size(&self) -> u64 {
        self.size
    }

    fn add_nodes(&mut self, nodes: &[Planned<'_>], epoch: i64) {
        let places: BTreeMap<NodeId, (u64, FileType)> = nodes
            .iter()
            .map(|node| {
                (node.found.id, (node.offset / SLOT, FileType::of(&self.tree.node(node.found.id).kind)))
            })
            .collect();
        for (index, node) in nodes.iter().enumerate() {
            let mut header = node.header.clone();
            header.ino = index as u32 + 1;
            if node.blocks > 0 {
                header.union = (node.blocks / BLOCK) as u32;
            }
            let mut inode = header.encode(epoch);
            inode.extend_from_slice(&node.xattrs);
            self.add_rendered(node.offset, &inode);
            self.add_content(node, node.offset + inode.len() as u64, &places);
        }
    }

    /// Adds the data of a node, whose inline part starts at byte `behind`.
    fn add_content(&mut self, node: &Planned<'_>, behind: u64, places: &BTreeMap<NodeId, (u64, FileType)>) {
        match &self.tree.node(node.found.id).kind {
            Kind::Directory(names) => {
                let listing = directory::listing(names, node.found.id, node.found.parent);
                let bytes = directory::render(&listing, &|id| places[&id]);
                let (blocks, last) = bytes.split_at(bytes.len() - node.inline as usize);
                self.add_rendered(node.blocks, blocks);
                self.add_rendered(behind, last);
            }
            Kind::Symlink(target) => {
                self.add_rendered(if node.inline > 0 { behind } else { node.blocks }, target);
            }
            Kind::File(content) if content.size > 0 => self.pieces.push(Piece {
                offset: if node.inline > 0 { behind } else { node.blocks },
                length: content.size,
                source: PieceSource::File(node.found.id, content),
            }),
            Kind::File(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => {}
        }
    }

    fn add_rendered(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            let source = PieceSource::Rendered(self.rendered.len());
            self.pieces.push(Piece { offset, length: bytes.len() as u64, source });
            self.rendered.extend_from_slice(bytes);
        }
    }
}

impl<'a> Planned<'a> {
    fn new(tree: &'a Tree, found: &'a Found, shared: &Shared<'a>, epoch: i64) -> Result<Self, NodeProblem> {
        let node = tree.node(found.id);
        let metadata = &node.metadata;
        if metadata.mode & !0o7777 != 0 {
            return Err(NodeProblem::Mode { mode: metadata.mode });
        }
        if metadata.mtime_nanos >= 1_000_000_000 {
            return Err(NodeProblem::Nanoseconds { nanos: metadata.mtime_nanos });
        }
        let xattrs = shared.body(&metadata.xattrs)?;
        let size = data_size(node, found)?;
        let mut header = Inode {
            layout: DataLayout::Plain,
            xattr_count: xattr::count(&xattrs).unwrap_or_default(),
            mode: metadata.mode | FileType::of(&node.kind).mode_bits(),
            links: found.links,
            size,
            union: device_number(&node.kind)?,
            ino: 0,
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: Some((metadata.mtime, metadata.mtime_nanos)).filter(|time| *time != (epoch, 0)),
        };
        let before = header.header_size() + xattrs.len() as u64;
        let tail = match node.kind {
            Kind::Directory(_) => size % BLOCK,
            Kind::File(_)
            | Kind::Symlink(_)
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo
            | Kind::Socket => size,
        };
        let inline = if before + tail <= BLOCK { tail } else { 0 };
        if inline > 0 {
            header.layout = DataLayout::Inline;
        }
        Ok(Self { found, header, xattrs, inline, offset: 0, blocks: 0 })
    }

    /// Bytes that must lie together in the inode area.
    fn slot_size(&self) -> u64 {
        self.header.header_size() + self.xattrs.len() as u64 + self.inline
    }

    /// Takes the blocks that the node needs from `cursor` on.
    fn take_blocks(&mut self, cursor: &mut u64) {
        let size = if self.has_data() { self.header.size - self.inline } else { 0 };
        if size > 0 {
            self.blocks = *cursor;
            *cursor += size.next_multiple_of(BLOCK);
        }
    }

    fn has_data(&self) -> bool {
        self.header.size > 0
    }
}

/// Where the areas of the image are, in bytes.
struct Ends {
    /// The start of the shared attributes.
    shared: u64,
    /// The end of the image.
    image: u64,
}

/// Gives each node its place: inodes one behind the other, then directory blocks, then file data.
fn place(tree: &Tree, nodes: &mut [Planned<'_>], shared_size: u64) -> Ends {
    let mut cursor = SUPER_OFFSET + SUPER_SIZE as u64;
    for node in nodes.iter_mut() {
        node.offset = slot_at(cursor, node.slot_size());
        cursor = node.offset + node.slot_size();
    }
    cursor = cursor.next_multiple_of(BLOCK);
    let is_directory = |node: &Planned<'_>| matches!(tree.node(node.found.id).kind, Kind::Directory(_));
    for node in nodes.iter_mut().filter(|node| is_directory(node)) {
        node.take_blocks(&mut cursor);
    }
    let shared = cursor;
    cursor = (cursor + shared_size).next_multiple_of(BLOCK);
    let metadata_end = cursor;
    cursor = data_start(metadata_end);
    let start = cursor;
    for node in nodes.iter_mut().filter(|node| !is_directory(node)) {
        node.take_blocks(&mut cursor);
    }
    Ends { shared, image: if cursor == start { metadata_end } else { cursor } }
}

/// The first place at or behind `cursor` where a slot of `size` bytes stays inside one block (or starts one, when it
/// is larger than a block because of its attributes).
fn slot_at(cursor: u64, size: u64) -> u64 {
    let place = cursor.next_multiple_of(SLOT);
    let inside = place % BLOCK;
    if inside == 0 || inside + size <= BLOCK { place } else { place.next_multiple_of(BLOCK) }
}

/// Rounds the end of the metadata up to a multiple of a power of two that is less than an eighth of it (but a block).
fn data_start(metadata_end: u64) -> u64 {
    let unit = (metadata_end / 16).next_power_of_two().clamp(BLOCK, 1 << 20);
    metadata_end.next_multiple_of(unit)
}

fn data_size(node: &Node, found: &Found) -> Result<u64, NodeProblem> {
    match &node.kind {
        Kind::Directory(names) => Ok(directory::size(&directory::listing(names, found.id, found.parent))),
        Kind::File(content) => Ok(content.size),
        Kind::Symlink(target) if (1..4096).contains(&target.len()) && !target.contains(&0) => {
            Ok(target.len() as u64)
        }
        Kind::Symlink(target) => Err(NodeProblem::Target { length: target.len() }),
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => Ok(0),
    }
}

/// The number as Linux's `new_encode_dev` makes it: 12 bits of major, 20 bits of minor.
fn device_number(kind: &Kind) -> Result<u32, NodeProblem> {
    match kind {
        Kind::CharDevice(Device { major, minor }) | Kind::BlockDevice(Device { major, minor }) => {
            if *major >= 1 << 12 || *minor >= 1 << 20 {
                return Err(NodeProblem::Device { major: *major, minor: *minor });
            }
            Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
        }
        Kind::Directory(_) | Kind::File(_) | Kind::Symlink(_) | Kind::Fifo | Kind::Socket => Ok(0),
    }
}
