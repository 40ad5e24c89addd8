//! A layer as a list of changes, its file contents put aside.

use std::sync::Arc;

use basalt_formats::tree::{Content, Device, FileName, Kind, Metadata, Node, Source};

use super::{
    LayerProblem, Spool,
    stream::Plain,
    tar::{Map, Reader, What, lossy},
};

/// What a layer changes.
#[derive(Default)]
pub(super) struct Changes {
    /// Paths that lower layers have and that are hidden.
    pub(super) whiteouts: Vec<Path>,
    /// Directories of lower layers whose content is hidden.
    pub(super) opaque: Vec<Path>,
    /// What is added, in the layer's order.
    pub(super) entries: Vec<(Path, Added)>,
}

/// A path from the root; empty for the root itself.
pub(super) type Path = Vec<FileName>;

/// What an entry adds.
pub(super) enum Added {
    Node(Node),
    /// Another name of what is at this path.
    HardLink(Path),
}

/// What begins the name of a file that hides another one (image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// What hides the content of its directory ("Opaque Whiteout").
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of the file system that whiteouts come from, which the names above were taken from.
const BOOKKEEPING: &[u8] = b".wh..wh.";
/// PATH_MAX and NAME_MAX of Linux.
const PATH_LIMIT: usize = 4096;
const NAME_LIMIT: usize = 255;
/// A hole is made of pieces of so many zeros.
const ZEROS: usize = 64 << 10;
/// How many of a hole's pieces lie side by side.
const FAN: u64 = 1024;

/// Reads all of a layer. `entries` is how many more the image may have.
pub(super) fn read(
    plain: &mut Plain<'_>,
    spool: &mut Spool<'_>,
    entries: &mut usize,
) -> Result<Changes, LayerProblem> {
    let allowed = *entries;
    let mut changes = Changes::default();
    let mut reader = Reader::new(plain);
    while let Some(entry) = reader.next()? {
        *entries = entries.checked_sub(1).ok_or(LayerProblem::Entries(allowed))?;
        let path = relative(&entry.path)?;
        let kind = match entry.what {
            What::File(length, map) => Kind::File(content(&mut reader, spool, length, map)?),
            What::HardLink(target) => {
                let target = relative(&target)?;
                add(&mut changes, path, Added::HardLink(target))?;
                continue;
            }
            What::Directory => Kind::Directory(std::collections::BTreeMap::new()),
            What::Symlink(target)
                if target.is_empty() || target.contains(&0) || target.len() > PATH_LIMIT =>
            {
                return Err(LayerProblem::Symlink(lossy(&entry.path)));
            }
            What::Symlink(target) => Kind::Symlink(target),
            What::CharDevice(device) if in_dev(&path) => Kind::CharDevice(device),
            What::CharDevice(Device { .. }) | What::BlockDevice(Device { .. }) => {
                return Err(LayerProblem::Device(lossy(&entry.path)));
            }
            What::Fifo => Kind::Fifo,
        };
        add(&mut changes, path, Added::Node(Node { metadata: entry.metadata, kind }))?;
    }
    Ok(changes)
}

fn in_dev(path: &Path) -> bool {
    path.len() > 1 && path[0] == b"dev"
}

/// Sorts an entry in: its name may say that it is a whiteout.
fn add(changes: &mut Changes, path: Path, added: Added) -> Result<(), LayerProblem> {
    let Some((name, parent)) = path.split_last() else {
        let directory = matches!(&added, Added::Node(Node { kind: Kind::Directory(_), .. }));
        if !directory {
            return Err(LayerProblem::Path("/".to_owned()));
        }
        changes.entries.push((path, added));
        return Ok(());
    };
    if path.iter().rev().skip(1).any(|part| part.starts_with(WHITEOUT)) {
        return Err(LayerProblem::Whiteout(shown(&path)));
    }
    if name == OPAQUE {
        changes.opaque.push(parent.to_vec());
    } else if name.starts_with(BOOKKEEPING) {
        // What it keeps book of is said in other entries too.
    } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(LayerProblem::Whiteout(shown(&path)));
        }
        changes.whiteouts.push([parent, &[hidden.to_vec()]].concat());
    } else {
        changes.entries.push((path, added));
    }
    Ok(())
}

/// `./usr/bin/` → `usr`, `bin`. What leads out of the tree, whatever it would mean, is refused.
fn relative(written: &[u8]) -> Result<Path, LayerProblem> {
    let refuse = || LayerProblem::Path(lossy(written));
    if written.is_empty() || written.starts_with(b"/") || written.contains(&0) || written.len() > PATH_LIMIT {
        return Err(refuse());
    }
    let mut path = Path::new();
    for part in written.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refuse()),
            name if name.len() > NAME_LIMIT => return Err(refuse()),
            name => path.push(name.to_vec()),
        }
    }
    Ok(path)
}

/// For errors.
pub(super) fn shown(path: &[FileName]) -> String {
    lossy(&path.join(&b'/'))
}

/// Puts a file's bytes aside.
fn content(
    reader: &mut Reader<'_, '_>,
    spool: &mut Spool<'_>,
    length: u64,
    map: Option<Map>,
) -> Result<Content, LayerProblem> {
    let Some(Map { size, pieces, .. }) = map else {
        let stored = store(reader, spool, length)?;
        reader.pad(length)?;
        return Ok(stored);
    };
    reader.plain.spend(size.saturating_sub(length))?;
    let zeros: Arc<[u8]> = vec![0; ZEROS].into();
    let mut parts = Vec::new();
    let mut end = 0;
    for (offset, length) in pieces {
        parts.extend(hole(&zeros, offset - end));
        if length > 0 {
            parts.push(store(reader, spool, length)?);
        }
        end = offset + length;
    }
    parts.extend(hole(&zeros, size - end));
    reader.pad(length)?;
    Ok(Content { size, source: Source::Parts(parts.into()) })
}

fn store(reader: &mut Reader<'_, '_>, spool: &mut Spool<'_>, length: u64) -> Result<Content, LayerProblem> {
    let source = Source::Stored { store: spool.store, offset: spool.offset };
    reader.plain.copy(length, |bytes| {
        spool.offset += bytes.len() as u64;
        spool.out.write_all(bytes).map_err(LayerProblem::Spool)
    })?;
    if length == 0 {
        return Ok(Content::inline(Vec::new()));
    }
    Ok(Content { size: length, source })
}

/// So many zeros, which take no space: pieces of pieces of the same few.
fn hole(zeros: &Arc<[u8]>, mut size: u64) -> Vec<Content> {
    let mut parts = Vec::new();
    let mut unit = Content { size: ZEROS as u64, source: Source::Inline(Arc::clone(zeros)) };
    let rest = usize::try_from(size % unit.size).unwrap_or(0);
    if rest > 0 {
        parts.push(Content::inline(&zeros[..rest]));
    }
    size /= unit.size;
    while size > 0 {
        let count = usize::try_from(size % FAN).unwrap_or(0);
        parts.extend(std::iter::repeat_n(unit.clone(), count));
        size /= FAN;
        let many: Arc<[Content]> =
            std::iter::repeat_n(unit.clone(), usize::try_from(FAN).unwrap_or(1)).collect();
        unit = Content { size: unit.size * FAN, source: Source::Parts(many) };
    }
    parts
}

impl Added {
    /// The metadata, where it has its own.
    pub(super) fn directory(&self) -> Option<&Metadata> {
        match self {
            Self::Node(Node { metadata, kind: Kind::Directory(_) }) => Some(metadata),
            Self::Node(_) | Self::HardLink(_) => None,
        }
    }
}
