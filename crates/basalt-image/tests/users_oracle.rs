//! Accounts are those that trixie's useradd(8) makes, and their homes too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use basalt_formats::tree::{NoStores, Tree};
use basalt_image::customise::{Customisation, customise};
use support::{What, directory, file};

/// 2025-10-09 in UTC: useradd takes its day from SOURCE_DATE_EPOCH.
const EPOCH: u64 = 1_760_000_000;

fn tree(trixie: &std::path::Path) -> Tree {
    let mut tree = Tree::new();
    let taken = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/login.defs", "/etc/skel"];
    for path in taken.into_iter().chain(["/etc/default/useradd", "/etc/nsswitch.conf"]) {
        support::load(&mut tree, trixie, path);
    }
    let made = [
        ("/etc/subuid", file(0o644, 0, 0, "")),
        ("/etc/subgid", file(0o644, 0, 0, "")),
        ("/home", directory(0o755, 0, 0)),
        ("/bin/bash", file(0o755, 0, 0, "")),
        ("/bin/sh", file(0o755, 0, 0, "")),
        ("/usr/lib/os-release", file(0o644, 0, 0, "ID=debian\n")),
    ];
    for (path, node) in made {
        tree.insert(path, node).unwrap();
    }
    tree
}

#[test]
fn useradd_makes_the_same_accounts() {
    let trixie = support::trixie();
    let (folder, inside) = support::scratch(&trixie);
    support::store(&tree(&trixie), folder.path());
    let date = format!("SOURCE_DATE_EPOCH={EPOCH}");
    let common = ["env", &date, "useradd", "--prefix", &inside, "-m"];
    let users: [&[&str]; 3] = [
        &["-s", "/bin/bash", "-G", "adm,audio", "-c", "An Admin", "admin"],
        &["-s", "/bin/bash", "-d", "/home/elsewhere", "third"],
        // Last, because useradd goes on from the highest number, and we take the lowest free one.
        &["-s", "/bin/sh", "-u", "1500", "-p", "$6$saltsalt$abcdefgh", "worker"],
    ];
    for user in users {
        let arguments: Vec<&str> = common.iter().chain(user).copied().collect();
        let (done, printed) = support::run(&trixie, &arguments);
        assert!(done, "{printed}");
    }
    let mut theirs = Tree::new();
    support::load(&mut theirs, folder.path(), "/etc");
    support::load(&mut theirs, folder.path(), "/home");

    let recipe = support::recipe(
        "users:
  - {name: admin, gecos: An Admin, groups: [adm, audio], shell: /bin/bash}
  - {name: third, home: /home/elsewhere}
  - {name: worker, uid: 1500, shell: /bin/sh, passwordHash: $6$saltsalt$abcdefgh}
",
    );
    let mut ours = tree(&trixie);
    let with = Customisation { recipe: &recipe, sources: &BTreeMap::new(), reader: &NoStores, epoch: EPOCH };
    customise(&mut ours, with).unwrap_or_else(|errors| panic!("{errors}"));

    for table in ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"] {
        let text = |tree: &Tree| match &support::listing(tree, "/etc")[&format!("/{table}")].what {
            What::File(bytes) => String::from_utf8(bytes.0.clone()).unwrap(),
            What::Directory | What::Link(_) | What::Other => panic!("/etc/{table} is no file"),
        };
        assert_eq!(text(&ours), text(&theirs), "/etc/{table}");
    }
    assert_eq!(support::listing(&ours, "/home"), support::listing(&theirs, "/home"));
}
