//! What is refused, by name: trees that can't be stored, images that lie, images of other writers.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic, and run tools of the host"
)]

mod erofs_support;

use std::{fs, io};

use basalt_formats::{
    WriteAt,
    erofs::{
        ClusterError, DataLayout, DirectoryProblem, Image, Layout, NodeProblem, Options, PlanError,
        ReadError, WriteError, XattrProblem,
    },
    tree::{Content, Device, Kind, NoStores, Node, Source, Tree},
};
use erofs_support::*;

/// The problem of a tree with just this node at `/x`.
fn problem(node: Node) -> NodeProblem {
    let mut tree = Tree::new();
    tree.insert("/x", node).unwrap();
    let error = Layout::plan(&tree, &options()).unwrap_err();
    let PlanError::Node { path, source } = error else { panic!("{error:?}") };
    assert_eq!(path, "/x");
    source
}

#[test]
fn nodes_that_do_not_fit_are_named_with_their_path() {
    let mut file = text(b"");
    file.metadata.mode = 0o100_644;
    assert_eq!(problem(file), NodeProblem::Mode { mode: 0o100_644 });
    let mut file = text(b"");
    file.metadata.mtime_nanos = 1_000_000_000;
    assert_eq!(problem(file), NodeProblem::Nanoseconds { nanos: 1_000_000_000 });
    for target in [vec![], vec![b'x'; 4096], b"a\0b".to_vec()] {
        let length = target.len();
        assert_eq!(problem(node(0o777, Kind::Symlink(target))), NodeProblem::Target { length });
    }
    for (major, minor) in [(4096, 0), (0, 1 << 20)] {
        let device = Kind::CharDevice(Device { major, minor });
        assert_eq!(problem(node(0o600, device)), NodeProblem::Device { major, minor });
    }
}

#[test]
fn attributes_that_do_not_fit_are_named() {
    let with = |name: &str, value: &[u8]| {
        let problem = problem(with_xattrs(text(b""), &[(name, value)]));
        let NodeProblem::Xattr(problem) = problem else { panic!("{problem:?}") };
        problem
    };
    for name in ["system.other", "user.", "com.example", "system.posix_acl_access.more"] {
        assert_eq!(with(name, b""), XattrProblem::Name { name: name.into() });
    }
    let name = format!("user.{}", "x".repeat(256));
    assert_eq!(with(&name, b""), XattrProblem::NameLength { name: name.clone(), length: 256 });
    assert_eq!(
        with("user.x", &[0; 65536]),
        XattrProblem::ValueLength { name: "user.x".into(), length: 65536 }
    );
    let mut file = text(b"");
    file.metadata.xattrs = (0..5).map(|n| (format!("user.{n}").into_bytes(), vec![0; 60_000])).collect();
    assert!(matches!(problem(file), NodeProblem::Xattr(XattrProblem::Total { .. })));
}

#[test]
fn names_and_directories_that_can_not_be_are_refused() {
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        let mut tree = Tree::new();
        let id = tree.add(text(b""));
        tree.link(Tree::ROOT, name, id).unwrap();
        let error = Layout::plan(&tree, &options()).unwrap_err();
        assert!(matches!(error, PlanError::Node { source: NodeProblem::Name, .. }), "{error:?}");
    }
    let mut tree = Tree::new();
    let inside = tree.make_directories("/a/b").unwrap();
    tree.link(inside, b"again", Tree::ROOT).unwrap();
    let path = "/a/b/again".to_owned();
    let refused = PlanError::Node { path, source: NodeProblem::DirectoryTwice };
    assert_eq!(Layout::plan(&tree, &options()).unwrap_err(), refused);
}

#[test]
fn labels_and_sizes_have_limits() {
    let label = "seventeen letters".to_owned();
    let long = Options { label: label.clone(), ..options() };
    assert_eq!(Layout::plan(&Tree::new(), &long).unwrap_err(), PlanError::Label { label });
    let mut tree = Tree::new();
    let huge = Content { size: 1 << 44, source: Source::Stored { store: 0, offset: 0 } };
    tree.insert("/x", node(0o644, Kind::File(huge))).unwrap();
    assert!(matches!(Layout::plan(&tree, &options()), Err(PlanError::TooLarge { .. })));
}

#[test]
fn a_file_that_can_not_be_read_and_a_full_disk_are_named() {
    struct Full;
    impl WriteAt for Full {
        fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let mut tree = Tree::new();
    tree.insert("/a/lost", random(3, 10_000)).unwrap();
    let layout = Layout::plan(&tree, &options()).unwrap();
    let error = layout.write(&NoStores, &Strict::new(layout.image_size())).unwrap_err();
    assert!(matches!(&error, WriteError::Content { path, .. } if path == "/a/lost"), "{error:?}");
    let error = layout.write(&Generated, &Full).unwrap_err();
    assert!(matches!(error, WriteError::Sink { offset: 0, .. }), "{error:?}");
}

/// `/d` an empty directory, `/f` five bytes. The root's inode is at byte 1152, its entries at 1184, the inode of `d` at
/// 1248, of `f` at 1312.
fn small() -> Vec<u8> {
    let mut tree = Tree::new();
    tree.node_mut(Tree::ROOT).metadata.mtime = EPOCH;
    tree.insert("/d", directory()).unwrap();
    tree.insert("/f", text(b"hello")).unwrap();
    let mut image = image_of(&tree, &NoStores);
    image[1024 + 8] &= !1;
    assert!(Image::open(&image).unwrap().tree(0).is_ok());
    assert_eq!(&image[1312 + 32..1312 + 37], b"hello");
    image
}

/// What the reader says to the small image with `bytes` at `offset`.
fn patched(offset: usize, bytes: &[u8]) -> ReadError {
    let mut image = small();
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
    Image::open(&image).and_then(|image| image.tree(0)).expect_err("it was read")
}

fn directory_problem(offset: usize, bytes: &[u8]) -> DirectoryProblem {
    let error = patched(offset, bytes);
    let ReadError::Directory { nid: 36, block: 0, source } = error else { panic!("{error:?}") };
    source
}

#[test]
fn directories_that_lie_are_refused() {
    let entry = |index: usize| 1184 + 12 * index;
    assert!(matches!(patched(entry(2), &[36]), ReadError::DirectoryTwice { nid: 36 }), "a cycle");
    assert!(
        matches!(patched(entry(3), &[39]), ReadError::DirectoryTwice { nid: 39 }),
        "one directory, two names"
    );
    for nid in [u64::MAX, 1 << 40, 200] {
        assert!(
            matches!(patched(entry(2), &nid.to_le_bytes()), ReadError::Outside { what: "the inode", .. }),
            "{nid}"
        );
    }
    assert_eq!(directory_problem(entry(0), &[39]), DirectoryProblem::WrongDots { nid: 39 });
    for offset in [0_u16, 11, 13, 60, 60_000] {
        let expected = DirectoryProblem::NameOffset { index: 0, offset: offset.into() };
        assert_eq!(directory_problem(entry(0) + 8, &offset.to_le_bytes()), expected);
    }
    assert_eq!(directory_problem(entry(1) + 8, &[10]), DirectoryProblem::NameOffset { index: 0, offset: 48 });
    assert_eq!(directory_problem(entry(4) + 3, b"/"), DirectoryProblem::Name { index: 2 });
    assert_eq!(directory_problem(entry(4) + 3, b"fd"), DirectoryProblem::Order { index: 3 });
    assert_eq!(directory_problem(entry(4), b"-"), DirectoryProblem::NoDots);
    assert!(matches!(patched(entry(3) + 10, &[2]), ReadError::FileType { nid: 41, file_type: 2 }));
    assert!(matches!(patched(1152 + 4, &[0xff, 0x81]), ReadError::RootKind { nid: 36 }));
}

#[test]
fn inodes_that_lie_are_refused() {
    let file = 1312;
    // What is behind the inode says that its index is one of extents, or a packed one.
    let compressed = |layout| [layout, 0, 0, 0, 0xa4, 0x81, 1, 0, 0xff, 0xff, 0xff, 0x7f];
    let header = patched(file, &compressed(2));
    assert!(matches!(header, ReadError::Cluster { nid: 41, source: ClusterError::Header { .. } }));
    assert!(matches!(patched(file, &compressed(6)), ReadError::Outside { what: "the index", .. }));
    assert!(matches!(patched(file, &[8]), ReadError::Unsupported { layout: DataLayout::Chunked, .. }));
    assert!(matches!(patched(file, &[10]), ReadError::Format { nid: 41, format: 10 }));
    assert!(matches!(patched(file + 8, &[0xff; 4]), ReadError::InlineCrossesBlock { nid: 41, .. }));
    let plain = [0, 0, 0, 0, 0xa4, 0x81, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];
    assert!(matches!(
        patched(file, &plain),
        ReadError::Outside { what: "data", offset: 4096, length: 5, .. }
    ));
    assert!(matches!(patched(file + 4, &[0, 0]), ReadError::Mode { nid: 41, mode: 0 }));
    assert!(matches!(
        patched(file + 2, &[0xff, 0xff]),
        ReadError::Outside { what: "the inode's attributes", .. }
    ));
    assert!(matches!(patched(file + 2, &[2, 0]), ReadError::Xattr { nid: 41, .. }));
}

#[test]
fn an_image_that_is_cut_off_or_damaged_is_refused() {
    let mut tree = Tree::new();
    tree.insert("/f", random(1, 100_000)).unwrap();
    let image = image_of(&tree, &Generated);
    for end in [0, 1024, 1151, 1152, 4096, image.len() - 1] {
        let cut = image[..end].to_vec();
        assert!(matches!(Image::open(&cut), Err(ReadError::Truncated { .. })), "{end}");
    }
    let mut damaged = image.clone();
    damaged[1300] ^= 1;
    assert!(matches!(Image::open(&damaged), Err(ReadError::Superblock(_))));
    let mut longer = image;
    longer.resize(longer.len() + 10_000, 0xff);
    assert_eq!(Image::open(&longer).unwrap().superblock().label, b"torture", "a partition may be larger");
}

/// A tree on the host's disk for `mkfs.erofs`, with files whose last part it puts behind the inode.
fn source(here: &std::path::Path) -> std::path::PathBuf {
    let source = here.join("source");
    fs::create_dir_all(source.join("deep/er")).unwrap();
    for size in [0, 1, 4000, 4096, 5000, 100_000] {
        fs::write(source.join(format!("deep/{size}")), "0123456789".repeat(size / 10 + 1).split_at(size).0)
            .unwrap();
    }
    for n in 0..300 {
        fs::write(source.join(format!("deep/er/a-rather-long-name-{n}")), "x").unwrap();
    }
    fs::hard_link(source.join("deep/5000"), source.join("again")).unwrap();
    std::os::unix::fs::symlink("deep", source.join("link")).unwrap();
    source
}

#[test]
fn images_of_mkfs_are_read() {
    let here = tempfile::tempdir().unwrap();
    let (source, image) = (source(here.path()), here.path().join("image"));
    run("mkfs.erofs", "apt install erofs-utils", &[image.as_ref(), source.as_ref()]);
    let disk = Disk(fs::File::open(&image).unwrap());
    assert_same_facts(&facts_of_image(&disk), &facts_of_directory(&source));
    let tree = Image::open(&disk).unwrap().tree(0).unwrap();
    let Kind::File(content) = &tree.node(tree.lookup("/deep/5000").unwrap()).kind else { panic!("no file") };
    assert!(matches!(content.source, Source::Parts(_)), "the case that this test is for");
}

#[test]
fn chunked_images_are_refused_by_name() {
    let here = tempfile::tempdir().unwrap();
    let (source, image) = (source(here.path()), here.path().join("image"));
    run(
        "mkfs.erofs",
        "apt install erofs-utils",
        &["--chunksize=4096".as_ref(), image.as_ref(), source.as_ref()],
    );
    let error =
        Image::open(&Disk(fs::File::open(&image).unwrap())).and_then(|image| image.tree(0)).unwrap_err();
    assert!(matches!(&error, ReadError::Unsupported { layout: DataLayout::Chunked, .. }), "{error}");
}
