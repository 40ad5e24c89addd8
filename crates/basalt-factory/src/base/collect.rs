//! From a directory to a tree value, and to the EROFS file that steps exchange.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::{Path, PathBuf},
};

use basalt_exec::{
    files::{Root, Scope},
    walk::{Entry, Stat, walk},
};
use basalt_formats::{
    WriteAt,
    erofs::{Layout, Options},
    tree::{Content, Device, Kind, Metadata, Node, NodeId, ReadContent, Source, Tree, TreeError},
};
use basalt_types::Guid;
use rustix::fs::{FileType, Mode, OFlags};

use super::{
    BaseReport,
    error::Failure,
    volatile::{Verdict, verdict},
};
use crate::error::chain;

/// The volume id of trees between steps; they are never mounted, so it needs to tell nothing apart.
const VOLUME: Guid = Guid::from_u128(0x6261_7361_6c74_8000_8000_7472_6565_0001);

/// A walked directory: the tree and where its files' bytes are.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) tree: Tree,
    pub(super) content: DirectoryContent,
    entries: usize,
}

/// Reads file content out of a directory. Store numbers are places in `paths`.
#[derive(Debug)]
pub(super) struct DirectoryContent {
    root: Root,
    paths: Vec<PathBuf>,
}

impl ReadContent for DirectoryContent {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let path = usize::try_from(store).ok().and_then(|store| self.paths.get(store));
        let path =
            path.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no store {store}")))?;
        let file = self.root.open_at(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())?;
        File::from(file).read_exact_at(buffer, offset)
    }
}

/// Walks the directory; times above `epoch` become `epoch`, volatile paths are left out.
pub(super) fn collect(directory: &Path, epoch: i64) -> Result<Collected, Failure> {
    let root = Root::open(directory, Scope::NoLinks);
    let root = root.map_err(|error| Failure::io(error.action, &error.path, &error.source))?;
    let mut collector = Collector {
        epoch,
        tree: Tree::new(),
        paths: Vec::new(),
        directories: HashMap::new(),
        links: HashMap::new(),
        skipped: None,
        entries: 0,
        failure: None,
    };
    walk(directory, &mut |entry| collector.take(entry))?;
    let Collector { tree, paths, entries, failure, .. } = collector;
    match failure {
        Some(error) => Err(Failure::Image { path: directory.to_owned(), reason: error.to_string() }),
        None => Ok(Collected { tree, content: DirectoryContent { root, paths }, entries }),
    }
}

struct Collector {
    epoch: i64,
    tree: Tree,
    paths: Vec<PathBuf>,
    directories: HashMap<PathBuf, NodeId>,
    /// Inodes with several names that were met before.
    links: HashMap<(u32, u32, u64), NodeId>,
    /// Nothing below this path is taken.
    skipped: Option<PathBuf>,
    entries: usize,
    failure: Option<TreeError>,
}

impl Collector {
    fn take(&mut self, entry: Entry) {
        if self.skipped.as_ref().is_some_and(|top| entry.path.starts_with(top)) {
            return;
        }
        let verdict = entry.path.to_str().map_or(Verdict::Keep, verdict);
        if matches!(verdict, Verdict::Drop | Verdict::Empty) {
            self.skipped = Some(entry.path.clone());
        }
        if verdict == Verdict::Drop {
            return;
        }
        self.entries += 1;
        if entry.path.as_os_str().is_empty() {
            self.tree.node_mut(Tree::ROOT).metadata = self.metadata(&entry);
            self.directories.insert(PathBuf::new(), Tree::ROOT);
        } else if let Err(error) = self.add(entry, verdict) {
            self.failure.get_or_insert(error);
        }
    }

    fn add(&mut self, entry: Entry, verdict: Verdict) -> Result<(), TreeError> {
        let missing = || TreeError::Missing(entry.path.display().to_string());
        let parent = entry.path.parent().and_then(|parent| self.directories.get(parent)).copied();
        let parent = parent.ok_or_else(missing)?;
        let name = entry.path.file_name().ok_or_else(missing)?.as_bytes().to_vec();
        let linked = entry.stat.kind != FileType::Directory && entry.stat.links > 1;
        let known = if linked { self.links.get(&entry.stat.identity).copied() } else { None };
        let id = match known {
            Some(id) => id,
            None => {
                let metadata = self.metadata(&entry);
                let kind = self.kind(&entry, verdict);
                self.tree.add(Node { metadata, kind })
            }
        };
        if linked {
            self.links.insert(entry.stat.identity, id);
        }
        if entry.stat.kind == FileType::Directory {
            self.directories.insert(entry.path.clone(), id);
        }
        self.tree.link(parent, &name, id)
    }

    fn kind(&mut self, entry: &Entry, verdict: Verdict) -> Kind {
        let device = |stat: &Stat| Device { major: stat.device.0, minor: stat.device.1 };
        match entry.stat.kind {
            FileType::Directory => Kind::Directory(Default::default()),
            FileType::Symlink => Kind::Symlink(entry.target.clone()),
            FileType::CharacterDevice => Kind::CharDevice(device(&entry.stat)),
            FileType::BlockDevice => Kind::BlockDevice(device(&entry.stat)),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile | FileType::Unknown => {
                if verdict == Verdict::Blank || entry.stat.size == 0 {
                    return Kind::File(Content::inline(Vec::new()));
                }
                let store = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
                self.paths.push(entry.path.clone());
                Kind::File(Content { size: entry.stat.size, source: Source::Stored { store, offset: 0 } })
            }
        }
    }

    fn metadata(&self, entry: &Entry) -> Metadata {
        let Stat { mode, uid, gid, mtime, mtime_nanos, .. } = entry.stat;
        let (mtime, mtime_nanos) = if mtime >= self.epoch { (self.epoch, 0) } else { (mtime, mtime_nanos) };
        Metadata { mode, uid, gid, mtime, mtime_nanos, xattrs: entry.xattrs.clone() }
    }
}

/// Writes the tree as EROFS; the file appears under its name when it is complete.
pub(super) fn store(collected: &Collected, epoch: i64, out: &Path) -> Result<BaseReport, Failure> {
    let wrong = |reason: String| Failure::Image { path: out.to_owned(), reason };
    let options = Options { uuid: VOLUME, label: String::new(), epoch };
    let layout = Layout::plan(&collected.tree, &options).map_err(|error| wrong(chain(&error)))?;
    let mut partial = out.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let refuse = |error: io::Error| Failure::io("write", out, &error);
    let file = File::create(&partial).map_err(refuse)?;
    let written = file
        .set_len(layout.image_size())
        .map_err(refuse)
        .and_then(|()| layout.write(&collected.content, &Sink(&file)).map_err(|error| wrong(chain(&error))))
        .and_then(|()| std::fs::rename(&partial, out).map_err(refuse));
    if let Err(failure) = written {
        std::fs::remove_file(&partial).map_err(refuse)?;
        return Err(failure);
    }
    Ok(BaseReport { size: layout.image_size(), entries: collected.entries, by_dpkg: Vec::new() })
}

struct Sink<'f>(&'f File);

impl WriteAt for Sink<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}
