//! QEMU reads our qcow2 images: nothing to repair, and the same disk.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

mod virtual_disk_support;

use std::{fs::File, path::Path};

use basalt_formats::{
    qcow2::{self, Compression},
    virtual_disk::WriteError,
};
use proptest::prelude::*;
use virtual_disk_support::{
    Device, Disk, Full, Part, assert_equal_to_raw, disks, noise, read, run, text, with_any_number_of_threads,
};

const ALL: [Compression; 3] = [Compression::None, Compression::Deflate, Compression::Zstd];

/// Writes the image and gives its bytes.
fn image(disk: &Disk, compression: Compression, path: &Path) -> Vec<u8> {
    let sink = Device(File::create(path).unwrap());
    let length = qcow2::write(&disk.virtual_disk(), compression, &sink).unwrap();
    assert_eq!(sink.0.metadata().unwrap().len(), length);
    read(path)
}

fn assert_sound(disk: &Disk) {
    let folder = tempfile::tempdir().unwrap();
    for compression in ALL {
        let path = folder.path().join("disk.qcow2");
        with_any_number_of_threads(|| image(disk, compression, &path));
        let said = run("qemu-img", "qemu-utils", &["check", "-f", "qcow2", path.to_str().unwrap()]);
        assert!(said.contains("No errors were found"), "{said}");
        assert_equal_to_raw("qcow2", &path, disk);
    }
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
    // Parts in several L2 tables of 512 MiB; text and noise take turns, so packed and plain clusters do.
    let mut parts: Vec<(u64, Part)> = (0..40)
        .map(|n| (n * 65536, Part(if n % 2 == 0 { noise(n, 65536) } else { text(n, 65536) })))
        .collect();
    parts.extend((1..5).map(|n| ((n << 29) - 1000, Part(text(n, 70_000)))));
    assert_sound(&Disk { size: 3 << 30, parts });
}

#[test]
fn an_empty_disk_is_whole() {
    assert_sound(&Disk { size: 512, parts: Vec::new() });
}

#[test]
fn what_shrinks_is_smaller_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow2");
    let disk = Disk { size: 8 << 20, parts: vec![(0, Part(text(0, 4 << 20)))] };
    let [plain, deflate, zstd] = ALL.map(|compression| image(&disk, compression, &path).len());
    assert!(deflate < plain / 2 && zstd < plain / 2, "{plain} {deflate} {zstd}");
    let said = run("qemu-img", "qemu-utils", &["info", path.to_str().unwrap()]);
    assert!(said.contains("compression type: zstd") && said.contains("compat: 1.1"), "{said}");
}

#[test]
fn what_makes_no_image_is_refused() {
    let written = |size| {
        let disk = Disk { size, parts: Vec::new() };
        qcow2::write(&disk.virtual_disk(), Compression::None, &Full)
    };
    assert!(matches!(written(0), Err(WriteError::Empty)));
    assert!(matches!(written(1000), Err(WriteError::PartialSector(1000))));
    assert!(matches!(written(1 << 62), Err(WriteError::TooLarge { format: "qcow2", .. })));
    assert!(matches!(written(512), Err(WriteError::Sink(_))));
}
