//! Layers that are made to get out, to fill the machine, or to mean two things.

use basalt_types::Digest;
use proptest::prelude::*;

use std::slice;

use super::{LayerProblem as P, Layers, Limits, Tar, apply, apply_limited, gzip, listing, refusal};

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["/etc/passwd", "../etc/passwd", "a/../../etc/passwd", "a/..", "..", "./../x"] {
        assert!(matches!(refusal(&[Tar::default().file(path, "x").end()]), P::Path(_)), "{path}");
        assert!(matches!(refusal(&[Tar::default().dir(path).end()]), P::Path(_)), "{path}");
    }
    let hidden = |path: &[u8]| Tar::default().pax(&[("path", path)]).file("innocent", "x").end();
    assert!(matches!(refusal(&[hidden(b"../x")]), P::Path(_)), "the last word counts");
    assert!(matches!(refusal(&[hidden(b"a\0b")]), P::Path(_)));
    assert!(matches!(refusal(&[hidden("x/".repeat(3000).as_bytes())]), P::Path(_)));
    assert!(matches!(refusal(&[hidden("x".repeat(256).as_bytes())]), P::Path(_)));
    assert!(matches!(refusal(&[Tar::default().file("", "x").end()]), P::Path(_)));
    assert!(matches!(refusal(&[Tar::default().file("./", "the root is no file").end()]), P::Path(_)));
}

#[test]
fn links_never_lead_out() {
    let lower = Tar::default()
        .dir("etc")
        .link(b'2', "up", "../../../../..")
        .link(b'2', "etc/absolute", "/")
        .link(b'2', "chain", "etc/absolute/up/../etc")
        .end();
    let upper = Tar::default()
        .file("up/etc/one", "1")
        .file("etc/absolute/etc/two", "2")
        .file("chain/three", "3")
        .file("up/tmp/four", "4")
        .end();
    let made = apply(&[lower, upper]);
    for path in ["/etc/one", "/etc/two", "/etc/three", "/tmp/four"] {
        assert!(made.tree.lookup(path).is_some(), "{path} of {:?}", listing(&made.tree));
    }
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let lower = Tar::default().file("secret", "old").link(b'2', "link", "secret").end();
    let made = apply(&[lower, Tar::default().file("link", "new").end()]);
    assert_eq!((made.read("/secret"), made.read("/link")), (b"old".to_vec(), b"new".to_vec()));
}

#[test]
fn ways_that_lead_nowhere_are_refused() {
    let circle = Tar::default().link(b'2', "a", "b").link(b'2', "b", "a").end();
    let through = Tar::default().file("a/x", "").end();
    assert!(matches!(refusal(&[circle.clone(), through.clone()]), P::LinkLoop(_)));
    assert!(matches!(refusal(&[circle, Tar::default().file("a/.wh.x", "").end()]), P::LinkLoop(_)));
    assert!(matches!(refusal(&[Tar::default().file("a", "").end(), through]), P::NotDirectory(_)));
    assert!(matches!(refusal(&[Tar::default().link(b'2', "a", "").end()]), P::Symlink(_)));
}

#[test]
fn an_entry_that_is_there_twice_is_refused() {
    let twice = Tar::default().file("a", "1").file("./a", "2").end();
    assert!(matches!(refusal(&[twice]), P::Twice(path) if path == "a"));
    // Under two names: one way goes through a link.
    let hidden =
        Tar::default().dir("usr").link(b'2', "bin", "usr").file("bin/sh", "1").file("usr/sh", "2").end();
    assert!(matches!(refusal(&[hidden]), P::Twice(_)));
    let turned = Tar::default().dir("d").file("d/x", "1").link(b'2', "d", "/etc").end();
    assert!(matches!(refusal(&[turned]), P::Twice(_)));
    let mode = |mode| move |header: &mut tar::Header| header.set_mode(mode);
    let modes = Tar::default().dir("d").entry(b'5', "d", b"", mode(0o777)).end();
    assert!(matches!(refusal(&[modes]), P::Twice(_)));
    // Archivers repeat directories; that says nothing new.
    apply(&[Tar::default().dir("./").dir("d").dir("d/").dir("./").end()]);
}

#[test]
fn hard_links_to_nothing_or_outside_are_refused() {
    let lower = || Tar::default().dir("d").file("f", "x");
    let to = |target: &str| refusal(&[lower().link(b'1', "l", target).end()]);
    assert!(matches!(to("missing"), P::LinkTarget { .. }));
    assert!(matches!(to("d"), P::LinkDirectory { .. }));
    assert!(matches!(to("f/x"), P::LinkTarget { .. }));
    assert!(matches!(to("l"), P::LinkTarget { .. }));
    assert!(matches!(to("."), P::LinkTarget { .. }));
    assert!(matches!(to("../f"), P::Path(_)));
    assert!(matches!(to("/f"), P::Path(_)));
    let hidden = Tar::default().file(".wh.f", "").link(b'1', "l", "f").end();
    assert!(matches!(refusal(&[lower().end(), hidden]), P::LinkTarget { .. }), "what is hidden is gone");
}

#[test]
fn devices_where_none_belong_are_refused() {
    for (kind, path) in [(b'3', "null"), (b'3', "etc/null"), (b'3', "dev"), (b'4', "dev/sda"), (b'4', "sda")]
    {
        assert!(matches!(refusal(&[Tar::default().device(kind, path).end()]), P::Device(_)), "{path}");
    }
    assert!(matches!(
        refusal(&[Tar::default().entry(b'V', "label", b"", |_| {}).end()]),
        P::Kind { kind: 'V', .. }
    ));
    assert!(matches!(refusal(&[Tar::default().entry(b'M', "part", b"", |_| {}).end()]), P::Kind { .. }));
}

#[test]
fn whiteouts_of_nothing_are_refused() {
    for path in [".wh.", "d/.wh.", ".wh..", ".wh...", ".wh.d/x", "a/.wh.d/x"] {
        assert!(matches!(refusal(&[Tar::default().file(path, "").end()]), P::Whiteout(_)), "{path}");
    }
}

#[test]
fn bombs_are_refused_before_they_burst() {
    let zeros = vec![0; 3 << 20];
    let bomb = gzip(&Tar::default().entry(b'0', "zeros", &zeros, |_| {}).end());
    let small = Limits { bytes: 1 << 20, ..Limits::default() };
    let refused = |layers: &[Vec<u8>], limits| apply_limited(layers, limits).unwrap_err().problem;
    assert!(matches!(refused(slice::from_ref(&bomb), small), P::Bytes(limit) if limit == 1 << 20));
    let honest = Limits { free: 1 << 20, ratio: 200, ..Limits::default() };
    assert!(matches!(refused(slice::from_ref(&bomb), honest), P::Ratio { .. }));
    // What follows the end of the archive counts too.
    let tail = gzip(&[Tar::default().end(), zeros].concat());
    assert!(matches!(refused(&[tail], honest), P::Ratio { .. }));
    // Layers count together.
    let half = Tar::default().entry(b'0', "a", &vec![1; 600 << 10], |_| {}).end();
    assert!(matches!(refused(&[half.clone(), half], small), P::Bytes(_)));
    let few = Limits { entries: 2, ..Limits::default() };
    let many = Tar::default().file("a", "").file("b", "").file("c", "").end();
    assert!(matches!(refused(&[many], few), P::Entries(2)));
    apply(&[bomb]);
}

#[test]
fn sizes_that_nobody_sent_are_refused() {
    // Declared and not there.
    let cut = Tar::default().entry(b'0', "a", b"x", |header| header.set_size(1 << 40)).end();
    assert!(matches!(refusal(&[cut]), P::Damaged(_)));
    let huge = Tar::default().pax(&[("size", b"18446744073709551615")]).file("a", "x").end();
    assert!(matches!(refusal(&[huge]), P::Damaged(_)));
    let long = Tar::default().entry(b'L', "x", b"", |header| header.set_size(1 << 40)).end();
    assert!(matches!(refusal(&[long]), P::Extended(_)));
    // A hole of an exbibyte.
    let hole = |size: &str, map: &str, content: &str| {
        let records = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())];
        refusal(&[Tar::default().pax(&records).file("a", content).end()])
    };
    assert!(matches!(hole("1152921504606846976", "0,1", "x"), P::Bytes(_)));
    for (size, map, content) in [
        ("10", "0,1", ""),
        ("10", "0,1", "xx"),
        ("10", "5,1,4,1", "xx"),
        ("10", "10,1", "x"),
        ("10", "18446744073709551615,1", "x"),
        ("10", "0", ""),
        ("10", "0,x", ""),
    ] {
        assert!(matches!(hole(size, map, content), P::Sparse(_)), "{map}");
    }
    let endless = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.realsize", b"10")];
    let endless = Tar::default().pax(&endless).entry(b'0', "a", &[b'1'; 512], |_| {}).end();
    assert!(matches!(refusal(&[endless]), P::Sparse(_)));
}

#[test]
fn what_is_no_archive_is_refused() {
    let good = Tar::default().file("a", "hello").end();
    let mut sum = good.clone();
    sum[0] = b'b';
    assert!(matches!(refusal(&[sum]), P::Header { after } if after == "the beginning"));
    assert!(matches!(refusal(&[good[..700].to_vec()]), P::Damaged(_) | P::Header { .. }));
    assert!(matches!(refusal(&[gzip(&good)[..60].to_vec()]), P::Damaged(_)));
    let records =
        |bytes: &[u8]| refusal(&[Tar::default().entry(b'x', "pax", bytes, |_| {}).file("a", "").end()]);
    for bad in [
        &b"5 a=b"[..],
        b"99 a=b\n",
        b"x a=b\n",
        b"6 ab\n\n",
        b"0 a=b\n",
        b"1 a=b\n",
        b"99999999999999999999 a=b\n",
    ] {
        assert!(matches!(records(bad), P::Extended(_)), "{}", String::from_utf8_lossy(bad));
    }
    let number =
        |key: &str, value: &[u8]| refusal(&[Tar::default().pax(&[(key, value)]).file("a", "").end()]);
    for (key, value) in [("uid", "4294967296"), ("gid", "-1"), ("mtime", "1.x"), ("size", "ten")] {
        assert!(matches!(number(key, value.as_bytes()), P::Number { .. }), "{key}={value}");
    }
}

#[test]
fn a_layer_with_another_digest_changes_nothing() {
    let (good, other) = (Tar::default().file("a", "1").end(), Tar::default().file("b", "2").end());
    let mut spool = Vec::new();
    let mut layers = Layers::new(&mut spool, 7, Limits::default());
    layers.apply(&mut good.as_slice(), Some(&Digest::of(&good))).unwrap();
    let refused = layers.apply(&mut gzip(&other).as_slice(), Some(&Digest::of(&good))).unwrap_err();
    assert!(matches!(refused.problem, P::Digest { found, .. } if found == Digest::of(&other)));
    assert!(refused.to_string().starts_with("layer 2 of the image can't be used: it has the digest sha256:"));
    assert!(layers.apply(&mut &b"no archive"[..], None).is_err());
    assert_eq!(listing(&layers.finish()), ["/a"]);
}

proptest! {
    #[test]
    fn noise_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..2048), at in 0..1024_usize, value: u8) {
        let taken = apply_limited(&[bytes.clone()], Limits::default());
        prop_assert!(taken.is_err() || bytes.iter().all(|byte| *byte == 0));
        // A good archive with one wrong byte, its sum made good again.
        bytes = Tar::default().pax(&[("path", b"x/y"), ("mtime", b"1.5")]).file("a", "hello").end();
        let at = at.min(bytes.len() - 1);
        bytes[at] = value;
        let header: &mut [u8] = &mut bytes[..512];
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        drop(apply_limited(&[bytes], Limits { bytes: 1 << 20, ..Limits::default() }));
    }
}
