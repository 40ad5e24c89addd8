use basalt_formats::tree::{Metadata, NoStores, Node};

use super::*;

fn tree(files: &[(&str, &str, u16)]) -> Tree {
    let mut tree = Tree::new();
    for (path, text, mode) in files {
        let kind = match text.strip_prefix("-> ") {
            Some(target) => Kind::Symlink(target.as_bytes().to_vec()),
            None => Kind::File(Content::inline(text.as_bytes())),
        };
        tree.insert(path, Node { metadata: Metadata::root_owned(*mode), kind }).unwrap();
    }
    tree
}

fn difference(first: &[(&str, &str, u16)], second: &[(&str, &str, u16)]) -> TreeDifference {
    let (first, second) = (tree(first), tree(second));
    compare(Side { tree: &first, reader: &NoStores }, Side { tree: &second, reader: &NoStores }).unwrap()
}

#[test]
fn a_tree_does_not_differ_from_itself() {
    let files = [("/etc/a", "text", 0o644), ("/etc/b", "-> a", 0o777)];
    assert!(difference(&files, &files).is_empty());
}

#[test]
fn every_change_is_named() {
    let old = [
        ("/gone", "12345", 0o644),
        ("/same", "x", 0o644),
        ("/bytes", "aa", 0o644),
        ("/mode", "x", 0o644),
        ("/link", "-> a", 0o777),
        ("/kind", "-> a", 0o777),
    ];
    let new = [
        ("/came", "", 0o644),
        ("/same", "x", 0o644),
        ("/bytes", "bbb", 0o644),
        ("/mode", "x", 0o755),
        ("/link", "-> b", 0o777),
        ("/kind", "text", 0o777),
    ];
    insta::assert_snapshot!(difference(&old, &new), @r"
    - /gone (5 B)
    + /came (0 B)
    ~ /bytes: content (2 B → 3 B)
    ~ /kind: kind (0 B → 4 B)
    ~ /link: content
    ~ /mode: mode
    ");
}
