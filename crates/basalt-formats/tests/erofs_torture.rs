//! A tree with everything that can be difficult, against three readers: ours, `fsck.erofs` and the kernel.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "oracle tests put images on the host's disk and run its tools"
)]

mod erofs_support;

use std::collections::BTreeMap;

use basalt_formats::tree::{Content, Kind, Source, Tree};
use erofs_support::*;

/// A directory of 100,000 names, and a file of more than 4 GiB.
fn large() -> Tree {
    let mut tree = torture();
    let many = tree.make_directories("/many").unwrap();
    let shared = tree.add(text(b"one inode with 70,000 names needs a wide link count"));
    for n in 0..100_000 {
        let name = format!("{n:06}-{}", "x".repeat(n % 40));
        let id = if n < 70_000 { shared } else { tree.add(text(name.as_bytes())) };
        tree.link(many, name.as_bytes(), id).unwrap();
    }
    let huge = Content { size: (5 << 30) + 123, source: Source::Stored { store: 0, offset: 0 } };
    tree.insert("/huge", node(0o600, Kind::File(huge))).unwrap();
    tree
}

#[test]
fn our_reader_gives_the_torture_tree_back() {
    let tree = torture();
    let image = image_of(&tree, &Generated);
    assert_same_facts(&facts_of_image(&image), &facts_of_tree(&tree, &Generated));
}

#[test]
fn an_image_written_from_an_image_is_the_same_image() {
    let image = image_of(&torture(), &Generated);
    let read = basalt_formats::erofs::Image::open(&image).unwrap().tree(0).unwrap();
    let again = image_of(&read, &basalt_formats::tree::Stores(&[&image]));
    assert!(image == again);
}

#[test]
fn the_order_of_the_arena_does_not_matter() {
    let mut backwards = Tree::new();
    let mut forwards = Tree::new();
    for n in 0..50 {
        forwards.insert(&format!("/{n:02}"), random(n + 1, 100 * u64::from(n))).unwrap();
        let n = 49 - n;
        backwards.insert(&format!("/{n:02}"), random(n + 1, 100 * u64::from(n))).unwrap();
    }
    backwards.add(text(b"no name leads here"));
    assert!(image_of(&forwards, &Generated) == image_of(&backwards, &Generated));
}

#[test]
fn fsck_finds_nothing_and_extracts_the_same_bytes() {
    let here = tempfile::tempdir().unwrap();
    let image = here.path().join("image");
    let tree = torture();
    image_file(&tree, &Generated, &image);
    let out = here.path().join("out");
    let extract = format!("--extract={}", out.display());
    run("fsck.erofs", "apt install erofs-utils", &[extract.as_ref(), image.as_ref()]);
    // fsck.erofs 1.5 restores neither hard links nor attributes, and loses set-uid and set-gid when it sets the owner
    // after the mode; the kernel's test compares those.
    let plain = |facts: erofs_support::Facts| -> erofs_support::Facts {
        let strip = |fact: Fact| Fact {
            mode: fact.mode & 0o1777,
            links: 0,
            first: String::new(),
            xattrs: BTreeMap::new(),
            ..fact
        };
        facts.into_iter().map(|(path, fact)| (path, strip(fact))).collect()
    };
    assert_same_facts(&plain(facts_of_directory(&out)), &plain(facts_of_tree(&tree, &Generated)));
}

#[test]
fn the_kernel_sees_every_byte_mode_owner_time_attribute_and_link() {
    let here = tempfile::tempdir().unwrap();
    let image = here.path().join("image");
    let tree = large();
    image_file(&tree, &Generated, &image);
    run("fsck.erofs", "apt install erofs-utils", &[image.as_ref()]);
    let expected = facts_of_tree(&tree, &Generated);
    let mounted = Mounted::new(&image, &here.path().join("mnt"));
    assert_same_facts(&facts_of_directory(&mounted.path), &expected);
    drop(mounted);
    let disk = Disk(std::fs::File::open(&image).unwrap());
    assert_same_facts(&facts_of_image(&disk), &expected);
}
