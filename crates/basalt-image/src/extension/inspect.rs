//! What an extension image says of itself: a plain EROFS, or a disk image (UAPI.3) with one and perhaps its hash tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use basalt_formats::{
    ReadAt, erofs,
    gpt::{GptError, Table},
    tree::{Kind, NodeId, ReadContent, Tree},
    verity,
};
use basalt_spec::words::UnitName;
use basalt_types::{Architecture, Digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Sort;
use crate::layout::{Role, System};

/// What an extension image says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// What it extends.
    pub sort: Sort,
    /// What its `extension-release.NAME` calls it.
    pub name: String,
    /// Whether its file must be called so (`user.extension-release.strict`, systemd-sysext(8)).
    pub strict: bool,
    /// What its `extension-release` says: `ID`, `VERSION_ID` …
    pub release: BTreeMap<String, String>,
    /// Units whose texts it brings and that it lets targets want: they start by themselves.
    pub units: BTreeSet<String>,
    /// By which its content is verified; none when it has no hash tree.
    pub root_hash: Option<Digest>,
}

/// Why a file is no extension that can be used.
#[derive(Debug, Error)]
pub enum InspectError {
    /// Neither of the two forms, or damaged.
    #[error("it is neither an EROFS image nor a disk image with one: {0}")]
    NoImage(#[from] erofs::ReadError),
    /// Its partition table is damaged.
    #[error("its partition table can't be used: {0}")]
    Table(#[from] GptError),
    /// A disk image without a root.
    #[error("no partition of it is a root for a processor that we know")]
    NoRoot,
    /// A partition that goes beyond the end.
    #[error("it is shorter than its partition table says")]
    Short,
    /// The hash tree is another one's.
    #[error("its content is not what its hash tree says: {0}")]
    Verity(#[from] verity::Corruption),
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    /// It has no `extension-release`.
    #[error("it has no extension-release.NAME: it is no extension, or a whole system")]
    NoRelease,
    /// It extends both.
    #[error("it has an extension-release below /usr and below /etc, and can only extend one of them")]
    Both,
    /// An `extension-release` of several names.
    #[error("it has {0} files extension-release.NAME instead of one")]
    Releases(usize),
    /// It is a whole system.
    #[error("it has a /usr/lib/os-release: systemd takes it for a whole system")]
    WholeSystem,
}

/// An `extension-release` is some lines.
const MOST_RELEASE: u64 = 64 << 10;
/// The attribute that lets a file be called otherwise.
const STRICT: &[u8] = b"user.extension-release.strict";

/// Reads what an image says of itself. Of an image with a hash tree, every byte is compared with it.
///
/// # Errors
/// When it is no extension, or damaged.
pub fn inspect(image: &dyn ReadAt) -> Result<Inspected, InspectError> {
    let (root, hash_tree) = parts(image)?;
    let root_hash = match &hash_tree {
        Some((tree, hash)) => {
            verity::verify(&root, tree, hash)?;
            Some(*hash)
        }
        None => None,
    };
    let (tree, content) = erofs::unpack(root, 0)?;
    if tree.lookup("/usr/lib/os-release").is_some() {
        return Err(InspectError::WholeSystem);
    }
    let found = [Sort::System, Sort::Configuration].map(|sort| releases(&tree, sort));
    let (sort, names) = match found {
        [system, configuration] if configuration.is_empty() => (Sort::System, system),
        [system, configuration] if system.is_empty() => (Sort::Configuration, configuration),
        [_, _] => return Err(InspectError::Both),
    };
    let (name, id) = match <[_; 1]>::try_from(names) {
        Ok([one]) => one,
        Err(names) if names.is_empty() => return Err(InspectError::NoRelease),
        Err(names) => return Err(InspectError::Releases(names.len())),
    };
    let node = tree.node(id);
    let strict = node.metadata.xattrs.get(STRICT).is_none_or(|value| !is_no(value));
    let release = fields(&text(&tree, id, &content)?);
    Ok(Inspected { sort, name, strict, release, units: units(&tree, sort), root_hash })
}

/// The assignments of an os-release or extension-release (os-release(5)), without the quotes of their values.
pub fn fields(text: &str) -> BTreeMap<String, String> {
    let assignment = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let is_name = !name.is_empty() && !name.starts_with('#');
        is_name.then(|| (name.to_owned(), bare.unwrap_or(value).to_owned()))
    };
    text.lines().filter_map(assignment).collect()
}

/// The EROFS, and its hash tree with the root hash that the ids of the two partitions are the halves of (UAPI.2).
fn parts(image: &dyn ReadAt) -> Result<(Part<'_>, Option<(Part<'_>, Digest)>), InspectError> {
    let whole = Part { image, start: 0, size: image.size() };
    let mut magic = [0; 8];
    if image.size() < 1024 || image.read_at(512, &mut magic).is_err() || magic != *b"EFI PART" {
        return Ok((whole, None));
    }
    let table = Table::parse(image, 512)?.table;
    let find = |role: Role| {
        let kinds = [Architecture::Amd64, Architecture::Arm64].map(|processor| role.type_guid(processor));
        table.partitions.iter().find(|partition| kinds.contains(&partition.type_guid))
    };
    let part = |bytes: std::ops::Range<u64>| {
        let inside = bytes.start < bytes.end && bytes.end <= image.size();
        inside.then_some(Part { image, start: bytes.start, size: bytes.end - bytes.start })
    };
    let root = find(Role::Root(System::A)).ok_or(InspectError::NoRoot)?;
    let content = part(root.bytes(512)).ok_or(InspectError::Short)?;
    let Some(tree) = find(Role::Verity(System::A)) else { return Ok((content, None)) };
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(root.guid.as_bytes());
    hash[16..].copy_from_slice(tree.guid.as_bytes());
    let tree = part(tree.bytes(512)).ok_or(InspectError::Short)?;
    Ok((content, Some((tree, Digest::from_bytes(hash)))))
}

/// The names behind `extension-release.` and their files.
fn releases(tree: &Tree, sort: Sort) -> Vec<(String, NodeId)> {
    let folder = match sort {
        Sort::System => "/usr/lib/extension-release.d",
        Sort::Configuration => "/etc/extension-release.d",
    };
    let Some(Kind::Directory(entries)) = tree.lookup(folder).map(|id| &tree.node(id).kind) else {
        return Vec::new();
    };
    let release = |(name, id): (&Vec<u8>, &NodeId)| {
        let name = std::str::from_utf8(name).ok()?.strip_prefix("extension-release.")?;
        matches!(tree.node(*id).kind, Kind::File(_)).then(|| (name.to_owned(), *id))
    };
    entries.iter().filter_map(release).collect()
}

fn text(tree: &Tree, id: NodeId, content: &dyn ReadContent) -> Result<String, InspectError> {
    let Kind::File(file) = &tree.node(id).kind else { return Err(InspectError::NoRelease) };
    if file.size > MOST_RELEASE {
        return Err(InspectError::NoRelease);
    }
    Ok(String::from_utf8_lossy(&file.read(content)?).into_owned())
}

/// A boolean of systemd's that says no (`parse_boolean`).
fn is_no(value: &[u8]) -> bool {
    let words = ["0", "no", "n", "false", "f", "off"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// What is in folders `TARGET.wants` and `TARGET.requires` of the folder of units, if its text is there too.
fn units(tree: &Tree, sort: Sort) -> BTreeSet<String> {
    let folder = match sort {
        Sort::System => "/usr/lib/systemd/system",
        Sort::Configuration => "/etc/systemd/system",
    };
    let names = |path: &str| -> Vec<(String, NodeId)> {
        let Some(Kind::Directory(entries)) = tree.lookup(path).map(|id| &tree.node(id).kind) else {
            return Vec::new();
        };
        let known = |(name, id): (&Vec<u8>, &NodeId)| Some((String::from_utf8(name.clone()).ok()?, *id));
        entries.iter().filter_map(known).collect()
    };
    let starters = names(folder)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".target.wants") || name.ends_with(".target.requires"));
    let units = starters.flat_map(|(starter, _)| names(&format!("{folder}/{starter}")));
    let brought = |unit: &String| {
        let template = unit.split_once('@').and_then(|(name, rest)| Some((name, rest.rsplit_once('.')?.1)));
        let text = template.map_or(unit.clone(), |(name, suffix)| format!("{name}@.{suffix}"));
        let is_name = unit.parse::<UnitName>().is_ok();
        is_name && [unit, &text].into_iter().any(|file| tree.lookup(&format!("{folder}/{file}")).is_some())
    };
    units.map(|(unit, _)| unit).filter(brought).collect()
}

/// A part of the image.
struct Part<'a> {
    image: &'a dyn ReadAt,
    start: u64,
    size: u64,
}

impl ReadAt for Part<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        match end {
            Some(_) => self.image.read_at(self.start + offset, buffer),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
