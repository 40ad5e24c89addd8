use super::{Extent, Facts, IdMap, IdMapError, MapWriter, Switches};
use crate::command::Program;

fn program() -> Program {
    Program::at("/bin/sh").unwrap()
}

fn user() -> Facts {
    Facts {
        uid: 1000,
        gid: 100,
        name: Some("ada".to_owned()),
        own_uids: "         0          0 4294967295\n".to_owned(),
        subuid: "bob:100000:65536\nada:165536:65536\n".to_owned(),
        subgid: "1000:300000:1000\nada:400000:65536\n".to_owned(),
        helpers: Some((program(), program())),
        switches: Switches { max_user_namespaces: Some(1000), ..Switches::default() },
    }
}

fn extent(inside: u32, outside: u32, count: u32) -> Extent {
    Extent { inside, outside, count }
}

#[track_caller]
fn check_refusal(facts: &Facts, expected: &str) {
    assert_eq!(IdMap::plan(facts).unwrap_err().to_string(), expected);
}

#[test]
fn root_maps_every_usual_id_to_itself() {
    let facts = Facts { uid: 0, gid: 0, helpers: None, ..user() };
    let same = vec![extent(0, 0, 65536)];
    let expected = IdMap { uids: same.clone(), gids: same, writer: MapWriter::Direct };
    assert_eq!(IdMap::plan(&facts), Ok(expected));
}

#[test]
fn a_user_is_root_inside_and_lends_its_subordinate_ids() {
    let map = IdMap::plan(&user()).unwrap();
    assert_eq!(map.uids, [extent(0, 1000, 1), extent(1, 165536, 65535)]);
    assert_eq!(map.gids, [extent(0, 100, 1), extent(1, 300000, 1000), extent(1001, 400000, 64535)]);
    assert_eq!(map.writer, MapWriter::Helpers { uid: program(), gid: program() });
}

#[test]
fn each_refusal_names_the_next_step() {
    let switches = |max, clone| Switches {
        max_user_namespaces: Some(max),
        unprivileged_userns_clone: clone,
        ..Switches::default()
    };
    check_refusal(
        &Facts { switches: switches(0, None), ..user() },
        "this machine forbids user namespaces: user.max_user_namespaces is 0; \
         set it with `sysctl -w user.max_user_namespaces=10000`",
    );
    check_refusal(
        &Facts { switches: switches(9, Some(0)), ..user() },
        "this machine forbids user namespaces: kernel.unprivileged_userns_clone is 0; \
         set it with `sysctl -w kernel.unprivileged_userns_clone=1`",
    );
    check_refusal(
        &Facts { subuid: String::new(), ..user() },
        "user ada has 0 subordinate ids in /etc/subuid, 65535 are needed; \
         as root: usermod --add-subuids 100000-165535 ada",
    );
    check_refusal(
        &Facts { helpers: None, ..user() },
        "newuidmap and newgidmap are needed to build as an ordinary user; on Debian: apt-get install uidmap",
    );
    check_refusal(
        &Facts { uid: 0, own_uids: "0 1000 1\n1 100000 999\n".to_owned(), ..user() },
        "only 1000 of 65535 ids are mapped here (/proc/self/uid_map); give this container more ids",
    );
}

#[test]
fn a_refusal_of_the_kernel_is_explained_by_the_switch_that_caused_it() {
    let switches = Switches { apparmor_restrict_unprivileged_userns: Some(1), ..Switches::default() };
    let explained = switches.explain(1000, "Operation not permitted");
    assert!(matches!(
        explained,
        IdMapError::Forbidden { switch: "kernel.apparmor_restrict_unprivileged_userns", value: 1, .. }
    ));
    let unexplained = Switches::default().explain(0, "Operation not permitted");
    assert_eq!(unexplained, IdMapError::Refused { reason: "Operation not permitted".to_owned() });
}

#[test]
fn lines_that_are_no_ranges_are_passed_over() {
    let facts = Facts { subuid: "ada\nada:x:1\n# note\nada:1:2:3\nada:200000:70000\n".to_owned(), ..user() };
    let map = IdMap::plan(&facts).unwrap();
    assert_eq!(map.uids, [extent(0, 1000, 1), extent(1, 1, 2), extent(3, 200000, 65533)]);
}
