//! Reads an image: names, metadata and links into a tree, file data left where it is.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use super::{
    directory::{self, DirectoryProblem, FileType},
    error::ReadError,
    format::{
        self, COMPACT_SIZE, DataLayout, EXTENDED_SIZE, Inode, SLOT, SUPER_OFFSET, SUPER_SIZE, Superblock,
    },
    lookup::{Indexed, Lookup},
    map,
    unpack::Catalogue,
    window::Windows,
    xattr,
};
use crate::{
    ReadAt,
    tree::{Content, Device, Kind, Metadata, Node, Source, Tree},
};

/// What names, link targets and attributes may take beside four times the image's size.
const BUDGET_BASE: u64 = 64 << 20;

/// An EROFS image whose superblock has been checked.
#[derive(Clone)]
pub struct Image<'a> {
    source: &'a dyn ReadAt,
    superblock: Superblock,
}

impl<'a> Image<'a> {
    /// Reads and checks the superblock. `source` may be longer than the image, such as the partition it is in.
    ///
    /// # Errors
    /// When it is no EROFS image, is cut off, damaged, or needs features that this reader lacks.
    pub fn open(source: &'a dyn ReadAt) -> Result<Self, ReadError> {
        let found = source.size();
        let smallest = SUPER_OFFSET + SUPER_SIZE as u64;
        if found < smallest {
            return Err(ReadError::Truncated { expected: smallest, found });
        }
        let mut bytes = [0; SUPER_SIZE];
        let io = |source| ReadError::Io { offset: SUPER_OFFSET, source };
        source.read_at(SUPER_OFFSET, &mut bytes).map_err(io)?;
        let superblock = Superblock::decode(&bytes)?;
        let expected = superblock.image_size().max(smallest);
        if found < expected {
            return Err(ReadError::Truncated { expected, found });
        }
        // The kernel sums from the superblock to the end of its block; a block smaller than 2 KiB is summed whole.
        let block = superblock.block_size();
        let summed = if block > SUPER_OFFSET { block - SUPER_OFFSET } else { block };
        let mut block = vec![0; summed.max(SUPER_SIZE as u64).min(found - SUPER_OFFSET) as usize];
        source.read_at(SUPER_OFFSET, &mut block).map_err(io)?;
        format::verify(&block)?;
        Ok(Self { source, superblock })
    }

    /// What the superblock says.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The whole tree, read from metadata alone. File data is [`Source::Stored`] in store number `store` at its byte
    /// offset in the image ([`Source::Parts`] when an image of another writer keeps the last part inline).
    ///
    /// The tree's arena is in path order, so equal images give equal trees. Compressed files are at offsets behind the
    /// image's end, which only [`unpack`](super::unpack)'s store can read.
    ///
    /// # Errors
    /// When anything is damaged or stored in a way that this reader lacks: see [`ReadError`].
    pub fn tree(&self, store: u32) -> Result<Tree, ReadError> {
        self.read(store).map(|(tree, _)| tree)
    }

    /// The tree, and where its compressed files are.
    pub(super) fn read(&self, store: u32) -> Result<(Tree, Catalogue), ReadError> {
        let windows = Windows::new(self.source, self.superblock.image_size());
        let limit = BUDGET_BASE.saturating_add(windows.size().saturating_mul(4));
        let catalogue = Catalogue::new(self.superblock.image_size());
        let mut reader = Reader { superblock: &self.superblock, windows, store, limit, spent: 0, catalogue };
        reader.read_packed_file()?;
        reader.read_all()
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("superblock", &self.superblock).finish_non_exhaustive()
    }
}

/// A name that was read and whose node may not be.
struct Name {
    name: Vec<u8>,
    nid: u64,
    file_type: u8,
}

/// An inode and where its inline part is.
struct Located {
    nid: u64,
    inode: Inode,
    /// The byte behind the attributes.
    behind: u64,
}

/// Where the data of a flat inode is: first in blocks, then inline; either may be empty.
struct Extents {
    blocks: (u64, u64),
    inline: (u64, u64),
}

struct Reader<'a> {
    superblock: &'a Superblock,
    windows: Windows<'a>,
    store: u32,
    /// What may be copied out of the image: without it a small image could name one block a million times.
    limit: u64,
    spent: u64,
    catalogue: Catalogue,
}

impl Reader<'_> {
    /// Finds the file that ends of other files are in.
    fn read_packed_file(&mut self) -> Result<(), ReadError> {
        let nid = self.superblock.features.packed_nid;
        if nid != 0 {
            let (located, _) = self.inode(nid)?;
            let packed = self.content(&located)?;
            self.catalogue.fragments = Some(packed);
        }
        Ok(())
    }

    fn read_all(mut self) -> Result<(Tree, Catalogue), ReadError> {
        let root_nid = u64::from(self.superblock.root_nid);
        let (root, names) = self.node(root_nid, root_nid)?;
        if !matches!(root.kind, Kind::Directory(_)) {
            return Err(ReadError::RootKind { nid: root_nid });
        }
        let mut tree = Tree::new();
        *tree.node_mut(Tree::ROOT) = root;
        let mut known = HashMap::from([(root_nid, Tree::ROOT)]);
        let mut pending = vec![(Tree::ROOT, root_nid, names.into_iter())];
        // Depth first with the open directories on a stack, so that the arena is in path order.
        while let Some((parent, parent_nid, names)) = pending.last_mut() {
            let (parent, parent_nid) = (*parent, *parent_nid);
            let Some(Name { name, nid, file_type }) = names.next() else {
                pending.pop();
                continue;
            };
            let id = match known.get(&nid) {
                Some(id) if matches!(tree.node(*id).kind, Kind::Directory(_)) => {
                    return Err(ReadError::DirectoryTwice { nid });
                }
                Some(id) => *id,
                None => {
                    let (node, below) = self.node(nid, parent_nid)?;
                    let id = tree.add(node);
                    known.insert(nid, id);
                    if matches!(tree.node(id).kind, Kind::Directory(_)) {
                        pending.push((id, nid, below.into_iter()));
                    }
                    id
                }
            };
            if FileType::of(&tree.node(id).kind).number() != file_type {
                return Err(ReadError::FileType { nid, file_type });
            }
            if let Kind::Directory(names) = &mut tree.node_mut(parent).kind {
                names.insert(name, id);
            }
        }
        Ok((tree, self.catalogue))
    }

    /// Reads a node; a directory comes empty, with the names that it has beside `.` and `..`.
    fn node(&mut self, nid: u64, parent_nid: u64) -> Result<(Node, Vec<Name>), ReadError> {
        let (located, body) = self.inode(nid)?;
        let Located { inode, .. } = &located;
        let mode = inode.mode;
        let (mtime, mtime_nanos) =
            inode.mtime.unwrap_or((self.superblock.epoch, self.superblock.epoch_nanos));
        if mtime_nanos >= 1_000_000_000 {
            return Err(ReadError::Nanoseconds { nid, nanos: mtime_nanos });
        }
        let file_type = FileType::from_mode(mode).ok_or(ReadError::Mode { nid, mode })?;
        let mut names = Vec::new();
        let kind = match file_type {
            FileType::Directory => {
                names = self.directory(&located, parent_nid)?;
                Kind::Directory(BTreeMap::new())
            }
            FileType::Regular => Kind::File(self.content(&located)?),
            FileType::Symlink => Kind::Symlink(self.target(&located)?),
            FileType::CharDevice => Kind::CharDevice(device(inode.union)),
            FileType::BlockDevice => Kind::BlockDevice(device(inode.union)),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
        };
        let (uid, gid) = (inode.uid, inode.gid);
        let xattrs = self.xattrs(nid, &body)?;
        let metadata = Metadata { mode: mode & 0o7777, uid, gid, mtime, mtime_nanos, xattrs };
        Ok((Node { metadata, kind }, names))
    }

    /// The inode's header and the body of its attributes.
    fn inode(&mut self, nid: u64) -> Result<(Located, Vec<u8>), ReadError> {
        let base = u64::from(self.superblock.meta_block) << self.superblock.block_bits;
        let outside = ReadError::Outside { nid, what: "the inode", offset: u64::MAX, length: COMPACT_SIZE };
        let offset = nid.checked_mul(SLOT).and_then(|offset| offset.checked_add(base)).ok_or(outside)?;
        let mut header = self.windows.bytes(nid, "the inode", offset, COMPACT_SIZE)?;
        if Inode::is_extended(&header) {
            header = self.windows.bytes(nid, "the inode", offset, EXTENDED_SIZE)?;
        }
        let inode = Inode::decode(&header).map_err(|format| ReadError::Format { nid, format })?;
        let xattrs_at = offset + header.len() as u64;
        let xattr_size = xattr::body_size(inode.xattr_count);
        let body = self.windows.bytes(nid, "the inode's attributes", xattrs_at, xattr_size)?;
        Ok((Located { nid, inode, behind: xattrs_at + xattr_size }, body))
    }

    /// Where the data is, checked to be inside of the image and, where it is inline, of one block.
    fn extents(&self, located: &Located) -> Result<Extents, ReadError> {
        let Located { nid, inode, behind } = located;
        let (nid, size, block) = (*nid, inode.size, self.superblock.block_size());
        let in_blocks = match inode.layout {
            DataLayout::Plain => size,
            DataLayout::Inline => size.saturating_sub(1) / block * block,
            layout @ (DataLayout::CompressedFull | DataLayout::CompressedCompact | DataLayout::Chunked) => {
                return Err(ReadError::Unsupported { nid, layout });
            }
        };
        let inline = (*behind, size - in_blocks);
        if inline.1 > 0 && behind % block + inline.1 > block {
            return Err(ReadError::InlineCrossesBlock { nid, length: inline.1 });
        }
        let blocks = (u64::from(inode.union) << self.superblock.block_bits, in_blocks);
        for (what, (offset, length)) in [("data", blocks), ("inline data", inline)] {
            if length > 0 && !self.windows.contains(offset, length) {
                return Err(ReadError::Outside { nid, what, offset, length });
            }
        }
        Ok(Extents { blocks, inline })
    }

    /// The content of a regular file, which stays where it is.
    fn content(&mut self, located: &Located) -> Result<Content, ReadError> {
        match located.inode.layout {
            DataLayout::CompressedFull => return self.compressed(located, false),
            DataLayout::CompressedCompact => return self.compressed(located, true),
            DataLayout::Plain | DataLayout::Inline | DataLayout::Chunked => {}
        }
        let Extents { blocks, inline } = self.extents(located)?;
        let stored = |(offset, size)| Content { size, source: Source::Stored { store: self.store, offset } };
        Ok(match (blocks.1, inline.1) {
            (0, 0) => Content::inline([]),
            (_, 0) => stored(blocks),
            (0, _) => stored(inline),
            (_, _) => {
                let parts = Arc::new([stored(blocks), stored(inline)]);
                Content { size: located.inode.size, source: Source::Parts(parts) }
            }
        })
    }

    /// The content of a compressed file, in the addresses behind the image's end.
    fn compressed(&mut self, located: &Located, packed: bool) -> Result<Content, ReadError> {
        let nid = located.nid;
        let size = located.inode.size;
        if size == 0 {
            return Ok(Content::inline([]));
        }
        let header = located.behind.next_multiple_of(8);
        let bytes = self.windows.bytes(nid, "the index header", header, map::HEADER as u64)?;
        let padded = self.superblock.features.padded_in_front();
        let indexed = Indexed { size, block_bits: self.superblock.block_bits, header, packed, padded };
        let lookup = Lookup::new(indexed, &bytes).map_err(|source| ReadError::Cluster { nid, source })?;
        if let Some((offset, length)) = lookup.index()
            && !self.windows.contains(offset, length)
        {
            return Err(ReadError::Outside { nid, what: "the index", offset, length });
        }
        let offset = self.catalogue.add(nid, lookup)?;
        Ok(Content { size, source: Source::Stored { store: self.store, offset } })
    }

    /// All data of a node, which counts against the limit.
    fn data(&mut self, located: &Located) -> Result<Vec<u8>, ReadError> {
        let nid = located.nid;
        let Extents { blocks, inline } = self.extents(located)?;
        self.spend(nid, located.inode.size)?;
        let mut bytes = Vec::new();
        // Other writers leave any address where there are no blocks.
        let extents = [("data", blocks), ("inline data", inline)];
        for (what, (offset, length)) in extents.into_iter().filter(|(_, (_, length))| *length > 0) {
            bytes.extend(self.windows.bytes(nid, what, offset, length)?);
        }
        Ok(bytes)
    }

    fn target(&mut self, located: &Located) -> Result<Vec<u8>, ReadError> {
        let (nid, length) = (located.nid, located.inode.size);
        if !(1..4096).contains(&length) {
            return Err(ReadError::Target { nid, length });
        }
        let target = self.data(located)?;
        if target.contains(&0) { Err(ReadError::Target { nid, length }) } else { Ok(target) }
    }

    fn directory(&mut self, located: &Located, parent_nid: u64) -> Result<Vec<Name>, ReadError> {
        let nid = located.nid;
        let bytes = self.data(located)?;
        let mut names = Vec::new();
        let mut last: Vec<u8> = Vec::new();
        let mut dots = 0;
        for (block, bytes) in bytes.chunks(self.superblock.block_size() as usize).enumerate() {
            let refuse = |source| ReadError::Directory { nid, block: block as u64, source };
            for (index, entry) in directory::parse_block(bytes).map_err(refuse)?.into_iter().enumerate() {
                if entry.name <= last.as_slice() {
                    return Err(refuse(DirectoryProblem::Order { index }));
                }
                entry.name.clone_into(&mut last);
                let dot = match entry.name {
                    b"." => Some(nid),
                    b".." => Some(parent_nid),
                    _name => None,
                };
                match dot {
                    Some(expected) if entry.nid == expected => dots += 1,
                    Some(_) => return Err(refuse(DirectoryProblem::WrongDots { nid: entry.nid })),
                    None => names.push(Name {
                        name: entry.name.to_vec(),
                        nid: entry.nid,
                        file_type: entry.file_type,
                    }),
                }
            }
        }
        if dots != 2 {
            return Err(ReadError::Directory { nid, block: 0, source: DirectoryProblem::NoDots });
        }
        Ok(names)
    }

    fn xattrs(&mut self, nid: u64, body: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
        let mut xattrs = BTreeMap::new();
        if body.is_empty() {
            return Ok(xattrs);
        }
        let damaged = |source| ReadError::Xattr { nid, source };
        let (ids, mut inline) = xattr::split_body(body).map_err(damaged)?;
        self.spend(nid, inline.len() as u64)?;
        let base = u64::from(self.superblock.xattr_block) << self.superblock.block_bits;
        for id in ids {
            let offset = base + u64::from(id) * xattr::UNIT as u64;
            let start = self.windows.bytes(nid, "a shared attribute", offset, xattr::UNIT as u64)?;
            let length = xattr::entry_size(format::array_at(&start, 0)) as u64;
            self.spend(nid, length)?;
            let entry = self.windows.bytes(nid, "a shared attribute", offset, length)?;
            xattr::parse_entry(&entry, &mut xattrs).map_err(damaged)?;
        }
        while !inline.is_empty() {
            inline = xattr::parse_entry(inline, &mut xattrs).map_err(damaged)?;
        }
        Ok(xattrs)
    }

    fn spend(&mut self, nid: u64, length: u64) -> Result<(), ReadError> {
        self.spent = self.spent.saturating_add(length);
        if self.spent > self.limit { Err(ReadError::Budget { nid, limit: self.limit }) } else { Ok(()) }
    }
}

/// Linux's `new_decode_dev`.
fn device(number: u32) -> Device {
    Device { major: number >> 8 & 0xfff, minor: number & 0xff | number >> 12 & 0xf_ff00 }
}
