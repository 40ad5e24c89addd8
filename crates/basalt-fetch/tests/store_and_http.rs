//! The content store under abuse, and downloads that break off.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail loudly")]

mod support;

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use basalt_fetch::{
    http::{Expected, HttpError, Proxies},
    store::{Check, Found, Store},
};
use basalt_types::Digest;
use support::{Fault, Server, client, client_through, told};

fn big() -> Vec<u8> {
    (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn expected(server: &Server, bytes: &[u8]) -> Expected {
    Expected { url: format!("{}/big", server.url), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

#[test]
fn a_file_is_found_by_its_digest_and_what_is_wrong_is_moved_away() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.get(&Digest::of(b"x"), Some(1), Check::Content).unwrap(), Found::Absent);
    let (digest, path) = store.insert(b"x").unwrap();
    assert_eq!(store.get(&digest, Some(1), Check::Content).unwrap(), Found::Whole(path.clone()));
    // A power cut left the name and lost the bytes.
    std::fs::write(&path, b"").unwrap();
    let Found::Corrupt(away) = store.get(&digest, Some(1), Check::Size).unwrap() else { panic!("not seen") };
    assert!(away.starts_with(root.path().join("corrupt")));
    assert_eq!(store.get(&digest, Some(1), Check::Content).unwrap(), Found::Absent);
    // The right size, but other bytes: only the content tells.
    std::fs::write(&path, b"y").unwrap();
    assert_eq!(store.get(&digest, Some(1), Check::Size).unwrap(), Found::Whole(path));
    assert!(matches!(store.get(&digest, Some(1), Check::Content).unwrap(), Found::Corrupt(_)));
    assert!(matches!(store.insert(b"x").unwrap(), (found, _) if found == digest));
}

#[test]
fn a_partial_file_survives_its_writer_and_is_not_shared() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let digest = Digest::of(b"hello");
    let mut first = store.partial(&digest).unwrap();
    first.append(b"he").unwrap();
    // Another writer at the same time starts at nothing, under another name, and both may finish.
    let mut second = store.partial(&digest).unwrap();
    assert_eq!(second.length(), 0);
    second.append(b"hello").unwrap();
    let path = second.finish(digest, 5).unwrap();
    drop(first);
    let mut third = store.partial(&digest).unwrap();
    assert_eq!(third.length(), 2);
    third.append(b"llo").unwrap();
    assert_eq!(third.finish(digest, 5).unwrap(), path);
    let fourth = store.partial(&Digest::of(b"other")).unwrap();
    assert!(
        told(&fourth.finish(Digest::of(b"other"), 5).unwrap_err())
            .starts_with("got 0 bytes with sha256:e3b0c4")
    );
}

#[test]
fn a_server_that_dies_again_and_again_is_continued() {
    let (root, bytes) = (tempfile::tempdir().unwrap(), big());
    let server = Server::start();
    server.put("big", &bytes);
    server.fail(
        "big",
        &[Fault::CutAfter(5_000_000), Fault::Busy, Fault::CutAfter(1_000_000), Fault::CutAfter(0)],
    );
    let store = Store::open(root.path()).unwrap();
    let progress = Mutex::new(0);
    let path = client(Arc::default())
        .download(&expected(&server, &bytes), &store, &|more| *progress.lock().unwrap() += more)
        .unwrap();
    assert_eq!(Digest::of(&std::fs::read(path).unwrap()), Digest::of(&bytes));
    assert_eq!(*progress.lock().unwrap(), bytes.len() as u64);
    assert_eq!(
        server.requests(),
        ["/big", "/big bytes=5000000-", "/big bytes=5000000-", "/big bytes=6000000-", "/big bytes=6000000-"]
    );
}

#[test]
fn a_server_that_can_not_continue_starts_over() {
    let (root, bytes) = (tempfile::tempdir().unwrap(), big());
    let server = Server::start();
    server.put("big", &bytes);
    server.fail("big", &[Fault::CutAfter(100_000), Fault::Whole]);
    let store = Store::open(root.path()).unwrap();
    let path = client(Arc::default()).download(&expected(&server, &bytes), &store, &|_| ()).unwrap();
    assert_eq!(std::fs::read(path).unwrap().len(), bytes.len());
}

#[test]
fn a_file_that_is_too_short_on_the_server_is_given_up() {
    let (root, bytes) = (tempfile::tempdir().unwrap(), big());
    let server = Server::start();
    server.put("big", &bytes[..1000]);
    let store = Store::open(root.path()).unwrap();
    let error = client(Arc::default()).download(&expected(&server, &bytes), &store, &|_| ()).unwrap_err();
    assert!(told(&error).contains("(tried 4 times): "), "{}", told(&error));
    assert_eq!(server.requests(), ["/big", "/big bytes=1000-", "/big", "/big bytes=1000-"]);
}

#[test]
fn an_interrupted_download_is_continued_by_the_next_run() {
    let (root, bytes) = (tempfile::tempdir().unwrap(), big());
    let server = Server::start();
    server.put("big", &bytes);
    let store = Store::open(root.path()).unwrap();
    let cancel = Arc::new(AtomicBool::new(false));
    let stop = |_| cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let first = expected(&server, &bytes);
    // `progress` is told of nothing first; the cancellation then comes before a chunk is read.
    let error = client(Arc::clone(&cancel)).download(&first, &store, &stop).unwrap_err();
    assert!(matches!(error, HttpError::Cancelled { .. }));
    assert_eq!(
        told(&error),
        format!("the download of `{}` was interrupted; run again to continue it", first.url)
    );
    assert_eq!(store.get(&first.digest, None, Check::Content).unwrap(), Found::Absent);
    client(Arc::default()).download(&first, &store, &|_| ()).unwrap();
    assert!(matches!(store.get(&first.digest, None, Check::Content).unwrap(), Found::Whole(_)));
}

#[test]
fn what_will_not_go_better_is_not_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start();
    let store = Store::open(root.path()).unwrap();
    let error = client(Arc::default()).download(&expected(&server, b"x"), &store, &|_| ()).unwrap_err();
    assert!(told(&error).ends_with(
        "/big` answered with status 404; check `base.debian.mirror` and the suite, and run `basalt lock` again if a package \
         has left the mirror"
    ));
    assert_eq!(server.requests(), ["/big"]);
    let get = |url: &str| told(&client(Arc::default()).get(url, 3).unwrap_err());
    assert_eq!(
        get("ftp://x/y"),
        "`ftp://x/y` is not a URL that can be fetched: expected http:, https: or file:///"
    );
    server.put("long", b"four");
    assert!(get(&format!("{}/long", server.url)).ends_with("/long` is longer than 3 bytes"));
    server.put("busy", b"ok");
    server.fail("busy", &[Fault::Busy, Fault::Busy, Fault::Busy]);
    let busy = get(&format!("{}/busy", server.url));
    assert!(busy.contains("(tried 3 times): status 503"), "{busy}");
}

#[test]
fn a_proxy_is_asked_for_the_whole_url_unless_the_host_is_excluded() {
    let (proxy, direct) = (Server::start(), Server::start());
    let url = "http://mirror.invalid/debian/x";
    proxy.files.lock().unwrap().insert(url.to_owned(), b"by proxy".to_vec());
    direct.put("x", b"direct");
    let client = client_through(Proxies {
        http: Some(proxy.url.clone()),
        https: None,
        none: vec!["127.0.0.1".to_owned()],
    });
    assert_eq!(client.get(url, 99).unwrap(), b"by proxy");
    assert_eq!(client.get(&format!("{}/x", direct.url), 99).unwrap(), b"direct");
    assert_eq!(proxy.requests(), [url]);
    let error = told(&client.get("http://mirror.invalid/gone", 99).unwrap_err());
    assert!(error.starts_with("`http://mirror.invalid/gone` answered with status 404"), "{error}");
}
