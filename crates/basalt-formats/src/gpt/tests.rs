use proptest::{prelude::*, sample::Index};

use super::*;

const SECTORS: u64 = 8 * 2048;

fn guid(seed: u8) -> Guid {
    Guid::from_bytes([seed; 16])
}

fn partition(number: u32, mib: std::ops::Range<u64>, label: &str) -> Partition {
    Partition {
        number,
        type_guid: types::VAR,
        guid: guid(100 + number as u8),
        first_lba: mib.start * 2048,
        last_lba: mib.end * 2048 - 1,
        attributes: Attributes::READ_ONLY.with(Attributes::NO_AUTO),
        label: Some(label.parse().unwrap()),
    }
}

fn table(seed: u8) -> Table {
    let partitions = vec![partition(1, 1..2, "esp"), partition(4, 3..5, "basalt-ä")];
    Table { disk_guid: guid(seed), sector_size: 512, total_sectors: SECTORS, partitions }
}

fn apply(disk: &mut [u8], write: &Write) {
    let start = write.offset as usize;
    disk[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
}

fn image(table: &Table, place: EntriesPlace) -> Vec<u8> {
    let mut disk = vec![0; (table.total_sectors * u64::from(table.sector_size)) as usize];
    for write in table.image_writes(place).unwrap() {
        apply(&mut disk, &write);
    }
    disk
}

/// All steps of the change from what is on the disk to `table`.
fn update(disk: &mut [u8], table: &Table) {
    let parsed = Table::parse(&disk.to_vec(), table.sector_size).unwrap();
    for step in table.update_writes(&parsed).unwrap() {
        match step {
            Step::Write(write) => apply(disk, &write),
            Step::Flush => {}
        }
    }
}

/// A cut of power: the groups before `cut` are on the medium, of that group only the sectors that `kept` picks.
fn cut(disk: &mut [u8], steps: &[Step], cut: Index, kept: &[bool]) {
    let groups: Vec<&[Step]> = steps.split(|step| matches!(step, Step::Flush)).collect();
    let cut = cut.index(groups.len());
    let mut kept = kept.iter().cycle();
    for (index, group) in groups[..=cut].iter().enumerate() {
        for step in *group {
            let Step::Write(write) = step else { continue };
            for (nth, sector) in write.bytes.chunks(512).enumerate() {
                if index < cut || *kept.next().unwrap() {
                    let offset = write.offset + nth as u64 * 512;
                    apply(disk, &Write { offset, bytes: sector.to_vec() });
                }
            }
        }
    }
}

fn any_table(sectors: u64) -> impl Strategy<Value = Table> {
    let slots = prop::collection::vec(prop::option::of((1u64..2048, "[a-zA-Zä#-]{0,36}", any::<u64>())), 6);
    (any::<u8>(), slots).prop_map(move |(seed, slots)| {
        let partitions = (1..).zip(slots).filter_map(|(number, slot)| {
            let (length, label, bits) = slot?;
            let first_lba = u64::from(number) * 2048;
            let label = label.parse().ok();
            let (last_lba, attributes) = (first_lba + length - 1, Attributes::from_bits(bits));
            let (type_guid, guid) = (types::ROOT_X86_64, guid(number as u8));
            Some(Partition { number, type_guid, guid, first_lba, last_lba, attributes, label })
        });
        Table {
            disk_guid: guid(seed),
            sector_size: 512,
            total_sectors: sectors,
            partitions: partitions.collect(),
        }
    })
}

fn any_place() -> impl Strategy<Value = EntriesPlace> {
    prop_oneof![Just(EntriesPlace::First), Just(EntriesPlace::Second)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_image_parses_to_its_table(table in any_table(SECTORS), place in any_place()) {
        let parsed = Table::parse(&image(&table, place), 512).unwrap();
        prop_assert_eq!(&parsed.table, &table);
        prop_assert_eq!(&parsed.health, &Health::Sound);
        prop_assert!(parsed.backup_at_end);
        prop_assert_eq!(table.update_writes(&parsed).unwrap(), vec![]);
    }

    /// Several cuts one after the other, each followed by parsing and trying again, perhaps with one copy damaged at
    /// the start: there is always exactly the old or the new table.
    #[test]
    fn a_cut_update_is_the_old_or_the_new_table(
        tables in prop::collection::vec(any_table(SECTORS), 2..5),
        place in any_place(),
        cuts in prop::collection::vec((any::<Index>(), prop::collection::vec(any::<bool>(), 1..80)), 4),
        damaged in prop::option::of(prop::sample::select(vec![1u64, 5, 40, SECTORS - 1, SECTORS - 30, SECTORS - 62])),
    ) {
        let mut disk = image(&tables[0], place);
        if let Some(lba) = damaged {
            disk[lba as usize * 512 + 20] ^= 1;
        }
        let mut old = tables[0].clone();
        for (new, (at, kept)) in tables[1..].iter().zip(&cuts) {
            let parsed = Table::parse(&disk, 512).unwrap();
            prop_assert_eq!(&parsed.table, &old);
            cut(&mut disk, &new.update_writes(&parsed).unwrap(), *at, kept);
            let found = Table::parse(&disk, 512).unwrap().table;
            prop_assert!(found == old || found == *new, "{found:?}\nis neither {old:?}\nnor {new:?}");
            old = found;
        }
        let last = tables.last().unwrap();
        update(&mut disk, last);
        let parsed = Table::parse(&disk, 512).unwrap();
        prop_assert_eq!(&parsed.table, last);
        prop_assert_eq!(parsed.health, Health::Sound);
    }

    /// The disk loses a whole physical sector of 4096 bytes that it was writing to: the other copy decides.
    #[test]
    fn a_torn_physical_sector_is_the_old_or_the_new_table(
        old in any_table(SECTORS),
        new in any_table(SECTORS),
        place in any_place(),
        at: Index,
        kept in prop::collection::vec(any::<bool>(), 1..80),
        torn: Index,
        noise: u8,
    ) {
        let mut disk = image(&old, place);
        let steps = new.update_writes(&Table::parse(&disk, 512).unwrap()).unwrap();
        prop_assume!(!steps.is_empty());
        cut(&mut disk, &steps, at, &kept);
        let groups: Vec<&[Step]> = steps.split(|step| matches!(step, Step::Flush)).collect();
        if let [Step::Write(write), ..] = groups[at.index(groups.len())] {
            let sector = write.offset as usize + torn.index(write.bytes.len());
            disk[sector / 4096 * 4096..][..4096].fill(noise);
        }
        let found = Table::parse(&disk, 512).unwrap().table;
        prop_assert!(found == old || found == new);
        update(&mut disk, &new);
        let parsed = Table::parse(&disk, 512).unwrap();
        prop_assert_eq!((parsed.table, parsed.health), (new, Health::Sound));
    }

    #[test]
    fn a_grown_disk_survives_a_cut_too(
        old in any_table(SECTORS),
        new in any_table(SECTORS),
        growth in prop_oneof![1u64..140, 2048u64..4096],
        at: Index,
        kept in prop::collection::vec(any::<bool>(), 1..80),
    ) {
        let mut disk = image(&old, EntriesPlace::First);
        disk.resize(disk.len() + growth as usize * 512, 0);
        let parsed = Table::parse(&disk, 512).unwrap();
        prop_assert!(!parsed.backup_at_end);
        let old = parsed.table.clone();
        let new = Table { total_sectors: SECTORS + growth, ..new };
        cut(&mut disk, &new.update_writes(&parsed).unwrap(), at, &kept);
        let found = Table::parse(&disk, 512).unwrap().table;
        prop_assert!(found == old || found == new);
        update(&mut disk, &new);
        let parsed = Table::parse(&disk, 512).unwrap();
        prop_assert!(parsed.backup_at_end && parsed.mbr_is_current && parsed.health == Health::Sound);
        prop_assert_eq!(parsed.table, new);
    }

    #[test]
    fn a_damaged_byte_costs_one_copy_at_most(byte in 0usize..34 * 512, at_end: bool, xor in 1u8..) {
        let mut disk = image(&table(1), EntriesPlace::First);
        let place = if at_end { disk.len() - 1 - byte } else { byte };
        disk[place] ^= xor;
        prop_assert_eq!(Table::parse(&disk, 512).unwrap().table, table(1));
    }

    #[test]
    fn hostile_headers_are_refused_without_panic(
        edits in prop::collection::vec((0usize..92, any::<u8>()), 1..12),
        entry in prop::collection::vec((0usize..512, any::<u8>()), 0..6),
        resign: bool,
    ) {
        let mut disk = image(&table(1), EntriesPlace::First);
        let end = disk.len();
        disk[end - 512..].fill(0);
        for (offset, byte) in entry {
            disk[1024 + offset] = byte;
        }
        for (offset, byte) in edits {
            disk[512 + offset] = byte;
        }
        if resign {
            let entries = crc32fast::hash(&disk[1024..1024 + 128 * 128]);
            disk[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
            disk[512 + 16..512 + 20].fill(0);
            let header = crc32fast::hash(&disk[512..512 + 92]);
            disk[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
        }
        if let Ok(steps) = Table::parse(&disk, 512).and_then(|parsed| table(2).update_writes(&parsed)) {
            prop_assert!(steps.len() < 10);
        }
    }

    #[test]
    fn noise_is_refused_without_panic(noise in prop::collection::vec(any::<u8>(), 0..8192)) {
        prop_assert!(Table::parse(&noise, 512).is_err());
        prop_assert!(Table::parse(&noise, 4096).is_err());
    }
}

/// EDK II repairs a bad copy before the system starts (PartitionRestoreGptTable): the good copy's header with the two
/// places exchanged, entries at LBA 2 or at LastUsableLBA + 1.
fn repair_as_firmware(disk: &mut [u8]) {
    let sector = |disk: &[u8], lba: u64| disk[lba as usize * 512..][..512].to_vec();
    let parsed = Table::parse(&disk.to_vec(), 512).unwrap();
    let last = parsed.table.last_lba();
    let (good, bad, place) = match parsed.health {
        Health::PrimaryBad(_) => (last, 1, 2),
        Health::BackupBad(_) => (1, last, parsed.table.last_usable_lba() + 1),
        Health::Sound | Health::BackupDiffers => return,
    };
    let header = header::Header::decode(&sector(disk, good));
    let entries = disk[header.entries_lba as usize * 512..][..128 * 128].to_vec();
    let repaired = header::Header { my_lba: bad, alternate_lba: good, entries_lba: place, ..header };
    apply(disk, &Write { offset: bad * 512, bytes: repaired.encode(512) });
    apply(disk, &Write { offset: place * 512, bytes: entries });
}

proptest! {
    #[test]
    fn what_firmware_repaired_is_sound_and_survives_a_cut(
        tables in (any_table(SECTORS), any_table(SECTORS), any_table(SECTORS)),
        place in any_place(),
        damaged in prop::sample::select(vec![1u64, SECTORS - 1]),
        at: Index,
        kept in prop::collection::vec(any::<bool>(), 1..80),
    ) {
        let (first, old, new) = tables;
        let mut disk = image(&first, place);
        update(&mut disk, &old);
        disk[damaged as usize * 512 + 20] ^= 1;
        repair_as_firmware(&mut disk);
        let parsed = Table::parse(&disk, 512).unwrap();
        prop_assert_eq!((&parsed.table, &parsed.health), (&old, &Health::Sound));
        cut(&mut disk, &new.update_writes(&parsed).unwrap(), at, &kept);
        let found = Table::parse(&disk, 512).unwrap().table;
        prop_assert!(found == old || found == new);
    }
}

#[test]
fn big_sectors_have_the_same_layout_in_bytes() {
    let table = Table {
        sector_size: 4096,
        total_sectors: 4096,
        partitions: vec![Partition { first_lba: 256, last_lba: 511, ..partition(1, 1..2, "esp") }],
        ..table(1)
    };
    assert_eq!((table.first_usable_lba(), table.last_usable_lba()), (256, 4096 - 10));
    for place in [EntriesPlace::First, EntriesPlace::Second] {
        assert_eq!(Table::parse(&image(&table, place), 4096).unwrap().table, table);
    }
    assert!(Table::parse(&image(&table, EntriesPlace::First), 512).is_err());
}

#[test]
fn an_update_uses_the_other_places_and_flips_one_sector_at_a_time() {
    let disk = image(&table(1), EntriesPlace::First);
    let steps = table(2).update_writes(&Table::parse(&disk, 512).unwrap()).unwrap();
    let shape: Vec<Option<(u64, usize)>> = steps
        .iter()
        .map(|step| match step {
            Step::Write(write) => Some((write.offset / 512, write.bytes.len() / 512)),
            Step::Flush => None,
        })
        .collect();
    let wanted = [
        Some((SECTORS - 65, 32)),
        None,
        Some((34, 32)),
        None,
        Some((SECTORS - 1, 1)),
        None,
        Some((1, 1)),
        None,
    ];
    assert_eq!(shape, wanted);
}

#[test]
fn the_damage_is_named() {
    let sound = image(&table(1), EntriesPlace::First);
    let health = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut disk = sound.clone();
        edit(&mut disk);
        Table::parse(&disk, 512).unwrap().health
    };
    assert_eq!(health(&|_| {}), Health::Sound);
    assert_eq!(health(&|disk| disk[512] = 0), Health::PrimaryBad(CopyError::Signature(1)));
    assert!(matches!(health(&|disk| disk[1024] ^= 1), Health::PrimaryBad(CopyError::EntriesChecksum { .. })));
    assert!(matches!(
        health(&|disk| *disk.last_mut().unwrap() ^= 1),
        Health::Sound // behind the 92 bytes of the header
    ));
    let header = sound.len() - 512;
    assert!(matches!(
        health(&|disk| disk[header + 60] ^= 1),
        Health::BackupBad(CopyError::HeaderChecksum { .. })
    ));
    let both = Table::parse(&vec![0; 1 << 20], 512).unwrap_err();
    assert_eq!(
        both.to_string(),
        "no partition table: primary: no `EFI PART` at sector 1; backup: no `EFI PART` at sector 2047"
    );
}

#[test]
fn a_table_that_can_not_be_is_refused() {
    let refused = |edit: &dyn Fn(&mut Table)| {
        let mut table = table(1);
        edit(&mut table);
        table.validate().unwrap_err()
    };
    assert_eq!(refused(&|t| t.sector_size = 520), GptError::SectorSize(520));
    assert_eq!(refused(&|t| t.total_sectors = 2100), GptError::DiskTooSmall(2100));
    assert_eq!(refused(&|t| t.partitions[1].number = 1), GptError::Number(1));
    assert_eq!(refused(&|t| t.partitions[1].number = 129), GptError::Number(129));
    assert_eq!(refused(&|t| t.partitions[1].type_guid = Guid::NIL), GptError::NilType(4));
    assert!(matches!(
        refused(&|t| t.partitions[1].guid = guid(101)),
        GptError::DuplicateGuid { number: 4, .. }
    ));
    assert!(matches!(refused(&|t| t.partitions[0].first_lba = 34), GptError::Bounds { number: 1, .. }));
    assert!(matches!(
        refused(&|t| t.partitions[1].last_lba = SECTORS - 65),
        GptError::Bounds { number: 4, .. }
    ));
    assert!(matches!(refused(&|t| t.partitions[0].first_lba = 2049), GptError::Alignment { number: 1, .. }));
    assert_eq!(refused(&|t| t.partitions[0].last_lba = 3 * 2048), GptError::Overlap(1, 4));
}

#[test]
fn a_table_for_another_disk_is_not_written() {
    let parsed = Table::parse(&image(&table(1), EntriesPlace::First), 512).unwrap();
    let larger = Table { total_sectors: SECTORS + 1, ..table(1) };
    assert!(matches!(larger.update_writes(&parsed), Err(GptError::OtherDisk { .. })));
}

#[test]
fn boot_code_is_kept() {
    let mut disk = image(&table(1), EntriesPlace::First);
    disk[..440].fill(0xaa);
    disk.resize(disk.len() + 4096, 0);
    update(&mut disk, &Table { total_sectors: SECTORS + 8, ..table(1) });
    assert!(disk[..440].iter().all(|byte| *byte == 0xaa));
}
