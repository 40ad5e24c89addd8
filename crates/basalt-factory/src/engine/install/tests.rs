use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use basalt_formats::gpt::{EntriesPlace, Table};
use basalt_node::install::DiskUse;
use basalt_types::Guid;

use super::*;

const MIB: u64 = 1 << 20;

/// An image of 16 MiB: a table, and bytes at 5 and 9 MiB.
fn write_image(folder: &Path) -> PathBuf {
    let path = folder.join("edge.raw");
    let file = File::create(&path).unwrap();
    file.set_len(16 * MIB).unwrap();
    let table = Table {
        disk_guid: Guid::from_u128(1),
        sector_size: 512,
        total_sectors: 32 << 10,
        partitions: Vec::new(),
    };
    for write in table.image_writes(EntriesPlace::First).unwrap() {
        file.write_all_at(&write.bytes, write.offset).unwrap();
    }
    for place in [5, 9] {
        file.write_all_at(&[place as u8; 8192], place * MIB).unwrap();
    }
    path
}

fn disk(size: u64) -> TargetFacts {
    let kind = TargetKind::Disk { size, sector_size: 512, uses: Vec::new() };
    TargetFacts { path: "/dev/sdz".into(), kind }
}

fn refusals(image: &ImageFacts, target: &TargetFacts) -> Vec<String> {
    let refusals = plan(image, target).unwrap_err();
    assert!(refusals.iter().all(|refusal| !refusal.hint().is_empty()));
    refusals.iter().map(ToString::to_string).collect()
}

#[test]
fn the_table_is_copied_last_and_holes_become_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let facts = image(&write_image(folder.path())).unwrap();
    let steps = plan(&facts, &disk(32 * MIB)).unwrap().steps;
    let span = |start: u64, end: u64| Span { start: start * MIB, end: end * MIB };
    assert_eq!(steps[0], WriteStep::Erase { places: vec![span(0, 1), span(31, 32)] });
    let WriteStep::Erase { places } = &steps[1] else { panic!("{steps:?}") };
    assert_eq!((places[0].start, places[0].end), (MIB, 5 * MIB));
    let WriteStep::Copy { places } = &steps[2] else { panic!("{steps:?}") };
    assert!(places.iter().all(|place| place.start >= MIB), "{places:?}");
    assert_eq!(steps[3], WriteStep::Verify { place: span(1, 16) });
    assert!(matches!(&steps[4], WriteStep::Copy { places } if places.iter().all(|place| place.end <= MIB)));
    assert_eq!(steps[5], WriteStep::Verify { place: span(0, 1) });
}

#[test]
fn an_image_comes_into_a_file_and_onto_a_used_disk_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_image(folder.path());
    let facts = image(&path).unwrap();
    let (file, used) = (folder.path().join("copy.raw"), folder.path().join("used"));
    let made = target(&file).unwrap();
    assert_eq!(made.kind, TargetKind::File { exists: false });
    execute(&plan(&facts, &made).unwrap(), &mut |done, all| assert!(done <= all)).unwrap();
    assert_eq!(fs::read(&file).unwrap(), fs::read(&path).unwrap());
    // A file that stands for a disk on which every byte is somebody's.
    fs::write(&used, vec![0xa5; 20 << 20]).unwrap();
    let onto = TargetFacts { path: used.clone(), ..disk(20 * MIB) };
    execute(&plan(&facts, &onto).unwrap(), &mut |_, _| ()).unwrap();
    let found = fs::read(&used).unwrap();
    assert_eq!(found[..16 << 20], fs::read(&path).unwrap());
    assert!(found[19 << 20..].iter().all(|byte| *byte == 0), "the old backup table");
}

#[test]
fn what_should_not_be_erased_is_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let facts = image(&write_image(folder.path())).unwrap();
    let uses = vec![DiskUse::Mounted { device: "/dev/sdz1".into(), at: "/mnt".into() }];
    let busy = TargetFacts { kind: TargetKind::Disk { size: 8 * MIB, sector_size: 4096, uses }, ..disk(0) };
    assert_eq!(
        refusals(&facts, &busy),
        [
            "/dev/sdz has 8 MiB, and the image has 16 MiB",
            "/dev/sdz is in use: /dev/sdz1 is mounted at /mnt",
            "/dev/sdz has sectors of 4096 bytes, and the image counts in 512",
        ]
    );
    let at = |kind| TargetFacts { path: "/dev/sdz1".into(), kind };
    assert_eq!(
        refusals(&facts, &at(TargetKind::Partition)),
        ["/dev/sdz1 is a partition, and the image is a whole disk"]
    );
    assert_eq!(refusals(&facts, &target(folder.path()).unwrap()).len(), 1);
    let none = folder.path().join("text");
    fs::write(&none, "no disk").unwrap();
    let text = refusals(&image(&none).unwrap(), &disk(MIB)).concat();
    assert!(text.ends_with("text is no raw disk image: it has no partition table"), "{text}");
}

#[test]
fn a_file_that_is_cut_has_not_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_image(folder.path());
    let made = target(&folder.path().join("copy.raw")).unwrap();
    let plan = plan(&image(&path).unwrap(), &made).unwrap();
    fs::remove_file(&path).unwrap();
    let error = execute(&plan, &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.starts_with("can't open "), "{error}");
    assert!(!made.path.exists());
}
