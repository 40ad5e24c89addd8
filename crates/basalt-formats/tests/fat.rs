//! Other people's tools accept our FAT volumes: fsck.fat (dosfstools) finds nothing, mtools reads the same bytes; and we
//! read what mkfs.fat and mtools wrote.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Output},
};

use basalt_formats::{
    ReadAt, WriteAt,
    fat::{self, Directory, Volume},
};
use basalt_types::ByteSize;
use proptest::prelude::*;

const BASE: u64 = 1 << 20;

struct Device(File);

impl WriteAt for Device {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

impl ReadAt for Device {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}): apt-get install {package}"))
}

fn content(program: &str, package: &str, arguments: &[&str]) -> Vec<u8> {
    let output = run(program, package, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    output.stdout
}

fn esp(uki: &[u8]) -> Directory {
    let mut root = Directory::new();
    root.insert("EFI/BOOT/BOOTX64.EFI", vec![0x5a; 70_001]).unwrap();
    root.insert("EFI/systemd/systemd-bootx64.efi", vec![0x5a; 70_001]).unwrap();
    root.insert("EFI/Linux/edge_1.0.0+3-0.efi", uki).unwrap();
    root.insert("loader/loader.conf", *b"timeout 3\n").unwrap();
    root.insert("loader/entries.srel", *b"type1\n").unwrap();
    root.insert("loader/empty", *b"").unwrap();
    root.make_directories("loader/credentials").unwrap();
    root
}

fn volume(size: ByteSize, root: Directory) -> Volume {
    Volume { size, label: "ESP".parse().unwrap(), volume_id: 0xba5a_1700, epoch: 1_764_000_000, root }
}

fn write(volume: &Volume, base: u64) -> (tempfile::NamedTempFile, Device) {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(base + volume.size.get()).unwrap();
    let device = Device(file.reopen().unwrap());
    volume.write_to(&device, base).unwrap();
    (file, device)
}

fn fsck(path: &Path) {
    let said = content("fsck.fat", "dosfstools", &["-n", "-v", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&said);
    for complaint in ["differences", "wrong", "Wrong", "Fixing", "removing", "bad", "invalid", "Lossy"] {
        assert!(!said.contains(complaint), "{said}");
    }
}

fn uki(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn fsck_finds_nothing_in_any_cluster_size() {
    let sizes =
        [Volume::MIN_SIZE, ByteSize::mib(260), ByteSize::mib(261), ByteSize::gib(1), ByteSize::gib(9)];
    for size in sizes {
        let (file, _) = write(&volume(size, esp(&uki(3 << 20))), 0);
        fsck(file.path());
    }
}

#[test]
fn mtools_reads_the_same_bytes_behind_an_offset() {
    let uki = uki(30 << 20);
    let (file, device) = write(&volume(ByteSize::gib(1), esp(&uki)), BASE);
    let image = format!("{}@@{BASE}", file.path().display());
    let read = |name: &str| content("mtype", "mtools", &["-i", &image, name]);
    assert_eq!(read("::/EFI/Linux/edge_1.0.0+3-0.efi"), uki);
    assert_eq!(read("::/efi/boot/bootx64.efi"), vec![0x5a; 70_001]);
    assert_eq!(read("::/loader/loader.conf"), b"timeout 3\n");
    assert_eq!(read("::/loader/empty"), b"");
    let listing = content("mdir", "mtools", &["-i", &image, "::/EFI/Linux"]);
    let listing = String::from_utf8_lossy(&listing);
    let wanted =
        ["Volume in drive : is ESP", "BA5A-1700", "EDGE_1~1 EFI", "2025-11-24  16:00", "edge_1.0.0+3-0.efi"];
    assert!(wanted.iter().all(|part| listing.contains(part)), "{listing}");
    let listing = fat::read(&device, BASE).unwrap();
    assert_eq!(listing.read_file("EFI/Linux/edge_1.0.0+3-0.efi").unwrap(), uki);
}

#[test]
fn the_same_volume_is_the_same_bytes_and_holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let volume = volume(ByteSize::gib(1), esp(&uki(1 << 20)));
    let (one, device) = write(&volume, 0);
    let (other, _) = write(&volume, 0);
    let bytes = |file: &tempfile::NamedTempFile| {
        let mut bytes = Vec::new();
        file.reopen().unwrap().take(64 << 20).read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert!(bytes(&one) == bytes(&other));
    let stored = device.0.metadata().unwrap().blocks() * 512;
    assert!(stored < 3 << 20, "{stored} bytes are stored");
}

#[test]
fn what_mkfs_and_mtools_wrote_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let path = file.path().to_str().unwrap();
    content("mkfs.fat", "dosfstools", &["-F", "32", "-n", "THEIRS", "-i", "12345678", path]);
    let source = tempfile::NamedTempFile::new().unwrap();
    source.as_file().write_all_at(&uki(100_000), 0).unwrap();
    content("mmd", "mtools", &["-i", path, "::/EFI", "::/EFI/Linux", "::/lower"]);
    for target in ["::/EFI/Linux/a long name ä.efi", "::/lower/short.txt", "::/UPPER.TXT"] {
        content("mcopy", "mtools", &["-i", path, source.path().to_str().unwrap(), target]);
    }
    content("mdel", "mtools", &["-i", path, "::/UPPER.TXT"]);
    let device = Device(file.reopen().unwrap());
    let listing = fat::read(&device, 0).unwrap();
    assert_eq!((listing.label.as_deref(), listing.volume_id), (Some("THEIRS"), 0x1234_5678));
    let paths: Vec<&str> = listing.items().map(|item| item.path.as_str()).collect();
    assert_eq!(paths, ["EFI", "EFI/Linux", "EFI/Linux/a long name ä.efi", "lower", "lower/short.txt"]);
    assert_eq!(listing.read_file("EFI/Linux/a long name ä.efi").unwrap(), uki(100_000));
    assert_eq!(listing.read_file("lower/short.txt").unwrap(), uki(100_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fsck_finds_nothing_in_any_tree(
        paths in prop::collection::vec("([a-zA-Zß_ä .+~-]{1,14}/){0,3}[a-zA-Zß_ä .+~0-9-]{1,40}", 0..40),
        sizes in prop::collection::vec(0usize..5000, 40),
    ) {
        let mut root = Directory::new();
        for (path, size) in paths.iter().zip(sizes) {
            drop(root.insert(path, uki(size))); // some paths are refused: that is another test
        }
        let (file, _) = write(&volume(ByteSize::mib(64), root), 0);
        fsck(file.path());
    }
}
