//! GNU tar and bsdtar read our archives: names, owners, times, links, attributes and data.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

mod virtual_disk_support;

use std::{collections::BTreeMap, os::unix::fs::MetadataExt, path::Path};

use basalt_formats::{
    tar,
    tree::{Content, Device, Kind, Metadata, NoStores, Node, Tree},
};
use virtual_disk_support::{noise, read, run, with_any_number_of_threads};

const NEWEST: i64 = 1_700_000_000;

fn node(mode: u16, kind: Kind) -> Node {
    Node { metadata: Metadata { mtime: 1_000_000_000, ..Metadata::root_owned(mode) }, kind }
}

fn file(bytes: impl Into<Vec<u8>>) -> Node {
    node(0o644, Kind::File(Content::inline(bytes.into())))
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.insert("/dev/console", node(0o600, Kind::CharDevice(Device { major: 5, minor: 1 }))).unwrap();
    tree.insert("/dev/big", node(0o660, Kind::BlockDevice(Device { major: 259, minor: 1_048_575 }))).unwrap();
    let mut odd = file(*b"owned");
    (odd.metadata.uid, odd.metadata.gid, odd.metadata.mode) = (4_294_967_294, 3_000_000, 0o4755);
    odd.metadata.mtime = -5;
    odd.metadata.xattrs = BTreeMap::from([(b"user.note".to_vec(), b"a\nb\0".to_vec())]);
    tree.insert("/odd", odd).unwrap();
    let mut large = file(noise(1, 1_000_001));
    large.metadata.mtime_nanos = 250_000_000;
    tree.insert("/usr/bin/large", large).unwrap();
    tree.insert("/usr/bin/link", node(0o777, Kind::Symlink(b"../lib/target".to_vec()))).unwrap();
    let first = tree.insert("/usr/lib/first", file(*b"shared")).unwrap();
    let parent = tree.make_directories("/usr/lib/z").unwrap();
    tree.link(parent, b"second", first).unwrap();
    tree.insert(&format!("/{}/{}/end", "d".repeat(90), "e".repeat(90)), file(*b"split")).unwrap();
    tree.insert(&format!("/{}", "n".repeat(200)), file(*b"long")).unwrap();
    tree.insert("/ünï", file(*b"text")).unwrap();
    let raw = tree.add(file(*b"no text"));
    tree.link(Tree::ROOT, b"\xff\xfe", raw).unwrap();
    let raw_and_long = tree.add(file(*b"neither"));
    tree.link(Tree::ROOT, &[b"\xff".repeat(120), b"!".to_vec()].concat(), raw_and_long).unwrap();
    tree
}

fn archive(folder: &Path) -> String {
    let bytes = with_any_number_of_threads(|| {
        let mut bytes = Vec::new();
        tar::write(&tree(), &NoStores, NEWEST, &mut bytes).unwrap();
        bytes
    });
    let path = folder.join("tree.tar");
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn gnu_tar_lists_every_field() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let arguments = ["--numeric-owner", "--full-time", "--xattrs", "--xattrs-include=*", "-tvvf", &archive];
    let said = run("tar", "tar", &arguments);
    let (d, e, n) = ("d".repeat(90), "e".repeat(90), "n".repeat(200));
    let wanted = [
        "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 ./".to_owned(),
        format!("-rw-r--r-- 0/0 5 2001-09-09 01:46:40 {d}/{e}/end"),
        "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 dev/".to_owned(),
        "brw-rw---- 0/0 259,1048575 2001-09-09 01:46:40 dev/big".to_owned(),
        "crw------- 0/0 5,1 2001-09-09 01:46:40 dev/console".to_owned(),
        format!("-rw-r--r-- 0/0 4 2001-09-09 01:46:40 {n}"),
        "-rwsr-xr-x* 4294967294/3000000 5 1969-12-31 23:59:55 odd".to_owned(),
        "x: 4 user.note".to_owned(),
        "-rw-r--r-- 0/0 1000001 2001-09-09 01:46:40.25 usr/bin/large".to_owned(),
        "lrwxrwxrwx 0/0 0 2001-09-09 01:46:40 usr/bin/link -> ../lib/target".to_owned(),
        "-rw-r--r-- 0/0 6 2001-09-09 01:46:40 usr/lib/first".to_owned(),
        "hrw-r--r-- 0/0 0 2001-09-09 01:46:40 usr/lib/z/second link to usr/lib/first".to_owned(),
        "-rw-r--r-- 0/0 4 2001-09-09 01:46:40 ünï".to_owned(),
        "-rw-r--r-- 0/0 7 2001-09-09 01:46:40 \\377\\376".to_owned(),
    ];
    let lines: Vec<String> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for wanted in wanted {
        assert!(lines.iter().any(|line| line.starts_with(&wanted)), "{wanted} in {said}");
    }
}

#[test]
fn both_programs_unpack_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    for (program, package) in [("tar", "tar"), ("bsdtar", "libarchive-tools")] {
        let out = folder.path().join(program);
        std::fs::create_dir(&out).unwrap();
        let to = out.to_str().unwrap();
        run(program, package, &["-x", "--no-same-owner", "--exclude", "dev", "-f", &archive, "-C", to]);
        let (d, e, n) = ("d".repeat(90), "e".repeat(90), "n".repeat(200));
        assert_eq!(read(&out.join("usr/bin/large")), noise(1, 1_000_001));
        assert_eq!(read(&out.join(d).join(e).join("end")), b"split");
        assert_eq!(read(&out.join(n)), b"long");
        assert_eq!(read(&out.join("ünï")), b"text");
        let time = |path: &str| {
            let metadata = out.join(path).metadata().unwrap();
            (metadata.mtime(), metadata.mtime_nsec())
        };
        assert_eq!(time("odd"), (-5, 0), "{program}");
        assert_eq!(time("usr/bin/large"), (1_000_000_000, 250_000_000), "{program}");
        assert_eq!(out.join("usr/bin/link").read_link().unwrap(), Path::new("../lib/target"));
        let inode = |path: &str| out.join(path).metadata().unwrap().ino();
        assert_eq!(inode("usr/lib/first"), inode("usr/lib/z/second"), "{program}");
        let mut names: Vec<_> =
            std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let last = names.pop().unwrap();
        assert_eq!(last.as_encoded_bytes(), [b"\xff".repeat(120), b"!".to_vec()].concat(), "{program}");
        assert_eq!(names.pop().unwrap().as_encoded_bytes(), b"\xff\xfe", "{program}");
    }
}
