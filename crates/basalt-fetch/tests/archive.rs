//! A whole small archive over HTTP: what is accepted, and the message of everything that is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail loudly")]

mod support;

use basalt_debian::solve::{Base, Request, solve};
use basalt_fetch::debian::{Context, DebianError, Event, Indices, Source, Wish, fetch_packages, resolve};
use basalt_types::{Architecture, Digest};
use pgp::composed::SignedSecretKey;
use support::{Fault, NOW, PACKAGES, Server, clearsign, key, keyring, release, source, told, with, xz};

const INRELEASE: &str = "dists/test/InRelease";

fn resolved(server: &Server, key: &SignedSecretKey) -> Result<Indices, DebianError> {
    resolved_as(source(&server.url, keyring(key)))
}

fn resolved_as(source: Source) -> Result<Indices, DebianError> {
    let store = tempfile::tempdir().unwrap();
    with(store.path(), |context| resolve(context, &[source], Architecture::Amd64, NOW)).0
}

/// The message, with the server's changing address taken out.
fn refused(server: &Server, key: &SignedSecretKey) -> String {
    told(&resolved(server, key).unwrap_err()).replace(&server.url, "MIRROR")
}

fn text(server: &Server) -> String {
    String::from_utf8(server.files.lock().unwrap()[&format!("/{INRELEASE}")].clone()).unwrap()
}

#[test]
fn from_a_suite_to_the_packages_of_a_solution() {
    let (key, store) = (key(), tempfile::tempdir().unwrap());
    let server = Server::archive(&key);
    let sources = [source(&server.url, keyring(&key))];
    let run = |context: Context<'_>| {
        let indices = resolve(context, &sources, Architecture::Amd64, NOW).unwrap();
        assert_eq!(indices.epoch(), 1_795_323_600);
        assert_eq!(indices.suites[0].signers, keyring(&key).fingerprints());
        let pool = indices.pool(Architecture::Amd64).unwrap();
        let wanted = vec!["hello".parse().unwrap()];
        let request = Request { wanted, base: Base::Nothing, ..Request::default() };
        let solution = solve(&pool, &request).unwrap();
        let wish = |c: &basalt_debian::solve::Chosen<'_, '_>| Wish {
            url: indices.url(c.record, c.origin).unwrap(),
            digest: c.record.digest().unwrap().unwrap(),
            size: c.record.size,
        };
        let wishes: Vec<Wish> = solution.packages.iter().map(wish).collect();
        fetch_packages(context, &wishes).unwrap()
    };
    let (paths, _) = with(store.path(), run);
    let contents: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert_eq!(contents, [b"hello", b"world"]);
    // Again: only the Release file is asked for.
    let before = server.requests().len();
    with(store.path(), run);
    assert_eq!(server.requests()[before..], ["/dists/test/InRelease"]);
}

#[test]
fn a_changed_text_is_refused() {
    let key = key();
    let server = Server::archive(&key);
    server.put(INRELEASE, text(&server).replace("Codename: probe", "Codename: prope").as_bytes());
    assert_eq!(
        refused(&server, &key),
        format!(
            "the suite `test` of `MIRROR` can't be trusted; is `base.debian.keyring` the right one for it?: the signature \
             by {} does not fit the text: the file was changed after it was signed",
            keyring(&key).fingerprints()[0]
        )
    );
}

#[test]
fn a_signature_by_a_stranger_is_refused_with_both_sides_named() {
    let (signer, other) = (key(), key());
    let server = Server::archive(&signer);
    assert_eq!(
        refused(&server, &other),
        format!(
            "the suite `test` of `MIRROR` can't be trusted; is `base.debian.keyring` the right one for it?: no signature is \
             by a key of the test keyring: it is signed by {}",
            keyring(&signer).fingerprints()[0]
        )
    );
}

#[test]
fn text_around_the_signed_text_is_refused() {
    let key = key();
    let server = Server::archive(&key);
    let signed = text(&server);
    let ends = |server: &Server| refused(server, &key).rsplit(": ").next().unwrap().to_owned();
    server.put(INRELEASE, format!("Suite: evil\n{signed}").as_bytes());
    assert_eq!(ends(&server), "it does not begin with a PGP signed message");
    server.put(INRELEASE, format!("{signed}Suite: evil\n").as_bytes());
    assert_eq!(ends(&server), "there is text after the signature");
    server.put(INRELEASE, signed.replacen("\n\n", "\nSuite: evil\n\n", 1).as_bytes());
    assert_eq!(ends(&server), "it has a header other than Hash");
    server.put(INRELEASE, signed.replacen("\nOrigin", "\n-Evil: yes\nOrigin", 1).as_bytes());
    assert_eq!(ends(&server), "a line begins with a dash that is not escaped");
    server.put(INRELEASE, &signed.as_bytes()[..signed.len() - 40]);
    assert_eq!(ends(&server), "the signature is cut off");
    server.put(INRELEASE, b"<html>please log in</html>");
    assert_eq!(ends(&server), "it does not begin with a PGP signed message");
}

#[test]
fn an_index_that_is_not_the_listed_one_is_refused() {
    let key = key();
    let server = Server::archive(&key);
    let packed = xz(PACKAGES.as_bytes());
    let path = format!("dists/test/main/binary-amd64/by-hash/SHA256/{}", Digest::of(&packed).hex());
    let mut changed = packed.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    server.put(&path, &changed);
    assert_eq!(
        refused(&server, &key),
        format!(
            "`MIRROR/{path}` is not what the index promised; the mirror may be changing: try again, or use another mirror: \
             got {0} bytes with {1}, expected {0} bytes with {2}",
            packed.len(),
            Digest::of(&changed),
            Digest::of(&packed)
        )
    );
    // Without the file by its digest, the file by its name is taken.
    server.remove(&path);
    server.put("dists/test/main/binary-amd64/Packages.xz", &packed);
    assert_eq!(resolved(&server, &key).unwrap().suites[0].indices[0].text, PACKAGES);
}

#[test]
fn an_archive_that_contradicts_itself_is_refused() {
    let key = key();
    let server = Server::archive(&key);
    let packed = xz(b"Package: evil\n");
    let path = format!("dists/test/main/binary-amd64/by-hash/SHA256/{}", Digest::of(&packed).hex());
    server.put(INRELEASE, clearsign(&release(&packed), &key, NOW).as_bytes());
    server.put(&path, &packed);
    assert_eq!(
        refused(&server, &key),
        format!(
            "the index `MIRROR/{path}` is damaged: it unpacks to something else than the Release file lists"
        )
    );
}

#[test]
fn a_suite_that_is_not_there_is_named() {
    let key = key();
    let server = Server::start();
    assert_eq!(
        refused(&server, &key),
        "the mirror `MIRROR` has no suite `test`; check `base.debian.suite` and `base.debian.mirror`: \
         `MIRROR/dists/test/InRelease` answered with status 404; check `base.debian.mirror` and the suite, and run `basalt \
         lock` again if a package has left the mirror"
    );
}

#[test]
fn a_mirror_that_does_not_answer_is_named() {
    let key = key();
    let url = format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let told = told(&resolved_as(source(&url, keyring(&key))).unwrap_err()).replace(&url, "MIRROR");
    assert!(told.starts_with("can't fetch `MIRROR/dists/test/InRelease` (tried 3 times): "), "{told}");
    assert!(told.ends_with("; check the network, or set http_proxy/https_proxy"), "{told}");
}

#[test]
fn a_release_past_its_time_is_refused_unless_the_recipe_allows_it() {
    let key = key();
    let server = Server::archive(&key);
    let text = release(&xz(PACKAGES.as_bytes())).replace("29 Nov", "22 Nov");
    server.put(INRELEASE, clearsign(&text, &key, NOW).as_bytes());
    assert_eq!(
        refused(&server, &key),
        "the Release file of `test` on `MIRROR` can't be used; if the mirror is meant to stand still (a snapshot, say), set \
         `base.debian.checkValidUntil: false`: the Release file was valid until Sun, 22 Nov 2026 05:00:00 UTC, it is Mon, 23 \
         Nov 2026 05:00:00 UTC now"
    );
    let patient = Source { check_valid_until: false, ..source(&server.url, keyring(&key)) };
    assert_eq!(resolved_as(patient).unwrap().suites[0].indices[0].text, PACKAGES);
}

#[test]
fn another_suite_under_this_name_is_refused() {
    let key = key();
    let server = Server::archive(&key);
    let text = text(&server);
    server.put("dists/stable/InRelease", text.as_bytes());
    let source = Source { suite: "stable".to_owned(), ..source(&server.url, keyring(&key)) };
    assert_eq!(
        told(&resolved_as(source).unwrap_err()).replace(&server.url, "MIRROR"),
        "`MIRROR` gave the Release file of `probe` when asked for `stable`; use that name, or another mirror"
    );
}

#[test]
fn a_component_that_is_not_there_is_named() {
    let key = key();
    let server = Server::archive(&key);
    let source = Source { components: vec!["mian".to_owned()], ..source(&server.url, keyring(&key)) };
    assert_eq!(
        told(&resolved_as(source).unwrap_err()).replace(&server.url, "MIRROR"),
        "the suite `test` of `MIRROR` has no `mian` for amd64; it has main"
    );
}

#[test]
fn a_truncated_deb_is_continued_and_a_wrong_one_refused() {
    let (key, store) = (key(), tempfile::tempdir().unwrap());
    let server = Server::archive(&key);
    let wish = Wish { url: format!("{}/pool/hello.deb", server.url), digest: Digest::of(b"hello"), size: 5 };
    server.fail("pool/hello.deb", &[Fault::CutAfter(2), Fault::Busy]);
    with(store.path(), |context| fetch_packages(context, std::slice::from_ref(&wish)).unwrap());
    let expected = ["/pool/hello.deb", "/pool/hello.deb bytes=2-", "/pool/hello.deb bytes=2-"];
    assert_eq!(server.requests(), expected);
    // The mirror has another file of the same length.
    let other = Wish { url: format!("{}/pool/libc6.deb", server.url), ..wish.clone() };
    let empty = tempfile::tempdir().unwrap();
    let (result, _) = with(empty.path(), |context| fetch_packages(context, &[other]));
    assert!(told(&result.unwrap_err()).contains("is not what the index promised"));
    assert_eq!(std::fs::read_dir(empty.path().join("partial")).unwrap().count(), 0);
}

#[test]
fn a_corrupt_entry_of_the_store_is_reported_and_fetched_again() {
    let (key, store) = (key(), tempfile::tempdir().unwrap());
    let server = Server::archive(&key);
    let wish =
        [Wish { url: format!("{}/pool/hello.deb", server.url), digest: Digest::of(b"hello"), size: 5 }];
    let fetch = |context: Context<'_>| fetch_packages(context, &wish).unwrap();
    let (paths, _) = with(store.path(), fetch);
    std::fs::write(&paths[0], b"HELLO").unwrap();
    let (again, events) = with(store.path(), fetch);
    assert_eq!(std::fs::read(&again[0]).unwrap(), b"hello");
    assert!(events[0].starts_with("Corrupt { url: "), "{events:?}");
    let (_, events) = with(store.path(), fetch);
    let finished = format!("{:?}", Event::Finished { url: &wish[0].url, cached: true });
    assert_eq!(events, [finished]);
}

#[test]
fn an_archive_in_a_folder_works_the_same() {
    let (key, folder) = (key(), tempfile::tempdir().unwrap());
    for (path, bytes) in &*Server::archive(&key).files.lock().unwrap() {
        let path = folder.path().join(&path[1..]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let url = format!("file://{}", folder.path().display());
    assert_eq!(resolved_as(source(&url, keyring(&key))).unwrap().suites[0].indices[0].text, PACKAGES);
    let missing = Source { suite: "none".to_owned(), ..source(&url, keyring(&key)) };
    assert!(matches!(resolved_as(missing).unwrap_err(), DebianError::NoSuite { .. }));
}
