//! xorriso reads our images as CDs, sgdisk and sfdisk as disks: the same bytes both ways.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

mod virtual_disk_support;

use std::{fs::File as HostFile, path::Path};

use basalt_formats::{
    ReadAt,
    gpt::{Attributes, Table, types},
    iso9660::{File, FilePath, Image, Partition, SECTOR},
    virtual_disk,
};
use basalt_types::{Architecture, Guid};
use virtual_disk_support::{Device, noise, read, run, text};

const TIME: i64 = 1_000_000_000;

/// Bytes that are nowhere: only their number counts.
struct Zeros(u64);

impl ReadAt for Zeros {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        buffer.fill(0);
        Ok(())
    }

    fn data_ranges(&self) -> std::io::Result<Vec<std::ops::Range<u64>>> {
        Ok(Vec::new())
    }
}

fn partition<'a>(number: u128, label: &str, content: &'a dyn ReadAt, file: Option<&str>) -> Partition<'a> {
    let type_guid = match label {
        "esp" => types::ESP,
        "root" => types::root(Architecture::Amd64),
        _ => types::root_verity(Architecture::Amd64),
    };
    Partition {
        label: label.parse().unwrap(),
        type_guid,
        guid: Guid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0000 + number),
        attributes: Attributes::NONE,
        content,
        file: file.map(|text| text.parse().unwrap()),
    }
}

fn file<'a>(path: &str, content: &'a dyn ReadAt) -> File<'a> {
    File { path: path.parse::<FilePath>().unwrap(), content }
}

fn image<'a>(esp: Partition<'a>, partitions: Vec<Partition<'a>>, files: Vec<File<'a>>) -> Image<'a> {
    let disk_guid = Guid::from_u128(0xb511_6370_f3f5_4ec7_b7c2_7f4b_7b1d_ae5b);
    Image { volume_id: "BASALT".parse().unwrap(), time: TIME, disk_guid, esp, partitions, files }
}

/// Writes the image and gives its table.
fn write(image: &Image<'_>, path: &Path) -> Table {
    let layout = image.layout().unwrap();
    let sink = Device(HostFile::create(path).unwrap());
    sink.0.set_len(layout.size).unwrap();
    virtual_disk::copy(&layout.disk().unwrap(), &sink).unwrap();
    layout.table
}

#[test]
fn a_cd_and_a_stick_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.iso");
    let (esp, root, verity) = (noise(1, 5 << 20), noise(2, 3_000_001), text(3, 70_000));
    let (json, empty, long) = (text(4, 5000), Vec::new(), "a-Long_name.".repeat(5) + "json");
    let partitions = vec![
        partition(2, "root", &root, Some("live/root.erofs")),
        partition(3, "verity", &verity, Some("live/root.verity")),
    ];
    let files = vec![
        file("image.json", &json),
        file("live/empty", &empty),
        file(&format!("docs/a/b/c/{long}"), &json),
    ];
    let table = write(&image(partition(1, "esp", &esp, None), partitions, files), &path);
    let text_path = path.to_str().unwrap();

    // As a CD.
    let said = run("xorriso", "xorriso", &["-indev", text_path, "-report_el_torito", "plain", "-find"]);
    let sectors = esp.len() / 512;
    let place = table.partitions[0].first_lba / 4;
    let boot: Vec<&str> =
        said.lines().find(|line| line.contains("boot img")).unwrap().split_whitespace().collect();
    assert_eq!(
        boot[6..],
        ["UEFI", "y", "none", "0x0000", "0x00", &sectors.to_string(), &place.to_string()][..],
        "{said}"
    );
    for name in ["/live/root.erofs", "/live/root.verity", "/live/empty", "/image.json", "/docs/a/b/c"] {
        assert!(said.contains(&format!("'.{name}'")), "{name} in {said}");
    }
    assert!(!said.contains("WARNING") && !said.contains("FAILURE"), "{said}");
    let out = folder.path().join("out");
    let extract = ["-osirrox", "on", "-indev", text_path, "-extract", "/", out.to_str().unwrap()];
    run("xorriso", "xorriso", &extract);
    assert_eq!(read(&out.join("live/root.erofs")), root);
    assert_eq!(read(&out.join("live/root.verity")), verity);
    assert_eq!(read(&out.join("live/empty")), empty);
    assert_eq!(read(&out.join("docs/a/b/c").join(&long)), json);
    let modified = out.join("image.json").metadata().unwrap().modified().unwrap();
    assert_eq!(modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), TIME as u64);

    // As a stick.
    let said = run("sgdisk", "gdisk", &["--verify", text_path]);
    assert!(said.contains("No problems found.") && !said.to_lowercase().contains("caution"), "{said}");
    let said = run("sfdisk", "fdisk", &["--verify", text_path]);
    assert!(said.contains("No errors detected."), "{said}");

    // As our own initramfs looks at it on either.
    let bytes = read(&path);
    let parsed = Table::parse(&bytes, SECTOR).unwrap();
    assert_eq!(parsed.table, table);
    for (partition, content) in table.partitions.iter().zip([&esp, &root, &verity]) {
        let range = partition.bytes(SECTOR);
        let found = &bytes[range.start as usize..range.end as usize];
        assert!(found.starts_with(content) && found[content.len()..].iter().all(|byte| *byte == 0));
        assert!(range.start.is_multiple_of(1 << 20) && range.end.is_multiple_of(1 << 20));
    }
    let again = folder.path().join("again.iso");
    let files = vec![file(&format!("docs/a/b/c/{long}"), &json), file("live/empty", &empty)];
    let esp_of = || partition(1, "esp", &esp, None);
    write(&image(esp_of(), Vec::new(), files), &again);
    let first = read(&again);
    let files = vec![file(&format!("docs/a/b/c/{long}"), &json), file("live/empty", &empty)];
    write(&image(esp_of(), Vec::new(), files), &again);
    assert!(read(&again) == first, "the same image has other bytes");
}

#[test]
fn a_directory_over_many_sectors_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.iso");
    let esp = noise(1, 1 << 20);
    let contents: Vec<Vec<u8>> = (0..700).map(|number| text(number, number as usize * 7)).collect();
    let files = contents.iter().enumerate().map(|(number, content)| {
        file(&format!("d{}/file-{number}-{}", number % 3, "x".repeat(number % 17)), content)
    });
    write(&image(partition(1, "esp", &esp, None), Vec::new(), files.collect()), &path);
    let out = folder.path().join("out");
    let extract =
        ["-osirrox", "on", "-indev", path.to_str().unwrap(), "-extract", "/", out.to_str().unwrap()];
    run("xorriso", "xorriso", &extract);
    for (number, content) in contents.iter().enumerate() {
        let name = format!("d{}/file-{number}-{}", number % 3, "x".repeat(number % 17));
        assert_eq!(read(&out.join(name)), *content);
    }
}

#[test]
fn a_root_of_more_than_4_gib_and_a_large_esp_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.iso");
    let (esp, root) = (Zeros(64 << 20), Zeros(9 << 30));
    let partitions = vec![partition(2, "root", &root, Some("root.erofs"))];
    let table = write(&image(partition(1, "esp", &esp, Some("esp.img")), partitions, Vec::new()), &path);
    let arguments = ["-indev", path.to_str().unwrap(), "-report_el_torito", "plain", "-lsl", "/"];
    let said = run("xorriso", "xorriso", &arguments);
    assert!(said.contains(&(9u64 << 30).to_string()) && said.contains(&(64u64 << 20).to_string()), "{said}");
    // More than 16 bits of sectors: to the end of the volume.
    let boot = said.lines().find(|line| line.contains("boot img")).unwrap();
    let wanted = format!(" 0 {}", table.partitions[0].first_lba / 4);
    assert!(boot.split_whitespace().collect::<Vec<_>>().join(" ").ends_with(&wanted), "{said}");
    assert!(!said.contains("WARNING") && !said.contains("FAILURE"), "{said}");
}
