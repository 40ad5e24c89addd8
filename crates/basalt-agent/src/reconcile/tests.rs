//! Steps on a machine of files: another root than this machine's, and another image.

use std::collections::BTreeSet;

use basalt_exec::files::{self, Root, Scope};
use basalt_node::reconcile::{
    AccountEdit, Accounts, Attributes, Content, Entry, EntryKind, Found, Step, TableName,
};
use basalt_spec::words::UnixMode;
use basalt_types::Digest;
use tempfile::TempDir;

use super::{System, accounts, execute, observe};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n";

/// A root and an image with the same files, in folders that live as long as the value.
fn system() -> (TempDir, System) {
    let place = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let folder = place.path().join(name);
        std::fs::create_dir_all(folder.join("etc/skel/.config")).unwrap();
        std::fs::write(folder.join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(folder.join("etc/shadow"), "root:*:::::::\n").unwrap();
        std::fs::write(folder.join("etc/group"), "root:x:0:\nadm:x:4:\n").unwrap();
        std::fs::write(folder.join("etc/motd"), "the image's\n").unwrap();
        std::fs::write(folder.join("etc/skel/.profile"), "profile\n").unwrap();
        std::os::unix::fs::symlink("var/home", folder.join("home")).unwrap();
        std::fs::create_dir_all(folder.join("var/home")).unwrap();
        Root::open(&folder, Scope::InRoot).unwrap()
    };
    let system = System { root: open("root"), image: open("image") };
    (place, system)
}

fn mine(mode: u16) -> Attributes {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    Attributes { mode: UnixMode::from_bits(mode), uid, gid }
}

fn seen(system: &System, path: &str) -> Option<Entry> {
    let paths: BTreeSet<String> = [path.to_owned()].into();
    observe::entries(&system.root, &paths).unwrap().remove(path)
}

/// Twice is as good as once.
#[track_caller]
fn done(system: &System, step: &Step) {
    execute::step(step, system).unwrap();
    execute::step(step, system).unwrap();
}

#[test]
fn files_links_and_directories_are_made_and_removed() {
    let (_place, system) = system();
    let entry = |kind, Attributes { mode, uid, gid }| Some(Entry { kind, mode, uid, gid });
    let write = Step::WriteFile {
        path: "/etc/motd".into(),
        found: Found::Other,
        attributes: mine(0o640),
        content: Content::new("managed\n"),
    };
    done(&system, &write);
    assert_eq!(seen(&system, "/etc/motd"), entry(EntryKind::File(Digest::of(b"managed\n")), mine(0o640)));
    done(&system, &Step::Restore { path: "/etc/motd".into() });
    assert_eq!(seen(&system, "/etc/motd").unwrap().kind, EntryKind::File(Digest::of(b"the image's\n")));
    let directory = Step::MakeDirectory { path: "/home/app/data".into(), attributes: mine(0o750) };
    done(&system, &directory);
    assert_eq!(seen(&system, "/var/home/app/data"), entry(EntryKind::Directory { empty: true }, mine(0o750)));
    let from = mine(0o750);
    done(&system, &Step::SetAttributes { path: "/home/app/data".into(), from, to: mine(0o700) });
    assert_eq!(seen(&system, "/home/app/data").unwrap().mode.to_string(), "0700");
    done(&system, &Step::RemoveDirectory { path: "/home/app/data".into() });
    assert_eq!(seen(&system, "/home/app/data"), None);
}

#[test]
fn a_link_takes_the_place_of_a_file() {
    let (_place, system) = system();
    let link = Step::MakeLink { path: "/etc/motd".into(), found: Found::Other, target: "issue".into() };
    done(&system, &link);
    assert_eq!(seen(&system, "/etc/motd").unwrap().kind, EntryKind::Link("issue".into()));
    done(&system, &Step::Remove { path: "/etc/motd".into() });
    assert_eq!(seen(&system, "/etc/motd"), None);
}

#[test]
fn a_home_has_what_the_skeleton_has() {
    let (_place, system) = system();
    let Attributes { uid, gid, .. } = mine(0);
    done(&system, &Step::MakeHome { path: "/home/app".into(), uid, gid });
    assert_eq!(seen(&system, "/home/app").unwrap().mode.to_string(), "0700");
    assert_eq!(seen(&system, "/home/app/.profile").unwrap().kind, EntryKind::File(Digest::of(b"profile\n")));
    assert!(seen(&system, "/home/app/.config").is_some());
}

#[test]
fn tables_of_accounts_keep_what_is_not_edited() {
    let (place, system) = system();
    let fields = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
    let edits = vec![
        AccountEdit::Set(
            TableName::Passwd,
            fields(&["app", "x", "1001", "1001", "", "/home/app", "/bin/sh"]),
        ),
        AccountEdit::Set(TableName::Shadow, fields(&["app", "!", "", "0", "99999", "7", "", "", ""])),
        AccountEdit::Join { user: "app".into(), group: "adm".into() },
    ];
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(place.path().join("root/etc/shadow"), mode).unwrap();
    accounts::edit(&system, &edits).unwrap();
    accounts::edit(&system, &edits).unwrap();
    let text = |name: &str| std::fs::read_to_string(place.path().join("root/etc").join(name)).unwrap();
    assert_eq!(text("passwd"), format!("{PASSWD}app:x:1001:1001::/home/app:/bin/sh\n"));
    assert_eq!(text("shadow"), "root:*:::::::\napp:!::0:99999:7:::\n");
    assert_eq!(text("group"), "root:x:0:\nadm:x:4:app\n");
    let shadow: files::Entry = system.root.entry("etc/shadow", 1000).unwrap().unwrap();
    assert_eq!(shadow.attributes.mode, 0o640);
    let after: Accounts = accounts::read(&system.root).unwrap();
    assert_eq!(after.passwd.number("app"), Some(1001));
}

#[test]
fn a_step_that_fails_names_what_it_could_not_do() {
    let (_place, system) = system();
    let error = execute::step(&Step::Restore { path: "/etc/nothing".into() }, &system).unwrap_err();
    assert_eq!(error.to_string(), "the image has nothing at /etc/nothing any more");
    let path = "no/such/setting".to_owned();
    let error = execute::step(&Step::SetSysctl { path, from: None, to: "1".into() }, &system).unwrap_err();
    assert_eq!(error.to_string(), "can't write /proc/sys/no/such/setting");
}
