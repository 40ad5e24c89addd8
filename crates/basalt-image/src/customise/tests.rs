use basalt_formats::tree::{Content, Kind, Metadata, NoStores, Node};

use super::*;

fn put(tree: &mut Tree, path: &str, mode: u16, text: &str) {
    let kind = Kind::File(Content::inline(text.as_bytes()));
    tree.insert(path, Node { metadata: Metadata::root_owned(mode), kind }).unwrap();
}

fn tree() -> Tree {
    let mut tree = Tree::new();
    put(
        &mut tree,
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n",
    );
    put(&mut tree, "/etc/group", 0o644, "root:x:0:\nadm:x:4:\nsudo:x:27:\n");
    put(&mut tree, "/etc/shadow", 0o640, "root::20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n");
    put(&mut tree, "/etc/gshadow", 0o640, "root:*::\nadm:*::\nsudo:*::\n");
    put(&mut tree, "/etc/skel/.profile", 0o644, "skel");
    put(&mut tree, "/bin/bash", 0o755, "");
    put(&mut tree, "/usr/bin/sudo", 0o755, "");
    put(&mut tree, "/usr/share/zoneinfo/Europe/Rome", 0o644, "TZif2");
    put(&mut tree, "/usr/lib/systemd/system/ssh.service", 0o644, "[Install]\nWantedBy=multi-user.target\n");
    put(&mut tree, "/usr/lib/systemd/system/static.service", 0o644, "[Service]\n");
    put(&mut tree, "/usr/lib/systemd/system/t@.service", 0o644, "[Install]\nWantedBy=multi-user.target\n");
    tree
}

fn recipe(lines: &str) -> Recipe {
    let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n{lines}");
    Recipe::parse("recipe.yaml", &text).unwrap_or_else(|error| panic!("{error:#}"))
}

fn applied(lines: &str) -> Result<Tree, CustomiseErrors> {
    let mut tree = tree();
    let sources = BTreeMap::from([("files/a".parse().unwrap(), Content::inline(b"from a".as_slice()))]);
    let recipe = recipe(lines);
    let with = Customisation { recipe: &recipe, sources: &sources, reader: &NoStores, epoch: 1_760_000_000 };
    customise(&mut tree, with).map(|()| tree)
}

/// The file at a path: mode, owner and text; or the target of a link.
fn at(tree: &Tree, path: &str) -> String {
    let Some(id) = tree.lookup(path) else { return "nothing".to_owned() };
    let Node { metadata: Metadata { mode, uid, gid, .. }, kind } = tree.node(id);
    let what = match kind {
        Kind::File(content) => String::from_utf8(content.read(&NoStores).unwrap()).unwrap(),
        Kind::Symlink(target) => return format!("→ {}", String::from_utf8_lossy(target)),
        Kind::Directory(_) => "directory".to_owned(),
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket => "other".to_owned(),
    };
    format!("{mode:04o} {uid}:{gid} {what}")
}

#[test]
fn every_image_has_a_name_a_zone_and_a_locale() {
    let tree = applied("").unwrap();
    assert_eq!(at(&tree, "/etc/hostname"), "0644 0:0 edge\n");
    assert_eq!(at(&tree, "/etc/timezone"), "0644 0:0 Etc/UTC\n");
    assert_eq!(at(&tree, "/etc/localtime"), "→ ../usr/share/zoneinfo/Etc/UTC");
    assert_eq!(at(&tree, "/etc/locale.conf"), "0644 0:0 LANG=C.UTF-8\n");
    assert_eq!(at(&tree, "/etc/default/locale"), "→ ../locale.conf");
    assert!(at(&tree, "/etc/hosts").contains("\n127.0.1.1\tedge\n"));
}

#[test]
fn a_full_name_resolves_by_its_short_form_too() {
    let tree = applied("hostname: edge.example.org\n").unwrap();
    assert!(at(&tree, "/etc/hosts").contains("\n127.0.1.1\tedge.example.org edge\n"));
}

#[test]
fn an_empty_root_password_is_locked() {
    assert!(at(&applied("").unwrap(), "/etc/shadow").contains("root:*:20000:"));
    let tree = applied("users: [{name: root, passwordHash: $6$saltsalt$abcdefgh}]\n").unwrap();
    assert!(at(&tree, "/etc/shadow").contains("root:$6$saltsalt$abcdefgh:20370:"));
    assert!(at(&tree, "/etc/shadow").starts_with("0640 0:0 "), "the table keeps its mode");
}

#[test]
fn a_user_has_a_home_keys_and_a_way_to_root() {
    let tree = applied(
        "users:\n- {name: a, sudo: true, sshAuthorizedKeys: [ssh-ed25519 AAAA a]}\n- {name: b, sudo: true, passwordHash: $6$saltsalt$abcdefgh}\n",
    )
    .unwrap();
    assert_eq!(at(&tree, "/home/a"), "0700 1000:1000 directory");
    assert_eq!(at(&tree, "/home/a/.profile"), "0644 1000:1000 skel");
    assert_eq!(at(&tree, "/home/a/.ssh"), "0700 1000:1000 directory");
    assert_eq!(at(&tree, "/home/a/.ssh/authorized_keys"), "0600 1000:1000 ssh-ed25519 AAAA a\n");
    assert_eq!(at(&tree, "/etc/sudoers.d/90-basalt-a"), "0440 0:0 a ALL=(ALL:ALL) NOPASSWD: ALL\n");
    assert_eq!(at(&tree, "/etc/sudoers.d/90-basalt-b"), "nothing");
    assert!(at(&tree, "/etc/group").contains("sudo:x:27:b\n"));
    assert!(at(&tree, "/etc/gshadow").contains("sudo:*::b\n"));
}

#[test]
fn a_number_that_is_asked_for_is_not_given_to_another() {
    let tree = applied("users: [{name: a}, {name: b, uid: 1000}, {name: c}]\n").unwrap();
    let passwd = at(&tree, "/etc/passwd");
    for line in ["a:x:1001:1001:", "b:x:1000:1000:", "c:x:1002:1002:"] {
        assert!(passwd.contains(line), "{line} in {passwd}");
    }
}

#[test]
fn files_win_over_packages_and_belong_to_users_of_the_recipe() {
    let tree = applied(
        "users: [{name: a}]\nfiles:\n- {path: /etc/hostname, content: mine}\n- {path: /srv/x, source: files/a, mode: 0640, owner: 'a:adm'}\n- {path: /srv/d, directory: true, owner: '7:8'}\n- {path: /srv/l, target: x}\n",
    )
    .unwrap();
    assert_eq!(at(&tree, "/etc/hostname"), "0644 0:0 mine");
    assert_eq!(at(&tree, "/srv/x"), "0640 1000:4 from a");
    assert_eq!(at(&tree, "/srv/d"), "0755 7:8 directory");
    assert_eq!(at(&tree, "/srv/l"), "→ x");
}

#[test]
fn a_unit_from_files_can_be_enabled() {
    let tree = applied(
        "files:\n- path: /etc/systemd/system/own.service\n  content: |\n    [Install]\n    WantedBy=multi-user.target\nunits: {enable: [own.service]}\n",
    )
    .unwrap();
    let link = "/etc/systemd/system/multi-user.target.wants/own.service";
    assert_eq!(at(&tree, link), "→ /etc/systemd/system/own.service");
}

#[test]
fn every_refusal_names_its_key() {
    let lines = "locale: it_IT.UTF-8
timezone: Europe/Roma
users:
  - {name: a, groups: [amd]}
  - {name: b, uid: 1}
  - {name: c, shell: /bin/zsh}
  - {name: daemon, uid: 9}
files:
  - {path: /x, content: x, owner: 'rot:adm'}
  - {path: /y, source: files/b}
  - {path: /etc/passwd/z, content: z}
  - {path: /etc/skel, content: z}
units:
  enable: [sshd.service, static.service, t@.service]
  disable: [nothing.timer]
  mask: [shh.service]
";
    insta::assert_snapshot!(applied(lines).unwrap_err().to_string());
}

#[test]
fn the_same_recipe_gives_the_same_tree() {
    let lines = "users: [{name: a, sudo: true}]\nunits: {enable: [ssh.service]}\nkeymap: it\n";
    assert_eq!(applied(lines).unwrap(), applied(lines).unwrap());
}
