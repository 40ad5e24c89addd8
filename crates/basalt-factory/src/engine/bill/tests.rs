//! Everything that goes with a small build, checked by sha256sum(1).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use basalt_formats::tree::{Content, Kind, Metadata, NoStores, Node, Tree};
use basalt_image::plan::StepName;
use basalt_spec::{Lock, Manifest};
use basalt_types::Digest;
use serde_json::{Value, json};

use super::{Made, Request, Written, write};
use crate::report::Event;

fn tree() -> Tree {
    let mut tree = Tree::new();
    let mut put = |path: &str, text: &str| {
        let kind = Kind::File(Content::inline(text.as_bytes()));
        tree.insert(path, Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
    };
    put("/usr/bin/tool", "a tool");
    put("/etc/made", "x");
    put(
        "/usr/lib/sysimage/dpkg/status",
        "Package: tool\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
    );
    put("/usr/lib/sysimage/dpkg/info/tool.list", "/usr/bin/tool\n");
    tree
}

fn manifest() -> Manifest {
    serde_json::from_value(json!({
        "format": 1, "name": "demo", "version": "1.0", "id": Digest::of(b"id"), "architecture": "amd64",
        "epoch": 1_700_000_000, "rootHash": Digest::of(b"root"), "lock": Digest::of(b"lock"), "packages": 1,
        "kernel": "6.12", "tool": "0.1.0", "partitions": [], "artifacts": [],
    }))
    .unwrap()
}

fn lock() -> Lock {
    serde_json::from_value(json!({
        "version": 1, "recipeDigest": Digest::of(b"r"), "architecture": "amd64", "epoch": 1_700_000_000,
        "sources": [], "packages": [],
    }))
    .unwrap()
}

fn written(folder: &std::path::Path) -> Written {
    let made = ["demo.raw", "demo.oci"].map(|name| Made { path: folder.join(name), digest: None });
    let events = [
        Event::Kept { step: StepName::Base, because: "an earlier result stands".to_owned() },
        Event::Started { step: StepName::Initramfs },
        Event::Finished { step: StepName::Initramfs, milliseconds: 1500, result: "5 modules".to_owned() },
    ];
    write(&Request {
        manifest: &manifest(),
        lock: &lock(),
        root: Some((&tree(), &NoStores)),
        known: &|_| None,
        made: &made,
        events: &events,
        place: &|ending| folder.join(format!("demo.{ending}")),
        key: Digest::of(b"key"),
    })
    .unwrap()
}

#[test]
fn sha256sum_agrees_with_every_line_also_inside_folders() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir_all(folder.join("demo.oci/blobs")).unwrap();
    fs::write(folder.join("demo.oci/blobs/x"), "blob").unwrap();
    let disk = fs::File::create(folder.join("demo.raw")).unwrap();
    disk.set_len(10 << 20).unwrap();
    let Written { stamps, report } = written(folder);
    assert_eq!(stamps.len(), 4);

    let names: Vec<&str> = report.files.iter().map(|one| one.file.as_str()).collect();
    assert_eq!(names, ["demo.cdx.json", "demo.oci/blobs/x", "demo.raw", "demo.spdx.json"]);
    let checked =
        Command::new("sha256sum").args(["--check", "--strict", "demo.sha256"]).current_dir(folder).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(String::from_utf8_lossy(&checked.stdout).lines().count(), 4);

    let shown = report.to_string();
    for words in
        ["1 steps in 1.50 s, 1 reused", "10 MiB  demo.raw (0 B on the disk)", "1 packages; 2 of 4 files"]
    {
        assert!(shown.contains(words), "`{words}` is not in:\n{shown}");
    }
    let told: Value = serde_json::from_slice(&fs::read(folder.join("demo.report.json")).unwrap()).unwrap();
    assert_eq!(
        told["steps"][0],
        json!({"outcome": "kept", "step": "base", "because": "an earlier result stands"})
    );
    assert_eq!(told["steps"][1]["milliseconds"], 1500);
    assert_eq!(told["largest"], json!([{"name": "tool", "bytes": 20}]));
}

#[test]
fn bills_and_checksums_are_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("demo.oci")).unwrap();
    fs::write(folder.join("demo.raw"), "disk").unwrap();
    let read = || {
        ["cdx.json", "spdx.json", "sha256"].map(|end| fs::read(folder.join(format!("demo.{end}"))).unwrap())
    };
    written(folder);
    let first = read();
    written(folder);
    assert_eq!(first, read());
}

#[test]
fn an_artifact_that_is_gone_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = [Made { path: folder.path().join("gone.raw"), digest: None }];
    let error = super::checksums::of(&made).unwrap_err().to_string();
    assert!(error.contains("gone.raw"), "{error}");
}
