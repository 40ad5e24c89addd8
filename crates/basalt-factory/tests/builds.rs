//! Whole builds by the `basalt` program: the same bytes every time and for everybody, and nothing done when nothing
//! changed. Run through `cargo xtask test`, which keeps downloads and steps in one cache.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod base_support;
mod build_support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use basalt_testkit::{basalt_program, test_image};
use base_support::as_ordinary_user;
use build_support::{Project, assert_same, assert_works, copy, shared_cache};

#[test]
fn two_builds_of_one_lock_are_equal_to_the_last_byte() {
    let first = test_image();
    let project = Project::of_example();
    // The shared image was built with an ordinary umask, from another folder, some time ago, perhaps from the cache.
    let script = "umask 077; exec \"$0\" build --no-cache --locked \"$1\" -o \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_basalt")]).arg(project.recipe()).arg(project.out());
    assert_works(&command.output().unwrap());
    assert_same(first.disk(), &project.out().join("edge.raw"));
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
fn an_ordinary_user_builds_the_same_disk() {
    let (first, project) = (test_image(), Project::of_example());
    // Below the target folder somebody else might not even be allowed to look.
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = place.path().join("home");
    fs::create_dir_all(home.join("cache")).unwrap();
    copy(&project.folder.path().join("."), &home, &["-r"]);
    copy(&shared_cache().join("store"), &home.join("cache"), &["-r"]);
    copy(Path::new(env!("CARGO_BIN_EXE_basalt")), &place.path().join("basalt"), &[]);
    let node = basalt_program("basalt-init");
    copy(node.parent().unwrap(), &place.path().join("node"), &["-r"]);
    let built = as_ordinary_user(place.path(), &home)
        .args(["./basalt", "build", "--locked", "home/recipe.yaml", "-o", "home/out"])
        .env("HOME", &home)
        .env("BASALT_CACHE", home.join("cache"))
        .env("BASALT_NODE_DIR", place.path().join("node"))
        .run();
    built.unwrap();
    assert_same(first.disk(), &home.join("out/edge.raw"));
}
