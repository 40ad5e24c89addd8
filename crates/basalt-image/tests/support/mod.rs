//! Trees from folders and back, and programs of a trixie tree.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an oracle needs real files and programs"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use basalt_formats::tree::{Content, Kind, Metadata, NoStores, Node, Tree};

/// What the comparison of two trees looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) what: What,
}

/// Bytes that print as text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Directory,
    File(Bytes),
    Link(Bytes),
    Other,
}

/// The trixie tree whose programs are the oracle.
pub(crate) fn trixie() -> PathBuf {
    match std::env::var_os("BASALT_TRIXIE_TREE") {
        Some(path) => path.into(),
        None => panic!("BASALT_TRIXIE_TREE is not set: run it through `cargo xtask test`"),
    }
}

/// A folder inside the trixie tree, and its path as seen from inside.
pub(crate) fn scratch(trixie: &Path) -> (tempfile::TempDir, String) {
    let folder = tempfile::Builder::new().prefix("basalt-").tempdir_in(trixie.join("tmp")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let inside = format!("/tmp/{}", folder.path().file_name().unwrap().to_str().unwrap());
    (folder, inside)
}

/// Runs a program of the trixie tree, with a /proc of its own, and gives what it prints.
pub(crate) fn run(trixie: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--root"]).arg(trixie).args(arguments);
    let output = command.output().expect("unshare of the package util-linux");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Reads `path` of the folder `root` into the same place of `tree`.
pub(crate) fn load(tree: &mut Tree, root: &Path, path: &str) {
    let place = root.join(path.trim_start_matches('/'));
    let facts = fs::symlink_metadata(&place).unwrap();
    let metadata = Metadata {
        mode: (facts.mode() & 0o7777) as u16,
        uid: facts.uid(),
        gid: facts.gid(),
        mtime: facts.mtime(),
        mtime_nanos: 0,
        xattrs: BTreeMap::new(),
    };
    let kind = if facts.is_dir() {
        Kind::Directory(BTreeMap::new())
    } else if facts.is_symlink() {
        Kind::Symlink(fs::read_link(&place).unwrap().into_os_string().into_encoded_bytes())
    } else if facts.is_file() {
        Kind::File(Content::inline(fs::read(&place).unwrap()))
    } else {
        return;
    };
    let directory = matches!(kind, Kind::Directory(_));
    tree.insert(path, Node { metadata, kind }).unwrap();
    if directory {
        for entry in fs::read_dir(&place).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            load(tree, root, &format!("{path}/{name}"));
        }
    }
}

/// Writes the tree below a folder, with owners and modes.
pub(crate) fn store(tree: &Tree, root: &Path) {
    tree.walk(&mut |path, id| {
        let place = root.join(std::str::from_utf8(path).unwrap().trim_start_matches('/'));
        let Node { metadata, kind } = tree.node(id);
        let (uid, gid) = (Some(metadata.uid), Some(metadata.gid));
        match kind {
            Kind::Directory(_) => fs::create_dir_all(&place).unwrap(),
            Kind::File(content) => fs::write(&place, content.read(&NoStores).unwrap()).unwrap(),
            Kind::Symlink(target) => {
                symlink(std::str::from_utf8(target).unwrap(), &place).unwrap();
                lchown(&place, uid, gid).unwrap();
                return;
            }
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => return,
        }
        chown(&place, uid, gid).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(u32::from(metadata.mode))).unwrap();
    });
}

/// Everything below `path` of a tree, by path.
pub(crate) fn listing(tree: &Tree, path: &str) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    tree.walk(&mut |place, id| {
        let place = String::from_utf8_lossy(place).into_owned();
        if place.strip_prefix(path).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            return;
        }
        let Node { metadata: Metadata { mode, uid, gid, .. }, kind } = tree.node(id).clone();
        let what = match kind {
            Kind::Directory(_) => What::Directory,
            Kind::File(content) => What::File(Bytes(content.read(&NoStores).unwrap())),
            Kind::Symlink(target) => What::Link(Bytes(target)),
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => What::Other,
        };
        let (mode, uid, gid) = if matches!(what, What::Link(_)) { (0o777, 0, 0) } else { (mode, uid, gid) };
        entries.insert(place[path.len()..].to_owned(), Entry { mode, uid, gid, what });
    });
    entries
}

/// A file for a tree.
pub(crate) fn file(mode: u16, uid: u32, gid: u32, text: &str) -> Node {
    let metadata = Metadata { uid, gid, mtime: 1_700_000_000, ..Metadata::root_owned(mode) };
    Node { metadata, kind: Kind::File(Content::inline(text.as_bytes())) }
}

/// A directory for a tree.
pub(crate) fn directory(mode: u16, uid: u32, gid: u32) -> Node {
    let metadata = Metadata { uid, gid, mtime: 1_700_000_000, ..Metadata::root_owned(mode) };
    Node { metadata, kind: Kind::Directory(BTreeMap::new()) }
}

/// A symbolic link for a tree.
pub(crate) fn link(target: &str) -> Node {
    Node { metadata: Metadata::root_owned(0o777), kind: Kind::Symlink(target.as_bytes().to_vec()) }
}

/// A recipe from the lines after its name.
pub(crate) fn recipe(lines: &str) -> basalt_spec::Recipe {
    let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n{lines}");
    basalt_spec::Recipe::parse("recipe.yaml", &text).unwrap()
}
