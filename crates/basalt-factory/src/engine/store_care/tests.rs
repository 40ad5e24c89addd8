//! Plans as values; sweeps beside builds; damage that is found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use basalt_fetch::store::{Check, Found, Store};
use basalt_types::{ByteSize, Digest};

use super::{
    Area, Because, Contents, Entry, Limits, State, Verified, execute, observe, parse_size, plan, verify,
};
use crate::engine::cache::{Cache, ResultKind};

const DAY: u64 = 86_400;

fn at(days: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(days * DAY)
}

fn entry(name: &str, size: u64, day: u64, state: State) -> Entry {
    Entry { area: Area::Steps, path: PathBuf::from(name), size, used: at(day), state }
}

#[track_caller]
fn check(limits: Limits, expected: &[(&str, Because)], after: u64) {
    let entries = vec![
        entry("used-now", 40, 1, State::InUse),
        entry("left", 1, 9, State::Dead),
        entry("newest", 30, 8, State::Free),
        entry("oldest", 10, 2, State::Free),
        entry("middle", 20, 5, State::Free),
    ];
    let plan = plan(&Contents { entries, users: 1 }, limits, at(10));
    let removed: Vec<_> =
        plan.removals.iter().map(|one| (one.entry.path.to_str().unwrap(), one.because)).collect();
    assert_eq!(removed, expected);
    assert_eq!((plan.before, plan.after, plan.in_use), (101, after, 40));
}

#[test]
fn the_least_recently_used_goes_first_and_what_is_used_never() {
    use Because::{Leftover, Room, Unused};
    let size = |bytes| Limits { max_size: Some(ByteSize::bytes(bytes)), older_than: None };
    let left = ("left", Leftover);
    check(Limits::default(), &[left], 100);
    check(size(100), &[left], 100);
    check(size(99), &[left, ("oldest", Room)], 90);
    check(size(70), &[left, ("oldest", Room), ("middle", Room)], 70);
    check(size(0), &[left, ("oldest", Room), ("middle", Room), ("newest", Room)], 40);
    let old = Limits { max_size: None, older_than: Some(Duration::from_secs(5 * DAY)) };
    check(old, &[left, ("oldest", Unused { days: 8 })], 90);
    let both = Limits { max_size: Some(ByteSize::bytes(89)), ..old };
    check(both, &[left, ("oldest", Unused { days: 8 }), ("middle", Room)], 70);
}

#[test]
fn a_bound_that_can_not_be_kept_says_by_how_much() {
    let contents = Contents { entries: vec![entry("used", 7, 1, State::InUse)], users: 1 };
    let limits = Limits { max_size: Some(ByteSize::bytes(5)), older_than: None };
    let plan = plan(&contents, limits, at(2));
    assert_eq!((plan.is_empty(), plan.excess), (true, 2));
    assert!(plan.to_string().contains("2 B more than allowed stay"), "{plan}");
}

#[test]
fn sizes_are_written_as_people_write_them() {
    assert_eq!(parse_size("20G").unwrap(), ByteSize::gib(20));
    assert_eq!(parse_size("5MiB").unwrap(), ByteSize::mib(5));
    assert_eq!(parse_size("0").unwrap(), ByteSize::bytes(0));
    assert!(parse_size("twenty").is_err());
}

fn sweep(root: &Path, max_size: u64) -> super::Swept {
    let limits = Limits { max_size: Some(ByteSize::bytes(max_size)), older_than: None };
    execute(root, &plan(&observe(root).unwrap(), limits, SystemTime::now())).unwrap()
}

fn result(cache: &Cache, key: &Digest) -> PathBuf {
    let mut file = cache.new_result().unwrap();
    file.write_all(key.hex().as_bytes()).unwrap();
    cache.keep(file, key, ResultKind::Tree).unwrap()
}

#[test]
fn everything_free_goes_with_the_leftovers_of_the_dead() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let cache = Cache::at(root.to_owned()).unwrap();
    let step = result(&cache, &Digest::of(b"step"));
    let folder = cache.new_result_folder().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let release = cache.keep_folder(folder, &Digest::of(b"release"), ResultKind::Release).unwrap();
    let store = Store::open(root).unwrap();
    let (_, download) = store.insert(b"download").unwrap();
    fs::create_dir_all(root.join("work/job-1-2/room/tree")).unwrap();
    fs::write(root.join("work/job-1-2/lock"), "").unwrap();
    fs::write(root.join("work/.tmpAbc"), "x").unwrap();
    fs::write(root.join("work/result-dead"), "x").unwrap();
    fs::write(root.join("outputs/gone.json"), r#"{"files":{"/nowhere/x.raw":1}}"#).unwrap();
    fs::write(root.join("partial").join(format!("{}.1-0", Digest::of(b"p").hex())), "x").unwrap();

    let begun = cache.new_result().unwrap();
    let beside = begun.path().with_extension("part");
    fs::write(&beside, "x").unwrap();

    let swept = sweep(root, 0);
    // What this process uses stays, and unknown work stays while anybody works.
    for path in [step.as_path(), &release, &download, &root.join("work/.tmpAbc"), begun.path(), &beside] {
        assert!(path.exists(), "{path:?} is in use");
    }
    assert_eq!((swept.removed, swept.passed_over.len()), (4, 0));
    drop((cache, store, begun));
    assert_eq!(sweep(root, 0).removed, 5);
    let rest = observe(root).unwrap();
    assert_eq!(rest.entries, []);
    assert_eq!(rest.users, 0);
}

#[test]
fn what_was_used_since_the_plan_stays() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let paths = {
        let cache = Cache::at(root.to_owned()).unwrap();
        [result(&cache, &one), result(&cache, &other)]
    };
    File::open(&paths[0]).unwrap().set_modified(at(1)).unwrap();
    let limits = Limits { max_size: Some(ByteSize::bytes(0)), older_than: None };
    let made = plan(&observe(root).unwrap(), limits, SystemTime::now());
    assert_eq!(made.removals.len(), 2);
    let later = Cache::at(root.to_owned()).unwrap();
    assert!(later.has(&one, ResultKind::Tree));
    let swept = execute(root, &made).unwrap();
    assert_eq!(swept.passed_over, [paths[0].clone()]);
    assert!(paths[0].exists() && !paths[1].exists());
}

/// One round of a build: take what is there, make what is not, read both whole.
fn build(root: &Path, round: u32) {
    let cache = Cache::at(root.to_owned()).unwrap();
    let store = Store::open(root).unwrap();
    for number in 0..8 {
        let text = format!("download {}", (number + round) % 12);
        let digest = Digest::of(text.as_bytes());
        match store.get(&digest, None, Check::Content).unwrap() {
            Found::Whole(_) => {}
            Found::Absent => {
                let mut partial = store.partial(&digest).unwrap();
                partial.restart().unwrap();
                partial.append(text.as_bytes()).unwrap();
                partial.finish(digest, text.len() as u64).unwrap();
            }
            Found::Corrupt(path) => panic!("{path:?}"),
        }
        let key = Digest::of(format!("step {}", (number + round) % 12).as_bytes());
        if !cache.has(&key, ResultKind::Tree) {
            result(&cache, &key);
        }
    }
    for number in 0..8 {
        let digest = Digest::of(format!("download {}", (number + round) % 12).as_bytes());
        assert_eq!(Digest::of(&fs::read(store.path(&digest)).unwrap()), digest);
        let key = Digest::of(format!("step {}", (number + round) % 12).as_bytes());
        assert_eq!(fs::read_to_string(cache.result(&key, ResultKind::Tree)).unwrap(), key.hex());
    }
}

#[test]
fn builds_and_sweeps_at_the_same_time_do_not_hurt_each_other() {
    let root = tempfile::tempdir().unwrap();
    let (root, done, removed) = (root.path(), AtomicBool::new(false), AtomicUsize::new(0));
    Cache::at(root.to_owned()).unwrap();
    std::thread::scope(|scope| {
        // However the processors are shared out, builds go on until sweeps have been among them.
        let goes_on =
            |round: &u32| *round < 40 || (*round < 10_000 && removed.load(Ordering::Relaxed) <= 100);
        let builds: Vec<_> = (0..2)
            .map(|offset| {
                let rounds = (0..).take_while(goes_on);
                scope.spawn(move || rounds.for_each(|round| build(root, round * 3 + offset)))
            })
            .collect();
        let sweeps: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        removed.fetch_add(sweep(root, 0).removed, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let failed = builds.into_iter().filter_map(|build| build.join().err()).next();
        done.store(true, Ordering::Relaxed);
        sweeps.into_iter().for_each(|sweep| sweep.join().unwrap());
        assert!(failed.is_none(), "a build lost what it used");
    });
    let removed = removed.into_inner();
    assert!(removed > 100, "the sweeps removed only {removed}");
    // The results of these builds are no images, which counts as damage; no download may be damaged.
    let damaged = verify(root).unwrap().damaged;
    let steps = root.join(Area::Steps.folder());
    assert!(damaged.iter().all(|one| one.path.starts_with(&steps)), "{damaged:?}");
    // Now that nobody uses anything, all goes.
    sweep(root, 0);
    assert_eq!(verify(root).unwrap(), Verified::default());
}

#[test]
fn damage_is_moved_away_and_what_is_whole_stays() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let (good, bad, empty) = {
        let store = Store::open(root).unwrap();
        let paths = [b"good", b"bad!"].map(|bytes| store.insert(bytes).unwrap().1);
        let cache = Cache::at(root.to_owned()).unwrap();
        (paths[0].clone(), paths[1].clone(), result(&cache, &Digest::of(b"no image")))
    };
    fs::write(&bad, "worse").unwrap();
    let verified = verify(root).unwrap();
    assert_eq!((verified.downloads, verified.steps), (2, 1));
    let damaged: Vec<_> = verified.damaged.iter().map(|one| one.path.clone()).collect();
    let mut expected = vec![bad.clone(), empty.clone()];
    expected.sort();
    assert_eq!(damaged, expected);
    assert!(good.exists() && !bad.exists() && !empty.exists());
    assert!(verified.damaged.iter().all(|one| one.moved_to.as_ref().unwrap().exists()));
    assert_eq!(verify(root).unwrap().damaged, []);
}
