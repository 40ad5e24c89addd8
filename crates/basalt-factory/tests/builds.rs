//! Whole builds by the `basalt` program: the same bytes every time, and a clear word with nothing left behind when
//! something is wrong. Run through `cargo xtask test`, which keeps downloads and steps in one cache.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use basalt_testkit::test_image;
use tempfile::TempDir;

/// A folder with a copy of the example and the lock that the shared test image was built from.
struct Project {
    folder: TempDir,
}

impl Project {
    fn of_example() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge");
        let copied =
            Command::new("cp").arg("-r").arg(format!("{}/.", example.display())).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        Self { folder }
    }

    fn with(edit: impl Fn(&str) -> String) -> Self {
        let project = Self::of_example();
        let text = fs::read_to_string(project.recipe()).unwrap();
        fs::write(project.recipe(), edit(&text)).unwrap();
        project
    }

    fn recipe(&self) -> PathBuf {
        self.folder.path().join("recipe.yaml")
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
        command.args(arguments).arg(self.recipe());
        if arguments[0] == "build" {
            command.arg("-o").arg(self.out());
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn left_in_out(&self) -> Vec<String> {
        match fs::read_dir(self.out()) {
            Ok(entries) => {
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
            }
            Err(_) => Vec::new(),
        }
    }
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

#[track_caller]
fn assert_works(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_builds_of_one_lock_are_equal_to_the_last_byte() {
    let first = test_image();
    let project = Project::of_example();
    // The shared image was built with an ordinary umask, from another folder, some time ago, perhaps from the cache.
    let script = "umask 077; exec \"$0\" build --no-cache --locked \"$1\" -o \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_basalt")]).arg(project.recipe()).arg(project.out());
    assert_works(&command.output().unwrap());
    let compared =
        Command::new("cmp").arg(first.disk()).arg(project.out().join("edge.raw")).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

#[test]
fn nothing_changed_means_nothing_done() {
    let project = Project::of_example();
    assert_works(&project.run(&["build", "--locked"]));
    let before = fs::metadata(project.out().join("edge.raw")).unwrap().modified().unwrap();
    let again = project.run(&["build", "--locked"]);
    assert_works(&again);
    assert!(String::from_utf8_lossy(&again.stderr).contains("the output folder holds exactly this build"));
    assert_eq!(fs::metadata(project.out().join("edge.raw")).unwrap().modified().unwrap(), before);
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_key() {
    let project = Project::with(|recipe| recipe.replace("packages:", "pakages:"));
    assert_fails(
        &project.run(&["build"]),
        2,
        &["unknown key `pakages`", "did you mean `packages`?", "recipe.yaml:"],
    );
}

#[test]
fn a_missing_mirror_is_named() {
    let mirror = "http://127.0.0.1:9/debian";
    let project = Project::with(|recipe| {
        recipe.replace("suite: trixie", &format!("suite: trixie\n    mirror: {mirror}"))
    });
    assert_fails(&project.run(&["lock"]), 4, &[mirror]);
    assert_eq!(project.left_in_out(), Vec::<String>::new());
}

#[test]
fn an_unknown_package_is_told_with_names_that_are_near() {
    let project = Project::with(|recipe| recipe.replace("- vim-tiny", "- vim-tinny"));
    assert_fails(&project.run(&["build"]), 1, &["vim-tinny", "vim-tiny"]);
}

#[test]
fn an_impossible_set_is_explained() {
    let project = Project::with(|recipe| recipe.replace("- vim-tiny", "- sysvinit-core"));
    assert_fails(
        &project.run(&["build"]),
        1,
        &["can't be installed together", "sysvinit-core", "systemd-sysv"],
    );
}

#[test]
fn a_corrupt_download_is_noticed_and_fetched_again() {
    let project = Project::with(|recipe| recipe.replace("- less", "- less\n  - hello"));
    assert_works(&project.run(&["build"]));
    let lock = fs::read_to_string(project.folder.path().join("recipe.lock")).unwrap();
    let at = lock.find("\"name\": \"hello\"").unwrap();
    let digest = lock[at..].split("sha256:").nth(1).unwrap().split('"').next().unwrap();
    let stored = PathBuf::from(std::env::var_os("BASALT_CACHE").unwrap());
    let stored = stored.join("store/sha256").join(&digest[..2]).join(digest);
    let mut bytes = fs::read(&stored).unwrap();
    bytes[200] ^= 1;
    fs::write(&stored, &bytes).unwrap();
    let again = project.run(&["build", "--no-cache"]);
    assert_works(&again);
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(text.contains("was damaged in the store"), "{text}");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let project = Project::of_example();
    fs::create_dir(project.out()).unwrap();
    let script = "mount -t tmpfs -o size=64m tmpfs \"$2\" && \"$0\" build --locked \"$1\" -o \"$2\"; code=$?; ls -A \"$2\"; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_basalt")]);
    let output = command.arg(project.recipe()).arg(project.out()).output().unwrap();
    assert_fails(&output, 3, &["no space left"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "something was left");
    assert_works(&project.run(&["build", "--locked"]));
}

#[test]
fn an_interrupted_build_says_so_and_the_next_one_succeeds() {
    let project = Project::of_example();
    let mut command = project.command(&["build", "--no-cache", "--locked", "--progress", "json"]);
    let mut running = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
    let begun = lines.find(|line| line.contains("\"progress\"") && line.contains("\"base\""));
    assert!(begun.is_some(), "the base step never began");
    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(running.wait().unwrap().code(), Some(130), "{rest:#?}");
    assert!(rest.last().is_some_and(|line| line.contains("goes on where it stopped")), "{rest:#?}");
    assert_eq!(project.left_in_out(), Vec::<String>::new());
    assert_works(&project.run(&["build", "--locked"]));
}
