//! Recipes on top of the example: what they share is not built again, and what they add is an image or an extension.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod build_support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use basalt_testkit::{Shell, Trixie, test_image};
use basalt_types::ByteSize;
use basalt_vm::{Disk, Machine, Write};
use build_support::{Project, assert_fails, assert_works};

/// The example, and beside it recipes that start from it.
struct Layers {
    below: Project,
}

impl Layers {
    fn new() -> Self {
        Self { below: Project::of_example() }
    }

    /// Writes a recipe on top of another one.
    fn add(&self, name: &str, from: &str, lines: &str) -> PathBuf {
        let path = self.below.folder.path().join(format!("{name}.yaml"));
        let head = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: {name}\nfrom: {from}\n");
        fs::write(&path, format!("{head}{lines}")).unwrap();
        path
    }

    fn run(&self, command: &str, recipe: &Path) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_basalt"));
        program.arg(command).arg(recipe).env("BASALT_CACHE", self.below.cache());
        program.arg("-o").arg(self.below.out()).output().unwrap()
    }

    fn out(&self, file: &str) -> PathBuf {
        self.below.out().join(file)
    }
}

fn steps_that_ran(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let ran = |line: &&str| line.starts_with("  ") && line.contains(" s  ");
    text.lines().filter(ran).filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn a_layer_without_packages_takes_everything_but_its_files_from_below() {
    let layers = Layers::new();
    let notes = "files:\n  - {path: /usr/share/notes, content: \"one\\n\"}\noutputs: [tar]\n";
    let output = layers.run("build", &layers.add("notes", "recipe.yaml", notes));
    assert_works(&output);
    assert_eq!(steps_that_ran(&output), ["outputs"], "the tree below is in the cache");
    let listed = Command::new("tar").arg("--zstd").arg("-tvf").arg(layers.out("notes.tar.zst")).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.contains("usr/share/notes"));
    assert!(listed.contains("etc/motd"), "a file of the recipe below");
}

#[test]
fn recipes_that_start_from_each_other_are_refused() {
    let layers = Layers::new();
    layers.add("one", "two.yaml", "");
    let two = layers.add("two", "one.yaml", "");
    assert_fails(&layers.run("plan", &two), 1, &["more than 8 recipes lie on each other", "circle"]);
    let alone = layers.add("alone", "nothing.yaml", "");
    assert_fails(&layers.run("plan", &alone), 1, &["can't read", "nothing.yaml"]);
}

#[test]
fn a_version_that_differs_from_the_one_below_is_refused() {
    let layers = Layers::new();
    let recipe = layers.add("other", "recipe.yaml", "packages: [less=1]\n");
    assert_fails(&layers.run("plan", &recipe), 1, &["less", "basalt lock"]);
}

#[test]
fn a_layer_keeps_what_the_archive_has_no_more() {
    let layers = Layers::new();
    let lock = layers.below.folder.path().join("recipe.lock");
    let mut below: serde_json::Value = serde_json::from_slice(&fs::read(&lock).unwrap()).unwrap();
    let packages = below["packages"].as_array_mut().unwrap();
    let old = packages.iter_mut().find(|package| package["name"] == "libc6").unwrap();
    old["version"] = "2.41-1".into();
    let old = old.clone();
    fs::write(&lock, serde_json::to_vec_pretty(&below).unwrap()).unwrap();

    let recipe = layers.add("tools", "recipe.yaml", "packages: [strace]\n");
    let mut program = Command::new(env!("CARGO_BIN_EXE_basalt"));
    assert_works(
        &program.arg("lock").arg(&recipe).env("BASALT_CACHE", layers.below.cache()).output().unwrap(),
    );
    let above: serde_json::Value =
        serde_json::from_slice(&fs::read(recipe.with_extension("lock")).unwrap()).unwrap();
    let packages = above["packages"].as_array().unwrap();
    assert!(packages.contains(&old), "it is kept as it was locked");
    assert!(packages.iter().any(|package| package["name"] == "strace"));
}

/// The image with the files of `/dev/vdb` and so on laid over it.
fn machine(extensions: &[PathBuf]) -> Machine {
    let mut disks = vec![Disk::raw(test_image().disk())];
    let write = Write::Overlay { at_least: ByteSize::bytes(0) };
    disks.extend(extensions.iter().map(|path| Disk { write, ..Disk::raw(path) }));
    Machine { disks, ..Machine::uefi("") }
}

#[test]
fn a_system_extension_is_merged_by_the_image_it_was_made_for_and_by_no_other() {
    let layers = Layers::new();
    let tools = "packages: [strace]\nfiles:\n  - {path: /etc/tools.conf, content: \"yes\\n\"}\noutputs: [sysext, confext]\n";
    assert_works(&layers.run("build", &layers.add("tools", "recipe.yaml", tools)));
    // The same on top of a system that says it is another version.
    let release =
        "files:\n  - path: /usr/lib/os-release\n    content: |\n      ID=debian\n      VERSION_ID=\"12\"\n";
    layers.add("older", "recipe.yaml", release);
    let notes = "files:\n  - {path: /usr/share/notes, content: \"one\\n\"}\noutputs: [sysext]\n";
    assert_works(&layers.run("build", &layers.add("notes", "older.yaml", notes)));

    let [tools, conf, notes] =
        ["tools.sysext.raw", "tools.confext.raw", "notes.sysext.raw"].map(|file| layers.out(file));
    let hash = fs::read_to_string(layers.out("tools.sysext.roothash")).unwrap();
    Trixie::from_environment()
        .command(layers.below.folder.path(), "systemd-dissect")
        .args(["--validate", "--root-hash", hash.trim()])
        .arg(&tools)
        .run()
        .unwrap();

    let login = test_image().login();
    let mut running = basalt_vm::boot(&machine(&[tools, conf, notes])).unwrap();
    let mut shell = Shell::login(&mut running, &login).unwrap();
    shell.become_root(&login).unwrap();
    shell.check("! test -e /usr/bin/strace && ! test -e /etc/tools.conf").unwrap();
    shell.check("mkdir -p /var/lib/extensions /var/lib/confexts").unwrap();
    shell
        .check("cp /dev/vdb /var/lib/extensions/tools.raw && cp /dev/vdc /var/lib/confexts/tools.raw")
        .unwrap();
    shell.check("systemd-sysext merge").unwrap();
    let version = shell.check("strace --version").unwrap();
    assert!(version.starts_with("strace -- version"), "{version}");
    shell.check("systemd-confext merge").unwrap();
    assert_eq!(shell.check("cat /etc/tools.conf").unwrap().trim(), "yes");
    shell.check("systemd-sysext unmerge && cp /dev/vdd /var/lib/extensions/notes.raw").unwrap();
    shell.run("systemd-sysext merge").unwrap();
    shell.check("test -x /usr/bin/strace").unwrap();
    shell.check("! test -e /usr/share/notes").unwrap();
    shell.type_line("systemctl poweroff").unwrap();
    running.wait_exit(Duration::from_secs(300)).unwrap();
}
