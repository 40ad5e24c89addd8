//! Our client against a real registry and skopeo, and against registries that break off, lie, or ask for tokens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail loudly")]

mod oci_support;

use std::fs;

use basalt_fetch::oci::{
    self, Access, Archive, BlobSource as _, Credentials, Layout, LayoutWriter, LocalProblem, OciError,
    Variables,
};
use basalt_fetch::store::{Check, Found};
use basalt_testkit::{Door, Fault, Registry, StaticServer};
use basalt_types::{Architecture, Digest, ImageRef};
use oci_support::{ARM, LINUX, World, made_layout, ok, registry_ref, token_registry};

fn insecure() -> Access {
    Access { insecure: true, ..Access::default() }
}

#[test]
fn what_we_push_skopeo_reads_and_what_skopeo_pushes_we_read() {
    let registry = Registry::start(Door::Open);
    let world = World::new();
    let (folder, root) = made_layout(world.path("ours"));
    let target = registry_ref(&format!("{}/team/edge:1", registry.host()));
    let layout = Layout::open(&folder).unwrap();
    let first = oci::push(world.context(), &insecure(), (&layout, &root), &target, None).unwrap();
    assert_eq!((first.digest, first.there), (root.digest, 0));
    let again = oci::push(world.context(), &insecure(), (&layout, &root), &target, None).unwrap();
    assert_eq!((again.sent, again.there), (0, first.sent), "a second push sends no blob");
    // The registry takes blobs from another repository of its own.
    let sibling = registry_ref(&format!("{}/other/edge:1", registry.host()));
    let mounted =
        oci::push(world.context(), &insecure(), (&layout, &root), &sibling, Some("team/edge")).unwrap();
    assert_eq!((mounted.sent, mounted.there), (0, first.sent));

    let name = format!("docker://{target}");
    let raw = ok(&registry.skopeo(&["inspect", "--tls-verify=false", "--raw", &name]));
    assert_eq!(Digest::of(&raw), root.digest, "the index is there byte for byte");
    let theirs = world.path("theirs");
    let copied = format!("oci:{}:copied", theirs.display());
    ok(&registry.skopeo(&["copy", "--all", "--src-tls-verify=false", &name, &copied]));
    let found = Layout::open(&theirs).unwrap().find(Some("copied")).unwrap();
    assert_eq!(found.digest, root.digest);

    let back = format!("docker://{}/back/edge:2", registry.host());
    ok(&registry.skopeo(&["copy", "--all", "--dest-tls-verify=false", &copied, &back]));
    let reference: ImageRef = back.parse().unwrap();
    for (platform, content) in [(&*LINUX, "amd64"), (&*ARM, "arm64")] {
        let image = oci::resolve(world.context(), &insecure(), &reference, platform).unwrap();
        let fetched = oci::fetch_image(world.context(), &insecure(), &image, platform).unwrap();
        assert_eq!(fetched.config.architecture, content);
        assert_eq!(fetched.layers.len(), 2, "one by gzip, one by zstd");
        for (layer, path) in image.manifest.layers.iter().zip(&fetched.layers) {
            assert_eq!(Digest::of(&fs::read(path).unwrap()), layer.digest);
        }
    }
    let other = oci::Platform { architecture: "riscv64".to_owned(), ..LINUX.clone() };
    let refused = oci::resolve(world.context(), &insecure(), &reference, &other).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("`{reference}` has no image for linux/riscv64; it has linux/amd64, linux/arm64")
    );
}

#[test]
fn folders_and_archives_hold_the_same_image() {
    let world = World::new();
    let (folder, root) = made_layout(world.path("ours"));
    let layout = Layout::open(&folder).unwrap();
    let path = world.path("ours.tar");
    let write = |path: &std::path::Path| {
        let mut file = fs::File::create(path).unwrap();
        oci::write_archive(&layout, &root, Some("edge"), &mut file).unwrap();
        fs::read(path).unwrap()
    };
    assert_eq!(write(&path), write(&world.path("again.tar")), "the same image gives the same bytes");
    // skopeo reads our archive, and writes one that we read.
    let registry = Registry::start(Door::Open);
    let (ours, theirs) = (format!("oci-archive:{}:edge", path.display()), world.path("theirs.tar"));
    ok(&registry.skopeo(&["copy", "--all", &ours, &format!("oci-archive:{}:edge", theirs.display())]));
    for path in [&path, &theirs] {
        let reference: ImageRef = format!("oci-archive:{}:edge", path.display()).parse().unwrap();
        let image = oci::resolve(world.context(), &Access::default(), &reference, &LINUX).unwrap();
        let world = World::new();
        let fetched = oci::fetch_image(world.context(), &Access::default(), &image, &LINUX).unwrap();
        assert_eq!(fetched.layers.len(), 2);
    }
    let archive = Archive::open(&path).unwrap();
    let copy = LayoutWriter::create(world.path("copy")).unwrap();
    copy.copy(&archive, &root).unwrap();
    let missing = archive.find(Some("other")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!("`{}` holds no image named `other`; it holds edge", path.display())
    );
}

#[test]
fn a_locked_registry_is_opened_by_the_credentials_of_other_tools() {
    let registry = Registry::start(Door::Locked);
    let world = World::new();
    let (folder, root) = made_layout(world.path("ours"));
    let layout = Layout::open(&folder).unwrap();
    let target = registry_ref(&format!("{}/edge:1", registry.host()));
    let refused = oci::push(world.context(), &insecure(), (&layout, &root), &target, None).unwrap_err();
    assert!(matches!(refused, OciError::Denied { status: 401, known: false, .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .ends_with("log in with `skopeo login` or `docker login`, or set REGISTRY_AUTH_FILE")
    );
    let file = registry.write_credentials().unwrap().display().to_string();
    let variables = Variables::observe(&|name| (name == "REGISTRY_AUTH_FILE").then(|| file.clone()));
    let access = Access { credentials: Credentials::observe(variables).unwrap(), ..insecure() };
    oci::push(world.context(), &access, (&layout, &root), &target, None).unwrap();
    let reference = ImageRef::Registry(target.clone());
    let image = oci::resolve(world.context(), &access, &reference, &LINUX).unwrap();
    oci::fetch_image(world.context(), &access, &image, &LINUX).unwrap();
    // A blob is the first thing that is asked for: the door opens there too.
    let other = World::new();
    oci::fetch_blobs(other.context(), &access, &reference, &image.manifest.layers).unwrap();
    let both = format!("--creds={}:{}", Registry::NAME, Registry::PASSWORD);
    ok(&registry.skopeo(&["inspect", "--tls-verify=false", &both, &format!("docker://{target}")]));
}

#[test]
fn a_token_service_is_asked_and_its_token_shown() {
    let world = World::new();
    let (folder, root) = made_layout(world.path("ours"));
    let layout = Layout::open(&folder).unwrap();
    let image = oci::resolve(
        world.context(),
        &Access::default(),
        &format!("oci:{}:edge", folder.display()).parse().unwrap(),
        &LINUX,
    );
    let config = layout.blob(&image.unwrap().manifest.config).unwrap();
    let (host, asked) = token_registry(root.digest, fs::read(config.path).unwrap());
    let reference: ImageRef = format!("{host}/team/edge:1").parse().unwrap();
    let refused = oci::resolve(world.context(), &insecure(), &reference, &LINUX).unwrap_err();
    // What it serves is a configuration, so the digest in its header is wrong; by then the token was taken.
    assert!(matches!(refused, OciError::Digest { .. }), "{refused}");
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .any(|line| line == "GET /token?scope=repository%3Ateam%2Fedge%3Apull&service=r HTTP/1.1")
    );
}

/// A registry made of files: they can break off and lie.
fn static_registry(world: &World) -> (StaticServer, std::path::PathBuf, ImageRef) {
    let (folder, root) = made_layout(world.path("ours"));
    let served = world.path("served/v2/edge");
    fs::create_dir_all(served.join("manifests")).unwrap();
    fs::create_dir_all(served.join("blobs")).unwrap();
    for entry in fs::read_dir(folder.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let name = format!("sha256:{}", entry.file_name().to_string_lossy());
        for kind in ["manifests", "blobs"] {
            fs::copy(entry.path(), served.join(kind).join(&name)).unwrap();
        }
    }
    fs::copy(served.join(format!("blobs/{}", root.digest)), served.join("manifests/1")).unwrap();
    let server = StaticServer::serve(world.path("served")).unwrap();
    let host = server.url().trim_start_matches("http://").to_owned();
    let reference = format!("{host}/edge:1").parse().unwrap();
    (server, served, reference)
}

#[test]
fn a_download_that_broke_off_is_continued() {
    let world = World::new();
    let (server, _, reference) = static_registry(&world);
    let image = oci::resolve(world.context(), &insecure(), &reference, &LINUX).unwrap();
    let layer = &image.manifest.layers[0];
    let path = format!("/v2/edge/blobs/{}", layer.digest);
    server.fault(&path, Some(Fault::CutOnceAfter(1000)));
    oci::fetch_image(world.context(), &insecure(), &image, &LINUX).unwrap();
    let asked: Vec<String> = server.requests().into_iter().filter(|line| line.contains(&path)).collect();
    assert_eq!(asked, [format!("GET {path}"), format!("GET {path} bytes=1000-")]);
    // A second time nothing is asked for.
    server.forget_requests();
    oci::fetch_image(world.context(), &insecure(), &image, &LINUX).unwrap();
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn bytes_with_another_digest_are_refused() {
    let world = World::new();
    let (server, served, reference) = static_registry(&world);
    let image = oci::resolve(world.context(), &insecure(), &reference, &LINUX).unwrap();
    let layer = image.manifest.layers[0].digest;
    server.fault(&format!("/v2/edge/blobs/{layer}"), Some(Fault::Corrupt));
    let refused = oci::fetch_image(world.context(), &insecure(), &image, &LINUX).unwrap_err();
    assert!(matches!(&refused, OciError::Digest { expected, .. } if *expected == layer), "{refused}");
    assert_eq!(world.store.get(&layer, None, Check::Size).unwrap(), Found::Absent, "nothing is kept of it");
    // A manifest that is not the one which its index or reference names.
    let manifest = served.join(format!("manifests/{}", image.descriptor.digest));
    fs::write(&manifest, image.bytes.iter().chain(b" ").copied().collect::<Vec<u8>>()).unwrap();
    let refused = oci::resolve(world.context(), &insecure(), &reference, &LINUX).unwrap_err();
    assert!(matches!(&refused, OciError::Digest { what: "the manifest", .. }), "{refused}");
    let refused = oci::resolve(world.context(), &insecure(), &"127.0.0.1:1/x".parse().unwrap(), &LINUX);
    assert!(matches!(refused, Err(OciError::Http { .. })));
}

#[test]
fn a_mirror_is_asked_first_and_what_it_lacks_comes_from_the_registry() {
    let world = World::new();
    let (server, served, reference) = static_registry(&world);
    let empty = world.path("mirror/v2/cache/edge/manifests");
    fs::create_dir_all(&empty).unwrap();
    fs::copy(served.join("manifests/1"), empty.join("1")).unwrap();
    let mirror = StaticServer::serve(world.path("mirror")).unwrap();
    let mirrors = vec![format!("{}/cache", mirror.url().trim_start_matches("http://"))];
    let access = Access { mirrors, ..insecure() };
    let image = oci::resolve(world.context(), &access, &reference, &LINUX).unwrap();
    oci::fetch_image(world.context(), &access, &image, &LINUX).unwrap();
    assert_eq!(mirror.requests()[0], "GET /v2/cache/edge/manifests/1");
    assert!(!server.requests().contains(&"GET /v2/edge/manifests/1".to_owned()));
    assert!(server.requests().contains(&format!("GET /v2/edge/manifests/{}", image.descriptor.digest)));
}

#[test]
fn plain_http_is_spoken_only_when_said() {
    let world = World::new();
    let (server, _, reference) = static_registry(&world);
    let refused = oci::resolve(world.context(), &Access::default(), &reference, &LINUX).unwrap_err();
    assert!(matches!(refused, OciError::Http { .. }), "{refused}");
    assert_eq!(server.requests(), Vec::<String>::new());
    server.fault("/v2/edge/manifests/1", Some(Fault::Absent));
    let refused = oci::resolve(world.context(), &insecure(), &reference, &LINUX).unwrap_err();
    assert!(
        refused.to_string().starts_with(&format!("`{reference}` is not in the registry; check the name"))
    );
}

#[test]
fn a_damaged_layout_is_named() {
    let world = World::new();
    let (folder, root) = made_layout(world.path("ours"));
    let reference: ImageRef = format!("oci:{}:edge", folder.display()).parse().unwrap();
    let image = oci::resolve(world.context(), &Access::default(), &reference, &LINUX).unwrap();
    let layer = folder.join("blobs/sha256").join(image.manifest.layers[0].digest.hex());
    let bytes = fs::read(&layer).unwrap();
    let problem = || {
        let refused = oci::fetch_image(world.context(), &Access::default(), &image, &LINUX).unwrap_err();
        let OciError::Local { problem, .. } = refused else { panic!("{refused}") };
        problem
    };
    fs::write(&layer, &bytes[1..]).unwrap();
    assert!(matches!(problem(), LocalProblem::Size { .. }));
    fs::remove_file(&layer).unwrap();
    assert_eq!(problem(), LocalProblem::NoBlob(image.manifest.layers[0].digest));
    fs::write(&layer, bytes.iter().map(|byte| !byte).collect::<Vec<u8>>()).unwrap();
    let refused = oci::fetch_image(world.context(), &Access::default(), &image, &LINUX).unwrap_err();
    assert!(matches!(refused, OciError::Digest { what: "a blob", .. }), "{refused}");
    let unnamed = oci::resolve(
        world.context(),
        &Access::default(),
        &format!("oci:{}", world.path("nowhere").display()).parse().unwrap(),
        &LINUX,
    );
    assert!(unnamed.unwrap_err().to_string().ends_with("is not an OCI layout: it has no file `oci-layout`"));
    assert_eq!(oci::Platform::linux(Architecture::Arm64), *ARM);
    let copy = LayoutWriter::create(world.path("copy")).unwrap();
    assert!(copy.copy(&Layout::open(&folder).unwrap(), &root).is_err());
}
