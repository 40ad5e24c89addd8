//! Extended attributes: inline entries behind an inode, and a shared area for what several inodes carry.
//!
//! After the inode comes a header of 12 bytes, then the 4-byte ids of shared entries, then inline entries. An entry is
//! name length (1 byte, without the prefix), prefix number (1), value length (2), name, value, padded to 4 bytes. An id
//! counts 4-byte units from the start of the shared area.

use std::collections::BTreeMap;

use super::format::{put, u16_at, u32_at};
use crate::tree::Metadata;

/// Bytes of the header behind the inode; it counts as one unit in `i_xattr_icount`.
const BODY_HEADER: usize = 12;
/// Bytes of an entry before its name; ids and `i_xattr_icount` count in this unit too.
pub(super) const UNIT: usize = 4;
/// What `h_shared_count` can count.
const MAX_SHARED: usize = 255;

/// `EROFS_XATTR_INDEX_*` of `erofs_fs.h`: the number of a prefix and whether a name must follow it.
const PREFIXES: [(u8, &[u8], bool); 5] = [
    (1, b"user.", true),
    (2, b"system.posix_acl_access", false),
    (3, b"system.posix_acl_default", false),
    (4, b"trusted.", true),
    (6, b"security.", true),
];

/// What is wrong with an attribute that is to be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XattrProblem {
    /// The name has none of the prefixes that EROFS numbers, is only a prefix, or holds NUL.
    #[error(
        "the attribute name `{name}` can't be stored: expected `user.`, `trusted.`, `security.` or a POSIX ACL"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The name after the prefix is longer than 255 bytes.
    #[error("the attribute name `{name}` is {length} bytes long after its prefix, at most 255 fit")]
    NameLength {
        /// The name.
        name: String,
        /// Bytes after the prefix.
        length: usize,
    },
    /// The value is longer than 65,535 bytes.
    #[error("the attribute `{name}` is {length} bytes long, at most 65535 fit")]
    ValueLength {
        /// The name.
        name: String,
        /// Bytes of the value.
        length: usize,
    },
    /// All attributes of the node together are too long.
    #[error("the attributes take {length} bytes together, at most 262148 fit")]
    Total {
        /// Bytes together.
        length: usize,
    },
}

/// What is wrong with attributes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XattrDamage {
    /// The body ends inside its header, its ids or an entry.
    #[error("the attributes end inside an entry")]
    Truncated,
    /// The prefix number is unknown.
    #[error("prefix number {prefix} is unknown")]
    Prefix {
        /// The number.
        prefix: u8,
    },
    /// The name is empty where one must follow the prefix, present where none may, or holds NUL.
    #[error("a name does not fit prefix number {prefix}")]
    Name {
        /// The number of the prefix.
        prefix: u8,
    },
    /// One name comes twice.
    #[error("an attribute comes twice")]
    Twice,
}

/// The name and value of an attribute.
type Key<'a> = (&'a [u8], &'a [u8]);

/// An attribute that fits an entry.
struct Entry<'a> {
    prefix: u8,
    /// The name after its prefix, at most 255 bytes.
    suffix: &'a [u8],
    /// At most 65,535 bytes.
    value: &'a [u8],
}

/// The shared area while it is planned: each entry that at least two inodes carry, and its id.
#[derive(Debug, Default)]
pub(super) struct Shared<'a> {
    ids: BTreeMap<Key<'a>, u32>,
    bytes: Vec<u8>,
}

impl<'a> Shared<'a> {
    /// Collects what at least two of `nodes` carry, in byte order of name and value.
    ///
    /// # Errors
    /// The first node whose attributes can't be stored, by its place in `nodes`.
    pub(super) fn collect(nodes: impl Iterator<Item = &'a Metadata>) -> Result<Self, (usize, XattrProblem)> {
        let mut uses: BTreeMap<Key<'_>, (usize, Entry<'a>)> = BTreeMap::new();
        for (index, metadata) in nodes.enumerate() {
            for (name, value) in &metadata.xattrs {
                let entry = Entry::new(name, value).map_err(|problem| (index, problem))?;
                uses.entry((name, value)).or_insert((0, entry)).0 += 1;
            }
        }
        let mut shared = Self::default();
        for (key, (count, entry)) in uses {
            // An id is 32 bits; what does not fit stays inline.
            if let (2.., Ok(id)) = (count, u32::try_from(shared.bytes.len() / UNIT)) {
                entry.append_to(&mut shared.bytes);
                shared.ids.insert(key, id);
            }
        }
        Ok(shared)
    }

    /// The content of the shared area.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The body behind an inode with these attributes: empty when there are none, a multiple of 4 bytes always.
    pub(super) fn body(&self, xattrs: &'a BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<u8>, XattrProblem> {
        if xattrs.is_empty() {
            return Ok(Vec::new());
        }
        let mut body = vec![0; BODY_HEADER];
        let mut inline = Vec::new();
        for (name, value) in xattrs {
            let entry = Entry::new(name, value)?;
            match self.ids.get(&(name.as_slice(), value.as_slice())) {
                Some(id) if body.len() < BODY_HEADER + UNIT * MAX_SHARED => {
                    body.extend_from_slice(&id.to_le_bytes());
                }
                Some(_) | None => entry.append_to(&mut inline),
            }
        }
        body[4] = ((body.len() - BODY_HEADER) / UNIT) as u8;
        body.append(&mut inline);
        match count(&body) {
            Some(_) => Ok(body),
            None => Err(XattrProblem::Total { length: body.len() }),
        }
    }
}

/// `i_xattr_icount` of a body, if it can be counted.
pub(super) fn count(body: &[u8]) -> Option<u16> {
    match body.len().checked_sub(BODY_HEADER) {
        None => Some(0),
        Some(rest) => u16::try_from(rest / UNIT + 1).ok(),
    }
}

/// Bytes of the body that `i_xattr_icount` counts.
pub(super) fn body_size(count: u16) -> u64 {
    if count == 0 { 0 } else { (BODY_HEADER + UNIT * (usize::from(count) - 1)) as u64 }
}

/// The ids of shared entries and the bytes of the inline ones.
pub(super) fn split_body(body: &[u8]) -> Result<(Vec<u32>, &[u8]), XattrDamage> {
    let count = usize::from(*body.get(4).ok_or(XattrDamage::Truncated)?);
    let rest = body.get(BODY_HEADER..).ok_or(XattrDamage::Truncated)?;
    let (ids, inline) = rest.split_at_checked(count * UNIT).ok_or(XattrDamage::Truncated)?;
    Ok((ids.chunks_exact(UNIT).map(|id| u32_at(id, 0)).collect(), inline))
}

/// Bytes of the entry that starts with these four.
pub(super) fn entry_size(start: [u8; UNIT]) -> usize {
    (UNIT + usize::from(start[0]) + usize::from(u16_at(&start, 2))).next_multiple_of(UNIT)
}

/// Reads one entry into `xattrs`; gives what follows it.
pub(super) fn parse_entry<'a>(
    bytes: &'a [u8],
    xattrs: &mut BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<&'a [u8], XattrDamage> {
    let start: [u8; UNIT] = *bytes.first_chunk().ok_or(XattrDamage::Truncated)?;
    let (entry, rest) = bytes.split_at_checked(entry_size(start)).ok_or(XattrDamage::Truncated)?;
    let (suffix, value) = entry[UNIT..].split_at(usize::from(start[0]));
    let prefix = start[1];
    let (_, text, named) =
        PREFIXES.iter().find(|(number, ..)| *number == prefix).ok_or(XattrDamage::Prefix { prefix })?;
    if suffix.is_empty() == *named || suffix.contains(&0) {
        return Err(XattrDamage::Name { prefix });
    }
    let value = value[..usize::from(u16_at(&start, 2))].to_vec();
    match xattrs.insert([*text, suffix].concat(), value) {
        None => Ok(rest),
        Some(_) => Err(XattrDamage::Twice),
    }
}

/// The number of the name's prefix, and the rest of the name.
fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(number, prefix, named)| {
        let suffix = name.strip_prefix(*prefix)?;
        (suffix.is_empty() != *named && !suffix.contains(&0)).then_some((*number, suffix))
    })
}

impl<'a> Entry<'a> {
    fn new(name: &'a [u8], value: &'a [u8]) -> Result<Self, XattrProblem> {
        let text = || String::from_utf8_lossy(name).into_owned();
        let (prefix, suffix) = split_name(name).ok_or_else(|| XattrProblem::Name { name: text() })?;
        if suffix.len() > usize::from(u8::MAX) {
            return Err(XattrProblem::NameLength { name: text(), length: suffix.len() });
        }
        if value.len() > usize::from(u16::MAX) {
            return Err(XattrProblem::ValueLength { name: text(), length: value.len() });
        }
        Ok(Self { prefix, suffix, value })
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        let mut start = [self.suffix.len() as u8, self.prefix, 0, 0];
        put(&mut start, 2, &(self.value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&start);
        bytes.extend_from_slice(self.suffix);
        bytes.extend_from_slice(self.value);
        bytes.resize(bytes.len().next_multiple_of(UNIT), 0);
    }
}
