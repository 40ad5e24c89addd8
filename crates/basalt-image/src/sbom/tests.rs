//! A small tree with dpkg's database, and what both formats say of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use basalt_formats::tree::{Content, Kind, Metadata, NoStores, Node, Tree};
use basalt_spec::Lock;
use basalt_types::Digest;
use serde_json::{Value, json};

use super::{About, FileDigests, Inventory, Subject, cyclonedx, spdx};

const STATUS: &str = "\
Package: libx
Status: install ok installed
Maintainer: X Maintainers <x@example.org>
Architecture: amd64
Multi-Arch: same
Source: x-source (1:2.0)
Version: 1:2.0+b1
Description: a library
 with more lines

Package: tool
Status: install ok installed
Maintainer: Ada Lovelace <ada@example.org>
Architecture: all
Version: 3.0~rc1
Depends: libx (>= 1:1) | liby, virtual-thing
Homepage: https://example.org/tool

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: server
Status: install ok installed
Architecture: amd64
Version: 9
Provides: virtual-thing (= 9)
";

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: GPL-2+ or AFL-2.1, and Expat

Files: odd/*
Copyright: somebody
License: odd-terms
 Do what you like.
 .
 But be kind.
";

fn put(tree: &mut Tree, path: &str, kind: Kind) {
    tree.insert(path, Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
}

fn file(tree: &mut Tree, path: &str, text: &str) {
    put(tree, path, Kind::File(Content::inline(text.as_bytes())));
}

pub(super) fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.make_directories("/usr/lib").unwrap();
    put(&mut tree, "/lib", Kind::Symlink(b"usr/lib".to_vec()));
    file(&mut tree, "/usr/lib/libx.so", "library");
    file(&mut tree, "/usr/bin/tool.distrib", "the diverted tool");
    file(&mut tree, "/usr/bin/tool", "the server's tool");
    file(&mut tree, "/etc/made-by-nobody", "");
    file(&mut tree, "/etc/os-release", "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n");
    file(&mut tree, "/usr/share/doc/tool/copyright", COPYRIGHT);
    file(&mut tree, "/usr/share/doc/libx/copyright", "Do as you like with it.\n");
    let place = "/usr/lib/sysimage/dpkg";
    file(&mut tree, &format!("{place}/status"), STATUS);
    file(&mut tree, &format!("{place}/diversions"), "/usr/bin/tool\n/usr/bin/tool.distrib\nserver\n");
    file(&mut tree, &format!("{place}/info/libx:amd64.list"), "/.\n/lib\n/lib/libx.so\n");
    file(&mut tree, &format!("{place}/info/tool.list"), "/.\n/usr/bin\n/usr/bin/tool\n");
    file(&mut tree, &format!("{place}/info/server.list"), "/usr/bin/tool\n");
    tree
}

fn lock() -> Lock {
    let package = |name: &str, version: &str, architecture: &str, origin: Value| {
        json!({
            "name": name, "version": version, "architecture": architecture, "size": 1,
            "sha256": Digest::of(name.as_bytes()), "origin": origin, "reason": "recipe",
        })
    };
    let archived = json!({"archive": {"source": 0, "path": "pool/main/l/libx.deb"}});
    serde_json::from_value(json!({
        "version": 1, "recipeDigest": Digest::of(b"r"), "architecture": "amd64", "epoch": 1_700_000_000,
        "sources": [{
            "uri": "http://archive.example/debian", "suite": "trixie", "components": ["main"],
            "releaseDigest": Digest::of(b"release"), "date": 1_700_000_000, "signedBy": [],
        }],
        "packages": [
            package("libx", "1:2.0+b1", "amd64", archived.clone()),
            package("server", "8", "amd64", archived),
            package("tool", "3.0~rc1", "all", json!({"file": "tool_3.0~rc1_all.deb"})),
        ],
    }))
    .unwrap()
}

fn inventory() -> Inventory {
    let tree = tree();
    let digests = FileDigests::compute(&tree, &NoStores, &|_| None).unwrap();
    let about = About {
        name: "demo".to_owned(),
        version: "1.0".to_owned(),
        id: Digest::of(b"id"),
        epoch: 1_700_000_000,
        tool: "0.1.0".to_owned(),
    };
    let (lock, content) = (lock(), &NoStores);
    Inventory::observe(Subject { about: &about, lock: &lock, tree: &tree, content, digests: &digests })
        .unwrap()
}

#[test]
fn packages_are_those_that_dpkg_calls_installed_with_the_locks_digests() {
    let inventory = inventory();
    let shown: Vec<_> = inventory
        .packages
        .iter()
        .map(|one| (one.purl.as_str(), one.sha256, one.installed.depends.clone(), one.size))
        .collect();
    assert_eq!(
        shown,
        [
            (
                "pkg:deb/debian/libx@1:2.0%2Bb1?arch=amd64&distro=debian-13",
                Some(Digest::of(b"libx")),
                vec![],
                28
            ),
            // The lock has another version: its digest is not this package's.
            ("pkg:deb/local/server@9?arch=amd64&distro=debian-13", None, vec![], 31),
            (
                "pkg:deb/local/tool@3.0~rc1?arch=all&distro=debian-13",
                Some(Digest::of(b"tool")),
                vec![0, 1],
                43
            ),
        ]
    );
    assert_eq!(inventory.packages[0].installed.source, ("x-source".to_owned(), "1:2.0".to_owned()));
}

#[test]
fn a_file_is_its_packages_through_links_and_diversions_or_nobodys() {
    let inventory = inventory();
    let owner = |path: &str| {
        let file = inventory.files.iter().find(|file| file.path == path).unwrap();
        file.owner.map(|owner| inventory.packages[owner].installed.name.as_str())
    };
    assert_eq!(owner("/usr/lib/libx.so"), Some("libx"));
    assert_eq!(owner("/usr/bin/tool"), Some("server"));
    assert_eq!(owner("/usr/bin/tool.distrib"), Some("tool"));
    assert_eq!(owner("/etc/made-by-nobody"), None);
    assert_eq!(owner("/usr/lib/sysimage/dpkg/info/libx:amd64.list"), Some("libx"));
    assert_eq!(owner("/usr/lib/sysimage/dpkg/status"), None);
    let sha1 = inventory.files.iter().find(|file| file.path == "/etc/made-by-nobody").unwrap().digest.sha1;
    assert_eq!(super::files::hex(&sha1), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

#[test]
fn licences_are_spdx_expressions_and_keep_their_texts() {
    let inventory = inventory();
    let licence = inventory.packages[2].licence.clone().unwrap();
    assert_eq!(licence.expression, "MIT AND LicenseRef-tool-odd-terms AND (AFL-2.1 OR GPL-2.0-or-later)");
    assert_eq!(licence.extracted.len(), 1);
    assert_eq!(licence.extracted[0].text, "Do what you like.\n\nBut be kind.");
    let whole = inventory.packages[0].licence.clone().unwrap();
    assert_eq!((whole.expression.as_str(), whole.extracted.len()), ("LicenseRef-libx-copyright", 1));
    assert_eq!(inventory.packages[1].licence, None);
}

#[test]
fn known_digests_are_taken_and_not_computed() {
    let tree = tree();
    let known = Digest::of(b"known");
    let digests = FileDigests::compute(&tree, &NoStores, &|_| Some(known)).unwrap();
    let id = tree.lookup("/usr/lib/libx.so").unwrap();
    assert_eq!(digests.get(id).unwrap().sha256, known);
    assert_eq!(digests.get(Tree::ROOT), None);
}

#[test]
fn both_documents_are_the_same_every_time_and_name_the_image() {
    let inventory = inventory();
    let cyclone = cyclonedx::document(&inventory).unwrap();
    assert_eq!(cyclone, cyclonedx::document(&inventory).unwrap());
    let cyclone: Value = serde_json::from_slice(&cyclone).unwrap();
    assert_eq!(cyclone["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(cyclone["metadata"]["component"]["name"], "demo");
    assert_eq!(cyclone["components"][0]["components"][0]["name"], "/usr/lib/libx.so");
    assert_eq!(
        cyclone["components"][0]["externalReferences"][0]["url"],
        "http://archive.example/debian/pool/main/l/libx.deb"
    );
    let spdx: Value = serde_json::from_slice(&spdx::document(&inventory).unwrap()).unwrap();
    assert_eq!(spdx["packages"][0]["name"], "demo");
    assert_eq!(spdx["packages"][1]["supplier"], "Organization: Debian GNU/Linux");
    assert_eq!(spdx["packages"][3]["originator"], "Person: Ada Lovelace (ada@example.org)");
    assert_eq!(spdx["relationships"][0]["relationshipType"], "DESCRIBES");
}
