//! Enabling, disabling and masking give the links that `systemctl --root=` makes of the same units.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use basalt_formats::tree::{NoStores, Tree};
use basalt_image::customise::{Customisation, CustomiseErrors, customise};
use support::{Entry, What, file, link};

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

/// The links that the recipe's units make of the units above.
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
    similar(&links(&ours()), &links(&on_disk(folder.path())));
}

/// Every unit that trixie's systemd ships and that can be enabled: enabled all at once, then disabled all at once.
#[test]
fn systemctl_agrees_about_every_real_unit() {
    let trixie = support::trixie();
    let mut base = Tree::new();
    for path in
        ["/usr/lib/systemd/system", "/etc/systemd/system", "/etc/passwd", "/etc/group", "/usr/lib/os-release"]
    {
        support::load(&mut base, &trixie, path);
    }
    // Some exclude each other: five targets want to be ctrl-alt-del.target.
    let mut so_far = base.clone();
    let mut enable = |unit: &String| {
        let mut tree = so_far.clone();
        let done = applied(&mut tree, "enable", std::slice::from_ref(unit)).is_ok();
        if done {
            so_far = tree;
        }
        done
    };
    let enabled: Vec<String> = support::listing(&base, "/usr/lib/systemd/system")
        .into_iter()
        .filter(|(path, entry)| path.matches('/').count() == 1 && matches!(entry.what, What::File(_)))
        .map(|(path, _)| path[1..].to_owned())
        .filter(|unit| enable(unit))
        .collect();
    assert!(enabled.len() > 20, "systemd has more units than {enabled:?}");

    let (folder, inside) = support::scratch(&trixie);
    support::store(&base, folder.path());
    let root = format!("--root={inside}");
    let mut tree = base.clone();
    let mut agree = |verb: &str, units: &[String]| {
        let words = units.iter().map(String::as_str);
        let arguments: Vec<&str> = ["systemctl", &root, verb].into_iter().chain(words).collect();
        let (done, printed) = support::run(&trixie, &arguments);
        assert!(done, "{verb}: {printed}");
        applied(&mut tree, verb, units).unwrap_or_else(|errors| panic!("{verb}: {errors}"));
        similar(&links(&support::listing(&tree, "/etc/systemd/system")), &links(&on_disk(folder.path())));
    };
    agree("enable", &enabled);
    // Here we differ on purpose: systemctl says nothing when a link of the package goes on starting the unit.
    let (stopped, refused): (Vec<String>, Vec<String>) = enabled
        .into_iter()
        .partition(|unit| applied(&mut base.clone(), "disable", std::slice::from_ref(unit)).is_ok());
    assert_eq!(refused, ["run-lock.mount", "systemd-pcrextend.socket", "systemd-sysext.socket"]);
    agree("disable", &stopped);
}

fn applied(tree: &mut Tree, verb: &str, units: &[String]) -> Result<(), CustomiseErrors> {
    let recipe = support::recipe(&format!("units:\n  {verb}: [{}]\n", units.join(", ")));
    let with = Customisation { recipe: &recipe, sources: &BTreeMap::new(), reader: &NoStores, epoch: 1 };
    customise(tree, with)
}

fn on_disk(folder: &std::path::Path) -> BTreeMap<String, Entry> {
    let mut theirs = Tree::new();
    support::load(&mut theirs, folder, "/etc/systemd/system");
    support::listing(&theirs, "/etc/systemd/system")
}

/// Links alone: systemctl takes away a folder that it emptied, and an empty one starts nothing.
fn links(all: &BTreeMap<String, Entry>) -> BTreeMap<String, String> {
    let text = all.iter().map(|(path, entry)| (path.clone(), format!("{:?}", entry.what)));
    text.filter(|(_, what)| what != "Directory").collect()
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
