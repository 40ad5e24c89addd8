//! QEMU reads our VHD images, fixed and dynamic: the same disk, whole MiB.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

mod virtual_disk_support;

use std::{fs::File, os::unix::fs::MetadataExt, path::Path};

use basalt_formats::{
    ReadAt, WriteAt,
    vhd::{self, Options},
    virtual_disk::WriteError,
};
use basalt_types::Guid;
use proptest::prelude::*;
use virtual_disk_support::{
    Device, Disk, Full, Part, assert_equal_to_raw, disks, read, run, text, with_any_number_of_threads,
};

const OPTIONS: Options =
    Options { id: Guid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0001), time: 1_700_000_000 };

type Writer = fn(&dyn ReadAt, Options, &dyn WriteAt) -> Result<u64, WriteError>;

fn image(disk: &Disk, writer: Writer, path: &Path) -> Vec<u8> {
    let sink = Device(File::create(path).unwrap());
    let length = writer(&disk.virtual_disk(), OPTIONS, &sink).unwrap();
    assert_eq!(sink.0.metadata().unwrap().len(), length);
    read(path)
}

fn assert_sound(disk: &Disk) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    for writer in [vhd::write_fixed as Writer, vhd::write_dynamic] {
        with_any_number_of_threads(|| image(disk, writer, &path));
        let size = disk.size.next_multiple_of(1 << 20);
        let said = run("qemu-img", "qemu-utils", &["info", "-f", "vpc", path.to_str().unwrap()]);
        assert!(said.contains(&format!("({size} bytes)")), "{said}");
        assert_equal_to_raw("vpc", &path, disk);
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
fn a_large_disk_costs_what_is_in_it() {
    let parts = (0..4).map(|n| ((n << 33) + 12_345, Part(text(n, 100_000)))).collect();
    let disk = Disk { size: 40 << 30, parts };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    for (writer, most) in [(vhd::write_fixed as Writer, 41 << 30), (vhd::write_dynamic, 10 << 20)] {
        let sink = Device(File::create(&path).unwrap());
        assert!(writer(&disk.virtual_disk(), OPTIONS, &sink).unwrap() < most);
        assert!(sink.0.metadata().unwrap().blocks() * 512 < 2 << 20);
        assert_equal_to_raw("vpc", &path, &disk);
    }
}

#[test]
fn what_makes_no_image_is_refused() {
    for writer in [vhd::write_fixed as Writer, vhd::write_dynamic] {
        let written = |size| writer(&Disk { size, parts: Vec::new() }.virtual_disk(), OPTIONS, &Full);
        assert!(matches!(written(0), Err(WriteError::Empty)));
        assert!(matches!(written(513), Err(WriteError::PartialSector(513))));
        assert!(matches!(written(2041 << 30), Err(WriteError::TooLarge { format: "VHD", .. })));
        assert!(matches!(written(512), Err(WriteError::Sink(_))));
    }
}
