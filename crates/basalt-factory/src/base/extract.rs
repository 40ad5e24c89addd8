//! From an EROFS file to a directory: the inverse of collecting.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, fs::FileExt as _},
    },
    path::{Path, PathBuf},
};

use basalt_exec::files::{Root, Scope};
use basalt_formats::{
    erofs::Image,
    tree::{Content, Kind, Metadata, NodeId, Tree},
};
use rayon::prelude::*;
use rustix::{
    fs::{AtFlags, Mode, OFlags, XattrFlags, fsetxattr, futimens, linkat, mkdirat, openat, symlinkat},
    io::Errno,
};

use crate::{engine::stores::OpenFile, error::chain};

use super::{
    error::Failure,
    plant::{self, Attributes},
};

/// How much of a file is in memory at once.
const CHUNK: usize = 1 << 20;

/// Writes the tree in `image` to the directory `out`, which must not be there; gives the number of names.
pub(super) fn extract(image: &Path, out: &Path) -> Result<usize, Failure> {
    let wrong = |reason: String| Failure::Image { path: image.to_owned(), reason };
    let source = OpenFile::open(image).map_err(|error| Failure::io("open", image, &error))?;
    let tree = Image::open(&source).and_then(|found| found.tree(0)).map_err(|error| wrong(chain(&error)))?;
    std::fs::create_dir(out).map_err(|error| Failure::io("make", out, &error))?;
    let root = Root::open(out, Scope::NoLinks);
    let root = root.map_err(|error| Failure::io(error.action, &error.path, &error.source))?;
    let writer = Writer { tree: &tree, content: &source, root, shown: out };
    writer.write()
}

struct Writer<'w> {
    tree: &'w Tree,
    content: &'w OpenFile,
    root: Root,
    shown: &'w Path,
}

/// What a walk of the tree gives: names in an order in which they can be made.
#[derive(Default)]
struct Names {
    directories: Vec<(PathBuf, NodeId)>,
    files: Vec<(PathBuf, NodeId)>,
    /// All else that is made once.
    others: Vec<(PathBuf, NodeId)>,
    /// Second names: the new one and the first.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Writer<'_> {
    /// Directories, then files in parallel, then links, then the directories' own attributes from the deepest up.
    fn write(&self) -> Result<usize, Failure> {
        let Names { directories, files, others, links } = self.names();
        let count = directories.len() + files.len() + others.len() + links.len();
        let act = |path: &Path, outcome: io::Result<()>| {
            outcome.map_err(|error| Failure::io("write", &self.shown.join(path), &error))
        };
        for (path, _) in directories.iter().skip(1) {
            act(path, self.make_directory(path))?;
        }
        files.par_iter().try_for_each(|(path, id)| act(path, self.make_file(path, *id)))?;
        for (path, id) in &others {
            act(path, self.make_other(path, *id))?;
        }
        for (path, first) in &links {
            act(path, self.make_link(path, first))?;
        }
        for (path, id) in directories.iter().rev() {
            act(path, self.finish_directory(path, *id))?;
        }
        Ok(count)
    }

    fn names(&self) -> Names {
        let (mut names, mut first) = (Names::default(), HashMap::new());
        self.tree.walk(&mut |path, id| {
            let path = PathBuf::from(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
            match &self.tree.node(id).kind {
                Kind::Directory(_) => names.directories.push((path, id)),
                Kind::File(_)
                | Kind::Symlink(_)
                | Kind::CharDevice(_)
                | Kind::BlockDevice(_)
                | Kind::Fifo
                | Kind::Socket => {
                    if let Some(before) = first.get(&id) {
                        names.links.push((path, PathBuf::clone(before)));
                        return;
                    }
                    first.insert(id, path.clone());
                    let file = matches!(self.tree.node(id).kind, Kind::File(_));
                    if file { &mut names.files } else { &mut names.others }.push((path, id));
                }
            }
        });
        names
    }

    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((self.root.open_at(parent, flags, Mode::empty())?, name))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(mkdirat(parent, name, Mode::from_raw_mode(0o755))?)
    }

    fn make_file(&self, path: &Path, id: NodeId) -> io::Result<()> {
        let node = self.tree.node(id);
        let Kind::File(content) = &node.kind else { return Err(Errno::INVAL.into()) };
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
        self.copy(content, &file)?;
        finish(&file.into(), &node.metadata, 0o600)
    }

    fn copy(&self, content: &Content, file: &File) -> io::Result<()> {
        let mut offset = 0;
        let mut buffer = vec![0; usize::try_from(content.size).map_or(CHUNK, |size| size.min(CHUNK))];
        while offset < content.size {
            let left = usize::try_from(content.size - offset).unwrap_or(usize::MAX);
            let length = left.min(buffer.len());
            let part = &mut buffer[..length];
            content.read_at(self.content, offset, part)?;
            file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn make_other(&self, path: &Path, id: NodeId) -> io::Result<()> {
        let node = self.tree.node(id);
        let (parent, name) = self.parent(path)?;
        let attributes = attributes(&node.metadata);
        match &node.kind {
            Kind::Symlink(target) => symlinkat(OsStr::from_bytes(target), &parent, name)?,
            Kind::Fifo => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(&parent, name, rustix::fs::FileType::Fifo, mode, 0)?;
                let mode = Mode::from_raw_mode(node.metadata.mode.into());
                rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())?;
            }
            // No namespace lets its root make devices, and a socket without its server is of no use.
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Socket => return Err(Errno::PERM.into()),
            Kind::Directory(_) | Kind::File(_) => return Err(Errno::INVAL.into()),
        }
        Ok(plant::finish_link(&parent, name, &attributes)?)
    }

    fn make_link(&self, path: &Path, first: &Path) -> io::Result<()> {
        let ((old_parent, old_name), (parent, name)) = (self.parent(first)?, self.parent(path)?);
        Ok(linkat(old_parent, old_name, parent, name, AtFlags::empty())?)
    }

    fn finish_directory(&self, path: &Path, id: NodeId) -> io::Result<()> {
        let directory = self.root.open_directory(path)?;
        finish(&directory, &self.tree.node(id).metadata, u16::MAX)
    }
}

fn attributes(metadata: &Metadata) -> Attributes {
    let Metadata { mode, uid, gid, mtime, mtime_nanos, xattrs: _ } = metadata;
    Attributes { mode: *mode, uid: *uid, gid: *gid, mtime: (*mtime, *mtime_nanos) }
}

/// Owner, mode, attributes, time: in this order, because each may undo the ones behind it.
fn finish(inode: &OwnedFd, metadata: &Metadata, mode_now: u16) -> io::Result<()> {
    let attributes = attributes(metadata);
    plant::apply_owner_and_mode(inode, &attributes, mode_now)?;
    for (name, value) in &metadata.xattrs {
        fsetxattr(inode, OsStr::from_bytes(name), value, XattrFlags::empty())?;
    }
    Ok(futimens(inode, &plant::times(attributes.mtime))?)
}
