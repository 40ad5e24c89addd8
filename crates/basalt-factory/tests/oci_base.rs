//! Recipes that start from OCI images, built by the `basalt` program from a real registry. Run through `cargo xtask test`,
//! which says where the node programs are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod build_support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use basalt_fetch::oci::{Descriptor, ImageConfig, LayoutWriter, Manifest, RootFs, media};
use basalt_testkit::{Door, Registry, basalt_program};
use basalt_types::Digest;
use build_support::{assert_fails, assert_works};

/// A folder for a recipe, its image and everything that is made of them.
struct World {
    folder: tempfile::TempDir,
    registry: Registry,
}

/// What the smallest image with systemd has.
const SYSTEM: [(&str, &str); 6] = [
    ("usr/lib/systemd/systemd", "no real one"),
    ("usr/lib/os-release", "ID=debian\n"),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/shadow", "root:*:20000:0:99999:7:::\n"),
    ("etc/gshadow", "root:*::\n"),
];

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), registry: Registry::start(Door::Open) };
        world.write_recipe(&format!("{{ref: '{}/base:1', insecure: true}}", world.registry.host()));
        world
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn write_recipe(&self, base: &str) {
        let text = format!(
            "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\nbase: {{oci: {base}}}\noutputs: [tar]\n\
             files: [{{path: /etc/motd, content: hello}}]\n"
        );
        fs::write(self.path("recipe.yaml"), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let node = basalt_program("basalt-init");
        let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
        command.args(arguments).arg(self.path("recipe.yaml"));
        if arguments[0] == "build" {
            command.arg("-o").arg(self.path("out"));
        }
        command.env("BASALT_CACHE", self.path("cache")).env("BASALT_NODE_DIR", node.parent().unwrap());
        command.output().unwrap()
    }

    /// The paths in the tar archive that was built.
    fn built(&self) -> Vec<String> {
        let file = fs::File::open(self.path("out/edge.tar.zst")).unwrap();
        let mut tar = tar::Archive::new(zstd::Decoder::new(file).unwrap());
        let path = |entry: std::io::Result<tar::Entry<'_, _>>| {
            entry.unwrap().path().unwrap().display().to_string().trim_start_matches("./").to_owned()
        };
        tar.entries().unwrap().map(path).collect()
    }

    /// Makes an image of these layers in the layout folder `image`.
    fn make(&self, layers: &[Vec<u8>]) {
        make(&self.path("image"), layers);
    }

    fn push(&self, layers: &[Vec<u8>]) {
        self.make(layers);
        let from = format!("oci:{}:1", self.path("image").display());
        let to = format!("docker://{}/base:1", self.registry.host());
        let done = self.registry.skopeo(&["copy", "--dest-tls-verify=false", &from, &to]);
        assert_eq!(done.exit, basalt_exec::command::Exit::Code(0), "{}", done.stderr_tail);
    }
}

fn make(folder: &Path, layers: &[Vec<u8>]) {
    let mut writer = LayoutWriter::create(folder).unwrap();
    let config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: Some("2026-01-02T03:04:05Z".to_owned()),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| Digest::of(layer)).collect(),
        },
    };
    let sent = |layer: &Vec<u8>| -> Descriptor {
        writer.insert(media::LAYER_ZSTD, &zstd::encode_all(layer.as_slice(), 3).unwrap()).unwrap()
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: None,
        config: writer.insert(media::CONFIG, &serde_json::to_vec(&config).unwrap()).unwrap(),
        layers: layers.iter().map(sent).collect(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    let root = writer.insert(media::MANIFEST, &serde_json::to_vec(&manifest).unwrap()).unwrap();
    writer.name(&root, Some("1")).unwrap();
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn has(paths: &[String], wanted: &str) -> bool {
    paths.iter().any(|path| path == wanted)
}

#[test]
fn a_tag_may_move_and_the_lock_does_not() {
    let world = World::new();
    let upper = layer(&[("usr/share/.wh.old", ""), ("usr/share/new", "")]);
    world.push(&[layer(&SYSTEM), layer(&[("usr/share/old", ""), ("usr/share/kept", "")]), upper]);
    assert_works(&world.run(&["build"]));
    let first = world.built();
    for path in ["usr/share/kept", "usr/share/new", "usr/bin/basalt-agent", "etc/motd"] {
        assert!(has(&first, path), "{path} is not in {first:?}");
    }
    assert!(!has(&first, "usr/share/old"), "the upper layer hides it");
    let bytes = fs::read(world.path("out/edge.tar.zst")).unwrap();

    world.push(&[layer(&SYSTEM), layer(&[("usr/share/moved", "")])]);
    assert_works(&world.run(&["build", "--locked", "--no-cache"]));
    assert!(fs::read(world.path("out/edge.tar.zst")).unwrap() == bytes, "the lock says what is meant");
    assert_works(&world.run(&["lock"]));
    assert_works(&world.run(&["build", "--locked"]));
    assert!(has(&world.built(), "usr/share/moved"));

    // After that nobody is asked: the layers are in the store.
    let World { folder, registry } = world;
    drop(registry);
    let world = World { folder, registry: Registry::start(Door::Open) };
    assert_works(&world.run(&["build", "--locked", "--no-cache"]));
    assert_fails(&world.run(&["lock"]), 4, &["can't pull", "base:1"]);
}

#[test]
fn a_folder_beside_the_recipe_is_a_base_too_and_openrc_is_known() {
    let world = World::new();
    world.write_recipe("'oci:image:1'");
    let others = SYSTEM.iter().filter(|(path, _)| !path.contains("systemd")).copied();
    let system: Vec<_> = others.chain([("usr/sbin/openrc", "no real one")]).collect();
    world.make(&[layer(&system)]);
    assert_works(&world.run(&["build"]));
    let paths = world.built();
    for path in ["etc/init.d/basalt-data", "etc/runlevels/sysinit/basalt-data", "usr/bin/basalt-agent"] {
        assert!(has(&paths, path), "{path} is not in {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.ends_with(".service")), "units are nothing to OpenRC");
}

#[test]
fn what_can_t_be_a_base_is_refused_in_words() {
    let world = World::new();
    assert_fails(&world.run(&["lock"]), 1, &["is not in the registry", "skopeo list-tags"]);
    world.push(&[layer(&SYSTEM), layer(&[("../../etc/cron.d/escape", "")])]);
    let words = ["layer 2 of the image can't be used", "../../etc/cron.d/escape", "127.0.0.1"];
    assert_fails(&world.run(&["build"]), 1, &words);
    world.push(&[layer(&SYSTEM[1..])]);
    assert_works(&world.run(&["lock"]));
    assert_fails(
        &world.run(&["build"]),
        1,
        &["the image has neither systemd nor OpenRC", "install one in it"],
    );
    world.write_recipe(&format!("{{ref: '{}/base:1'}}", world.registry.host()));
    assert_fails(&world.run(&["lock"]), 4, &["can't pull"]);
}
