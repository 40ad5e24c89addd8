//! The archive against `bsdtar`, against our own reader, and its negatives.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests may panic, and the oracle is a tool of the host"
)]

use std::{
    io::Write,
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
};

use basalt_formats::{
    cpio::{self, CpioError},
    tree::{Content, Device, Kind, Metadata, NoStores, Node, Source, Tree},
};

const NEWEST: i64 = 1_700_000_000;

fn node(mode: u16, kind: Kind) -> Node {
    Node { metadata: Metadata { mtime: NEWEST + 5, ..Metadata::root_owned(mode) }, kind }
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    let file = |bytes: &[u8]| node(0o644, Kind::File(Content::inline(bytes)));
    tree.insert("/init", node(0o755, Kind::File(Content::inline(*b"\x7fELF")))).unwrap();
    tree.insert("/dev/console", node(0o600, Kind::CharDevice(Device { major: 5, minor: 1 }))).unwrap();
    tree.insert("/etc/empty", file(b"")).unwrap();
    tree.insert("/etc/mtab", node(0o777, Kind::Symlink(b"../proc/self/mounts".to_vec()))).unwrap();
    tree.insert("/run/pipe", node(0o600, Kind::Fifo)).unwrap();
    let mut old = file(b"old");
    (old.metadata.mtime, old.metadata.uid, old.metadata.gid) = (-5, 1000, 70_000);
    tree.insert("/old", old).unwrap();
    let first = tree.insert("/lib/a", file(b"shared bytes")).unwrap();
    let parent = tree.make_directories("/lib/deep").unwrap();
    tree.link(parent, b"b", first).unwrap();
    let odd = tree.add(file(b"not utf-8"));
    tree.link(Tree::ROOT, b"\xff\xfe", odd).unwrap();
    tree
}

/// `mode links uid gid size path`, as `tar -tv` would say it.
fn lines(archive: &[u8]) -> Vec<String> {
    let entries = cpio::entries(archive).unwrap();
    let line = |entry: &cpio::Entry<'_>| {
        let cpio::Entry { path, ino, mode, uid, gid, links, mtime, device, data } = entry;
        let (path, data) = (path.escape_ascii(), data.escape_ascii());
        format!("{ino} {mode:o} {links} {uid}:{gid} {mtime} {}:{} {path} [{data}]", device.0, device.1)
    };
    entries.iter().map(line).collect()
}

#[test]
fn every_field_has_its_value() {
    let archive = cpio::write(&tree(), &NoStores, NEWEST).unwrap();
    let expected = [
        "1 40755 6 0:0 0 0:0 . []",
        "2 40755 2 0:0 0 0:0 dev []",
        "3 20600 1 0:0 1700000000 5:1 dev/console []",
        "4 40755 2 0:0 0 0:0 etc []",
        "5 100644 1 0:0 1700000000 0:0 etc/empty []",
        "6 120777 1 0:0 1700000000 0:0 etc/mtab [../proc/self/mounts]",
        "7 100755 1 0:0 1700000000 0:0 init [\\x7fELF]",
        "8 40755 3 0:0 0 0:0 lib []",
        "9 100644 2 0:0 1700000000 0:0 lib/a []",
        "10 40755 2 0:0 0 0:0 lib/deep []",
        "9 100644 2 0:0 1700000000 0:0 lib/deep/b [shared bytes]",
        "11 100644 1 1000:70000 0 0:0 old [old]",
        "12 40755 2 0:0 0 0:0 run []",
        "13 10600 1 0:0 1700000000 0:0 run/pipe []",
        "14 100644 1 0:0 1700000000 0:0 \\xff\\xfe [not utf-8]",
    ];
    assert_eq!(lines(&archive), expected);
    assert_eq!(archive.len() % 512, 0);
    assert_eq!(archive, cpio::write(&tree(), &NoStores, NEWEST).unwrap());
}

#[test]
fn bsdtar_unpacks_the_same_files() {
    let archive = cpio::write(&tree(), &NoStores, NEWEST).unwrap();
    let here = tempfile::tempdir().unwrap();
    let mut child = Command::new("bsdtar")
        .args(["-xpf", "-", "-C"])
        .arg(here.path())
        .stdin(Stdio::piped())
        .spawn()
        .expect("bsdtar: apt install libarchive-tools");
    child.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(child.wait().unwrap().success());
    let read = |path: &str| std::fs::read(here.path().join(path)).unwrap();
    assert_eq!(read("init"), b"\x7fELF");
    assert_eq!(read("lib/a"), b"shared bytes");
    assert_eq!(read("lib/deep/b"), b"shared bytes");
    assert_eq!(
        std::fs::read_link(here.path().join("etc/mtab")).unwrap().to_str(),
        Some("../proc/self/mounts")
    );
    let stat = |path: &str| std::fs::symlink_metadata(here.path().join(path)).unwrap();
    let (console, shared) = (stat("dev/console"), stat("lib/a"));
    assert_eq!((console.mode(), console.rdev(), console.mtime()), (0o20600, 5 << 8 | 1, NEWEST));
    assert_eq!((shared.ino(), shared.nlink()), (stat("lib/deep/b").ino(), 2));
}

#[test]
fn the_compressed_archive_is_one_deterministic_frame_that_zstd_checks() {
    let archive = cpio::write(&tree(), &NoStores, NEWEST).unwrap();
    let frame = cpio::compress_initramfs(&archive, 19).unwrap();
    assert_eq!(frame, cpio::compress_initramfs(&archive, 19).unwrap());
    assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&frame).unwrap(), frame.len(), "one frame");
    assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), Some(archive.len() as u64));
    // RFC 8878 section 3.1.1.1: bit 2 of the frame header's descriptor says that a checksum follows.
    assert_eq!(frame[4] & 4, 4);
    assert_eq!(zstd::decode_all(frame.as_slice()).unwrap(), archive);
    assert!(cpio::compress_initramfs(&archive, 23).is_err());
}

#[test]
fn what_can_not_be_stored_is_refused() {
    let mut tree = Tree::new();
    let size = 1 << 32;
    let huge = Content { size, source: Source::Stored { store: 0, offset: 0 } };
    tree.insert("/huge", node(0o644, Kind::File(huge))).unwrap();
    let error = cpio::write(&tree, &NoStores, 0).unwrap_err();
    assert_eq!(error.to_string(), "`huge` has 4294967296 bytes, more than the archive format can count");
    let mut tree = Tree::new();
    tree.insert("/TRAILER!!!", node(0o644, Kind::Fifo)).unwrap();
    assert!(matches!(cpio::write(&tree, &NoStores, 0), Err(cpio::WriteError::Trailer { .. })));
    let mut tree = Tree::new();
    let stored = Content { size: 3, source: Source::Stored { store: 4, offset: 0 } };
    tree.insert("/stored", node(0o644, Kind::File(stored))).unwrap();
    assert!(matches!(cpio::write(&tree, &NoStores, 0), Err(cpio::WriteError::Content { .. })));
}

#[test]
fn damage_is_refused_where_it_is() {
    let archive = cpio::write(&tree(), &NoStores, NEWEST).unwrap();
    let broken = |at: usize, byte: u8| {
        let mut archive = archive.clone();
        archive[at] = byte;
        cpio::entries(&archive).map(|entries| entries.len())
    };
    assert_eq!(broken(0, b'1'), Err(CpioError::Magic { offset: 0 }));
    assert_eq!(broken(20, b'+'), Err(CpioError::Number { offset: 0 }));
    assert_eq!(broken(111, b'x'), Err(CpioError::Name { offset: 0 }));
    assert_eq!(broken(54, b'f'), Err(CpioError::Truncated { offset: 0 }));
    for end in 0..archive.len().min(1500) {
        assert!(cpio::entries(&archive[..end]).is_err(), "{end}");
    }
}
