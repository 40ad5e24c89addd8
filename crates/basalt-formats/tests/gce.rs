//! gzip and GNU tar unpack our Compute Engine images to the same disk, with its holes.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

mod virtual_disk_support;

use std::os::unix::fs::MetadataExt;

use basalt_formats::{gce, virtual_disk::WriteError};
use proptest::prelude::*;
use virtual_disk_support::{Disk, Full, Part, disks, noise, run, text, with_any_number_of_threads};

const TIME: i64 = 1_000_000_000;

fn image(disk: &Disk) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = gce::write(&disk.virtual_disk(), TIME, &mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}

fn assert_sound(disk: &Disk) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.tar.gz");
    std::fs::write(&path, with_any_number_of_threads(|| image(disk))).unwrap();
    let (path, to) = (path.to_str().unwrap(), folder.path().to_str().unwrap());
    run("gzip", "gzip", &["--test", path]);
    let said = run("tar", "tar", &["--numeric-owner", "--full-time", "-tvzf", path]);
    let size = disk.size.next_multiple_of(1 << 30);
    let wanted = format!("-rw-r--r-- 0/0 {size} 2001-09-09 01:46:40 disk.raw");
    assert_eq!(said.split_whitespace().collect::<Vec<_>>().join(" "), wanted);
    run("tar", "tar", &["-xzf", path, "-C", to]);
    let unpacked = folder.path().join("disk.raw");
    let blocks = unpacked.metadata().unwrap().blocks();
    let data: usize = disk.parts.iter().map(|(_, part)| part.0.len() + 8192).sum();
    assert!(blocks * 512 <= data as u64 + 8192, "{blocks} for {disk:?}");
    let plain = folder.path().join("plain.raw");
    disk.write_raw(&plain);
    std::fs::File::options().write(true).open(&plain).unwrap().set_len(size).unwrap();
    let (plain, unpacked) = (plain.to_str().unwrap(), unpacked.to_str().unwrap());
    let said = run("qemu-img", "qemu-utils", &["compare", "-f", "raw", "-F", "raw", plain, unpacked]);
    assert!(said.contains("Images are identical."), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_disk_comes_back(disk in disks(8)) {
        assert_sound(&disk);
    }
}

#[test]
fn many_places_and_large_numbers_come_back() {
    // More places than the header and one block have room for, behind 8 GiB, where octal digits end.
    let mut parts: Vec<(u64, Part)> =
        (0..60).map(|n| ((9 << 30) + n * 70_000, Part(text(n, 3000)))).collect();
    parts.insert(0, (0, Part(noise(1, 3 << 20))));
    assert_sound(&Disk { size: 12 << 30, parts });
}

#[test]
fn a_disk_that_ends_with_data_and_an_empty_one_come_back() {
    assert_sound(&Disk { size: 1 << 30, parts: vec![((1 << 30) - 5000, Part(text(1, 5000)))] });
    assert_sound(&Disk { size: 512, parts: Vec::new() });
}

#[test]
fn what_makes_no_image_is_refused() {
    let written = |size| gce::write(&Disk { size, parts: Vec::new() }.virtual_disk(), TIME, &mut Full);
    assert!(matches!(written(0), Err(WriteError::Empty)));
    assert!(matches!(written(1), Err(WriteError::PartialSector(1))));
    assert!(matches!(written(65 << 40), Err(WriteError::TooLarge { .. })));
    assert!(matches!(written(512), Err(WriteError::Sink(_))));
}
