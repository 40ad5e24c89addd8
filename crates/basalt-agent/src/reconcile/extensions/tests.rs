//! A store in a folder: what is fetched into it from files, addresses and layouts, and what it says of that.

use std::{collections::BTreeMap, sync::Mutex};

use basalt_fetch::oci::{Descriptor, LayoutWriter, Manifest, media};
use basalt_formats::{
    WriteAt, erofs,
    tree::{Content, Kind, Metadata, NoStores, Node, Tree},
};
use basalt_node::reconcile::Stored;
use basalt_spec::node::ExtensionSource;
use basalt_testkit::{Fault, StaticServer};
use basalt_types::Guid;
use tempfile::TempDir;

use super::{observe::stored, *};

struct Memory(Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap();
        let (start, length) = (offset as usize, all.len().max(offset as usize + bytes.len()));
        all.resize(length, 0);
        all[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// A plain EROFS that extends a Debian 13, with a file of 1.2 MB.
fn tools() -> Vec<u8> {
    let noise: Vec<u8> =
        (0..300_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let mut tree = Tree::new();
    for (path, bytes) in [
        ("/usr/lib/extension-release.d/extension-release.tools", b"ID=debian\nVERSION_ID=13\n".to_vec()),
        ("/usr/share/tools", noise),
    ] {
        let kind = Kind::File(Content::inline(bytes));
        tree.insert(path, Node { metadata: Metadata::root_owned(0o644), kind }).unwrap();
    }
    let options = erofs::Options { uuid: Guid::from_bytes([7; 16]), label: String::new(), epoch: 7 };
    let memory = Memory(Mutex::default());
    erofs::Layout::plan(&tree, &options).unwrap().write(&NoStores, &memory).unwrap();
    memory.0.into_inner().unwrap()
}

/// A store, and beside it a file with these bytes.
fn place(bytes: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (store, file) = (folder.path().join("store"), folder.path().join("tools.raw"));
    fs::create_dir(&store).unwrap();
    fs::write(&file, bytes).unwrap();
    (folder, store, file)
}

fn path(file: &Path) -> ExtensionSource {
    ExtensionSource::Path(file.to_str().unwrap().parse().unwrap())
}

#[track_caller]
fn assert_whole(store: &Path, digest: &Digest) {
    assert_eq!(fs::read(image(store, digest)).unwrap(), tools());
    let found = stored(store, Hash::Yes).unwrap();
    let Some(Stored::Image(image)) = found.get(digest) else { panic!("{found:?}") };
    assert_eq!((image.name.as_str(), image.release["VERSION_ID"].as_str()), ("tools", "13"));
}

#[test]
fn a_file_is_kept_once_and_forgotten() {
    let (_folder, store, file) = place(&tools());
    let digest = Digest::of(&tools());
    assert_eq!(stored(&store.join("nothing"), Hash::No).unwrap(), BTreeMap::new());
    fetch(&store, &digest, &path(&file)).unwrap();
    fetch(&store, &digest, &path(&file)).unwrap();
    assert_whole(&store, &digest);
    forget(&store, &digest).unwrap();
    forget(&store, &digest).unwrap();
    assert_eq!(stored(&store, Hash::No).unwrap(), BTreeMap::new());
}

#[test]
fn what_is_damaged_is_seen_at_the_next_boot_and_fetched_again() {
    let (_folder, store, file) = place(&tools());
    let digest = Digest::of(&tools());
    fetch(&store, &digest, &path(&file)).unwrap();
    let mut bytes = tools();
    bytes[70_000] ^= 1;
    fs::write(image(&store, &digest), &bytes).unwrap();
    assert_eq!(stored(&store, Hash::Yes).unwrap(), BTreeMap::from([(digest, Stored::Damaged)]));
    bytes.truncate(5000);
    fs::write(image(&store, &digest), &bytes).unwrap();
    assert_eq!(stored(&store, Hash::No).unwrap(), BTreeMap::from([(digest, Stored::Damaged)]));
    fetch(&store, &digest, &path(&file)).unwrap();
    assert_whole(&store, &digest);
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_was() {
    let (folder, store, _) = place(&tools());
    let digest = Digest::of(&tools());
    let server = StaticServer::serve(folder.path()).unwrap();
    let source = ExtensionSource::Url(format!("{}/tools.raw", server.url()).parse().unwrap());
    server.fault("/tools.raw", Some(Fault::CutAfter(500_000)));
    fetch(&store, &digest, &source).unwrap();
    assert_whole(&store, &digest);
    let requests = server.requests();
    assert_eq!(requests.len(), 4, "its length, and three parts: {requests:?}");

    server.fault("/tools.raw", Some(Fault::Corrupt));
    forget(&store, &digest).unwrap();
    let error = fetch(&store, &digest, &source).unwrap_err();
    assert!(error.to_string().contains("is not what"), "{error}");
    assert_eq!(stored(&store, Hash::No).unwrap(), BTreeMap::new(), "nothing of it is kept");
    server.fault("/tools.raw", Some(Fault::Absent));
    let error = fetch(&store, &digest, &source).unwrap_err().to_string();
    assert!(error.ends_with("answered a question for its length with status 404"), "{error}");
}

/// A layout with one artifact of these layers; gives its manifest's digest.
fn layout(folder: &Path, layers: &[&[u8]]) -> Digest {
    let mut writer = LayoutWriter::create(folder).unwrap();
    let put = |bytes: &[u8]| writer.insert("application/octet-stream", bytes).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.into()),
        artifact_type: Some("application/vnd.example.sysext".into()),
        config: put(b"{}"),
        layers: layers.iter().map(|bytes| put(bytes)).collect(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    let root: Descriptor = writer.insert(media::MANIFEST, &serde_json::to_vec(&manifest).unwrap()).unwrap();
    writer.name(&root, None).unwrap();
    root.digest
}

#[test]
fn an_artifact_is_one_layer_and_has_the_digest_that_the_document_says() {
    let (folder, store, _) = place(&tools());
    let one = layout(&folder.path().join("one"), &[&tools()]);
    let source = |name: &str| {
        ExtensionSource::Image(format!("oci:{}", folder.path().join(name).display()).parse().unwrap())
    };
    fetch(&store, &one, &source("one")).unwrap();
    assert_whole(&store, &one);
    let two = layout(&folder.path().join("two"), &[&tools(), b"more"]);
    let error = fetch(&store, &two, &source("two")).unwrap_err().to_string();
    assert!(error.ends_with("has 2 layers; an extension is one layer, which is the disk image"), "{error}");
    let error = fetch(&store, &one, &source("two")).unwrap_err();
    assert!(matches!(error, ExtensionError::OtherDigest { expected, .. } if expected == one), "{error}");
}

#[test]
fn what_is_no_extension_is_remembered_and_not_fetched_again() {
    let (_folder, store, file) = place(b"#!/bin/sh\n");
    let digest = Digest::of(b"#!/bin/sh\n");
    fetch(&store, &digest, &path(&file)).unwrap();
    let found = stored(&store, Hash::Yes).unwrap();
    assert!(
        matches!(&found[&digest], Stored::Unusable(why) if why.starts_with("it is neither")),
        "{found:?}"
    );
    let other = Digest::of(b"other");
    let error = fetch(&store, &other, &path(&file)).unwrap_err();
    assert!(error.to_string().contains("expected 10 bytes with sha256:"), "{error}");
    let error = fetch(&store, &other, &path(&store.join("nothing"))).unwrap_err();
    assert!(error.to_string().starts_with("can't open "), "{error}");
}
