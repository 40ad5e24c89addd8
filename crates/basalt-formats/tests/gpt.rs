//! Other people's tools accept our partition tables: sfdisk (util-linux) and sgdisk (GPT fdisk), which read, verify and
//! change them.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

use std::{fs::File, io::Read, os::unix::fs::FileExt, path::Path, process::Command};

use basalt_formats::gpt::{Attributes, EntriesPlace, Health, Partition, Step, Table, Write, types};
use basalt_types::{Architecture, Guid};

const SECTORS: u64 = 64 * 2048;

fn partition(number: u32, label: &str, type_guid: Guid, mib: std::ops::Range<u64>) -> Partition {
    Partition {
        number,
        type_guid,
        guid: Guid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0000 + u128::from(number)),
        first_lba: mib.start * 2048,
        last_lba: mib.end * 2048 - 1,
        attributes: Attributes::NONE,
        label: Some(label.parse().unwrap()),
    }
}

fn table() -> Table {
    let amd64 = Architecture::Amd64;
    Table {
        disk_guid: Guid::from_u128(0xb511_6370_f3f5_4ec7_b7c2_7f4b_7b1d_ae5b),
        sector_size: 512,
        total_sectors: SECTORS,
        partitions: vec![
            partition(1, "esp", types::ESP, 1..33),
            partition(2, "basalt-a", types::root(amd64), 33..40),
            partition(3, "basalt-a-verity", types::root_verity(amd64), 40..41),
        ],
    }
}

fn grown_table() -> Table {
    let mut table = Table { total_sectors: SECTORS * 2, ..table() };
    table.partitions.push(partition(8, "PRT#basalt-data", types::VAR, 64..127));
    table
}

/// Runs an oracle; its output when it is content.
fn oracle(program: &str, package: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}): apt-get install {package}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{said}", output.status);
    said
}

fn write(file: &File, Write { offset, bytes }: &Write) {
    file.write_all_at(bytes, *offset).unwrap();
}

fn image(file: &File, place: EntriesPlace) {
    file.set_len(SECTORS * 512).unwrap();
    for step in table().image_writes(place).unwrap() {
        write(file, &step);
    }
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Both tools find nothing to say about the table, and list what we wrote.
fn assert_accepted(path: &Path, table: &Table) {
    let said = oracle("sfdisk", "fdisk", &["--verify"], path);
    assert!(said.contains("No errors detected."), "{said}");
    let said = oracle("sgdisk", "gdisk", &["--verify"], path);
    assert!(said.contains("No problems found.") && !said.to_lowercase().contains("caution"), "{said}");
    let dump = oracle("sfdisk", "fdisk", &["--json"], path).to_lowercase();
    assert!(dump.contains(&format!("\"id\": \"{}\"", table.disk_guid)), "{dump}");
    for Partition { type_guid, guid, first_lba, label, .. } in &table.partitions {
        let label = label.as_ref().unwrap().as_str().to_lowercase();
        let wanted = [
            format!("\"start\": {first_lba},"),
            format!("\"type\": \"{type_guid}\""),
            format!("\"uuid\": \"{guid}\""),
            format!("\"name\": \"{label}\""),
        ];
        assert!(wanted.iter().all(|part| dump.contains(part)), "{wanted:?} in {dump}");
    }
}

#[test]
fn a_fresh_image_is_accepted_with_the_entries_in_either_place() {
    for place in [EntriesPlace::First, EntriesPlace::Second] {
        let file = tempfile::NamedTempFile::new().unwrap();
        image(file.as_file(), place);
        assert_accepted(file.path(), &table());
    }
}

#[test]
fn a_grown_disk_is_accepted_after_each_of_two_updates() {
    let file = tempfile::NamedTempFile::new().unwrap();
    image(file.as_file(), EntriesPlace::First);
    file.as_file().set_len(SECTORS * 2 * 512).unwrap();
    let mut finished = grown_table();
    finished.partitions[3].label = Some("basalt-data".parse().unwrap());
    for table in [grown_table(), finished] {
        let parsed = Table::parse(&read(file.path()), 512).unwrap();
        for step in table.update_writes(&parsed).unwrap() {
            match step {
                Step::Write(step) => write(file.as_file(), &step),
                Step::Flush => {}
            }
        }
        assert_accepted(file.path(), &table);
    }
}

/// Cut before the last header: the primary is old, the backup new. Both tools read the old table.
#[test]
fn a_cut_update_is_readable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    image(file.as_file(), EntriesPlace::First);
    let mut new = table();
    new.partitions.push(partition(4, "basalt-b", types::VAR, 50..60));
    let steps = new.update_writes(&Table::parse(&read(file.path()), 512).unwrap()).unwrap();
    for step in &steps[..steps.len() - 2] {
        match step {
            Step::Write(step) => write(file.as_file(), step),
            Step::Flush => {}
        }
    }
    let dump = oracle("sfdisk", "fdisk", &["--json"], file.path());
    assert!(dump.contains("basalt-a-verity") && !dump.contains("basalt-b"), "{dump}");
    assert_eq!(Table::parse(&read(file.path()), 512).unwrap().health, Health::BackupDiffers);
}

#[test]
fn a_table_that_sgdisk_made_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(SECTORS * 512).unwrap();
    let arguments = [
        "--new=1:2048:+8M",
        "--typecode=1:ef00",
        "--new=5:0:0",
        "--change-name=5:daten ä",
        "--attributes=5:set:60",
    ];
    oracle("sgdisk", "gdisk", &arguments, file.path());
    let parsed = Table::parse(&read(file.path()), 512).unwrap();
    assert_eq!((parsed.health, parsed.backup_at_end), (Health::Sound, true));
    let [esp, data] = &parsed.table.partitions[..] else { panic!("{:?}", parsed.table) };
    assert_eq!((esp.number, esp.type_guid, esp.first_lba, esp.sectors()), (1, types::ESP, 2048, 16384));
    assert_eq!((data.number, data.type_guid, data.attributes), (5, types::LINUX_DATA, Attributes::READ_ONLY));
    assert!(data.is_labelled("daten ä"));
}
