use std::io::Read;

use basalt_types::Digest;
use proptest::prelude::*;

use super::{ArchiveError, ArchiveProblem, Entry, EntryKind, Expected, Sink, read_control, unpack};
use crate::build::{File, FileKind, build};

#[derive(Default)]
struct Seen(Vec<(Entry, Vec<u8>)>);

impl Sink for Seen {
    type Error = ArchiveError;

    fn entry(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| ArchiveError {
            package: "content".to_owned(),
            problem: ArchiveProblem::Damaged(error),
        })?;
        self.0.push((entry, bytes));
        Ok(())
    }
}

fn package() -> Vec<u8> {
    let files = [
        File {
            path: "usr/bin/x".to_owned(),
            kind: FileKind::Regular { mode: 0o4755, bytes: b"program".to_vec() },
        },
        File { path: "usr/bin/y".to_owned(), kind: FileKind::Symlink("x".to_owned()) },
    ];
    build("Package: x\nVersion: 1\nArchitecture: all\n", &files, 7).unwrap()
}

fn expected(bytes: &[u8]) -> Expected {
    Expected { shown: "x.deb".to_owned(), size: bytes.len() as u64, digest: Digest::of(bytes) }
}

/// An archive of the format's frame around this data archive.
fn frame(data_name: &str, data: &[u8]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", &[0; 1024]), (data_name, data)] {
        archive
            .extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, bytes.len()).bytes());
        archive.extend(bytes);
    }
    archive
}

fn tar_with(path: &[u8], kind: tar::EntryType, link: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend([0; 1024]);
    tar
}

#[track_caller]
fn check_refused(archive: &[u8], message: &str) {
    let error = unpack(&expected(archive), archive, &mut Seen::default()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn entries_and_control_files_come_out_as_they_went_in() {
    let bytes = package();
    let control = read_control("x.deb", &bytes[..]).unwrap();
    let names: Vec<&str> = control.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["control", "md5sums"]);
    let mut seen = Seen::default();
    unpack(&expected(&bytes), &bytes[..], &mut seen).unwrap();
    let paths: Vec<&[u8]> = seen.0.iter().map(|(entry, _)| entry.path.as_slice()).collect();
    assert_eq!(paths, [&b""[..], b"usr", b"usr/bin", b"usr/bin/x", b"usr/bin/y"]);
    let (program, content) = &seen.0[3];
    assert_eq!((program.mode, program.mtime, content.as_slice()), (0o4755, 7, &b"program"[..]));
    assert_eq!(seen.0[4].0.kind, EntryKind::Symlink(b"x".to_vec()));
}

#[test]
fn every_cut_is_told_as_a_cut() {
    let bytes = package();
    for length in 0..bytes.len() {
        let error = unpack(&expected(&bytes), &bytes[..length], &mut Seen::default()).unwrap_err();
        assert!(matches!(error.problem, ArchiveProblem::Size { .. }), "cut to {length}: {error}");
        assert!(error.to_string().starts_with("`x.deb` has "), "{error}");
    }
}

#[test]
fn every_flipped_byte_is_told_as_corruption() {
    let bytes = package();
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x20;
        let error = unpack(&expected(&bytes), &wrong[..], &mut Seen::default()).unwrap_err();
        assert!(matches!(error.problem, ArchiveProblem::Digest { .. }), "byte {at}: {error}");
    }
}

#[test]
fn paths_that_leave_the_tree_are_refused() {
    let refused = |path: &str, shown: &str| {
        let archive = frame("data.tar", &tar_with(path.as_bytes(), tar::EntryType::Regular, b""));
        check_refused(&archive, &format!("`x.deb` holds the path `{shown}`, which leads out of the tree"));
    };
    refused("./../etc/passwd", "./../etc/passwd");
    refused("usr/../../x", "usr/../../x");
    refused("/etc/passwd", "/etc/passwd");
    let link = tar_with(b"./a", tar::EntryType::Link, b"../../etc/shadow");
    check_refused(
        &frame("data.tar", &link),
        "`x.deb` holds the path `../../etc/shadow`, which leads out of the tree",
    );
}

#[test]
fn devices_and_foreign_formats_are_refused() {
    check_refused(
        &frame("data.tar", &tar_with(b"./dev/sda", tar::EntryType::Block, b"")),
        "`x.deb` holds `dev/sda` of tar type `4`: packages hold files, directories and links only",
    );
    check_refused(
        &frame("data.tar.bz2", b""),
        "`x.deb` has the member `data.tar.bz2`, whose compression is not supported (known: none, gz, xz, zst)",
    );
    check_refused(b"PK\x03\x04 zip", "`x.deb` is not a Debian package: it does not begin with `!<arch>`");
    check_refused(&frame("dates.tar", b""), "`x.deb` has the member `dates.tar` where `data.tar.*` belongs");
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic(noise in proptest::collection::vec(any::<u8>(), 0..2000), framed: bool) {
        let archive = if framed { frame("data.tar", &noise) } else { noise };
        drop(unpack(&expected(&archive), &archive[..], &mut Seen::default()));
        drop(read_control("x.deb", &archive[..]));
    }
}
