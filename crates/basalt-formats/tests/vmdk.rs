//! QEMU reads our VMDK images: nothing to repair, and the same disk.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

mod virtual_disk_support;

use basalt_formats::{
    virtual_disk::WriteError,
    vmdk::{self, Adapter, Options},
};
use proptest::prelude::*;
use virtual_disk_support::{
    Disk, Full, Part, assert_equal_to_raw, disks, noise, run, text, with_any_number_of_threads,
};

const OPTIONS: Options = Options { adapter: Adapter::LsiLogic, content_id: 0x1234_5678 };

fn image(disk: &Disk) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = vmdk::write(&disk.virtual_disk(), OPTIONS, &mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}

fn assert_sound(disk: &Disk) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vmdk");
    std::fs::write(&path, with_any_number_of_threads(|| image(disk))).unwrap();
    let said = run("qemu-img", "qemu-utils", &["check", "-f", "vmdk", path.to_str().unwrap()]);
    assert!(said.contains("No errors were found"), "{said}");
    let said = run("qemu-img", "qemu-utils", &["info", "-f", "vmdk", path.to_str().unwrap()]);
    for wanted in ["create type: streamOptimized", "cid: 305419896", "compressed: true"] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert_equal_to_raw("vmdk", &path, disk);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn qemu_finds_every_disk_whole(disk in disks(8)) {
        assert_sound(&disk);
    }
}

#[test]
fn a_disk_over_many_tables_is_whole() {
    let mut parts: Vec<(u64, Part)> =
        (0..6).map(|n| ((n << 25) - n * 70_000, Part(text(n, 140_000)))).collect();
    parts.push((3 << 30, Part(noise(1, 1 << 20))));
    assert_sound(&Disk { size: 5 << 30, parts });
}

#[test]
fn an_empty_disk_is_whole() {
    assert_sound(&Disk { size: 1 << 20, parts: Vec::new() });
}

#[test]
fn what_does_not_shrink_is_stored() {
    let disk = Disk { size: 4 << 20, parts: vec![(0, Part(noise(3, 4 << 20)))] };
    let stored = image(&disk).len();
    assert!(stored < (4 << 20) + 64 * 600 + (70 << 10), "{stored}");
}

#[test]
fn what_makes_no_image_is_refused() {
    let written = |size| vmdk::write(&Disk { size, parts: Vec::new() }.virtual_disk(), OPTIONS, &mut Full);
    assert!(matches!(written(0), Err(WriteError::Empty)));
    assert!(matches!(written(1), Err(WriteError::PartialSector(1))));
    assert!(matches!(written(63 << 40), Err(WriteError::TooLarge { format: "VMDK", .. })));
    assert!(matches!(written(512), Err(WriteError::Sink(_))));
}
