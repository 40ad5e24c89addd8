//! A second release of the shared image, in which faults sleep until a test wakes one.
#![allow(clippy::panic, reason = "a test fails by panicking, with what is missing or was changed")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_exec::command::{Command, Exit, Program};

use crate::{fixtures::from_environment, run_tool};

/// The version of the shared image, and the one of [`second_release`].
pub const VERSIONS: [&str; 2] = ["0.1.0", "0.2.0"];

/// Units of the second release that do nothing, until the kernel command line says `basalt.fault=NAME`.
const FAULTS: [(&str, &str); 7] = [
    ("agent", include_str!("../faults/fault-agent.service")),
    ("freeze", include_str!("../faults/fault-freeze.service")),
    ("full", include_str!("../faults/fault-full.service")),
    ("hang", include_str!("../faults/fault-hang.service")),
    ("panic", include_str!("../faults/fault-panic.service")),
    ("slow", include_str!("../faults/fault-slow.service")),
    ("unit", include_str!("../faults/fault-unit.service")),
];

/// The index of the second release's layout without the signature, beside the real one.
pub const UNSIGNED_INDEX: &str = "unsigned.json";

/// The `basalt` program, and where it keeps results.
#[derive(Clone, Debug)]
pub struct Factory {
    /// The folder that `cargo xtask dist` fills.
    pub dist: PathBuf,
    /// The cache that the shared image was built with.
    pub cache: PathBuf,
}

impl Factory {
    /// The one that `cargo xtask test` prepared.
    ///
    /// # Panics
    /// When `BASALT_DIST` or `BASALT_CACHE` is unset.
    #[track_caller]
    pub fn of_tests() -> Self {
        Self { dist: from_environment("BASALT_DIST"), cache: from_environment("BASALT_CACHE") }
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let basalt = match Program::at(self.dist.join("bin/basalt")) {
            Ok(program) => program,
            Err(error) => panic!("{error}"),
        };
        let command = Command::new(&basalt)
            .timeout(Duration::from_secs(1800))
            .args(arguments)
            .env("BASALT_CACHE", &self.cache)
            .env("BASALT_NODE_DIR", self.dist.join("lib/basalt"));
        let inherited = ["HOME", "PATH"].into_iter().filter_map(|name| Some((name, env::var_os(name)?)));
        if let Err(error) = inherited.fold(command, |command, (name, value)| command.env(name, value)).run() {
            panic!("{error}");
        }
    }
}

/// Builds the example once more, from the cache: version 0.2.0, the file `/usr/share/second`, and units with faults; signed,
/// and taking only what the same key signed. Gives a disk image with a file system that holds it as an OCI layout.
///
/// # Panics
/// When it can't be built, or the example has changed so that the edit finds nothing.
#[track_caller]
pub fn second_release(factory: &Factory, folder: &Path) -> PathBuf {
    let project = folder.join("edge");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge");
    run("cp", "coreutils", &["-r", &text(&example), &text(&project)]);
    let recipe = project.join("recipe.yaml");
    let first = read(&recipe);
    write(&recipe, &edited(&first));
    for (name, unit) in FAULTS {
        write(&project.join(format!("fault-{name}.service")), unit);
    }
    let keys = project.join("keys");
    factory.run(&["keys", "new", &text(&keys)]);
    let out = folder.join("out");
    factory.run(&["build", "--locked", &text(&recipe), "-o", &text(&out), "--keys", &text(&keys)]);
    let (layout, disk) = (folder.join("layout"), folder.join("release.ext4"));
    create(&layout);
    run("tar", "tar", &["-xf", &text(&folder.join("out/edge.oci.tar")), "-C", &text(&layout)]);
    write(&layout.join(UNSIGNED_INDEX), &without_signatures(&read(&layout.join("index.json"))));
    run("mkfs.ext4", "e2fsprogs", &["-q", "-d", &text(&layout), &text(&disk), "512M"]);
    disk
}

/// The second recipe.
#[track_caller]
fn edited(first: &str) -> String {
    let [old, new] = VERSIONS;
    let unit = |name: &str| format!("fault-{name}.service");
    let files: String = FAULTS
        .iter()
        .map(|(name, _)| format!("  - path: /usr/lib/systemd/system/{0}\n    source: {0}\n", unit(name)))
        .collect();
    let enabled: String = FAULTS.iter().map(|(name, _)| format!("    - {}\n", unit(name))).collect();
    let mut second = first.to_owned();
    for (from, to) in [
        (format!("version: {old}\n"), format!("version: {new}\n")),
        ("files:\n".into(), format!("files:\n  - path: /usr/share/second\n    content: second\n{files}")),
        ("  enable:\n".into(), format!("  enable:\n{enabled}")),
    ] {
        let edited = second.replacen(&from, &to, 1);
        assert!(edited != second, "the example has changed: it has no `{from}`");
        second = edited;
    }
    second + "\noutputs: [oci]\nreleaseKeys: [keys/release.pub]\n"
}

/// The index (image specification, "OCI Image Index") less what is not an image but signatures of one.
#[track_caller]
fn without_signatures(index: &str) -> String {
    let mut index: serde_json::Value = match serde_json::from_str(index) {
        Ok(index) => index,
        Err(error) => panic!("the index of the second release: {error}"),
    };
    if let Some(manifests) = index["manifests"].as_array_mut() {
        manifests.retain(|manifest| manifest["annotations"].get("kind").is_none());
    }
    index.to_string()
}

#[track_caller]
fn run(tool: &str, package: &'static str, arguments: &[&str]) {
    let finished = run_tool(tool, package, arguments);
    assert_eq!(finished.exit, Exit::Code(0), "{tool}: {}", finished.stderr_tail);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[track_caller]
fn read(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("can't read {}: {error}", path.display()),
    }
}

#[track_caller]
fn write(path: &Path, content: &str) {
    if let Err(error) = fs::write(path, content) {
        panic!("can't write {}: {error}", path.display());
    }
}

#[track_caller]
fn create(path: &Path) {
    if let Err(error) = fs::create_dir_all(path) {
        panic!("can't make {}: {error}", path.display());
    }
}
