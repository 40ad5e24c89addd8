//! dpkg-deb, which we did not write, accepts the packages that we make and finds in them what we put there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the crate is pure, its oracle is a program"
)]

use std::{fs, path::Path, process::Command};

use basalt_debian::build::{File, FileKind, build};

const CONTROL: &str = "Package: basalt-node\nVersion: 1\nArchitecture: amd64\nMaintainer: Basalt <nobody@example.org>\nDescription: test\n";

fn files() -> Vec<File> {
    vec![
        File {
            path: "usr/bin/agent".into(),
            kind: FileKind::Regular { mode: 0o755, bytes: b"#!/bin/sh\n".to_vec() },
        },
        File {
            path: "usr/lib/a.service".into(),
            kind: FileKind::Regular { mode: 0o644, bytes: vec![b'x'; 4097] },
        },
        File { path: "usr/lib/b.service".into(), kind: FileKind::Symlink("a.service".into()) },
    ]
}

fn dpkg_deb(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("dpkg-deb").args(arguments).current_dir(folder).output();
    let output = output.expect("dpkg-deb is needed: install the package `dpkg`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dpkg_deb_accepts_what_we_build() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.deb"), build(CONTROL, &files(), 1_700_000_000).unwrap()).unwrap();
    assert!(dpkg_deb(folder.path(), &["--field", "t.deb"]).contains("Package: basalt-node"));
    let listing = dpkg_deb(folder.path(), &["--contents", "t.deb"]);
    let paths: Vec<&str> = listing.lines().map(|line| line.split_whitespace().nth(5).unwrap()).collect();
    assert_eq!(
        paths,
        [
            "./",
            "./usr/",
            "./usr/bin/",
            "./usr/bin/agent",
            "./usr/lib/",
            "./usr/lib/a.service",
            "./usr/lib/b.service"
        ]
    );
    dpkg_deb(folder.path(), &["--raw-extract", "t.deb", "tree"]);
    assert_eq!(fs::read(folder.path().join("tree/usr/lib/a.service")).unwrap(), vec![b'x'; 4097]);
    assert_eq!(fs::read_link(folder.path().join("tree/usr/lib/b.service")).unwrap(), Path::new("a.service"));
    let mut md5sum = Command::new("md5sum");
    md5sum.args(["--check", "--quiet", "DEBIAN/md5sums"]).current_dir(folder.path().join("tree"));
    assert!(md5sum.status().unwrap().success());
}

#[test]
fn the_same_files_make_the_same_bytes() {
    let first = build(CONTROL, &files(), 7).unwrap();
    assert_eq!(first, build(CONTROL, &files(), 7).unwrap());
    assert_ne!(first, build(CONTROL, &files(), 8).unwrap());
}
