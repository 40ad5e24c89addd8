use std::{io::ErrorKind, os::unix::fs::PermissionsExt as _, path::Path};

use super::{Access, Root, Scope};

#[test]
fn a_write_replaces_the_bytes_and_sets_the_mode() {
    let scratch = tempfile::tempdir().unwrap();
    let root = Root::open(scratch.path(), Scope::Beneath).unwrap();
    root.create_directories("a/b").unwrap();
    root.write_atomic("a/b/key", b"one", Access::Secret).unwrap();
    root.write_atomic("a/b/key", b"two", Access::Secret).unwrap();
    assert_eq!(root.read("a/b/key", 10).unwrap(), b"two");
    let mode = scratch.path().join("a/b/key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(std::fs::read_dir(scratch.path().join("a/b")).unwrap().count(), 1);
}

#[test]
fn nothing_leaves_the_directory() {
    let scratch = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc", scratch.path().join("out")).unwrap();
    let root = Root::open(scratch.path(), Scope::Beneath).unwrap();
    for path in ["out/passwd", "../x", "/etc/passwd"] {
        let error = root.read(path, 1 << 20).unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::CrossesDevices, "{path}: {error}");
        assert!(root.write_atomic(path, b"", Access::Public).is_err(), "{path}");
    }
}

#[test]
fn an_absolute_link_of_an_image_stays_in_the_image() {
    let scratch = tempfile::tempdir().unwrap();
    let root = Root::open(scratch.path(), Scope::InRoot).unwrap();
    root.create_directories("etc").unwrap();
    root.write_atomic("etc/motd", b"image", Access::Public).unwrap();
    std::os::unix::fs::symlink("/etc/motd", scratch.path().join("link")).unwrap();
    assert_eq!(root.read("link", 10).unwrap(), b"image");
}

#[test]
fn a_file_over_the_limit_is_refused_and_a_missing_one_is_told_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let root = Root::open(scratch.path(), Scope::Beneath).unwrap();
    root.write_atomic("f", b"12345", Access::Public).unwrap();
    assert!(root.read("f", 4).is_err());
    assert_eq!(root.read_if_present("g", 4).unwrap(), None);
    root.remove_file(Path::new("g")).unwrap();
}
