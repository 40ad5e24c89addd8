//! What the EROFS tests share: a torture tree, and one way to state facts about a tree, a directory and an image.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "oracle tests put images on the host's disk and run its tools; each test file uses a part of this"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileExt, FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

mod torture;

#[allow(unused_imports, reason = "each test file uses a part of this")]
pub use torture::torture;

use basalt_formats::{
    ReadAt, WriteAt,
    erofs::{self, Compression, Donor, Index, Layout, Options, PackOptions},
    tree::{Content, Device, Kind, Metadata, Node, NodeId, ReadContent, Source, Tree},
};
use basalt_types::{Digest, Guid};

pub const EPOCH: i64 = 1_700_000_000;

pub fn options() -> Options {
    Options {
        uuid: Guid::from_u128(0xba5a_1700_0000_4000_8000_0000_0000_0001),
        label: "torture".into(),
        epoch: EPOCH,
    }
}

/// Everything a person can see of a node, comparable whatever it was seen through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub kind: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub links: u64,
    /// The first path with the same inode.
    pub first: String,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub type Facts = BTreeMap<String, Fact>;

/// States the facts of a tree.
pub fn facts_of_tree(tree: &Tree, content: &dyn ReadContent) -> Facts {
    let mut paths = Vec::new();
    tree.walk(&mut |path, id| paths.push((escape(path), id)));
    let mut first: BTreeMap<NodeId, String> = BTreeMap::new();
    let mut links: BTreeMap<NodeId, u64> = BTreeMap::new();
    for (path, id) in &paths {
        let at = first.entry(*id).or_insert_with(|| path.clone());
        if path < at {
            at.clone_from(path);
        }
        *links.entry(*id).or_default() += 1;
    }
    let fact = |id: NodeId| {
        let node = tree.node(id);
        let Metadata { mode, uid, gid, mtime, mtime_nanos, xattrs } = node.metadata.clone();
        let mut link_count = links[&id];
        let kind = match &node.kind {
            Kind::Directory(names) => {
                let below = names.values().filter(|id| matches!(tree.node(**id).kind, Kind::Directory(_)));
                link_count = 2 + below.count() as u64;
                "directory".to_owned()
            }
            Kind::File(file) => {
                format!(
                    "file {} {}",
                    file.size,
                    digest(file.size, |at, into| file.read_at(content, at, into))
                )
            }
            Kind::Symlink(target) => format!("symlink {}", escape(target)),
            Kind::CharDevice(Device { major, minor }) => format!("char {major}:{minor}"),
            Kind::BlockDevice(Device { major, minor }) => format!("block {major}:{minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Socket => "socket".to_owned(),
        };
        let mtime = (mtime, mtime_nanos);
        Fact {
            kind,
            mode: mode.into(),
            uid,
            gid,
            mtime,
            links: link_count,
            first: first[&id].clone(),
            xattrs,
        }
    };
    paths.iter().map(|(path, id)| (path.clone(), fact(*id))).collect()
}

/// States the facts of a directory of the host.
pub fn facts_of_directory(root: &Path) -> Facts {
    let mut facts = Facts::new();
    let mut first: BTreeMap<u64, String> = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let path = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(&below) };
        let stat = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = if below.as_os_str().is_empty() {
            String::new()
        } else {
            format!("/{}", escape(below.as_os_str().as_bytes()))
        };
        let at = first.entry(stat.ino()).or_insert_with(|| name.clone());
        if name < *at {
            at.clone_from(&name);
        }
        let fact = Fact {
            kind: kind_of(&path, &stat),
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: (stat.mtime(), stat.mtime_nsec() as u32),
            links: stat.nlink(),
            first: stat.ino().to_string(),
            xattrs: xattrs_of(&path),
        };
        facts.insert(name, fact);
        if stat.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| below.join(entry.unwrap().file_name())));
        }
    }
    for fact in facts.values_mut() {
        fact.first = first[&fact.first.parse::<u64>().unwrap()].clone();
    }
    facts
}

fn kind_of(path: &Path, stat: &fs::Metadata) -> String {
    let device = || (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
    let file_type = stat.file_type();
    if file_type.is_dir() {
        "directory".to_owned()
    } else if file_type.is_file() {
        let file = File::open(path).unwrap();
        format!("file {} {}", stat.len(), digest(stat.len(), |at, into| file.read_exact_at(into, at)))
    } else if file_type.is_symlink() {
        format!("symlink {}", escape(&fs::read_link(path).unwrap().into_os_string().into_vec()))
    } else if file_type.is_char_device() {
        format!("char {}:{}", device().0, device().1)
    } else if file_type.is_block_device() {
        format!("block {}:{}", device().0, device().1)
    } else if file_type.is_fifo() {
        "fifo".to_owned()
    } else {
        "socket".to_owned()
    }
}

fn xattrs_of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut xattrs = BTreeMap::new();
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        xattrs.insert(name.to_vec(), value);
    }
    xattrs
}

/// A digest of content that skips its zeros, so that 5 GiB of them cost little.
fn digest(size: u64, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> Digest {
    let mut buffer = vec![0; 1 << 20];
    let mut parts = Vec::new();
    let mut offset = 0;
    while offset < size {
        let part = &mut buffer[..(size - offset).min(1 << 20) as usize];
        read(offset, part).unwrap();
        if !is_zero(part) {
            parts.extend_from_slice(&offset.to_le_bytes());
            parts.extend_from_slice(Digest::of(part).as_bytes());
        }
        offset += 1 << 20;
    }
    Digest::of(&parts)
}

/// Compares as memory: a loop over 5 GiB without optimisation takes a minute.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(4096).all(|part| part == &ZEROS[..part.len()])
}

/// Bytes as text that keeps every byte apart from every other.
pub fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// What `fsck.erofs --extract` keeps. It sets attributes first, then the owner, which loses capabilities, set-uid and
/// set-gid, then the mode, which changes ACLs; the kernel's mount shows those.
pub fn as_extracted(facts: &Facts) -> Facts {
    let strip = |fact: &Fact| {
        let mut fact = Fact { mode: fact.mode & 0o1777, ..fact.clone() };
        fact.xattrs.retain(|name, _| name.starts_with(b"user."));
        fact
    };
    facts.iter().map(|(path, fact)| (path.clone(), strip(fact))).collect()
}

/// Fails with the first differences, not with two lists of 100,000 lines.
pub fn assert_same_facts(found: &Facts, expected: &Facts) {
    let paths: std::collections::BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let different: Vec<String> = paths
        .into_iter()
        .filter(|path| found.get(*path) != expected.get(*path))
        .take(5)
        .map(|path| format!("{path}\n  found    {:?}\n  expected {:?}", found.get(path), expected.get(path)))
        .collect();
    assert!(
        different.is_empty(),
        "{} found, {} expected; different:\n{}",
        found.len(),
        expected.len(),
        different.join("\n")
    );
}

/// A file on the host as source and sink. Chunks of zeros stay holes.
pub struct Disk(pub File);

impl Disk {
    pub fn create(path: &Path, size: u64) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(size).unwrap();
        Self(file)
    }
}

impl ReadAt for Disk {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl WriteAt for Disk {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if is_zero(bytes) { Ok(()) } else { self.0.write_all_at(bytes, offset) }
    }
}

/// Memory that checks the writer's promise: aligned, inside, each block once.
pub struct Strict {
    bytes: Mutex<(Vec<u8>, Vec<bool>)>,
}

impl Strict {
    pub fn new(size: u64) -> Self {
        Self { bytes: Mutex::new((vec![0xaa; size as usize], vec![false; size as usize / 4096])) }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        let (bytes, written) = self.bytes.into_inner().unwrap();
        assert!(written.iter().all(|written| *written), "a block was not written");
        bytes
    }
}

impl WriteAt for Strict {
    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<()> {
        let mut guard = self.bytes.lock().unwrap();
        let (bytes, written) = &mut *guard;
        assert_eq!(offset % (1 << 20), 0, "a chunk starts at {offset}");
        assert_eq!(new.len() % 4096, 0, "a chunk is {} bytes long", new.len());
        assert!(
            new.len() == 1 << 20 || offset as usize + new.len() == bytes.len(),
            "a short chunk at {offset}"
        );
        for block in &mut written[offset as usize / 4096..][..new.len() / 4096] {
            assert!(!std::mem::replace(block, true), "a block was written twice");
        }
        bytes[offset as usize..][..new.len()].copy_from_slice(new);
        Ok(())
    }
}

/// The image of a tree, in memory.
pub fn image_of(tree: &Tree, content: &dyn ReadContent) -> Vec<u8> {
    let layout = Layout::plan(tree, &options()).unwrap();
    let sink = Strict::new(layout.image_size());
    layout.write(content, &sink).unwrap();
    sink.into_bytes()
}

/// The image of a tree, in a file.
pub fn image_file(tree: &Tree, content: &dyn ReadContent, path: &Path) {
    let layout = Layout::plan(tree, &options()).unwrap();
    layout.write(content, &Disk::create(path, layout.image_size())).unwrap();
}

/// Reads an image and states its facts.
pub fn facts_of_image(image: &dyn ReadAt) -> Facts {
    let (tree, files) = erofs::unpack(Borrowed(image), 0).unwrap();
    facts_of_tree(&tree, &files)
}

/// Another's bytes, where a value is asked for.
pub struct Borrowed<'a>(pub &'a dyn ReadAt);

impl ReadAt for Borrowed<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}

/// Memory that checks what the packer promises: whole blocks, each once, and in the end all of them.
#[derive(Default)]
pub struct Blocks(Mutex<BTreeMap<u64, Vec<u8>>>);

impl Blocks {
    pub fn into_bytes(self, size: u64) -> Vec<u8> {
        let blocks = self.0.into_inner().unwrap();
        assert_eq!(blocks.len() as u64, size / 4096, "not every block was written");
        blocks.into_values().flatten().collect()
    }
}

impl WriteAt for Blocks {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert_eq!((offset % 4096, bytes.len() % 4096), (0, 0), "{} bytes at {offset}", bytes.len());
        let mut blocks = self.0.lock().unwrap();
        for (number, block) in (offset / 4096..).zip(bytes.chunks(4096)) {
            assert!(blocks.insert(number, block.to_vec()).is_none(), "block {number} was written twice");
        }
        Ok(())
    }
}

pub fn pack_options(compression: Option<Compression>) -> PackOptions {
    PackOptions { image: options(), compression, late: None }
}

/// The packed image of a tree, in memory, and what it holds.
pub fn packed(
    tree: &Tree,
    content: &dyn ReadContent,
    options: &PackOptions,
    donors: &[Donor<'_>],
) -> (Vec<u8>, Index) {
    let sink = Blocks::default();
    let packed = erofs::pack(tree, content, options, donors, &sink).unwrap();
    let size = packed.image_size();
    let index = packed.finish(tree, content, &sink).unwrap();
    (sink.into_bytes(size), index)
}

/// Runs a program of the trixie tree, which must have been set up, on files of the host.
pub fn run_trixie(program: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let tree = std::env::var_os("BASALT_TRIXIE_TREE").map(PathBuf::from);
    let tree = tree.expect("BASALT_TRIXIE_TREE is not set: run it through cargo xtask test");
    let libraries = tree.join("usr/lib/x86_64-linux-gnu");
    let program = tree.join("usr/bin").join(program);
    let mut all: Vec<&std::ffi::OsStr> =
        vec!["--library-path".as_ref(), libraries.as_ref(), program.as_ref()];
    all.extend(arguments);
    let loader = libraries.join("ld-linux-x86-64.so.2");
    run(&loader.display().to_string(), "the trixie tree has no such program", &all)
}

/// Runs a tool; fails with its output, or with what to install.
pub fn run(program: &str, hint: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} can't be run ({error}): {hint}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}", output.status);
    text
}

/// An image that the kernel has mounted, in a mount namespace that ends with this value.
pub struct Mounted {
    child: Child,
    pub path: PathBuf,
}

impl Mounted {
    pub fn new(image: &Path, mount_point: &Path) -> Self {
        fs::create_dir_all(mount_point).unwrap();
        let script = r#"mount -t erofs -o ro,loop "$1" "$2" && echo mounted && exec cat"#;
        let mut child = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .args([image, mount_point])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line != "mounted\n" {
            let mut why = String::new();
            child.stderr.as_mut().unwrap().read_to_string(&mut why).unwrap();
            panic!(
                "the kernel did not mount the image (this test needs root, loop devices and the erofs module): {why}"
            );
        }
        let path = PathBuf::from(format!("/proc/{}/root{}", child.id(), mount_point.display()));
        Self { child, path }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// The tree of a directory of the host; its store number `n` is the file of node `n`.
pub fn tree_of_directory(root: &Path) -> (Tree, Files) {
    let mut tree = Tree::new();
    let mut files = Files(Vec::new());
    let mut known: BTreeMap<u64, NodeId> = BTreeMap::new();
    let mut pending = vec![(root.to_owned(), Tree::ROOT)];
    tree.node_mut(Tree::ROOT).metadata = metadata_of(root, &fs::symlink_metadata(root).unwrap());
    while let Some((directory, id)) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let child = match known.get(&stat.ino()) {
                Some(child) => *child,
                None => {
                    let kind = node_kind(&path, &stat, &mut files);
                    let child = tree.add(Node { metadata: metadata_of(&path, &stat), kind });
                    if stat.nlink() > 1 && !stat.is_dir() {
                        known.insert(stat.ino(), child);
                    }
                    child
                }
            };
            tree.link(id, path.file_name().unwrap().as_bytes(), child).unwrap();
            if stat.is_dir() {
                pending.push((path, child));
            }
        }
    }
    (tree, files)
}

fn metadata_of(path: &Path, stat: &fs::Metadata) -> Metadata {
    Metadata {
        mode: (stat.mode() & 0o7777) as u16,
        uid: stat.uid(),
        gid: stat.gid(),
        mtime: stat.mtime(),
        mtime_nanos: stat.mtime_nsec() as u32,
        xattrs: xattrs_of(path),
    }
}

fn node_kind(path: &Path, stat: &fs::Metadata, files: &mut Files) -> Kind {
    let device = || Device { major: rustix::fs::major(stat.rdev()), minor: rustix::fs::minor(stat.rdev()) };
    let file_type = stat.file_type();
    if file_type.is_dir() {
        Kind::Directory(BTreeMap::new())
    } else if file_type.is_file() {
        files.0.push(path.to_owned());
        let source = Source::Stored { store: files.0.len() as u32 - 1, offset: 0 };
        Kind::File(Content { size: stat.len(), source })
    } else if file_type.is_symlink() {
        Kind::Symlink(fs::read_link(path).unwrap().into_os_string().into_vec())
    } else if file_type.is_char_device() {
        Kind::CharDevice(device())
    } else if file_type.is_block_device() {
        Kind::BlockDevice(device())
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    }
}

/// Files of the host, by number.
pub struct Files(Vec<PathBuf>);

impl ReadContent for Files {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        File::open(&self.0[store as usize])?.read_exact_at(buffer, offset)
    }
}

/// Content that is computed: store 0 is zeros with one byte set in every GiB, stores from 1000 on are parts of text,
/// noise and zeros, the other stores are noise.
pub struct Generated;

impl ReadContent for Generated {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let noise = |at: u64| ((at ^ u64::from(store)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8;
        if store >= 1000 {
            let words = b"the quick brown fox jumps over a lazy dog and lives in the deep, deep forest ";
            for (at, byte) in (offset..).zip(buffer) {
                let word = usize::from(noise(at / 6)) * 7 + (at % 6) as usize;
                *byte = match noise(at >> 15) % 4 {
                    0 => noise(at),
                    1 if at % 3 > 0 => 0,
                    _ => words[word % words.len()],
                };
            }
            return Ok(());
        }
        if store > 0 {
            for (at, byte) in (offset..).zip(buffer) {
                *byte = noise(at);
            }
            return Ok(());
        }
        buffer.fill(0);
        let mark = offset.next_multiple_of(1 << 30);
        if let Some(byte) = usize::try_from(mark - offset).ok().and_then(|at| buffer.get_mut(at)) {
            *byte = (mark >> 30) as u8 + 1;
        }
        Ok(())
    }
}

pub fn node(mode: u16, kind: Kind) -> Node {
    Node { metadata: Metadata { mtime: EPOCH, ..Metadata::root_owned(mode) }, kind }
}

pub fn directory() -> Node {
    node(0o755, Kind::Directory(BTreeMap::new()))
}

pub fn text(bytes: &[u8]) -> Node {
    node(0o644, Kind::File(Content::inline(bytes)))
}

/// A file of text, noise and zeros.
pub fn mixed(store: u32, size: u64) -> Node {
    node(0o644, Kind::File(Content { size, source: Source::Stored { store, offset: 0 } }))
}

/// A file of pseudo-random bytes.
pub fn random(store: u32, size: u64) -> Node {
    node(0o644, Kind::File(Content { size, source: Source::Stored { store, offset: 0 } }))
}

pub fn with_xattrs(mut node: Node, xattrs: &[(&str, &[u8])]) -> Node {
    node.metadata.xattrs =
        xattrs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
    node
}

/// `getfacl`: `user::rwx user:1000:r-x group::r-x mask::r-x other::---`, as the kernel keeps it (version 2).
pub fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 5, 1000), (4, 5, u32::MAX), (0x10, 5, u32::MAX), (0x20, 0, u32::MAX)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

/// `cap_net_raw=ep`, as the kernel keeps it (revision 2).
pub fn capability() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}
