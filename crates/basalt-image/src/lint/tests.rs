//! One breach for each rule, and what looks like a breach and is none.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use basalt_formats::tree::{Content, Device, Kind, Metadata, NoStores, Node, Tree};
use basalt_spec::Recipe;

use super::{Allowance, RULES, Report, Severity, Subject, check};

const NOBODY: (u16, u32) = (0o644, 0);

fn put(tree: &mut Tree, path: &str, (mode, uid): (u16, u32), kind: Kind) {
    tree.insert(path, Node { metadata: Metadata { uid, ..Metadata::root_owned(mode) }, kind }).unwrap();
}

fn file(tree: &mut Tree, path: &str, (mode, uid): (u16, u32), text: &str) {
    put(tree, path, (mode, uid), Kind::File(Content::inline(text.as_bytes())));
}

fn link(tree: &mut Tree, path: &str, target: &str) {
    put(tree, path, (0o777, 0), Kind::Symlink(target.as_bytes().to_vec()));
}

/// A tree that every rule is content with, although much of it is nearly a breach.
fn clean() -> Tree {
    let mut tree = Tree::new();
    file(&mut tree, "/etc/passwd", NOBODY, "root:x:0:0::/root:/bin/sh\n");
    file(&mut tree, "/etc/group", NOBODY, "root:x:0:\n");
    file(&mut tree, "/etc/shadow", (0o640, 0), "root:!:1::::::\ndaemon:*:1::::::\n");
    file(&mut tree, "/etc/machine-id", NOBODY, "");
    file(&mut tree, "/usr/bin/su", (0o4755, 0), "su");
    file(&mut tree, "/usr/share/doc/tool/test.key", NOBODY, "-----BEGIN PRIVATE KEY-----\n");
    file(&mut tree, "/usr/lib/systemd/system/a@.service", NOBODY, "");
    link(&mut tree, "/etc/systemd/system/multi-user.target.wants/a@b.service", "/nowhere/a@.service");
    link(&mut tree, "/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    link(&mut tree, "/root", "var/roothome");
    link(&mut tree, "/usr/share/notes", "/root/notes");
    file(&mut tree, "/etc/ssh/ssh_host_rsa_key.pub", NOBODY, "ssh-rsa");
    put(&mut tree, "/tmp", (0o1777, 0), Kind::Directory(std::collections::BTreeMap::new()));
    let place = "/usr/lib/sysimage/dpkg";
    let status = "Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
    file(&mut tree, &format!("{place}/status"), NOBODY, status);
    let list = "/usr/bin/su\n/usr/share/doc/tool/test.key\n";
    file(&mut tree, &format!("{place}/info/tool.list"), NOBODY, list);
    tree
}

fn look(tree: &Tree, allowed: &[&str]) -> Report {
    let allowed: Vec<Allowance> = allowed.iter().map(|text| text.parse().unwrap()).collect();
    check(Subject { image: Some((tree, &NoStores)), ..Subject::default() }, &allowed).unwrap()
}

#[track_caller]
fn finds(id: &str, path: &str, spoil: impl FnOnce(&mut Tree)) {
    let mut tree = clean();
    spoil(&mut tree);
    let report = look(&tree, &[]);
    let found: Vec<_> = report.findings.iter().map(|one| (one.id, one.path.as_deref())).collect();
    assert_eq!(found, [(id, Some(path))], "{:#?}", report.findings);
    let rest = look(&tree, &[&format!("{id}:{path}")]);
    assert_eq!((rest.findings.len(), rest.allowed), (0, 1), "what is allowed is counted, not shown");
}

#[test]
fn a_clean_tree_has_no_finding_and_names_its_largest_packages() {
    let report = look(&clean(), &[]);
    assert_eq!(report.findings, []);
    assert_eq!(report.largest, [("tool".to_owned(), 71)]);
    assert!(!report.has_errors());
}

#[test]
fn every_rule_about_a_tree_finds_its_breach() {
    finds("setuid", "/usr/bin/sudo", |tree| {
        file(tree, "/usr/bin/sudo", (0o4755, 0), "a sudo that no package ships")
    });
    finds("setuid", "/opt/x", |tree| file(tree, "/opt/x", (0o2755, 0), ""));
    finds("capability", "/usr/bin/x", |tree| {
        file(tree, "/usr/bin/x", (0o755, 0), "");
        let id = tree.lookup("/usr/bin/x").unwrap();
        let value = b"\x01\0\0\x02\0\x20\0\0".to_vec();
        tree.node_mut(id).metadata.xattrs.insert(b"security.capability".to_vec(), value);
    });
    finds("world-writable", "/etc/x", |tree| file(tree, "/etc/x", (0o666, 0), ""));
    finds("world-writable", "/opt", |tree| {
        put(tree, "/opt", (0o777, 0), Kind::Directory(std::collections::BTreeMap::new()));
    });
    finds("unknown-owner", "/etc/x", |tree| file(tree, "/etc/x", (0o644, 4711), ""));
    finds("device-node", "/opt/null", |tree| {
        put(tree, "/opt/null", (0o666, 0), Kind::CharDevice(Device { major: 1, minor: 3 }));
    });
    finds("shadow-mode", "/etc/shadow", |tree| file(tree, "/etc/shadow", (0o644, 0), "root:!:1\n"));
    finds("private-key", "/etc/ssl/x.pem", |tree| {
        file(tree, "/etc/ssl/x.pem", (0o600, 0), "a certificate\n-----BEGIN RSA PRIVATE KEY-----\n");
    });
    finds("ssh-host-key", "/etc/ssh/ssh_host_rsa_key", |tree| {
        file(tree, "/etc/ssh/ssh_host_rsa_key", (0o600, 0), "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    });
    finds("credentials", "/usr/share/factory/var/roothome/.netrc", |tree| {
        file(tree, "/usr/share/factory/var/roothome/.netrc", (0o600, 0), "machine x");
    });
    finds("credentials", "/etc/apt/auth.conf.d/a.conf", |tree| {
        file(tree, "/etc/apt/auth.conf.d/a.conf", (0o600, 0), "machine x");
    });
    finds("history", "/home/x/.bash_history", |tree| file(tree, "/home/x/.bash_history", NOBODY, "ls"));
    finds("empty-password", "/etc/shadow", |tree| file(tree, "/etc/shadow", (0o640, 0), "guest::1::::::\n"));
    finds("empty-password", "/etc/shadow", |tree| {
        file(tree, "/etc/passwd", NOBODY, "root:x:0:0\nguest::0:0::/:/bin/sh\n");
    });
    finds("shared-password", "/etc/shadow", |tree| {
        file(tree, "/etc/shadow", (0o640, 0), "root:!$6$locked:1\nadmin:$6$x$y:1::::::\n");
    });
    finds("machine-id", "/etc/machine-id", |tree| {
        file(tree, "/etc/machine-id", NOBODY, "0123456789abcdef0123456789abcdef\n");
    });
    finds("random-seed", "/usr/share/factory/var/lib/systemd/random-seed", |tree| {
        file(tree, "/usr/share/factory/var/lib/systemd/random-seed", (0o600, 0), "seed");
    });
    finds("missing-modules", "/usr/lib/modules/6.12", |tree| {
        file(tree, "/usr/lib/modules/6.12/modules.builtin", NOBODY, "");
    });
    finds("broken-link", "/usr/bin/x", |tree| link(tree, "/usr/bin/x", "gone"));
    finds("missing-unit", "/etc/systemd/system/multi-user.target.wants/x.service", |tree| {
        link(
            tree,
            "/etc/systemd/system/multi-user.target.wants/x.service",
            "/usr/lib/systemd/system/x.service",
        );
    });
}

#[test]
fn errors_come_first_and_a_whole_rule_can_be_allowed() {
    let mut tree = clean();
    file(&mut tree, "/a", (0o2755, 0), "");
    file(&mut tree, "/b", (0o666, 0), "");
    let report = look(&tree, &[]);
    assert_eq!(report.findings[0].severity, Severity::Error);
    assert!(report.has_errors());
    assert!(!look(&tree, &["world-writable"]).has_errors());
    assert_eq!(look(&tree, &["setuid", "world-writable:/b"]).allowed, 2);
    assert_eq!(look(&tree, &["world-writable:/elsewhere"]).findings.len(), 2);
}

#[test]
fn names_of_rules_are_unique_and_others_are_refused() {
    let mut names: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
    let error = "setuids".parse::<Allowance>().unwrap_err().to_string();
    assert!(error.starts_with("`setuids` is no rule; the rules are setuid, "), "{error}");
    for text in ["setuid", "setuid:/usr/bin/x"] {
        assert_eq!(text.parse::<Allowance>().unwrap().to_string(), text);
    }
}

#[track_caller]
fn recipe_finds(keys: &str, expected: &[&str]) {
    let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: x\n{keys}");
    let recipe = Recipe::parse("recipe.yaml", &text).unwrap();
    let report = check(Subject { recipe: Some(&recipe), ..Subject::default() }, &[]).unwrap();
    assert_eq!(report.findings.iter().map(|one| one.id).collect::<Vec<_>>(), expected);
}

#[test]
fn a_recipe_is_judged_without_an_image() {
    recipe_finds("", &["no-way-in"]);
    let key = "    sshAuthorizedKeys:\n      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x\n";
    recipe_finds(&format!("users:\n  - name: a\n{key}"), &[]);
    recipe_finds(&format!("users:\n  - name: a\n    sudo: true\n{key}"), &["password-free-root"]);
    recipe_finds(
        &format!("users:\n  - name: a\n{key}kernelArguments: [mitigations=off, quiet]\n"),
        &["debug-argument"],
    );
}
