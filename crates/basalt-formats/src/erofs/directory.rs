//! Directory content: blocks of sorted entries, each block complete in itself.
//!
//! A block holds `n` entries of 12 bytes (node number, offset of the name in this block, file type), then the `n`
//! names without terminators; the offset of the first name tells `n`. The last name ends at the first NUL or where
//! the block ends. Names ascend in byte order over all blocks, because the kernel searches by bisection, first for the
//! block, then in it (`fs/erofs/namei.c`); `.` and `..` are entries like all others and stand where bytes put them.

use super::format::{BLOCK, array_at, put, u16_at};
use crate::tree::{FileName, Kind, NodeId};
use std::collections::BTreeMap;

/// Bytes of one entry without its name.
const ENTRY: usize = 12;

/// What an entry says a node is (`FT_*` of `include/linux/fs_types.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileType {
    Regular,
    Directory,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    Symlink,
}

/// A name that is to be written, and its node.
pub(super) type Listed<'n> = (&'n [u8], NodeId);

/// One entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: u64,
    pub(super) file_type: u8,
}

/// What is wrong with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryProblem {
    /// A block is too short for an entry.
    #[error("a block of {length} bytes is too short")]
    Short {
        /// Bytes of the block.
        length: usize,
    },
    /// The place of a name is not behind the entries, not inside the block or not ascending.
    #[error("entry {index} has its name at byte {offset}, which is not possible")]
    NameOffset {
        /// Which entry of the block.
        index: usize,
        /// The offset it states.
        offset: usize,
    },
    /// A name is empty, longer than 255 bytes or holds `/` or NUL.
    #[error("entry {index} has a name that is empty, too long or holds `/` or NUL")]
    Name {
        /// Which entry of the block.
        index: usize,
    },
    /// Names don't ascend, so a search by bisection would miss some.
    #[error("entry {index} does not sort after the one before it")]
    Order {
        /// Which entry of the block.
        index: usize,
    },
    /// `.` or `..` is missing.
    #[error("`.` or `..` is missing")]
    NoDots,
    /// `.` or `..` leads elsewhere.
    #[error("`.` or `..` leads to node {nid}")]
    WrongDots {
        /// Where it leads.
        nid: u64,
    },
}

/// All entries of a directory in the order of the disk, with `.` and `..`.
pub(super) fn listing(names: &BTreeMap<FileName, NodeId>, own: NodeId, parent: NodeId) -> Vec<Listed<'_>> {
    let mut entries: Vec<Listed<'_>> = Vec::with_capacity(names.len() + 2);
    entries.extend(names.iter().map(|(name, id)| (name.as_slice(), *id)));
    for (name, id) in [(b".".as_slice(), own), (b"..".as_slice(), parent)] {
        let place = entries.partition_point(|(other, _)| *other < name);
        entries.insert(place, (name, id));
    }
    entries
}

/// Bytes of the directory's content, of which all blocks but the last are full.
pub(super) fn size(listing: &[Listed<'_>]) -> u64 {
    let mut blocks = Blocks { rest: listing };
    let mut full = 0;
    let mut last = 0;
    while let Some((_, used)) = blocks.next_block() {
        full += BLOCK;
        last = used as u64;
    }
    full + last - BLOCK
}

/// The directory's content; `target` gives a node's number and type.
pub(super) fn render(listing: &[Listed<'_>], target: &dyn Fn(NodeId) -> (u64, FileType)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut blocks = Blocks { rest: listing };
    while let Some((entries, used)) = blocks.next_block() {
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        let start = bytes.len();
        bytes.resize(start + used, 0);
        let block = &mut bytes[start..];
        let mut name_offset = entries.len() * ENTRY;
        for (index, (name, id)) in entries.iter().enumerate() {
            let (nid, file_type) = target(*id);
            let entry = &mut block[index * ENTRY..];
            put(entry, 0, &nid.to_le_bytes());
            put(entry, 8, &(name_offset as u16).to_le_bytes());
            entry[10] = file_type.number();
            put(block, name_offset, name);
            name_offset += name.len();
        }
    }
    bytes
}

/// Reads one block: `bytes` is at most a block long, shorter only at the directory's end.
pub(super) fn parse_block(bytes: &[u8]) -> Result<Vec<Entry<'_>>, DirectoryProblem> {
    if bytes.len() < ENTRY {
        return Err(DirectoryProblem::Short { length: bytes.len() });
    }
    let names_start = usize::from(u16_at(bytes, 8));
    let count = names_start / ENTRY;
    if count == 0 || names_start % ENTRY != 0 || names_start >= bytes.len() {
        return Err(DirectoryProblem::NameOffset { index: 0, offset: names_start });
    }
    let offset_of = |index: usize| usize::from(u16_at(bytes, index * ENTRY + 8));
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let offset = offset_of(index);
        let end = if index + 1 < count { offset_of(index + 1) } else { bytes.len() };
        if offset < names_start || end > bytes.len() || offset > end {
            return Err(DirectoryProblem::NameOffset { index, offset });
        }
        let mut name = &bytes[offset..end];
        if index + 1 == count {
            name = &name[..name.iter().position(|b| *b == 0).unwrap_or(name.len())];
        }
        if name.is_empty() || name.len() > 255 || name.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err(DirectoryProblem::Name { index });
        }
        let nid = u64::from_le_bytes(array_at(bytes, index * ENTRY));
        entries.push(Entry { name, nid, file_type: bytes[index * ENTRY + 10] });
    }
    Ok(entries)
}

impl FileType {
    pub(super) const fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Directory(_) => Self::Directory,
            Kind::File(_) => Self::Regular,
            Kind::Symlink(_) => Self::Symlink,
            Kind::CharDevice(_) => Self::CharDevice,
            Kind::BlockDevice(_) => Self::BlockDevice,
            Kind::Fifo => Self::Fifo,
            Kind::Socket => Self::Socket,
        }
    }

    /// The type whose `S_IF*` bits `mode` has.
    pub(super) const fn from_mode(mode: u16) -> Option<Self> {
        match mode >> 12 {
            0o01 => Some(Self::Fifo),
            0o02 => Some(Self::CharDevice),
            0o04 => Some(Self::Directory),
            0o06 => Some(Self::BlockDevice),
            0o10 => Some(Self::Regular),
            0o12 => Some(Self::Symlink),
            0o14 => Some(Self::Socket),
            _unassigned => None,
        }
    }

    /// The `S_IF*` bits of `st_mode`.
    pub(super) const fn mode_bits(self) -> u16 {
        let nibble = match self {
            Self::Fifo => 0o01,
            Self::CharDevice => 0o02,
            Self::Directory => 0o04,
            Self::BlockDevice => 0o06,
            Self::Regular => 0o10,
            Self::Symlink => 0o12,
            Self::Socket => 0o14,
        };
        nibble << 12
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// Cuts a listing into blocks.
struct Blocks<'a, 'n> {
    rest: &'a [Listed<'n>],
}

impl<'a, 'n> Blocks<'a, 'n> {
    /// The entries of the next block and the bytes they take.
    fn next_block(&mut self) -> Option<(&'a [Listed<'n>], usize)> {
        let mut used = 0;
        let mut count = 0;
        for (name, _) in self.rest {
            let more = ENTRY + name.len();
            if used + more > BLOCK as usize {
                break;
            }
            used += more;
            count += 1;
        }
        let (block, rest) = self.rest.split_at(count);
        self.rest = rest;
        (count > 0).then_some((block, used))
    }
}
