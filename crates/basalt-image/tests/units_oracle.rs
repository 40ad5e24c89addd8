//! Enabling, disabling and masking give the links that `systemctl --root=` makes of the same units.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use basalt_formats::tree::{NoStores, Tree};
use basalt_image::customise::{Customisation, customise};
use support::{Entry, file, link};

/// Units with every way of `[Install]`.
fn tree() -> Tree {
    let mut tree = Tree::new();
    let units = [
        ("plain.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"),
        (
            "aliased.service",
            "[Install]\nAlias=dbus-x.service other.service\nWantedBy=a.target b.target\nRequiredBy=c.target\n",
        ),
        ("upheld.service", "[Install]\nUpheldBy=multi-user.target\nAlso=upheld.socket\n"),
        ("upheld.socket", "# comment\n[Install]\n; another\nWantedBy=sockets.target\nAlso=upheld.service\n"),
        ("line@.service", "[Install]\nWantedBy=getty.target\nDefaultInstance=tty9\n"),
        ("inst@.service", "[Install]\nWantedBy=multi-user.target %i.target\nAlias=other@%i.service\n"),
        ("long.timer", "[Install]\nWantedBy=timers.target \\\n  extra.target\n"),
        ("emptied.service", "[Install]\nWantedBy=x.target\nWantedBy=\nWantedBy=y.target\n"),
        ("dropped.service", "[Unit]\nDescription=x\n"),
        ("on.service", "[Install]\nWantedBy=multi-user.target\nAlias=on-alias.service\n"),
        ("off.service", "[Install]\nWantedBy=multi-user.target\n"),
    ];
    for (name, text) in units {
        tree.insert(&format!("/usr/lib/systemd/system/{name}"), file(0o644, 0, 0, text)).unwrap();
    }
    let rest = [
        (
            "/usr/lib/systemd/system/dropped.service.d/install.conf",
            file(0o644, 0, 0, "[Install]\nWantedBy=d.target\n"),
        ),
        ("/etc/systemd/system/own.service", file(0o644, 0, 0, "[Install]\nWantedBy=multi-user.target\n")),
        ("/usr/lib/systemd/system/legacy.service", link("plain.service")),
        (
            "/etc/systemd/system/multi-user.target.wants/on.service",
            link("/usr/lib/systemd/system/on.service"),
        ),
        ("/etc/systemd/system/on-alias.service", link("/usr/lib/systemd/system/on.service")),
        ("/etc/passwd", file(0o644, 0, 0, "root:x:0:0:root:/root:/bin/bash\n")),
        ("/etc/group", file(0o644, 0, 0, "root:x:0:\n")),
        ("/usr/lib/os-release", file(0o644, 0, 0, "ID=debian\n")),
    ];
    for (path, node) in rest {
        tree.insert(path, node).unwrap();
    }
    tree
}

const ENABLED: [&str; 10] = [
    "plain.service",
    "aliased.service",
    "upheld.service",
    "line@.service",
    "line@ttyS3.service",
    "inst@red.service",
    "long.timer",
    "emptied.service",
    "dropped.service",
    "own.service",
];

fn ours() -> BTreeMap<String, Entry> {
    let mut tree = tree();
    let lines = format!(
        "units:\n  enable: [{}]\n  disable: [on.service]\n  mask: [off.service]\n",
        ENABLED.join(", ")
    );
    let recipe = support::recipe(&lines);
    let with = Customisation { recipe: &recipe, sources: &BTreeMap::new(), reader: &NoStores, epoch: 1 };
    customise(&mut tree, with).unwrap_or_else(|errors| panic!("{errors}"));
    support::listing(&tree, "/etc/systemd/system")
}

#[test]
fn systemctl_makes_the_same_links() {
    let trixie = support::trixie();
    let (folder, inside) = support::scratch(&trixie);
    support::store(&tree(), folder.path());
    let root = format!("--root={inside}");
    let verbs: [(&str, &[&str]); 3] =
        [("enable", &ENABLED), ("disable", &["on.service"]), ("mask", &["off.service"])];
    for (verb, units) in verbs {
        let arguments: Vec<&str> =
            ["systemctl", &root, verb].into_iter().chain(units.iter().copied()).collect();
        let (done, printed) = support::run(&trixie, &arguments);
        assert!(done, "{verb}: {printed}");
    }
    let mut theirs = Tree::new();
    support::load(&mut theirs, folder.path(), "/etc/systemd/system");
    let theirs = support::listing(&theirs, "/etc/systemd/system");
    // systemctl takes away a folder that it emptied; an empty one starts nothing.
    let links = |all: &BTreeMap<String, Entry>| -> BTreeMap<String, String> {
        all.iter()
            .map(|(path, entry)| (path.clone(), format!("{:?}", entry.what)))
            .filter(|(_, what)| what != "Directory")
            .collect()
    };
    similar(&links(&ours()), &links(&theirs));
}

/// Compares with a message that shows both sides as lists.
fn similar(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    let only = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| -> Vec<String> {
        a.iter()
            .filter(|(key, value)| b.get(*key) != Some(value))
            .map(|(key, value)| format!("{key} {value}"))
            .collect()
    };
    assert!(ours == theirs, "only ours: {:#?}\nonly theirs: {:#?}", only(ours, theirs), only(theirs, ours));
}
