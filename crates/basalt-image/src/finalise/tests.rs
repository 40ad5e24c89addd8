use std::collections::BTreeMap;

use basalt_formats::tree::{Content, Kind, Metadata, NoStores, Node, Tree};
use basalt_spec::FileSystem;
use basalt_types::{Architecture, ByteSize, Digest};

use super::*;

const EPOCH: u64 = 1_760_000_000;

fn info() -> ImageInfo<LayoutSpec> {
    ImageInfo {
        name: "edge".parse().unwrap(),
        version: "1.2~rc1".parse().unwrap(),
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

fn put(tree: &mut Tree, path: &str, text: &str) {
    let metadata = Metadata { mtime: i64::MAX, mtime_nanos: 7, ..Metadata::root_owned(0o644) };
    tree.insert(path, Node { metadata, kind: Kind::File(Content::inline(text.as_bytes())) }).unwrap();
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    for (path, text) in [
        ("/.dockerenv", ""),
        ("/boot/vmlinuz-6.12", "kernel"),
        ("/dev/null", ""),
        ("/run/left/over", ""),
        ("/tmp/x", ""),
        ("/etc/passwd-", "backup"),
        ("/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/etc/ssh/ssh_host_rsa_key", "secret"),
        ("/etc/ssh/ssh_host_rsa_key.pub", "public"),
        ("/etc/ssh/moduli", "moduli"),
        ("/etc/fstab", "# UNCONFIGURED\n"),
        ("/usr/sbin/sshd", ""),
        ("/usr/lib/os-release", "ID=debian\nIMAGE_ID=old\n"),
        ("/usr/lib/systemd/systemd-resolved", ""),
        ("/usr/lib/systemd/system/basalt-provision.service", "[Unit]\n"),
        ("/usr/lib/systemd/system/var.mount", "[Install]\nRequiredBy=local-fs.target\n"),
        ("/usr/lib/systemd/system/apt-daily.timer", "[Install]\nWantedBy=timers.target\n"),
        ("/usr/lib/tmpfiles.d/home.conf", "Q /home 0755 - - -\n"),
        (
            "/usr/lib/tmpfiles.d/provision.conf",
            "# A comment\nd- /root :0700 root :root -\nd- /root/.ssh :0700 root\n",
        ),
        ("/usr/lib/tmpfiles.d/var.conf", "d /var/log 0755 - - -\nL /var/run - - - - ../run\n"),
        ("/usr/local/bin/tool", "tool"),
        ("/opt/vendor/tool", "tool"),
        ("/root/.profile", "profile"),
        ("/home/admin/.profile", "profile"),
        ("/var/log/dpkg.log", "when"),
        ("/var/log/btmp", ""),
        ("/var/lib/dpkg/status", "Package: x\n"),
        ("/var/lib/dpkg/status-old", "Package: x\n"),
        ("/var/lib/app/data file", "data"),
        ("/var/cache/ldconfig/aux-cache", "inodes"),
    ] {
        put(&mut tree, path, text);
    }
    let link = Kind::Symlink(b"/run".to_vec());
    tree.insert("/var/run", Node { metadata: Metadata::root_owned(0o777), kind: link }).unwrap();
    tree
}

fn finalised() -> Tree {
    let mut tree = tree();
    finalise(&mut tree, Finalisation { info: &info(), reader: &NoStores, epoch: EPOCH }).unwrap();
    tree
}

fn text(tree: &Tree, path: &str) -> String {
    let id = tree.lookup(path).unwrap_or_else(|| panic!("{path} is missing"));
    let Kind::File(content) = &tree.node(id).kind else { panic!("{path} is no file") };
    String::from_utf8(content.read(&NoStores).unwrap()).unwrap()
}

/// Every name with its kind: the shape of an image on one page.
#[test]
fn the_shape_of_an_image() {
    let tree = finalised();
    let mut lines = String::new();
    tree.walk(&mut |path, id| {
        let Node { metadata: Metadata { mode, .. }, kind } = tree.node(id);
        let what = match kind {
            Kind::Directory(_) => "/".to_owned(),
            Kind::Symlink(target) => format!(" → {}", String::from_utf8_lossy(target)),
            Kind::File(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => {
                String::new()
            }
        };
        lines.push_str(&format!("{mode:04o} {}{what}\n", String::from_utf8_lossy(path)));
    });
    insta::assert_snapshot!(lines);
}

#[test]
fn the_seed_brings_back_what_var_held() {
    insta::assert_snapshot!(text(&finalised(), "/usr/lib/tmpfiles.d/basalt-var.conf"));
}

#[test]
fn lines_of_packages_follow_the_links() {
    let tree = finalised();
    assert_eq!(text(&tree, "/etc/tmpfiles.d/home.conf"), "# Q /home 0755 - - -\n");
    let wanted = "# A comment\n# d- /root :0700 root :root -\nd- /var/roothome/.ssh :0700 root\n";
    assert_eq!(text(&tree, "/etc/tmpfiles.d/provision.conf"), wanted);
    assert_eq!(tree.lookup("/etc/tmpfiles.d/var.conf"), None);
}

#[test]
fn an_image_knows_its_name() {
    let tree = finalised();
    assert_eq!(text(&tree, "/usr/lib/os-release"), "ID=debian\nIMAGE_ID=edge\nIMAGE_VERSION=\"1.2~rc1\"\n");
    let known = ImageInfo::<LayoutSpec>::parse(&text(&tree, ImageInfo::<LayoutSpec>::PATH));
    assert_eq!(known, Ok(info()));
    assert_eq!(text(&tree, "/etc/machine-id"), "");
}

#[test]
fn no_time_is_later_than_the_epoch() {
    let tree = finalised();
    tree.walk(&mut |path, id| {
        let Metadata { mtime, mtime_nanos, .. } = tree.node(id).metadata;
        assert_eq!((mtime, mtime_nanos), (EPOCH as i64, 0), "{}", String::from_utf8_lossy(path));
    });
}

/// The same input gives the same tree, and a tree that was finalised already doesn't lose its seed's shape.
#[test]
fn finalising_is_deterministic() {
    assert_eq!(finalised(), finalised());
}

#[test]
fn a_resolver_that_the_recipe_wrote_stays() {
    let mut tree = tree();
    put(&mut tree, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
    finalise(&mut tree, Finalisation { info: &info(), reader: &NoStores, epoch: EPOCH }).unwrap();
    assert_eq!(text(&tree, "/etc/resolv.conf"), "nameserver 192.0.2.1\n");
}

#[test]
fn a_socket_in_var_is_refused_by_name() {
    let mut tree = tree();
    tree.insert("/var/lib/x.sock", Node { metadata: Metadata::default(), kind: Kind::Socket }).unwrap();
    let error =
        finalise(&mut tree, Finalisation { info: &info(), reader: &NoStores, epoch: EPOCH }).unwrap_err();
    assert_eq!(error.to_string(), "the rule `seed` can't be followed");
    assert_eq!(
        error.cause.to_string(),
        "`/var/lib/x.sock` is a device or socket in /var, which no first boot can recreate"
    );
}

#[test]
fn every_rule_has_its_own_name_and_a_reason() {
    let names: BTreeMap<_, _> = RULES.iter().map(|rule| (rule.name, rule.why)).collect();
    assert_eq!(names.len(), RULES.len());
    assert!(names.values().all(|why| why.len() > 20));
}
