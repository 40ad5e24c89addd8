use std::collections::BTreeSet;

use super::{Reason, UnpackPlan, Unpackable, diverted, plan};
use crate::archive::ControlFile;

fn file(name: &str, text: &str) -> ControlFile {
    ControlFile { name: name.to_owned(), mode: 0o644, mtime: 0, bytes: text.as_bytes().to_vec() }
}

fn package(control: &str, files: &[(&str, &str)]) -> Unpackable {
    let control = format!("Version: 1\nArchitecture: amd64\n{control}");
    let mut all = vec![file("control", &control)];
    all.extend(files.iter().map(|(name, text)| file(name, text)));
    Unpackable::parse("x.deb", all).unwrap()
}

const SUMS: (&str, &str) = ("md5sums", "");

#[test]
fn each_reason_leaves_a_package_to_dpkg() {
    let packages = [
        package("Package: plain", &[SUMS, ("preinst", "#!/bin/sh\nexit 0\n")]),
        package("Package: diverts", &[SUMS, ("preinst", "dpkg-divert --add /x")]),
        package("Package: unsummed", &[]),
        package("Package: flags", &[SUMS, ("conffiles", "/etc/a\nremove-on-upgrade /etc/b\n")]),
        package("Package: shares", &[SUMS]),
    ];
    let expected = UnpackPlan {
        direct: vec![0],
        first: Vec::new(),
        registered: vec![0],
        by_dpkg: vec![
            (1, Reason::Diverts),
            (3, Reason::ConffileFlags),
            (4, Reason::SharedPath),
            (2, Reason::NoChecksums),
        ],
    };
    assert_eq!(plan(&packages, &BTreeSet::from([4])), expected);
}

#[test]
fn what_scripts_count_on_is_unpacked_first_and_in_any_case() {
    let packages = [
        package("Package: zlib", &[]),
        package("Package: editor", &[SUMS]),
        package("Package: dpkg\nDepends: tar (>= 1.28-1) | star, libz1:any", &[SUMS]),
        package("Package: tar\nEssential: yes", &[SUMS, ("preinst", "dpkg-divert")]),
        package("Package: base-files\nEssential: yes", &[SUMS]),
        package("Package: zlib1g\nProvides: libz1 (= 1)", &[]),
    ];
    let expected = UnpackPlan {
        direct: vec![4, 2, 3, 5, 1],
        first: vec![2, 3, 4, 5],
        registered: vec![4, 2, 3, 1],
        by_dpkg: vec![(5, Reason::NoChecksums), (0, Reason::NoChecksums)],
    };
    assert_eq!(plan(&packages, &BTreeSet::new()), expected);
}

#[test]
fn a_diversion_concerns_those_who_ship_the_path_but_not_its_owner() {
    let ships = |path: &str| if path == "/bin/sh" { vec![0, 1] } else { Vec::new() };
    let name = |index: usize| ["dash", "bash"][index].to_owned();
    let text = "/bin/sh\n/bin/sh.distrib\ndash\n/lib/a\n/lib/b\nx\n";
    assert_eq!(diverted(text, &mut { ships }, &name), BTreeSet::from([1]));
}

#[test]
fn a_control_archive_without_what_it_needs_is_refused_by_name() {
    let refusal = |files| Unpackable::parse("x.deb", files).unwrap_err().to_string();
    assert_eq!(refusal(Vec::new()), "`x.deb` has no file `control`");
    assert_eq!(
        refusal(vec![file("control", "Package: x\n")]),
        "the control file of `x.deb` has no field `Version`"
    );
}
