//! Names that promise whole results, and who holds them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, io::Write as _};

use basalt_fetch::store::Sweep;
use basalt_types::Digest;

use super::{Cache, ResultKind};

fn cache() -> (tempfile::TempDir, Cache) {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::at(root.path().to_owned()).unwrap();
    (root, cache)
}

#[test]
fn a_result_is_held_while_it_is_written_and_after_it_got_its_name() {
    let (root, cache) = cache();
    let key = Digest::of(b"key");
    let mut unfinished = cache.new_result().unwrap();
    assert!(Sweep::begin(root.path()).unwrap().holds(unfinished.path()));
    unfinished.write_all(b"whole").unwrap();
    let path = cache.keep(unfinished, &key, ResultKind::Tree).unwrap();
    assert!(Sweep::begin(root.path()).unwrap().holds(&path));
    drop(cache);
    assert!(!Sweep::begin(root.path()).unwrap().holds(&path));
    let later = Cache::at(root.path().to_owned()).unwrap();
    assert!(later.has(&key, ResultKind::Tree));
    assert!(!later.has(&key, ResultKind::Initramfs));
    assert!(Sweep::begin(root.path()).unwrap().holds(&path), "what was found is in use");
}

#[test]
fn of_many_builds_that_keep_one_folder_the_last_one_stands_whole() {
    let (_root, cache) = cache();
    let key = Digest::of(b"key");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                for _ in 0..20 {
                    let folder = cache.new_result_folder().unwrap();
                    fs::write(folder.path().join("a"), writer.to_string()).unwrap();
                    fs::write(folder.path().join("b"), writer.to_string()).unwrap();
                    cache.keep_folder(folder, &key, ResultKind::Release).unwrap();
                }
            });
        }
    });
    let kept = cache.result(&key, ResultKind::Release);
    assert_eq!(fs::read(kept.join("a")).unwrap(), fs::read(kept.join("b")).unwrap());
    assert_eq!(fs::read_dir(cache.work()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_result_that_the_disk_changed_is_told_and_removed() {
    let (_root, cache) = cache();
    let key = Digest::of(b"key");
    let keep_all = || {
        let mut file = cache.new_result().unwrap();
        file.write_all(b"whole").unwrap();
        cache.keep(file, &key, ResultKind::Tree).unwrap();
        let folder = cache.new_result_folder().unwrap();
        fs::write(folder.path().join("one"), "whole").unwrap();
        fs::write(folder.path().join("two"), "whole").unwrap();
        cache.keep_folder(folder, &key, ResultKind::Release).unwrap();
    };
    keep_all();
    for (kind, damaged) in [(ResultKind::Tree, ""), (ResultKind::Release, "two")] {
        let path = cache.whole(&key, kind).unwrap();
        let file = if damaged.is_empty() { path.clone() } else { path.join(damaged) };
        fs::OpenOptions::new().write(true).open(file).unwrap().write_all(b"w").unwrap();
        assert_eq!(cache.whole(&key, kind).unwrap(), path, "written with the same byte");
    }
    for (kind, damaged) in [(ResultKind::Tree, ""), (ResultKind::Release, "two")] {
        let path = cache.whole(&key, kind).unwrap();
        let file = if damaged.is_empty() { path.clone() } else { path.join(damaged) };
        fs::OpenOptions::new().write(true).open(file).unwrap().write_all(b"W").unwrap();
        let error = cache.whole(&key, kind).unwrap_err();
        assert!(error.to_string().ends_with("was damaged on the disk; it is removed"), "{error}");
        assert!(!path.exists() && !cache.has(&key, kind));
    }
    keep_all();
    assert!(cache.whole(&key, ResultKind::Tree).is_ok() && cache.whole(&key, ResultKind::Release).is_ok());
}
