//! Leases against sweeps, in one process and after one that died.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, time::SystemTime};

use super::{Check, Lease, Store, Sweep};

#[test]
fn what_was_looked_up_or_stored_is_held_until_the_last_clone_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let (digest, path) = Store::open(root.path()).unwrap().insert(b"old").unwrap();
    assert!(!Sweep::begin(root.path()).unwrap().holds(&path), "its process is done with it");

    let store = Store::open(root.path()).unwrap();
    let clone = store.clone();
    store.get(&digest, None, Check::Size).unwrap();
    let (_, new) = store.insert(b"new").unwrap();
    drop(store);
    let sweep = Sweep::begin(root.path()).unwrap();
    assert!(sweep.holds(&path) && sweep.holds(&new));
    assert_eq!(sweep.users(), 1);
    drop((sweep, clone));
    let sweep = Sweep::begin(root.path()).unwrap();
    assert!(!sweep.holds(&path) && !sweep.holds(&new));
    assert_eq!(fs::read_dir(root.path().join("leases")).unwrap().count(), 0);
}

#[test]
fn a_use_renews_the_time_by_which_sweeps_judge() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let (digest, path) = store.insert(b"x").unwrap();
    fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    store.get(&digest, None, Check::Size).unwrap();
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > SystemTime::UNIX_EPOCH);
}

#[test]
fn a_lease_of_the_dead_holds_nothing_and_goes() {
    let root = tempfile::tempdir().unwrap();
    let leases = root.path().join("leases");
    fs::create_dir(&leases).unwrap();
    fs::write(leases.join("1-0"), "steps/a.erofs\n").unwrap();
    let sweep = Sweep::begin(root.path()).unwrap();
    assert!(!sweep.holds(&root.path().join("steps/a.erofs")));
    assert_eq!(sweep.users(), 0);
    assert_eq!(fs::read_dir(&leases).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_not_held() {
    let root = tempfile::tempdir().unwrap();
    let lease = Lease::new(root.path());
    assert!(!lease.hold(&root.path().join("nothing")).unwrap());
    assert!(!root.path().join("leases").exists(), "nothing was used, so nobody needs to know");
}

#[test]
fn a_sweep_waits_for_whoever_is_just_looking() {
    let root = tempfile::tempdir().unwrap();
    let lease = Lease::new(root.path());
    let path = root.path().join("file");
    fs::write(&path, "x").unwrap();
    let pause = lease.pause().unwrap();
    std::thread::scope(|scope| {
        let sweep = scope.spawn(|| Sweep::begin(root.path()).unwrap().holds(&path));
        // Shared with the pause: the use is noted before the sweep may look, whatever the threads' order.
        assert!(lease.hold(&path).unwrap());
        drop(pause);
        assert!(sweep.join().unwrap());
    });
}
