//! What layers mean: values, each from the specification or from what container runtimes do.

use basalt_formats::tree::{Device, Kind};
use basalt_types::Digest;

use super::{Layers, Limits, Tar, apply, gzip};

#[test]
fn a_layer_may_be_compressed_by_gzip_or_zstd_or_not() {
    let plain = Tar::default().dir("./").file("./a", "hello").end();
    let (zipped, zstd) = (gzip(&plain), zstd::encode_all(plain.as_slice(), 3).unwrap());
    // zstd:chunked begins with a frame that decoders skip; pigz and bgzip write several gzip members.
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd.as_slice()].concat();
    let members = [gzip(&plain[..700]), gzip(&plain[700..])].concat();
    for layer in [&plain, &zipped, &zstd, &skippable, &members] {
        let mut spool = Vec::new();
        let mut layers = Layers::new(&mut spool, 7, Limits::default());
        layers.apply(&mut layer.as_slice(), Some(&Digest::of(&plain))).unwrap();
        assert_eq!(layers.spooled(), 5);
        drop(layers);
        assert_eq!(spool, b"hello");
    }
}

#[test]
fn a_whiteout_hides_what_is_below_and_nothing_of_its_own_layer() {
    let lower = Tar::default().dir("d").file("d/a", "1").file("d/b", "1").dir("d/e").file("d/e/x", "1").end();
    // Wherever it stands.
    let upper =
        Tar::default().file("d/a", "2").file("d/.wh.a", "").file("d/.wh.e", "").file("d/.wh.none", "").end();
    let made = apply(&[lower.clone(), upper]);
    made.check(&["/d", "/d/a", "/d/b"]);
    assert_eq!(made.read("/d/a"), b"2");
    // It is hidden once: a later layer may bring it back.
    let again =
        apply(&[lower, Tar::default().file(".wh.d", "").end(), Tar::default().file("d/c", "3").end()]);
    again.check(&["/d", "/d/c"]);
}

#[test]
fn an_opaque_directory_hides_all_that_was_in_it() {
    let lower = Tar::default().dir("d").file("d/a", "1").dir("d/e").file("d/e/x", "1").end();
    let upper = Tar::default().file("d/e/y", "2").file("d/new", "2").file("d/.wh..wh..opq", "").end();
    apply(&[lower.clone(), upper]).check(&["/d", "/d/e", "/d/e/y", "/d/new"]);
    // Names of the file system that whiteouts come from are not files.
    let plumbing = Tar::default().dir(".wh..wh.plnk").file(".wh..wh.aufs", "").end();
    apply(&[lower, plumbing]).check(&["/d", "/d/a", "/d/e", "/d/e/x"]);
}

#[test]
fn a_directory_merges_and_all_else_replaces() {
    let lower = Tar::default().dir("d").file("d/a", "1").dir("e").file("e/x", "1").link(b'2', "l", "d").end();
    let upper = Tar::default()
        .entry(b'5', "d", b"", |header| header.set_mode(0o700))
        .file("e", "a file now")
        .dir("l")
        .file("l/y", "2")
        .end();
    let made = apply(&[lower, upper]);
    made.check(&["/d", "/d/a", "/e", "/l", "/l/y"]);
    assert_eq!(made.tree.node(made.tree.lookup("/d").unwrap()).metadata.mode, 0o700);
    assert_eq!(made.read("/e"), b"a file now");
}

#[test]
fn the_way_to_an_entry_follows_links_of_lower_layers() {
    // Merged /usr: packages still name /bin and /lib.
    let lower =
        Tar::default().dir("usr/bin").link(b'2', "bin", "usr/bin").link(b'2', "lib", "/usr/lib").end();
    let upper = Tar::default().file("bin/sh", "1").file("lib/x/y", "2").end();
    let made = apply(&[lower.clone(), upper]);
    made.check(&[
        "/bin",
        "/lib",
        "/usr",
        "/usr/bin",
        "/usr/bin/sh",
        "/usr/lib",
        "/usr/lib/x",
        "/usr/lib/x/y",
    ]);
    let hidden = Tar::default().file("bin/.wh.sh", "").end();
    apply(&[lower, Tar::default().file("usr/bin/sh", "1").end(), hidden])
        .check(&["/bin", "/lib", "/usr", "/usr/bin"]);
}

#[test]
fn hard_links_reach_across_layers() {
    let lower = Tar::default().dir("d").file("d/a", "1").link(b'1', "d/b", "./d/a").end();
    let upper = Tar::default()
        .link(b'1', "c", "d/b")
        .file("d/a", "new")
        .link(b'2', "s", "c")
        .link(b'1', "t", "s")
        .end();
    let made = apply(&[lower, upper]);
    let id = |path: &str| made.tree.lookup(path).unwrap();
    assert_eq!(id("/c"), id("/d/b"));
    assert_ne!(id("/d/a"), id("/d/b"), "what replaces one name leaves the others");
    assert_eq!((made.read("/c"), made.read("/d/a")), (b"1".to_vec(), b"new".to_vec()));
    assert_eq!(id("/s"), id("/t"), "a hard link to a symbolic link is that link");
}

#[test]
fn all_that_an_inode_has_is_kept() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let capability: &[u8] = b"\x01\0\0\x02\n=\0 bytes";
    let layer = Tar::default()
        .pax(&[
            ("path", long.as_bytes()),
            ("uid", b"4294967294"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.empty", b""),
            ("LIBARCHIVE.xattr.user.other", b"eA"),
        ])
        .entry(b'0', "short", b"x", |header| {
            header.set_mode(0o104_755);
            header.set_gid(100_000);
        })
        .entry(b'L', "././@LongLink", format!("{}\0", "n".repeat(150)).as_bytes(), |_| {})
        .entry(b'K', "././@LongLink", format!("{}\0", "t".repeat(300)).as_bytes(), |_| {})
        .link(b'2', "short", "short")
        .entry(b'6', "pipe", b"", |_| {})
        .dir("dev")
        .device(b'3', "dev/null")
        .end();
    let made = apply(&[layer]);
    let node = |path: &str| made.tree.node(made.tree.lookup(path).unwrap());
    let file = node(&long);
    assert_eq!((file.metadata.mode, file.metadata.uid, file.metadata.gid), (0o4755, 4_294_967_294, 100_000));
    assert_eq!((file.metadata.mtime, file.metadata.mtime_nanos), (-2, 500_000_000));
    let expected = [(b"security.capability".to_vec(), capability.to_vec()), (b"user.empty".to_vec(), vec![])];
    assert_eq!(file.metadata.xattrs, expected.into());
    assert_eq!(node(&"n".repeat(150)).kind, Kind::Symlink("t".repeat(300).into_bytes()));
    assert_eq!(node("pipe").kind, Kind::Fifo);
    assert_eq!(node("dev/null").kind, Kind::CharDevice(Device { major: 1, minor: 3 }));
    assert_eq!(made.tree.node(made.tree.lookup(&"d".repeat(200)).unwrap()).metadata.mode, 0o755);
}

#[test]
fn global_records_hold_until_they_are_replaced() {
    let layer = Tar::default()
        .entry(b'g', "global", b"12 uid=1234\n", |_| {})
        .file("a", "")
        .pax(&[("uid", b"5")])
        .file("b", "")
        .file("c", "")
        .end();
    let made = apply(&[layer]);
    let owner = |path: &str| made.tree.node(made.tree.lookup(path).unwrap()).metadata.uid;
    assert_eq!((owner("a"), owner("b"), owner("c")), (1234, 5, 1234));
}

#[test]
fn a_number_that_was_left_empty_is_zero() {
    let layer = Tar::default()
        .entry(b'0', "a", b"", |header| {
            let bytes = header.as_mut_bytes();
            bytes[108..124].fill(0);
            bytes[136..148].fill(b' ');
        })
        .end();
    let made = apply(&[layer]);
    let metadata = &made.tree.node(made.tree.lookup("a").unwrap()).metadata;
    assert_eq!((metadata.uid, metadata.gid, metadata.mtime), (0, 0, 0));
}

#[test]
fn files_with_holes_are_read_in_all_four_formats() {
    // 1 MiB + 3 bytes, with data at 4096 (5 bytes) and at the end (3 bytes).
    const SIZE: usize = (1 << 20) + 3;
    let mut expected = vec![0; SIZE];
    expected[4096..4101].copy_from_slice(b"hello");
    expected[SIZE - 3..].copy_from_slice(b"end");
    let (size, at) = (SIZE.to_string(), (SIZE - 3).to_string());
    let gnu = Tar::default()
        .entry(b'S', "f", b"helloend", |header| {
            let gnu = header.as_gnu_mut().unwrap();
            gnu.set_real_size(SIZE as u64);
            for (slot, (offset, length)) in gnu.sparse.iter_mut().zip([(4096, 5), (SIZE - 3, 3), (SIZE, 0)]) {
                slot.set_offset(offset as u64);
                slot.set_length(length as u64);
            }
        })
        .end();
    let pax_00 = Tar::default()
        .pax(&[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"4096"),
            ("GNU.sparse.numbytes", b"5"),
            ("GNU.sparse.offset", at.as_bytes()),
            ("GNU.sparse.numbytes", b"3"),
        ])
        .file("f", "helloend")
        .end();
    let map = format!("4096,5,{at},3");
    let pax_01 = Tar::default()
        .pax(&[
            ("GNU.sparse.name", b"f"),
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ])
        .file("GNUSparseFile.0/f", "helloend")
        .end();
    let mut content = format!("2\n4096\n5\n{at}\n3\n").into_bytes();
    content.resize(512, 0);
    content.extend(b"helloend");
    let pax_10 = Tar::default()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"f"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ])
        .entry(b'0', "GNUSparseFile.0/f", &content, |_| {})
        .end();
    for layer in [gnu, pax_00, pax_01, pax_10] {
        let layer = [&layer[..layer.len() - 1024], &Tar::default().file("after", "x").end()].concat();
        let made = apply(&[layer]);
        made.check(&["/after", "/f"]);
        assert!(made.read("/f") == expected);
        assert_eq!(made.spool.0, b"helloendx", "a hole takes no space");
    }
}

#[test]
#[expect(clippy::disallowed_types, reason = "the archives are GNU tar's own; the crate itself runs nothing")]
fn what_gnu_tar_writes_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = |script: &str| {
        let done =
            std::process::Command::new("sh").arg("-euc").arg(script).current_dir(folder.path()).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    run("mkdir -p t/d; echo hello > t/d/file; ln t/d/file t/hard; ln -s /etc t/link; mkfifo t/pipe; \
         truncate -s 8000000 t/holes; printf x | dd of=t/holes bs=1 seek=50000 conv=notrunc status=none; \
         for i in $(seq 60); do printf y | dd of=t/holes bs=1 seek=${i}00000 conv=notrunc status=none; done; \
         mkdir -p t/$(printf %0200d 0)/$(printf %0200d 0); touch t/$(printf %0200d 0)/$(printf %0200d 0)/deep");
    let mut trees = Vec::new();
    for options in [
        "--format=gnu --sparse",
        "--format=pax --sparse",
        "--format=posix --sparse-version=0.1 -S",
        "--format=gnu",
    ] {
        let made = apply(&[run(&format!("tar {options} --sort=name --owner=7:7 --group=8:8 -cf - -C t ."))]);
        assert_eq!(made.read("/hard"), b"hello\n");
        assert_eq!(made.tree.lookup("/hard"), made.tree.lookup("/d/file"));
        let holes = made.read("/holes");
        assert_eq!((holes.len(), holes.iter().filter(|byte| **byte != 0).count()), (8_000_000, 61));
        let link = made.tree.node(made.tree.lookup("/link").unwrap());
        assert_eq!(
            (&link.kind, link.metadata.uid, link.metadata.gid),
            (&Kind::Symlink(b"/etc".to_vec()), 7, 8)
        );
        trees.push(super::listing(&made.tree));
    }
    assert!(trees.iter().all(|tree| *tree == trees[0] && tree.len() == 9), "{trees:?}");
}
