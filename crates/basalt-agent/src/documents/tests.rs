//! Documents on a disk: partitions as sgdisk makes them, file systems as mkfs.vfat and mcopy do.

use std::{fs::File, path::Path};

use basalt_exec::command::Exit;
use basalt_testkit::run_tool;
use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;
const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec: ";

#[track_caller]
fn tool(name: &str, package: &'static str, words: &[&str]) {
    let done = run_tool(name, package, words);
    assert_eq!(done.exit, Exit::Code(0), "{name}: {}", done.stderr_tail);
}

/// A disk with an ESP, a config partition and somebody else's partition. Each partition's content is a file of its own beside it,
/// as the kernel has a device for each.
fn disk(esp: Option<&str>, config: Option<&[u8]>) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    File::create(path("disk")).unwrap().set_len(200 * MIB).unwrap();
    let parts = [
        "-n1:2048:+48M",
        "-t1:ef00",
        "-c1:esp",
        "-n2:0:+48M",
        "-t2:0700",
        "-c2:basalt-config",
        "-n3:0:+48M",
        "-c3:data",
    ];
    tool("sgdisk", "gdisk", &[&parts[..], &[&path("disk")]].concat());
    for (number, folder, name, text) in [
        (1, Some("loader/credentials"), "loader/credentials/basalt.node.cred", esp.map(str::as_bytes)),
        (2, None, "node.yaml", config),
        (3, None, "node.yaml", Some(&b"kind: Nothing\n"[..])),
    ] {
        let volume = path(&format!("disk{number}"));
        File::create(&volume).unwrap().set_len(48 * MIB).unwrap();
        tool("mkfs.vfat", "dosfstools", &["-F", "32", &volume]);
        let mut above = String::new();
        for part in folder.iter().flat_map(|folder| folder.split('/')) {
            above = format!("{above}/{part}");
            tool("mmd", "mtools", &["-i", &volume, &format!("::{above}")]);
        }
        if let Some(text) = text {
            fs::write(path("text"), text).unwrap();
            tool("mcopy", "mtools", &["-i", &volume, &path("text"), &format!("::{name}")]);
        }
    }
    place
}

fn read(place: &Path) -> AgentResult<Vec<Source>> {
    on_disk(&place.join("disk"), |number| place.join(format!("disk{number}")).to_str().unwrap().to_owned())
}

#[test]
fn the_esp_and_the_config_partition_have_documents_in_this_order() {
    let (esp, config) = (format!("{HEAD}{{hostname: esp}}\n"), format!("{HEAD}{{hostname: config}}\n"));
    let place = disk(Some(&esp), Some(config.as_bytes()));
    let found = read(place.path()).unwrap();
    let names: Vec<&str> = found.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["credential basalt.node of the ESP", "config partition"]);
    let hostname = merged(&found, None).unwrap().config.spec.hostname;
    assert_eq!(hostname.unwrap().as_str(), "config", "the config partition counts more");
}

#[test]
fn a_disk_without_documents_has_none() {
    let place = disk(None, None);
    assert_eq!(read(place.path()).unwrap().len(), 0);
}

#[test]
fn a_document_that_cannot_be_read_is_no_empty_one() {
    let place = disk(None, Some(b"\xff\xfe"));
    assert_eq!(read(place.path()).unwrap_err().error.to_string(), "config partition is not UTF-8 text");
    File::options().write(true).open(place.path().join("disk2")).unwrap().set_len(1024).unwrap();
    let error = read(place.path()).unwrap_err().error.to_string();
    assert!(error.starts_with("config partition can't be read from "), "{error}");
}

#[test]
fn a_document_comes_from_a_file_or_protected() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("node.yaml");
    fs::write(&path, "x").unwrap();
    assert_eq!(given(path.to_str().unwrap()).unwrap().text, "x");
    let refused = given("http://site.example/node.yaml").unwrap_err();
    assert_eq!(
        (refused.kind, refused.error.to_string().as_str()),
        (Kind::Refused, "http://site.example/node.yaml would come without protection")
    );
}
