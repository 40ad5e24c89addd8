//! Where everything goes: a pure function from a tree to positions.
//!
//! ```text
//! an image that is not compressed (`Layout`)
//! byte 0      1024   1152                                                          data start
//! | boot code | superblock | inodes, each with its inline part | directory blocks | shared xattrs | 0… | file data |
//!
//! a packed image (`pack`), whose data is written before its metadata is known
//! byte 0      1024         4096        metadata start
//! | boot code | superblock | file data | 0 (32) | inodes … | directory blocks | shared xattrs | long links |
//! ```
//!
//! Inodes and data are in path order, but for small inodes that fill a gap behind an earlier one. What is inline: a
//! symbolic link, a file or the last part of a directory that fits behind its inode. In an image that is not compressed
//! a file of a block or more is contiguous in the data area, which costs 2 % of a Debian tree, halves the metadata and
//! keeps it still when large files change; that area starts at a multiple of up to 1 MiB, so that it does not move when
//! metadata grows a little.

use std::collections::BTreeMap;

use basalt_types::Guid;

use super::{
    directory::{self, FileType},
    error::{NodeProblem, PlanError},
    format::{BLOCK, BLOCK_BITS, DataLayout, Features, Inode, SLOT, SUPER_OFFSET, SUPER_SIZE, Superblock},
    map::{self, Mapped},
    slots::Slots,
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
    /// The byte that node number 0 starts at.
    base: u64,
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
    /// These.
    Bytes(&'a [u8]),
}

/// Where the data of a regular file is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data<'a> {
    /// The layout finds a place for it: inline or in blocks.
    Open,
    /// As it is, from this block on.
    Blocks(u32),
    /// Compressed, or in part.
    Clusters(Mapped<'a>),
}

/// What a packed image has beside its tree, and where its metadata goes.
pub(super) struct Packing<'p, 'a> {
    /// The first byte of the metadata, a multiple of 4096.
    pub(super) start: u64,
    /// What the superblock says.
    pub(super) features: Features,
    /// The data of the regular file with this place in the survey.
    pub(super) data: &'p dyn Fn(usize) -> Data<'a>,
}

/// A node with everything that decides its place.
pub(super) struct Planned<'a> {
    pub(super) id: NodeId,
    parent: NodeId,
    header: Inode,
    xattrs: Vec<u8>,
    data: Data<'a>,
    /// Bytes of the index behind header and attributes, with the padding before it.
    map: u64,
    /// Bytes directly behind those.
    pub(super) inline: u64,
    /// Byte offset of the inode.
    offset: u64,
    /// Byte offset of the blocks, when there are any.
    blocks: u64,
}

impl<'a> Layout<'a> {
    /// Decides where everything goes in an image that is not compressed. The same tree and options give the same
    /// layout.
    ///
    /// # Errors
    /// When the tree can't be an EROFS image: see [`PlanError`].
    pub fn plan(tree: &'a Tree, options: &Options) -> Result<Self, PlanError> {
        let survey = Surveyed::new(tree, options)?;
        Self::of(&survey, options, None).map(|(layout, _)| layout)
    }

    /// Decides where the metadata goes; without `packing` all data too. Also gives the byte behind each inode's index,
    /// in the order of the survey.
    pub(super) fn of(
        survey: &Surveyed<'a>,
        options: &Options,
        packing: Option<&Packing<'_, 'a>>,
    ) -> Result<(Self, Vec<u64>), PlanError> {
        let tree = survey.tree;
        let mut nodes = survey.nodes(packing.map(|packing| packing.data))?;
        let base = packing.map_or(0, |packing| packing.start);
        let ends = place(tree, &mut nodes, survey.shared.bytes().len() as u64, packing.map(|p| p.start));
        let blocks = u32::try_from(ends.image / BLOCK).ok().filter(|blocks| *blocks != u32::MAX);
        let superblock = Superblock {
            uuid: options.uuid,
            label: options.label.clone().into_bytes(),
            epoch: options.epoch,
            epoch_nanos: 0,
            inodes: nodes.len() as u64,
            blocks: blocks.ok_or(PlanError::TooLarge { size: ends.image })?,
            block_bits: BLOCK_BITS,
            root_nid: ((nodes[0].offset - base) / SLOT) as u16,
            meta_block: (base / BLOCK) as u32,
            xattr_block: (ends.shared / BLOCK) as u32,
            features: packing.map_or(Features::default(), |packing| packing.features),
        };
        let mut layout = Self { tree, base, size: ends.image, rendered: Vec::new(), pieces: Vec::new() };
        let mut start = superblock.encode().to_vec();
        start.extend(superblock.features.configurations());
        layout.add_rendered(SUPER_OFFSET, &start);
        layout.add_nodes(&nodes, options.epoch);
        layout.add_rendered(ends.shared, survey.shared.bytes());
        layout.pieces.sort_unstable_by_key(|piece| piece.offset);
        let behind = nodes.iter().map(|node| node.offset + node.slot_size() - node.inline).collect();
        Ok((layout, behind))
    }

    /// Bytes of the image: a multiple of 4096.
    pub fn image_size(&self) -> u64 {
        self.size
    }

    fn add_nodes(&mut self, nodes: &[Planned<'a>], epoch: i64) {
        let places: BTreeMap<NodeId, (u64, FileType)> = nodes
            .iter()
            .map(|node| {
                let file_type = FileType::of(&self.tree.node(node.id).kind);
                (node.id, ((node.offset - self.base) / SLOT, file_type))
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
            if let Data::Clusters(mapped) = node.data {
                inode.resize(inode.len().next_multiple_of(8), 0);
                inode.extend_from_slice(&map::encode(&mapped, inode.len() as u64));
            }
            self.add_rendered(node.offset, &inode);
            self.add_content(node, node.offset + inode.len() as u64, &places);
        }
    }

    /// Adds the data of a node, whose inline part starts at byte `behind`.
    fn add_content(&mut self, node: &Planned<'a>, behind: u64, places: &BTreeMap<NodeId, (u64, FileType)>) {
        let offset = if node.inline > 0 { behind } else { node.blocks };
        match (&self.tree.node(node.id).kind, node.data) {
            (Kind::Directory(names), _) => {
                let listing = directory::listing(names, node.id, node.parent);
                let bytes = directory::render(&listing, &|id| places[&id]);
                let (blocks, last) = bytes.split_at(bytes.len() - node.inline as usize);
                self.add_rendered(node.blocks, blocks);
                self.add_rendered(behind, last);
            }
            (Kind::Symlink(target), _) => self.add_rendered(offset, target),
            (Kind::File(content), Data::Open) if content.size > 0 => {
                let source = PieceSource::File(node.id, content);
                self.pieces.push(Piece { offset, length: content.size, source });
            }
            (Kind::File(_), Data::Clusters(Mapped { tail: Some(tail), .. })) => {
                let source = PieceSource::Bytes(&tail.bytes);
                self.pieces.push(Piece { offset, length: tail.bytes.len() as u64, source });
            }
            (
                Kind::File(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket,
                Data::Open | Data::Blocks(_) | Data::Clusters(_),
            ) => {}
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

/// A tree that can be stored, with what is the same wherever its data goes.
pub(super) struct Surveyed<'a> {
    pub(super) tree: &'a Tree,
    found: Vec<Found>,
    shared: Shared<'a>,
    epoch: i64,
}

impl<'a> Surveyed<'a> {
    /// Looks at every node and refuses what can't be stored.
    pub(super) fn new(tree: &'a Tree, options: &Options) -> Result<Self, PlanError> {
        if options.label.len() > 16 || options.label.contains('\0') {
            return Err(PlanError::Label { label: options.label.clone() });
        }
        let found = survey(tree)?;
        let shared = Shared::collect(found.iter().map(|found| &tree.node(found.id).metadata))
            .map_err(|(index, problem)| found[index].refuse(problem.into()))?;
        Ok(Self { tree, found, shared, epoch: options.epoch })
    }

    /// The nodes in path order, without places. `data` tells where that of a regular file is; without it nowhere yet.
    pub(super) fn nodes<'d>(
        &self,
        data: Option<&dyn Fn(usize) -> Data<'d>>,
    ) -> Result<Vec<Planned<'d>>, PlanError> {
        let plan = |(index, found): (usize, &Found)| {
            let data = match (data, &self.tree.node(found.id).kind) {
                (Some(data), Kind::File(_)) => data(index),
                (None, _)
                | (
                    Some(_),
                    Kind::Directory(_)
                    | Kind::Symlink(_)
                    | Kind::CharDevice(_)
                    | Kind::BlockDevice(_)
                    | Kind::Fifo
                    | Kind::Socket,
                ) => Data::Open,
            };
            Planned::new(self, found, data).map_err(|problem| found.refuse(problem))
        };
        self.found.iter().enumerate().map(plan).collect()
    }
}

impl<'a> Planned<'a> {
    fn new(survey: &Surveyed<'_>, found: &Found, data: Data<'a>) -> Result<Self, NodeProblem> {
        let node = survey.tree.node(found.id);
        let metadata = &node.metadata;
        if metadata.mode & !0o7777 != 0 {
            return Err(NodeProblem::Mode { mode: metadata.mode });
        }
        if metadata.mtime_nanos >= 1_000_000_000 {
            return Err(NodeProblem::Nanoseconds { nanos: metadata.mtime_nanos });
        }
        let xattrs = survey.shared.body(&metadata.xattrs)?;
        let size = data_size(node, found)?;
        let header = Inode {
            layout: DataLayout::Plain,
            xattr_count: xattr::count(&xattrs).unwrap_or_default(),
            mode: metadata.mode | FileType::of(&node.kind).mode_bits(),
            links: found.links,
            size,
            union: device_number(&node.kind)?,
            ino: 0,
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: Some((metadata.mtime, metadata.mtime_nanos)).filter(|time| *time != (survey.epoch, 0)),
        };
        let Found { id, parent, .. } = *found;
        let mut planned = Self { id, parent, header, xattrs, data, map: 0, inline: 0, offset: 0, blocks: 0 };
        planned.divide(node);
        Ok(planned)
    }

    /// Decides what is behind the inode and what elsewhere.
    fn divide(&mut self, node: &Node) {
        let before = self.header.header_size() + self.xattrs.len() as u64;
        let size = self.header.size;
        match self.data {
            Data::Open => {
                let tail = match node.kind {
                    Kind::Directory(_) => size % BLOCK,
                    Kind::File(_)
                    | Kind::Symlink(_)
                    | Kind::CharDevice(_)
                    | Kind::BlockDevice(_)
                    | Kind::Fifo
                    | Kind::Socket => size,
                };
                self.inline = if before + tail <= BLOCK { tail } else { 0 };
                if self.inline > 0 {
                    self.header.layout = DataLayout::Inline;
                }
            }
            Data::Blocks(block) => self.header.union = block,
            Data::Clusters(mapped) => {
                self.header.layout = DataLayout::CompressedCompact;
                self.header.union = mapped.clusters.iter().map(|cluster| cluster.blocks).sum();
                let start = before.next_multiple_of(8);
                self.map = start - before + map::size(start, size);
                self.inline = mapped.tail.map_or(0, |tail| tail.bytes.len() as u64);
            }
        }
    }

    /// Bytes that must lie together in the inode area.
    fn slot_size(&self) -> u64 {
        self.header.header_size() + self.xattrs.len() as u64 + self.map + self.inline
    }

    /// Takes the blocks that the node needs from `cursor` on.
    fn take_blocks(&mut self, cursor: &mut u64) {
        let size = match self.data {
            Data::Open => self.header.size - self.inline,
            Data::Blocks(_) | Data::Clusters(_) => 0,
        };
        // A device has no size, and its number where the block would be.
        if size > 0 {
            self.blocks = *cursor;
            *cursor += size.next_multiple_of(BLOCK);
        }
    }
}

/// Where the areas of the image are, in bytes.
struct Ends {
    /// The start of the shared attributes.
    shared: u64,
    /// The end of the image.
    image: u64,
}

/// Gives each node its place: inodes one behind the other, then directory blocks, then all other data that has no place
/// yet. `packed` is where the metadata of a packed image starts.
fn place(tree: &Tree, nodes: &mut [Planned<'_>], shared_size: u64, packed: Option<u64>) -> Ends {
    // No inode of a packed image is number 0, which programs take for "no file".
    let mut slots = Slots::new(packed.map_or(SUPER_OFFSET + SUPER_SIZE as u64, |start| start + SLOT));
    for node in nodes.iter_mut() {
        node.offset = slots.take(node.slot_size(), node.inline);
    }
    let mut cursor = slots.end();
    let is_directory = |node: &Planned<'_>| matches!(tree.node(node.id).kind, Kind::Directory(_));
    for node in nodes.iter_mut().filter(|node| is_directory(node)) {
        node.take_blocks(&mut cursor);
    }
    let shared = cursor;
    cursor = (cursor + shared_size).next_multiple_of(BLOCK);
    let metadata_end = cursor;
    if packed.is_none() {
        cursor = data_start(metadata_end);
    }
    let start = cursor;
    for node in nodes.iter_mut().filter(|node| !is_directory(node)) {
        node.take_blocks(&mut cursor);
    }
    Ends { shared, image: if cursor == start { metadata_end } else { cursor } }
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
