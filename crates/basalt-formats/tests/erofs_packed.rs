//! Packed images, against four readers: ours, the kernel, `fsck.erofs`; and against `mkfs.erofs` in size.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "oracle tests put images on the host's disk and run its tools"
)]

mod erofs_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::Path,
};

use basalt_formats::{
    erofs::{Algorithm, Compression, Donor, Index, PackOptions, PlanError, WriteError, pack},
    tree::{Content, Kind, NoStores, Node, ReadContent, Source, Tree},
};
use erofs_support::*;

const METHODS: [Algorithm; 4] = [Algorithm::Lz4, Algorithm::Lz4hc, Algorithm::Deflate, Algorithm::Zstd];
/// A tree of the host with text, programs and many links: 20 MB of perl.
const REAL: &str = "/usr/share/perl";

fn with(algorithm: Algorithm) -> PackOptions {
    pack_options(Some(Compression::new(algorithm)))
}

fn in_blocks_of_one(algorithm: Algorithm) -> PackOptions {
    pack_options(Some(Compression { cluster: 4096, ..Compression::new(algorithm) }))
}

#[test]
fn our_reader_gives_the_torture_tree_back() {
    let tree = torture();
    let expected = facts_of_tree(&tree, &Generated);
    let small = [Algorithm::Lz4, Algorithm::Zstd].map(in_blocks_of_one);
    for options in METHODS.map(with).into_iter().chain(small).chain([pack_options(None)]) {
        let (image, _) = packed(&tree, &Generated, &options, &[]);
        assert_same_facts(&facts_of_image(&image), &expected);
    }
}

#[test]
fn the_kernel_sees_every_byte_mode_owner_time_attribute_and_link() {
    let here = tempfile::tempdir().unwrap();
    let tree = torture();
    let expected = facts_of_tree(&tree, &Generated);
    let small = [Algorithm::Lz4, Algorithm::Zstd].map(in_blocks_of_one);
    for (number, options) in METHODS.map(with).into_iter().chain(small).enumerate() {
        let path = here.path().join(format!("image-{number}"));
        fs::write(&path, packed(&tree, &Generated, &options, &[]).0).unwrap();
        let mounted = Mounted::new(&path, &here.path().join("mnt"));
        assert_same_facts(&facts_of_directory(&mounted.path), &expected);
    }
}

#[test]
fn fsck_extracts_the_same_tree_with_its_attributes() {
    let here = tempfile::tempdir().unwrap();
    let mut tree = torture();
    // More attributes than the host's file systems keep for one file; an empty one, which it gives up on.
    for large in ["big", "many-a", "many-b", "mixed"] {
        tree.remove(&format!("/xattrs/{large}")).unwrap();
    }
    let expected = facts_of_tree(&tree, &Generated);
    for algorithm in METHODS {
        let (path, out) = (here.path().join("image"), here.path().join(format!("{algorithm:?}")));
        fs::write(&path, packed(&tree, &Generated, &with(algorithm), &[]).0).unwrap();
        let extract = format!("--extract={}", out.display());
        run_trixie("fsck.erofs", &[extract.as_ref(), "--xattrs".as_ref(), path.as_ref()]);
        assert_same_facts(&as_extracted(&facts_of_directory(&out)), &as_extracted(&expected));
    }
}

#[test]
fn a_real_tree_is_the_same_in_the_kernel() {
    let here = tempfile::tempdir().unwrap();
    let (tree, content) = tree_of_directory(Path::new(REAL));
    let path = here.path().join("image");
    fs::write(&path, packed(&tree, &content, &with(Algorithm::Zstd), &[]).0).unwrap();
    run_trixie("fsck.erofs", &[path.as_ref()]);
    let mounted = Mounted::new(&path, &here.path().join("mnt"));
    assert_same_facts(&facts_of_directory(&mounted.path), &facts_of_directory(Path::new(REAL)));
}

/// One tree changed in many ways between two images.
fn changed(tree: &Tree) -> Tree {
    let mut changed = tree.clone();
    changed.insert("/mixed/new", mixed(2000, 400_000)).unwrap();
    changed.insert("/mixed/00009000", mixed(2001, 9000)).unwrap();
    changed.insert("/0/moved", mixed(1000 + 70_000, 70_000)).unwrap();
    changed.remove("/mixed/00300000").unwrap();
    changed
}

#[test]
fn with_and_without_a_donor_the_bytes_are_the_same() {
    let (before, after) = (torture(), changed(&torture()));
    for algorithm in METHODS {
        let (old, index) = packed(&before, &Generated, &with(algorithm), &[]);
        let index = Index::from_bytes(&index.to_bytes()).unwrap();
        let (alone, alone_index) = packed(&after, &Generated, &with(algorithm), &[]);
        let (helped, helped_index) =
            packed(&after, &Generated, &with(algorithm), &[Donor { image: &old, index: &index }]);
        assert!(alone == helped, "{algorithm:?}: the donor changed the image");
        assert_eq!(alone_index, helped_index);
    }
}

#[test]
fn a_donor_made_otherwise_is_not_used() {
    let tree = torture();
    let (_, index) = packed(&tree, &Generated, &with(Algorithm::Lz4), &[]);
    let nothing = Vec::new();
    let donors = [Donor { image: &nothing, index: &index }];
    packed(&tree, &Generated, &with(Algorithm::Zstd), &donors);
    let failed = pack(&tree, &Generated, &with(Algorithm::Lz4), &donors, &Blocks::default());
    assert!(matches!(failed, Err(WriteError::Donor { .. })), "{failed:?}");
}

#[test]
fn a_damaged_donor_is_found_out() {
    let tree = torture();
    let (mut image, index) = packed(&tree, &Generated, &with(Algorithm::Lz4), &[]);
    let data = 5 * 4096..(u32::from_le_bytes(image[1064..1068].try_into().unwrap()) as usize) << 12;
    // Of the data only what is compressed is copied, so damage is spread.
    data.step_by(3000).for_each(|at| image[at] ^= 1);
    let donors = [Donor { image: &image, index: &index }];
    let failed = pack(&tree, &Generated, &with(Algorithm::Lz4), &donors, &Blocks::default());
    assert!(matches!(failed, Err(WriteError::Donor { .. })), "{failed:?}");
}

#[test]
fn a_damaged_index_is_refused() {
    let bytes = packed(&torture(), &Generated, &with(Algorithm::Lz4), &[]).1.to_bytes();
    for at in (0..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(Index::from_bytes(&damaged).is_err(), "byte {at}");
        assert!(Index::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let tree = torture();
    for algorithm in [Algorithm::Lz4, Algorithm::Zstd] {
        let images = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| packed(&tree, &Generated, &with(algorithm), &[]).0)
        });
        assert!(images[0] == images[1] && images[1] == images[2]);
    }
}

/// The late file is read last, and nothing else may change.
#[test]
fn the_late_file_may_change_before_the_end() {
    let path = "/usr/lib/image.json";
    let mut tree = torture();
    let late = |byte: u8, size| text(&vec![byte; size]);
    let options = PackOptions { late: Some(path.to_owned()), ..with(Algorithm::Zstd) };
    for size in [2000, 20_000] {
        let sink = Blocks::default();
        tree.insert(path, late(b' ', size)).unwrap();
        let first = pack(&tree, &Generated, &options, &[], &sink).unwrap();
        let image_size = first.image_size();
        tree.insert(path, late(b'x', size)).unwrap();
        let index = first.finish(&tree, &Generated, &sink).unwrap();
        let image = sink.into_bytes(image_size);
        assert_same_facts(&facts_of_image(&image), &facts_of_tree(&tree, &Generated));
        let (again, again_index) = packed(&tree, &Generated, &options, &[]);
        assert!(image == again, "the late file decides about more than its own bytes");
        assert_eq!(index, again_index);
    }
    let first = pack(&tree, &Generated, &options, &[], &Blocks::default()).unwrap();
    tree.insert(path, late(b'x', 90_000)).unwrap();
    let changed = first.finish(&tree, &Generated, &Blocks::default());
    assert!(matches!(changed, Err(WriteError::Changed { .. })), "{changed:?}");
    let missing = PackOptions { late: Some("/mixed".into()), ..with(Algorithm::Zstd) };
    let refused = pack(&tree, &Generated, &missing, &[], &Blocks::default());
    assert!(matches!(refused, Err(WriteError::Plan(PlanError::Late { .. }))), "{refused:?}");
}

#[test]
fn impossible_levels_and_clusters_are_refused() {
    let good = Compression::new(Algorithm::Zstd);
    for bad in [
        Compression { level: 0, ..good },
        Compression { level: 23, ..good },
        Compression { cluster: 0, ..good },
        Compression { cluster: 5000, ..good },
        Compression { cluster: 2 << 20, ..good },
    ] {
        let refused = pack(&Tree::new(), &NoStores, &pack_options(Some(bad)), &[], &Blocks::default());
        assert!(matches!(refused, Err(WriteError::Plan(PlanError::Compression(_)))), "{bad:?}: {refused:?}");
    }
}

/// Content that fails to be read, as a damaged store does.
struct Broken;

impl ReadContent for Broken {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        if store == 9 && offset > 0 {
            Err(std::io::ErrorKind::Other.into())
        } else {
            Generated.read_stored(1, offset, buffer)
        }
    }
}

#[test]
fn content_that_can_not_be_read_is_named() {
    let mut tree = torture();
    let broken = Content { size: 9 << 20, source: Source::Stored { store: 9, offset: 0 } };
    tree.insert("/deep/broken", node(0o644, Kind::File(broken))).unwrap();
    let failed = pack(&tree, &Broken, &with(Algorithm::Zstd), &[], &Blocks::default()).unwrap_err();
    assert!(matches!(&failed, WriteError::Content { path, .. } if path == "/deep/broken"), "{failed:?}");
}

/// Addresses in the metadata change with every new file; the data behind them only moves, by whole blocks.
#[test]
fn small_changes_of_a_tree_leave_its_data_alone() {
    let (tree, content) = tree_of_directory(Path::new(REAL));
    let (before, _) = packed(&tree, &content, &with(Algorithm::Zstd), &[]);
    let mut changed = tree.clone();
    changed.insert("/a-new-file", mixed_text(50_000)).unwrap();
    let (after, _) = packed(&changed, &content, &with(Algorithm::Zstd), &[]);
    let known: BTreeSet<&[u8]> = before.chunks(4096).collect();
    let metadata = (u32::from_le_bytes(after[1064..1068].try_into().unwrap()) as usize) << 12;
    let new = after[4096..metadata].chunks(4096).filter(|block| !known.contains(block)).count();
    assert!((1..=13).contains(&new), "{new} of {} data blocks are new", metadata / 4096);
}

/// A file that is in memory, so that it fits any store.
fn mixed_text(size: usize) -> Node {
    let mut bytes = vec![0; size];
    Generated.read_stored(1000, 0, &mut bytes).unwrap();
    text(&bytes)
}

#[test]
fn images_are_hardly_larger_than_those_of_mkfs() {
    let here = tempfile::tempdir().unwrap();
    let (tree, content) = tree_of_directory(Path::new(REAL));
    for (algorithm, name) in [
        (Algorithm::Lz4, "lz4"),
        (Algorithm::Lz4hc, "lz4hc,9"),
        (Algorithm::Deflate, "deflate,6"),
        (Algorithm::Zstd, "zstd,3"),
    ] {
        let ours = packed(&tree, &content, &with(algorithm), &[]).0.len() as u64;
        for extra in ["-C65536", "-Eztailpacking"] {
            let image = here.path().join("theirs");
            let method = format!("-z{name}");
            let arguments = ["--quiet", &method, "-C65536", extra].map(OsStr::new);
            let places = [image.as_os_str(), OsStr::new(REAL)];
            run_trixie("mkfs.erofs", &[arguments.as_slice(), &places].concat());
            let theirs = fs::metadata(&image).unwrap().len();
            println!("{name} {extra}: ours {ours}, theirs {theirs}");
            assert!(ours * 100 <= theirs * 102, "{name} {extra}: ours {ours}, theirs {theirs}");
        }
    }
}

#[test]
fn images_of_mkfs_are_read() {
    let here = tempfile::tempdir().unwrap();
    let source = here.path().join("source");
    let image = here.path().join("image");
    let mut files: BTreeMap<String, (u32, u64)> = BTreeMap::new();
    for (number, size) in [1, 700, 4000, 5000, 70_000, 200_001, 3 << 20].into_iter().enumerate() {
        files.insert(format!("mixed-{size}"), (1000 + number as u32, size));
        files.insert(format!("noise-{size}"), (1 + number as u32, size));
        files.insert(format!("zeros-{size}"), (0, size));
        files.insert(format!("again-{size}"), (1000 + number as u32, size));
    }
    fs::create_dir(&source).unwrap();
    for (name, (store, size)) in files {
        let mut bytes = vec![0; size as usize];
        Generated.read_stored(store, 7, &mut bytes).unwrap();
        fs::write(source.join(name), bytes).unwrap();
    }
    let expected = facts_of_directory(&source);
    for options in [
        "-zlz4",
        "-zlz4 -Elegacy-compress",
        "-zlz4hc,9 -C65536",
        "-zlz4 -C65536 -Eztailpacking",
        "-zlz4 -C65536 -Efragments",
        "-zlz4hc -C16384 -Eall-fragments",
        "-zlz4 -Ededupe",
        "-zzstd -C65536",
        "-zzstd -C131072 -Eztailpacking",
        "-zzstd -C65536 -Eall-fragments,dedupe",
        "-zdeflate,9 -C65536",
        "-zdeflate -C16384 -Efragments,ztailpacking",
        "-zlz4:zstd -C65536",
    ] {
        let mut arguments: Vec<&OsStr> = vec!["--quiet".as_ref()];
        arguments.extend(options.split(' ').map(OsStr::new));
        arguments.extend([image.as_os_str(), source.as_os_str()]);
        run_trixie("mkfs.erofs", &arguments);
        println!("{options}");
        assert_same_facts(&facts_of_image(&Disk(fs::File::open(&image).unwrap())), &expected);
    }
}
