//! The seed of `/var` is what systemd-tmpfiles makes of it: a real `/var` of trixie comes back as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use basalt_formats::tree::{NoStores, Tree};
use basalt_image::{
    finalise::{Finalisation, finalise},
    layout::LayoutSpec,
};
use basalt_spec::{FileSystem, ImageInfo};
use basalt_types::{Architecture, ByteSize, Digest, ImageVersion};
use support::{Bytes, What, directory, file, link};

fn info() -> ImageInfo<LayoutSpec> {
    ImageInfo {
        name: "edge".parse().unwrap(),
        version: ImageVersion::first(),
        id: Digest::of(b"id"),
        architecture: Architecture::Amd64,
        layout: LayoutSpec {
            esp: ByteSize::gib(1),
            slot: ByteSize::gib(2),
            verity: ByteSize::mib(17),
            slot_b: true,
            recovery: true,
            data_minimum: ByteSize::gib(1),
        },
        data_file_system: FileSystem::Ext4,
    }
}

/// A tree with the whole `/var` of trixie and names that need every kind of escape.
fn tree(trixie: &std::path::Path) -> Tree {
    let mut tree = Tree::new();
    for path in ["/var", "/usr/lib/tmpfiles.d", "/etc/passwd", "/etc/group", "/usr/lib/os-release"] {
        support::load(&mut tree, trixie, path);
    }
    tree.remove("/var/tmp");
    let strange = [
        ("/var/lib/strange", directory(0o2750, 12, 34)),
        ("/var/lib/strange/a b", file(0o640, 12, 34, "space")),
        ("/var/lib/strange/100%m", file(0o4755, 0, 0, "specifier")),
        ("/var/lib/strange/q\"uo'te", file(0o600, 65534, 65534, "quotes")),
        ("/var/lib/strange/back\\slash", file(0o444, 1, 1, "backslash")),
        ("/var/lib/strange/-", file(0o644, 0, 0, "dash")),
        ("/var/lib/strange/#x", file(0o644, 0, 0, "hash")),
        ("/var/lib/strange/péché", file(0o644, 0, 0, "utf-8")),
        ("/var/lib/strange/tab\tand\nline", file(0o644, 0, 0, "control")),
        ("/var/lib/strange/link to", link("../a b/%m\\x\"'")),
        ("/var/lib/strange/dash", link("-")),
        ("/var/lib/strange/sticky", directory(0o1777, 0, 0)),
        ("/var/lib/strange/empty", file(0o644, 0, 0, "")),
        ("/home/admin", directory(0o700, 1000, 1000)),
        ("/home/admin/.ssh", directory(0o700, 1000, 1000)),
        ("/home/admin/.ssh/authorized_keys", file(0o600, 1000, 1000, "ssh-ed25519 AAAA")),
        ("/root", directory(0o700, 0, 0)),
        ("/root/.bashrc", file(0o644, 0, 0, "bashrc")),
        ("/opt/vendor/bin", directory(0o755, 0, 0)),
        ("/opt/vendor/bin/tool", file(0o755, 0, 0, "tool")),
        ("/usr/local/bin", directory(0o2775, 0, 50)),
        ("/mnt", directory(0o755, 0, 0)),
    ];
    for (path, node) in strange {
        tree.insert(path, node).unwrap();
    }
    tree
}

#[test]
fn tmpfiles_makes_the_same_var_again() {
    let trixie = support::trixie();
    let mut tree = tree(&trixie);
    finalise(&mut tree, Finalisation { info: &info(), reader: &NoStores, epoch: 1_760_000_000 }).unwrap();
    let (folder, inside) = support::scratch(&trixie);
    support::store(&tree, folder.path());

    let root = format!("--root={inside}");
    let (done, printed) = support::run(&trixie, &["systemd-tmpfiles", "--create", "--prefix=/var", &root]);
    assert!(done, "{printed}");
    let ours: Vec<&str> = printed.lines().filter(|line| line.contains("basalt-var")).collect();
    assert_eq!(ours, Vec::<&str>::new(), "systemd-tmpfiles complains about our lines");

    let mut made = Tree::new();
    support::load(&mut made, folder.path(), "/var");
    let mut made = support::listing(&made, "/var");
    let wanted = support::listing(&tree, "/usr/share/factory/var");
    let database = made.remove("/lib/dpkg").map(|entry| entry.what);
    assert_eq!(database, Some(What::Link(Bytes(b"../../usr/lib/sysimage/dpkg".to_vec()))));
    let differing: Vec<&str> = wanted
        .iter()
        .filter(|(path, wanted)| made.get(*path) != Some(wanted))
        .map(|(path, _)| path.as_str())
        .collect();
    // systemd's own lines make these two links relative.
    assert_eq!(differing, ["/lock", "/run"], "{printed}");
    assert!(wanted.len() > 50, "a real /var has more than {} entries", wanted.len());
    let (again, printed) = support::run(&trixie, &["systemd-tmpfiles", "--create", "--prefix=/var", &root]);
    assert!(again, "{printed}");
    // The whole set, as at boot: nothing is said about the links into /var either.
    let (_, printed) =
        support::run(&trixie, &["systemd-tmpfiles", "--create", "--exclude-prefix=/var", &root]);
    let wrong: Vec<&str> = printed.lines().filter(|line| line.contains("is not a directory")).collect();
    assert_eq!(wrong, Vec::<&str>::new());
    let mut second = Tree::new();
    support::load(&mut second, folder.path(), "/var");
    let mut second = support::listing(&second, "/var");
    second.remove("/lib/dpkg");
    assert_eq!(second, made, "a second boot changes nothing");
}
