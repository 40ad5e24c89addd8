//! The outputs that travel through registries and archives, built from the example and judged by other people's tools.
//! Run through `cargo xtask test`, which keeps downloads and steps in one cache.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod build_support;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use basalt_fetch::{
    http::{Client, Patience, Proxies},
    oci::{Access, Archive, Artifact, BlobSource, Descriptor, Manifest, Platform, Signature},
};
use basalt_formats::{
    ReadAt, WriteAt,
    chunks::{Assembly, Coalescing, FetchRange, FetchStep, Index, Owned, Part, Plan, assemble},
    verity::{self, LeafHashes, Params, Salt},
};
use basalt_image::update::{self, UpdateInfo};
use basalt_testkit::{Door, Registry};
use basalt_trust::release::{self, ReleaseKey};
use basalt_types::{Architecture, Digest};
use build_support::{Project, assert_fails, assert_works};

/// Bytes that a part is put together in.
#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let length = memory.len().max(end);
        memory.resize(length, 0xee);
        memory[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

fn read(source: &dyn BlobSource, blob: &Descriptor) -> Vec<u8> {
    let found = source.blob(blob).unwrap();
    let mut bytes = vec![0; found.length as usize];
    found.file.read_exact_at(&mut bytes, found.offset).unwrap();
    assert_eq!(Digest::of(&bytes), blob.digest);
    bytes
}

/// The packs as ranges.
struct Packs<'a>(&'a Archive, &'a [Descriptor]);

impl FetchRange for Packs<'_> {
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
        let blob = self.0.blob(&self.1[step.pack as usize]).unwrap();
        let mut bytes = vec![0; step.length as usize];
        blob.file.read_exact_at(&mut bytes, blob.offset + step.offset)?;
        Ok(bytes)
    }
}

fn manifest(archive: &Archive) -> Manifest {
    serde_json::from_slice(&read(archive, &archive.find(None).unwrap())).unwrap()
}

/// What a machine does with an update artifact: gives root and UKI, and the bytes that were fetched.
fn install(path: &Path, old_root: &impl ReadAt) -> (Vec<u8>, Vec<u8>, u64) {
    let archive = Archive::open(path).unwrap();
    let manifest = manifest(&archive);
    assert_eq!(manifest.artifact_type.as_deref(), Some(update::ARTIFACT));
    let info: UpdateInfo = serde_json::from_slice(&read(&archive, &manifest.config)).unwrap();
    let (index, packs) = manifest.layers.split_first().unwrap();
    assert_eq!(index.media_type, update::INDEX);
    let index = Index::parse_packed(&read(&archive, index)).unwrap();
    for (pack, blob) in index.packs().iter().zip(packs) {
        assert_eq!((pack.digest, pack.size, update::PACK), (blob.digest, blob.size, &*blob.media_type));
    }
    let mut owned = Owned::default();
    owned.add(0, old_root, Part::Root.rule()).unwrap();
    let plan = Plan::new(&index, &owned, Coalescing::DEFAULT);
    let (root, uki) = (Memory::default(), Memory::default());
    let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &root), (Part::Uki, &uki)];
    let assembly = Assembly::new(&index, &sinks).unwrap();
    assemble(&assembly, &plan, &[old_root], &mut Packs(&archive, packs)).unwrap();
    let (root, uki) = (root.0.into_inner().unwrap(), uki.0.into_inner().unwrap());
    assert_eq!(info.root.size.get(), root.len() as u64);
    assert_eq!(root_hash(&info, &root), info.root.digest, "root and hash tree are what the UKI names");
    assert_eq!((info.uki.size.get(), info.uki.digest), (uki.len() as u64, Digest::of(&uki)));
    (root, uki, plan.fetched_bytes())
}

fn root_hash(info: &UpdateInfo, root: &[u8]) -> Digest {
    let digits = info.verity.salt.as_bytes().chunks(2);
    let salt: Vec<u8> =
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let data_blocks = (root.len() / verity::BLOCK_SIZE) as u64;
    let leaves =
        LeafHashes::new(Params { salt: Salt::new(salt).unwrap(), uuid: info.verity.uuid, data_blocks })
            .unwrap();
    leaves.feed(0, root).unwrap();
    leaves.finish().unwrap().root
}

fn built() -> Project {
    let project = Project::with(|text| format!("{text}\noutputs: [disk, uki, oci, container, tar, cpio]\n"));
    assert_works(&project.run(&["build", "--locked"]));
    project
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert_works(&output);
    String::from_utf8(output.stdout).unwrap()
}

/// Every name in an archive, by bsdtar, which finds out the compression and the format itself.
fn names(file: &Path) -> Vec<String> {
    let text = output(Command::new("bsdtar").arg("-tf").arg(file));
    let name = |line: &str| line.trim_start_matches('.').trim_matches('/').to_owned();
    let mut names: Vec<String> = text.lines().map(name).collect();
    names.sort();
    names
}

#[test]
fn the_outputs_for_registries_and_archives_hold_the_release_and_its_tree() {
    let project = built();
    let made = |name: &str| -> PathBuf { project.out().join(name) };

    // The artifact gives root and UKI to a machine that has nothing; one that has the root fetches the UKI only.
    let (root, uki, all) = install(&made("edge.oci.tar"), &Vec::new());
    assert_eq!(uki, fs::read(made("edge.efi")).unwrap());
    let (_, _, again) = install(&made("edge.oci.tar"), &root);
    assert!(again <= uki.len() as u64 && again < all / 8, "{again} of {all}");
    let disk = File::open(made("edge.raw")).unwrap();
    let mut start = vec![0; root.len()];
    disk.read_exact_at(&mut start, slot_a(&project)).unwrap();
    assert!(start == root, "the disk has the same root");

    // To a real registry with our program, and back with another's.
    let registry = Registry::start(Door::Open);
    for (file, name) in [("edge.oci.tar", "edge"), ("edge.container.tar", "edge-container")] {
        let target = format!("{}/os/{name}:1", registry.host());
        let mut push = Command::new(env!("CARGO_BIN_EXE_basalt"));
        push.arg("push").arg(made(file)).arg(&target).arg("--insecure").env("BASALT_CACHE", project.cache());
        let said = output(&mut push);
        let root = Archive::open(made(file)).unwrap().find(None).unwrap();
        assert!(said.contains(&format!("/os/{name}@{}", root.digest)), "{said}");
        let again = output(&mut push);
        assert!(again.contains("sent 0 B"), "a second push sends nothing: {again}");
        let back = project.out().join(format!("{name}.back.tar"));
        let copied = registry.skopeo(&[
            "copy",
            "--src-tls-verify=false",
            &format!("docker://{target}"),
            &format!("oci-archive:{}:1", back.display()),
        ]);
        assert!(matches!(copied.exit, basalt_exec::command::Exit::Code(0)), "{}", copied.stderr_tail);
        assert_eq!(Archive::open(&back).unwrap().find(None).unwrap().digest, root.digest);
    }
    let (root_again, uki_again, _) = install(&project.out().join("edge.back.tar"), &Vec::new());
    assert!(root_again == root && uki_again == uki);

    // The container's layer is the tar, and its configuration names the layer as it is unpacked.
    let archive = Archive::open(made("edge.container.tar")).unwrap();
    let manifest = manifest(&archive);
    let mut plain = Vec::new();
    let layer = read(&archive, &manifest.layers[0]);
    zstd::Decoder::new(&layer[..]).unwrap().read_to_end(&mut plain).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&read(&archive, &manifest.config)).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], Digest::of(&plain).to_string());
    assert_eq!(config["config"]["Cmd"][0], "/bin/bash");
    let mut tar = Vec::new();
    zstd::Decoder::new(File::open(made("edge.tar.zst")).unwrap()).unwrap().read_to_end(&mut tar).unwrap();
    assert!(tar == plain, "the layer and the output `tar` are one tree");

    // Others read the archives, and see the same names in both.
    let in_tar = names(&made("edge.tar.zst"));
    assert!(in_tar.len() > 5_000, "{}", in_tar.len());
    assert!(in_tar == names(&made("edge.cpio.zst")));
}

/// Where slot A's root begins on the disk, by the manifest.
/// The signatures that are kept for the manifest that `reference` means, as cosign looks for them.
fn signatures(reference: &str) -> (Digest, Vec<Signature>) {
    let client = Client::new(Proxies::default(), Patience::default(), Arc::default()).unwrap();
    let access = Access { insecure: true, ..Access::default() };
    let platform = Platform::linux(Architecture::Amd64);
    let artifact = Artifact::open(&client, &access, &reference.parse().unwrap(), &platform).unwrap();
    (artifact.digest(), artifact.signatures().unwrap())
}

/// Changes a byte of the last pack of an archive.
fn spoil_a_pack(path: &Path) {
    let archive = Archive::open(path).unwrap();
    let pack = manifest(&archive).layers.pop().unwrap();
    let at = archive.blob(&pack).unwrap().offset + pack.size / 2;
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// The example that trusts a release key, and the folder for its keys.
fn trusting() -> (Project, PathBuf) {
    let project = Project::with(|text| format!("{text}\noutputs: [oci]\nreleaseKeys: [keys/release.pub]\n"));
    let keys = project.folder.path().join("keys");
    (project, keys)
}

#[test]
fn what_is_no_release_key_is_refused_before_anything_is_built() {
    let (project, keys) = trusting();
    assert_fails(&project.run(&["build", "--locked"]), 1, &["keys/release.pub"]);
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("release.pub"), "no key").unwrap();
    let words = [
        "release.pub is not valid",
        "it is neither a public key nor a certificate in PEM",
        "basalt keys new",
    ];
    assert_fails(&project.run(&["build", "--locked"]), 2, &words);
}

#[test]
fn a_release_is_signed_by_the_build_or_by_the_push() {
    let (project, keys) = trusting();
    let keys = keys.display().to_string();
    let basalt = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
        command.args(arguments).env("BASALT_CACHE", project.cache());
        command.output().unwrap()
    };
    assert_works(&basalt(&["keys", "new", &keys]));
    let pem = fs::read_to_string(project.folder.path().join("keys/release.pub")).unwrap();
    let trusted = [ReleaseKey::from_pem(&pem).unwrap()];

    assert_works(&project.run(&["build", "--locked"]));
    let file = project.out().join("edge.oci.tar").display().to_string();
    let (digest, none) = signatures(&format!("oci-archive:{file}"));
    assert_eq!(none, []);
    let registry = Registry::start(Door::Open);
    let [by_build, by_push] = ["build", "push"].map(|name| format!("{}/edge/{name}:0.1.0", registry.host()));
    let push = |to: &str, more: &[&str]| {
        let pushed = basalt(&[&["push", &file, to, "--insecure"][..], more].concat());
        assert_works(&pushed);
        String::from_utf8_lossy(&pushed.stdout).into_owned()
    };
    assert!(push(&by_push, &[]).contains("; not signed"));
    assert_eq!(signatures(&by_push), (digest, Vec::new()));
    let public = project.folder.path().join("keys/release.pub").display().to_string();
    let verify =
        |release: &str, more: &[&str]| basalt(&[&["verify", release, "--insecure"][..], more].concat());
    assert_fails(&verify(&by_push, &["--key", &public]), 4, &["the release sha256:", " is not signed"]);
    assert!(push(&by_push, &["--keys", &keys]).contains("; signed"));

    assert_works(&project.run(&["build", "--locked", "--keys", &keys]));
    assert!(push(&by_build, &[]).contains("; signed"));
    let archive = format!("oci-archive:{file}");
    // What was only pushed with keys was built without: its kernel image is unsigned.
    for (place, policies) in [(&archive, "there are some"), (&by_build, "there are some"), (&by_push, "none")]
    {
        let (digest, made) = signatures(place);
        let [Signature { payload, signature }] = made.as_slice() else { panic!("{place}: {made:?}") };
        release::verify(&trusted, &digest, payload, signature).unwrap();
        let checked = verify(place, &["--key", &public]);
        assert_works(&checked);
        let said = String::from_utf8_lossy(&checked.stdout);
        let key = format!("signed     by the key {}", trusted[0].id());
        let policies = format!("TPM        signed policies: {policies}\n");
        for line in [&key[..], "release    edge 0.1.0 for amd64", "and it starts this root", &policies] {
            assert!(said.contains(line), "`{line}` is not in:\n{said}");
        }
    }
    let other = project.folder.path().join("other").display().to_string();
    assert_works(&basalt(&["keys", "new", &other]));
    let foreign = format!("{other}/release.pub");
    assert_fails(&verify(&archive, &["--key", &foreign]), 4, &["none of the 1 keys that may sign made it"]);
    spoil_a_pack(Path::new(&file));
    assert_fails(
        &verify(&archive, &["--key", &public]),
        4,
        &["a pack of `oci-archive:", " has the digest sha256:"],
    );
}

fn slot_a(project: &Project) -> u64 {
    let text = fs::read(project.out().join("edge.manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let partitions = manifest["partitions"].as_array().unwrap();
    let slot = partitions.iter().find(|partition| partition["label"] == "basalt-a").unwrap();
    slot["offset"].as_u64().unwrap()
}
