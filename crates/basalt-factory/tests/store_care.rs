//! `basalt store` as a program: killed at any instant, and beside others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use basalt_factory::engine::cache::{Cache, ResultKind};
use basalt_fetch::store::{Check, Found, Store};
use basalt_types::Digest;

fn store(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
    command.arg("store").args(arguments).env("BASALT_CACHE", cache);
    command
}

#[track_caller]
fn works(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fills a cache as builds do, and lets go of everything.
fn fill(cache: &Path, count: usize) {
    let (steps, store) = (Cache::at(cache.to_owned()).unwrap(), Store::open(cache).unwrap());
    for number in 0..count {
        store.insert(format!("download {number}").repeat(500).as_bytes()).unwrap();
        let folder = steps.new_result_folder().unwrap();
        for file in 0..5 {
            fs::write(folder.path().join(file.to_string()), number.to_string()).unwrap();
        }
        let key = Digest::of(number.to_string().as_bytes());
        steps.keep_folder(folder, &key, ResultKind::Release).unwrap();
    }
}

/// Whatever still has its name is whole: downloads by their digest, folders by the number of their files.
fn is_good(cache: &Path, count: usize) -> usize {
    let (steps, store) = (Cache::at(cache.to_owned()).unwrap(), Store::open(cache).unwrap());
    let mut left = 0;
    for number in 0..count {
        let digest = Digest::of(format!("download {number}").repeat(500).as_bytes());
        match store.get(&digest, None, Check::Content).unwrap() {
            Found::Whole(_) => left += 1,
            Found::Absent => {}
            Found::Corrupt(path) => unreachable!("{path:?}"),
        }
        let key = Digest::of(number.to_string().as_bytes());
        if steps.has(&key, ResultKind::Release) {
            assert_eq!(fs::read_dir(steps.result(&key, ResultKind::Release)).unwrap().count(), 5);
            left += 1;
        }
    }
    left
}

#[test]
fn a_sweep_that_is_killed_at_any_instant_leaves_a_good_store() {
    const COUNT: usize = 25;
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path();
    let mut interrupted = 0;
    for milliseconds in (4..60).step_by(7) {
        fill(cache, COUNT);
        let mut sweep = store(cache, &["gc", "--max-size", "0"]).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        sweep.kill().unwrap();
        sweep.wait().unwrap();
        let left = is_good(cache, COUNT);
        interrupted += usize::from(left > 0 && left < 2 * COUNT);
    }
    assert!(interrupted > 0, "no sweep was killed in the middle of its work");
    works(&store(cache, &["gc", "--max-size", "0"]).output().unwrap());
    let stat = works(&store(cache, &["stat", "--json"]).output().unwrap());
    let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
    assert_eq!(stat["bytes"], 0, "{stat:#}");
}

#[test]
fn the_bound_is_kept_a_dry_run_removes_nothing_and_damage_is_an_error() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path();
    fill(cache, 30);
    let bytes = || {
        let stat = works(&store(cache, &["stat", "--json"]).output().unwrap());
        serde_json::from_str::<serde_json::Value>(&stat).unwrap()["bytes"].as_u64().unwrap()
    };
    let before = bytes();
    let dry = works(&store(cache, &["gc", "--max-size", "200K", "--dry-run"]).output().unwrap());
    assert!(dry.contains("makes room"), "{dry}");
    assert_eq!(bytes(), before);
    works(&store(cache, &["gc", "--max-size", "200K"]).output().unwrap());
    let after = bytes();
    assert!(after <= 200 << 10 && after > 100 << 10, "{before} → {after}");

    let (_, path) = Store::open(cache).unwrap().insert(b"whole").unwrap();
    fs::write(&path, "other").unwrap();
    let verified = store(cache, &["verify"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(3));
    let shown = String::from_utf8_lossy(&verified.stdout);
    assert!(shown.contains(path.to_str().unwrap()) && shown.contains("moved to"), "{shown}");
    assert!(!path.exists());
}

#[test]
fn what_a_living_program_uses_stays() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path();
    fill(cache, 3);
    let user = Store::open(cache).unwrap();
    let (_, used) = user.insert(b"used").unwrap();
    let shown = works(&store(cache, &["gc", "--max-size", "0"]).output().unwrap());
    assert!(used.exists());
    assert!(shown.contains("more than allowed stay because builds use them"), "{shown}");
    let stat = works(&store(cache, &["stat"]).output().unwrap());
    assert!(stat.contains("1 process uses some of it now"), "{stat}");
}
