use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::fs::FileType;

use super::{Entry, empty_directory, remove_tree, walk};

fn walked(top: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    walk(top, &mut |entry| entries.push(entry)).unwrap();
    entries
}

#[test]
fn parents_come_first_and_links_are_not_followed() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir_all(scratch.path().join("b/c")).unwrap();
    fs::write(scratch.path().join("b/file"), "bytes").unwrap();
    fs::hard_link(scratch.path().join("b/file"), scratch.path().join("a")).unwrap();
    symlink("/etc", scratch.path().join("b/link")).unwrap();
    let entries = walked(scratch.path());
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["", "a", "b", "b/c", "b/file", "b/link"]);
    assert_eq!(entries[1].stat.identity, entries[4].stat.identity);
    assert_eq!((entries[1].stat.links, entries[1].stat.size), (2, 5));
    assert_eq!((entries[5].stat.kind, entries[5].target.as_slice()), (FileType::Symlink, &b"/etc"[..]));
}

#[test]
fn extended_attributes_come_along() {
    // Not in the default temporary directory: a tmpfs of an older kernel has no user attributes.
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = scratch.path().join("f");
    fs::write(&file, "").unwrap();
    super::set_xattr(&file, b"user.colour", b"blue").unwrap();
    let entries = walked(scratch.path());
    assert_eq!(entries[1].xattrs, [(b"user.colour".to_vec(), b"blue".to_vec())].into());
}

#[test]
fn removing_never_follows_a_link() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("kept"), "").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let top = scratch.path().join("top");
    fs::create_dir_all(top.join("d/e")).unwrap();
    symlink(outside.path(), top.join("d/link")).unwrap();
    empty_directory(&top).unwrap();
    assert_eq!(walked(&top).len(), 1);
    remove_tree(&top).unwrap();
    remove_tree(&top).unwrap();
    assert!(outside.path().join("kept").exists() && !top.exists());
}

#[test]
fn a_missing_top_is_an_error_that_names_it() {
    let error = walk(Path::new("/no/such/tree"), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "can't open `/no/such/tree`");
}
