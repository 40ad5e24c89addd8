//! The fakes are tested like everything else: a test's tool that lies makes every test lie.

use crate::{
    Archive, CachingMirror, Fault, StaticServer, Trixie,
    http::{Span, span},
};
use std::{fs, io::Read};

fn get(url: &str, range: Option<&str>) -> Result<(u16, Vec<u8>), String> {
    let mut request = ureq::get(url).config().http_status_as_error(false).build();
    if let Some(range) = range {
        request = request.header("Range", range);
    }
    let mut response = request.call().map_err(|error| error.to_string())?;
    let mut body = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut body).map_err(|error| error.to_string())?;
    Ok((response.status().as_u16(), body))
}

fn server() -> (tempfile::TempDir, StaticServer) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pool")).unwrap();
    fs::write(folder.path().join("pool/a+b.deb"), b"0123456789").unwrap();
    let server = StaticServer::serve(folder.path()).unwrap();
    (folder, server)
}

#[test]
fn files_ranges_and_absences() {
    let (_folder, server) = server();
    let url = server.url();
    assert_eq!(get(&format!("{url}/pool/a+b.deb"), None), Ok((200, b"0123456789".to_vec())));
    assert_eq!(get(&format!("{url}/pool/a%2bb.deb"), Some("bytes=4-")), Ok((206, b"456789".to_vec())));
    assert_eq!(get(&format!("{url}/pool/a+b.deb"), Some("bytes=10-")), Ok((416, Vec::new())));
    assert_eq!(get(&format!("{url}/pool/none"), None), Ok((404, Vec::new())));
    assert_eq!(get(&format!("{url}/%2e%2e/etc/passwd"), None), Ok((404, Vec::new())));
    assert_eq!(server.requests()[..2], ["GET /pool/a+b.deb", "GET /pool/a+b.deb bytes=4-"]);
}

#[test]
fn faults_happen_and_heal() {
    let (_folder, server) = server();
    let (path, url) = ("/pool/a+b.deb", format!("{}/pool/a+b.deb", server.url()));
    server.fault(path, Some(Fault::Absent));
    assert_eq!(get(&url, None), Ok((404, Vec::new())));
    server.fault(path, Some(Fault::Broken));
    assert_eq!(get(&url, None), Ok((500, Vec::new())));
    server.fault(path, Some(Fault::CutAfter(3)));
    assert!(get(&url, None).is_err() && get(&url, None).is_err());
    server.fault(path, Some(Fault::CutOnceAfter(3)));
    assert!(get(&url, None).is_err());
    assert_eq!(get(&url, Some("bytes=3-")), Ok((206, b"3456789".to_vec())));
    server.fault(path, Some(Fault::Corrupt));
    assert_eq!(get(&url, None).unwrap().1[0], !b'0');
    server.fault(path, None);
    assert_eq!(get(&url, None), Ok((200, b"0123456789".to_vec())));
}

#[test]
fn spans_follow_the_rfc() {
    let length = 10;
    let check =
        |range, from, to| assert_eq!(span(Some(range), length), Some(Span { from, to, length }), "{range}");
    check("bytes=0-0", 0, 1);
    check("bytes=5-", 5, 10);
    check("bytes=-3", 7, 10);
    check("bytes=-30", 0, 10);
    check("bytes=8-100", 8, 10);
    for refused in ["bytes=10-", "bytes=5-4", "items=0-1", "bytes=a-b", "bytes=-0"] {
        assert_eq!(span(Some(refused), length), None, "{refused}");
    }
    assert_eq!(span(None, length), Some(Span { from: 0, to: 10, length }));
}

#[test]
fn a_mirror_fetches_once_and_keeps_nothing_broken() {
    let (_upstream_folder, upstream) = server();
    let folder = tempfile::tempdir().unwrap();
    let archive = |name: &str| Archive { name: name.to_owned(), upstream: upstream.url() };
    let mirror = CachingMirror::serve(folder.path(), &[archive("one"), archive("two")]).unwrap();
    let url = format!("{}/pool/a+b.deb", mirror.url("one"));
    upstream.fault("/pool/a+b.deb", Some(Fault::CutOnceAfter(3)));
    assert_eq!(get(&url, None), Ok((404, Vec::new())));
    assert!(!folder.path().join("one/pool/a+b.deb").exists());
    for _ in 0..2 {
        assert_eq!(get(&url, None), Ok((200, b"0123456789".to_vec())));
    }
    assert_eq!(upstream.requests().len(), 2);
    let other = format!("{}/pool/a+b.deb", mirror.url("two"));
    assert_eq!(get(&other, None), Ok((200, b"0123456789".to_vec())));
    assert_eq!(get(&format!("{}/pool/a+b.deb", mirror.url("three")), None), Ok((404, Vec::new())));
}

#[test]
fn a_mirror_fetches_indices_anew_and_stays_where_it_was() {
    let (upstream_folder, upstream) = server();
    fs::create_dir(upstream_folder.path().join("dists")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive { name: "debian".to_owned(), upstream: upstream.url() };
    let mut addresses = Vec::new();
    for release in ["first", "second"] {
        fs::write(upstream_folder.path().join("dists/Release"), release).unwrap();
        let mirror = CachingMirror::serve(folder.path(), std::slice::from_ref(&archive)).unwrap();
        let url = mirror.url("debian");
        assert_eq!(get(&format!("{url}/dists/Release"), None), Ok((200, release.as_bytes().to_vec())));
        assert_eq!(get(&format!("{url}/pool/a+b.deb"), None), Ok((200, b"0123456789".to_vec())));
        addresses.push(url);
    }
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(upstream.requests().iter().filter(|request| request.contains("/pool/")).count(), 1);
}

#[test]
fn programs_of_the_trixie_tree_see_the_shared_folder_and_may_make_user_namespaces() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("question"), "6 times 7\n").unwrap();
    let question = folder.path().join("question").display().to_string();
    let answer = Trixie::from_environment().run(
        folder.path(),
        "unshare",
        &["--user", "--map-root-user", "cat", "/etc/debian_version", &question],
    );
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.starts_with("13") && text.ends_with("6 times 7\n"), "{text}{}", answer.stderr_tail);
}
