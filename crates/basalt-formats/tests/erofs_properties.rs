//! What holds for every tree, and for every damaged image.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests may panic, and share a module that runs tools of the host"
)]

mod erofs_support;

use std::collections::BTreeMap;

use basalt_formats::{
    erofs::{Algorithm, Compression, Image, Layout, unpack},
    tree::{Content, Device, Kind, Metadata, Node, Source, Stores, Tree},
};
use erofs_support::*;
use proptest::{prelude::*, strategy::ValueTree};

/// A node and a place for it: the directory with this number, and a second name in another one when it is no directory.
#[derive(Clone, Debug)]
struct Planted {
    node: Node,
    directory: usize,
    name: Vec<u8>,
    second: Option<(usize, Vec<u8>)>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-c.!]{1,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(1_u8.., 1..=255),
    ]
    .prop_filter("no file name", |name| name != b"." && name != b".." && !name.contains(&b'/'))
}

fn kind() -> impl Strategy<Value = Kind> {
    let device = || (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| Device { major, minor });
    let size = prop_oneof![0..200_u64, 3900..4300_u64, 0..300_000_u64];
    prop_oneof![
        3 => Just(Kind::Directory(BTreeMap::new())),
        4 => (size, prop_oneof![1..9_u32, 1000..1009_u32]).prop_map(|(size, store)| {
            Kind::File(Content { size, source: Source::Stored { store, offset: 7 } })
        }),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Kind::File(Content::inline(bytes))),
        2 => prop::collection::vec(1_u8.., 1..4096).prop_map(Kind::Symlink),
        1 => device().prop_map(Kind::CharDevice),
        1 => device().prop_map(Kind::BlockDevice),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let owner = || prop_oneof![4 => 0..3_u32, 1 => any::<u32>()];
    let time = prop_oneof![4 => Just((EPOCH, 0)), 1 => (any::<i64>(), 0..1_000_000_000_u32)];
    let value = prop_oneof![Just(b"label".to_vec()), prop::collection::vec(any::<u8>(), 0..3000)];
    let key = "(user|trusted|security)\\.[a-c]{1,2}|system\\.posix_acl_(access|default)";
    let xattrs = prop::collection::btree_map(key.prop_map(String::into_bytes), value, 0..4);
    let xattrs = prop_oneof![3 => Just(BTreeMap::new()), 1 => xattrs];
    (0..0o10000_u16, owner(), owner(), time, xattrs).prop_map(
        |(mode, uid, gid, (mtime, mtime_nanos), xattrs)| Metadata {
            mode,
            uid,
            gid,
            mtime,
            mtime_nanos,
            xattrs,
        },
    )
}

fn tree() -> impl Strategy<Value = Tree> {
    let node = (metadata(), kind()).prop_map(|(metadata, kind)| Node { metadata, kind });
    let second = prop::option::weighted(0.2, (any::<usize>(), name()));
    let planted = (node, any::<usize>(), name(), second)
        .prop_map(|(node, directory, name, second)| Planted { node, directory, name, second });
    (metadata(), prop::collection::vec(planted, 0..60)).prop_map(|(root, planted)| plant(root, planted))
}

fn plant(root: Metadata, planted: Vec<Planted>) -> Tree {
    let mut tree = Tree::new();
    tree.node_mut(Tree::ROOT).metadata = root;
    let mut directories = vec![Tree::ROOT];
    for Planted { node, directory, name, second } in planted {
        let is_directory = matches!(node.kind, Kind::Directory(_));
        let id = tree.add(node);
        tree.link(directories[directory % directories.len()], &name, id).unwrap();
        if is_directory {
            directories.push(id);
        } else if let Some((directory, name)) = second {
            tree.link(directories[directory % directories.len()], &name, id).unwrap();
        }
    }
    tree
}

/// Reads all that can be read; what comes out does not matter, that it comes out does.
fn read_all(image: &[u8]) -> bool {
    let Ok((tree, files)) = unpack(image.to_vec(), 0) else { return false };
    let mut intact = true;
    tree.walk(&mut |_, id| {
        if let Kind::File(content) = &tree.node(id).kind {
            // What a damaged index says of a file's size is not believed here: reading in parts finds it out.
            let mut buffer = vec![0; 1 << 20];
            for offset in (0..content.size.min(16 << 20)).step_by(buffer.len()) {
                let part = (content.size - offset).min(1 << 20) as usize;
                intact &= content.read_at(&files, offset, &mut buffer[..part]).is_ok();
            }
        }
    });
    intact
}

/// Takes the promise of a checksum away, so that damage is not found before it is looked at.
fn without_checksum(mut image: Vec<u8>) -> Vec<u8> {
    image[1024 + 8] &= !1;
    image
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(tree in tree()) {
        let image = image_of(&tree, &Generated);
        assert_same_facts(&facts_of_image(&image), &facts_of_tree(&tree, &Generated));
        let read = Image::open(&image).unwrap().tree(0).unwrap();
        prop_assert!(image_of(&read, &Stores(&[&image])) == image, "written again it is another image");
    }

    #[test]
    fn damaged_images_are_read_or_refused(
        tree in tree(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..30),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let layout = Layout::plan(&tree, &options()).unwrap();
        prop_assume!(layout.image_size() < 4 << 20);
        let mut image = without_checksum(image_of(&tree, &Generated));
        for (at, value, early) in damage {
            let range = if early { image.len().min(8192) - 1024 } else { image.len() - 1024 };
            image[1024 + at.index(range)] = value;
        }
        if let Some(cut) = cut {
            image.truncate(cut.index(image.len()));
        }
        read_all(&image);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_reads_back_with_every_method(tree in tree(), method in 0..4_usize, blocks in 1..20_u32) {
        let algorithm = METHODS[method];
        let compression = Compression { cluster: blocks * 4096, ..Compression::new(algorithm) };
        let (image, _) = packed(&tree, &Generated, &pack_options(Some(compression)), &[]);
        assert_same_facts(&facts_of_image(&image), &facts_of_tree(&tree, &Generated));
    }

    #[test]
    fn damaged_packed_images_are_read_or_refused(
        method in 0..4_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..20),
    ) {
        let mut image = small_packed(METHODS[method]);
        let metadata = (u32::from_le_bytes(image[1064..1068].try_into().unwrap()) as usize) << 12;
        for (at, value, area) in damage {
            let (start, end) = [(1024, 1300), (4096, metadata), (metadata, image.len())][usize::from(area)];
            image[start + at.index(end - start)] = value;
        }
        read_all(&image);
    }
}

const METHODS: [Algorithm; 4] = [Algorithm::Lz4, Algorithm::Lz4hc, Algorithm::Deflate, Algorithm::Zstd];

/// A packed image of some clusters of every kind, without a checksum.
fn small_packed(algorithm: Algorithm) -> Vec<u8> {
    let mut tree = Tree::new();
    for size in [300, 5000, 60_000] {
        tree.insert(&format!("/{size}"), mixed(1000 + size as u32, size)).unwrap();
    }
    let compression = Compression { cluster: 8 << 10, ..Compression::new(algorithm) };
    without_checksum(packed(&tree, &Generated, &pack_options(Some(compression)), &[]).0)
}

/// Every byte of the inodes and indices of a small packed image, replaced by values that tend to break readers.
#[test]
fn no_single_byte_of_an_index_breaks_the_reader() {
    for algorithm in [Algorithm::Lz4, Algorithm::Zstd] {
        let image = small_packed(algorithm);
        assert!(read_all(&image));
        let metadata = (u32::from_le_bytes(image[1064..1068].try_into().unwrap()) as usize) << 12;
        for at in (metadata..metadata + 400).chain(1100..1160) {
            let old = image[at];
            for value in [0, old.wrapping_add(1), old ^ 0x80, 0xff] {
                let mut image = image.clone();
                image[at] = value;
                read_all(&image);
            }
        }
    }
}

#[test]
fn fsck_finds_nothing_in_any_tree() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("image");
    for round in 0..24 {
        let tree = tree().new_tree(&mut runner).unwrap().current();
        image_file(&tree, &Generated, &path);
        run("fsck.erofs", "apt install erofs-utils", &["--extract".as_ref(), path.as_ref()]);
        let compression =
            Compression { cluster: (round + 1) * 4096, ..Compression::new(METHODS[round as usize % 4]) };
        std::fs::write(&path, packed(&tree, &Generated, &pack_options(Some(compression)), &[]).0).unwrap();
        run_trixie("fsck.erofs", &["--extract".as_ref(), path.as_ref()]);
    }
}

/// Every byte of the metadata of a small image, replaced by each value that tends to break readers.
#[test]
fn no_single_byte_breaks_the_reader() {
    let mut tree = Tree::new();
    tree.insert("/d/e/file", with_xattrs(random(1, 5000), &[("user.a", b"1"), ("security.b", b"2")]))
        .unwrap();
    tree.insert("/d/small", with_xattrs(text(b"hello"), &[("user.a", b"1")])).unwrap();
    tree.insert("/link", node(0o777, Kind::Symlink(b"d/small".to_vec()))).unwrap();
    let image = without_checksum(image_of(&tree, &Generated));
    assert!(read_all(&image));
    let mut refused = 0;
    for at in (1024..2048).chain(4096..4160) {
        let old = image[at];
        for value in [0, 1, old.wrapping_add(1), old.wrapping_sub(1), old ^ 0x80, 0x7f, 0xff] {
            let mut image = image.clone();
            image[at] = value;
            refused += u32::from(!read_all(&image));
        }
    }
    assert!(refused > 500, "only {refused} were refused");
}
