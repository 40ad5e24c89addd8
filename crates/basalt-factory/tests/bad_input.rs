//! Bad input to the `basalt` program: each gets a clear word and the exit code of whoever must act, leaves nothing
//! half-written behind, and does not keep the next run from succeeding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod build_support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Command, Stdio},
};

use basalt_fetch::mirror;
use basalt_testkit::{Archive, CachingMirror};
use build_support::{Project, assert_fails, assert_works, copy};
use tempfile::TempDir;

/// A mirror on this machine of what the host's mirror has, with the folder that its files can be damaged in.
fn mirror() -> (TempDir, CachingMirror) {
    let folder = tempfile::tempdir().unwrap();
    let facts = mirror::observe(Path::new("/"), &|name| std::env::var(name).ok()).unwrap();
    let archive = |name: &str, suite: &str| {
        let upstream = mirror::choose(&facts, None, suite).unwrap().url;
        Archive { name: name.to_owned(), upstream }
    };
    let archives = [archive("debian", "trixie"), archive("debian-security", "trixie-security")];
    let mirror = CachingMirror::serve(folder.path(), &archives).unwrap();
    (folder, mirror)
}

/// The example from this mirror.
fn project_at(mirror: &CachingMirror) -> Project {
    let suite = "suite: trixie";
    let at_mirror = format!("{suite}\n    mirror: {}", mirror.url("debian"));
    Project::with(|recipe| recipe.replace(suite, &at_mirror))
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
fn a_release_file_that_was_changed_after_signing_is_refused() {
    let (folder, mirror) = mirror();
    let project = project_at(&mirror);
    let lock = fs::read(project.folder.path().join("recipe.lock")).unwrap();
    assert_works(&project.run(&["lock"]));
    let path = folder.path().join("debian/dists/trixie/InRelease");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("Origin: Debian", "Origin: Nobody", 1)).unwrap();
    fs::write(project.folder.path().join("recipe.lock"), &lock).unwrap();

    let refused = project.run(&["lock"]);
    assert_fails(
        &refused,
        4,
        &["`trixie`", "does not fit the text: the file was changed after it was signed"],
    );
    let kept = fs::read(project.folder.path().join("recipe.lock")).unwrap();
    assert_eq!(kept, lock, "a refused lock changed the old one");

    fs::write(&path, whole).unwrap();
    assert_works(&project.run(&["lock"]));
}

#[test]
fn a_damaged_package_is_told_then_fetched_again() {
    let (folder, mirror) = mirror();
    let project = project_at(&mirror);
    project.edit(|recipe| recipe.replace("- less", "- less\n  - hello"));
    assert_works(&project.run(&["lock"]));
    let hello = project.locked("hello");
    let (path, stored) = (
        hello["origin"]["archive"]["path"].as_str().unwrap(),
        project.stored(hello["sha256"].as_str().unwrap()),
    );
    drop(fs::remove_file(&stored));

    // The mirror has the begin of it.
    let deb = folder.path().join("debian").join(path);
    fs::create_dir_all(deb.parent().unwrap()).unwrap();
    fs::write(&deb, [0; 1000]).unwrap();
    let refused = project.run(&["build"]);
    assert_fails(&refused, 4, &[&mirror.url("debian"), path, "next: "]);
    assert_eq!(project.left_in_out(), Vec::<String>::new());
    assert!(!stored.exists(), "half of a package is in the store");

    // The mirror is well again, and the store has as many wrong bytes.
    fs::remove_file(&deb).unwrap();
    fs::create_dir_all(stored.parent().unwrap()).unwrap();
    fs::write(&stored, vec![0; hello["size"].as_u64().unwrap().try_into().unwrap()]).unwrap();
    let mended = project.run(&["build"]);
    assert_works(&mended);
    let text = String::from_utf8_lossy(&mended.stderr).into_owned();
    assert!(text.contains("hello was damaged in the store"), "{text}");
    assert!(project.out().join("edge.raw").exists());
}

#[test]
fn a_damaged_step_result_is_told_then_made_anew() {
    let project = Project::with_own_cache();
    assert_works(&project.run(&["build", "--locked"]));
    let result = project.result_of("base");
    // A copy with its attributes: the shared cache keeps the whole one.
    let aside = result.with_extension("copy");
    copy(&result, &aside, &["--preserve=xattr"]);
    fs::rename(&aside, &result).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&result).unwrap();
    let (middle, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();

    let before = project.left_in_out();
    fs::write(project.folder.path().join("files/motd"), "The base is read again for this.\n").unwrap();
    let refused = project.run(&["build", "--locked"]);
    assert_fails(
        &refused,
        3,
        &[result.to_str().unwrap(), "was damaged on the disk; it is removed", "next: "],
    );
    assert_eq!(project.left_in_out(), before);
    assert_works(&project.run(&["build", "--locked"]));
}

#[test]
fn what_a_sweep_took_is_made_again_for_whoever_reads_it() {
    let project = Project::with_own_cache();
    assert_works(&project.run(&["build", "--locked"]));
    let before = project.left_in_out();
    fs::remove_file(project.result_of("base")).unwrap();
    fs::remove_dir_all(project.out()).unwrap();
    assert_works(&project.run(&["build", "--locked"]));
    assert_eq!(project.left_in_out(), before);
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
