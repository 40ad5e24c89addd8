//! A tree with everything that can be difficult.

use std::collections::BTreeMap;

use basalt_formats::tree::{Content, Device, Kind, NodeId, Source, Tree};

use super::*;

/// All kinds of nodes at all sizes that matter.
pub fn torture() -> Tree {
    let mut tree = Tree::new();
    tree.node_mut(Tree::ROOT).metadata.mtime = EPOCH;
    let kinds = tree.insert("/kinds", directory()).unwrap();
    for (name, kind) in [
        ("null", Kind::CharDevice(Device { major: 1, minor: 3 })),
        ("far", Kind::BlockDevice(Device { major: 4095, minor: 0xf_ffff })),
        ("loop", Kind::BlockDevice(Device { major: 7, minor: 256 })),
        ("fifo", Kind::Fifo),
        ("socket", Kind::Socket),
        ("link", Kind::Symlink(b"../elsewhere".to_vec())),
        ("link-4000", Kind::Symlink(vec![b'x'; 4000])),
        ("link-4064", Kind::Symlink(vec![b'x'; 4064])),
        ("link-4065", Kind::Symlink(vec![b'x'; 4065])),
        ("link-4095", Kind::Symlink(vec![b'x'; 4095])),
        ("link-bytes", Kind::Symlink(b"\xff\xfe/\x01".to_vec())),
    ] {
        tree.insert(&format!("/kinds/{name}"), node(0o777, kind)).unwrap();
    }
    add_files(&mut tree);
    add_names(&mut tree, kinds);
    add_xattrs(&mut tree);
    tree
}

/// Files of every size where the layout changes, with every odd mode, owner and time.
fn add_files(tree: &mut Tree) {
    for size in [
        0,
        1,
        31,
        32,
        33,
        2048,
        4031,
        4032,
        4033,
        4063,
        4064,
        4065,
        4095,
        4096,
        4097,
        8191,
        8192,
        1 << 20,
        (3 << 20) + 17,
    ] {
        tree.insert(&format!("/sizes/{size:08}"), random(size as u32 + 1, size)).unwrap();
    }
    for size in [1, 100, 4000, 4097, 9000, 70_000, 300_000, (1 << 20) + 1, (4 << 20) + 5000] {
        tree.insert(&format!("/mixed/{size:08}"), mixed(1000 + size as u32, size)).unwrap();
        let zeros = Content { size, source: Source::Stored { store: 0, offset: 5 } };
        tree.insert(&format!("/zeros/{size:08}"), node(0o644, Kind::File(zeros))).unwrap();
    }
    for copy in ["/copies/a", "/copies/b"] {
        tree.insert(copy, mixed(1001, 300_000)).unwrap();
    }
    for (name, mode) in [("suid", 0o4755), ("sgid", 0o2755), ("sticky", 0o1777), ("none", 0), ("all", 0o7777)]
    {
        let mut file = text(name.as_bytes());
        file.metadata.mode = mode;
        tree.insert(&format!("/modes/{name}"), file).unwrap();
    }
    for (name, uid, gid) in [("small", 65535, 65535), ("wide-uid", 65536, 0), ("wide-gid", 0, 4_000_000_000)]
    {
        let mut file = text(name.as_bytes());
        (file.metadata.uid, file.metadata.gid) = (uid, gid);
        tree.insert(&format!("/owners/{name}"), file).unwrap();
    }
    for (name, mtime, nanos) in
        [("1970", 0, 0), ("before", -86_400, 5), ("2100", 4_102_444_800, 999_999_999), ("nanos", EPOCH, 1)]
    {
        let mut file = text(name.as_bytes());
        (file.metadata.mtime, file.metadata.mtime_nanos) = (mtime, nanos);
        tree.insert(&format!("/times/{name}"), file).unwrap();
    }
}

/// Names of all bytes and lengths, hard links, empty and deep directories.
fn add_names(tree: &mut Tree, kinds: NodeId) {
    for name in [
        &b"!before-dot"[..],
        b"-",
        b"...",
        b".hidden",
        b"\x01",
        b"\xff\xfe not utf-8",
        &[0x80; 255],
        &[b'n'; 255],
    ] {
        let id = tree.add(text(name));
        let names = tree.make_directories("/names").unwrap();
        tree.link(names, name, id).unwrap();
    }
    let hard = tree.insert("/links/a", random(77, 5000)).unwrap();
    for (parent, name) in [("/links", "b"), ("/links/deep/er", "c"), ("/", "0-first-in-byte-order")] {
        let parent = tree.make_directories(parent).unwrap();
        tree.link(parent, name.as_bytes(), hard).unwrap();
    }
    tree.link(kinds, b"fifo-too", tree.lookup("/kinds/fifo").unwrap()).unwrap();
    tree.insert("/empty", directory()).unwrap();
    tree.make_directories(&"/d".repeat(200)).unwrap();
}

/// A file's name and its attributes.
type Case<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

fn add_xattrs(tree: &mut Tree) {
    let big = vec![7; 60_000];
    let label = b"system_u:object_r:bin_t:s0\0".as_slice();
    let (acl, capability) = (acl(), capability());
    let cases: [Case<'_>; 7] = [
        ("one", &[("user.note", b"value")]),
        ("acl", &[("system.posix_acl_access", &acl)]),
        ("capability", &[("security.capability", &capability), ("security.selinux", label)]),
        ("shared", &[("security.selinux", label)]),
        (
            "mixed",
            &[("security.selinux", label), ("trusted.own", b""), ("user.a", b"1"), ("user.note", b"value")],
        ),
        ("big", &[("user.big", &big), ("user.note", b"value")]),
        ("near", &[("user.fills-the-block", &big[..3000])]),
    ];
    for (name, xattrs) in cases {
        tree.insert(&format!("/xattrs/{name}"), with_xattrs(random(5, 1000), xattrs)).unwrap();
    }
    let both: &[(&str, &[u8])] = &[("system.posix_acl_access", &acl), ("system.posix_acl_default", &acl)];
    tree.insert("/xattrs/directory", with_xattrs(directory(), both)).unwrap();
    let many: BTreeMap<Vec<u8>, Vec<u8>> =
        (0..300).map(|n| (format!("user.{n:03}").into_bytes(), vec![n as u8; n % 7])).collect();
    for name in ["many-a", "many-b"] {
        let mut file = text(b"more shared attributes than one inode can count");
        file.metadata.xattrs.clone_from(&many);
        tree.insert(&format!("/xattrs/{name}"), file).unwrap();
    }
}
