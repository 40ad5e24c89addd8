//! Changed bytes for every other parser of what somebody else may have written: a UKI, an event log, a partition table, a FAT
//! volume, a hash tree with its superblock, the chunk index of a release, the index of an EROFS image.
//!
//! ```text
//! cargo bench -p basalt-formats --bench fuzz_parsers -- EXECUTIONS [SEED]
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers"
)]

#[path = "../tests/erofs_support/mod.rs"]
mod erofs_support;
mod fuzz;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use basalt_formats::{
    ReadAt, WriteAt,
    chunks::{self, Part},
    erofs::{self, Algorithm, Compression},
    fat::{self, Directory, Volume},
    gpt::{Attributes, EntriesPlace, Partition, Table},
    tpm::log,
    tree::{Content, Kind, NoStores, Tree},
    uki,
    verity::{self, LeafHashes, Params, Salt},
};
use basalt_types::{ByteSize, Digest, Guid};
use erofs_support::*;

/// Bytes of the disk and of the volume: what is behind their beginning is zeros.
const DISK: u64 = 4 << 20;
const VOLUME: u64 = 64 << 20;
/// Bytes of the volume that hold anything.
const USED: usize = 2 << 20;

/// The beginning of something larger, whose rest is zeros.
struct Head<'a> {
    bytes: &'a [u8],
    size: u64,
}

impl ReadAt for Head<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let there = self.bytes.get(offset as usize..).unwrap_or_default();
        let length = there.len().min(buffer.len());
        buffer[..length].copy_from_slice(&there[..length]);
        buffer[length..].fill(0);
        Ok(())
    }
}

/// A format: a sound example, what is mended behind a change so that a checksum does not hide the rest, and its parser, which says
/// whether it took the bytes.
struct Target {
    name: &'static str,
    seed: Vec<u8>,
    mend: fn(&mut [u8]),
    parse: fn(&[u8]) -> bool,
}

fn main() {
    let targets = targets();
    for target in &targets {
        assert!((target.parse)(&target.seed), "{}: the example is not sound", target.name);
    }
    let taken: Vec<AtomicU64> = targets.iter().map(|_| AtomicU64::new(0)).collect();
    let ran = fuzz::run(&|random| {
        let number = random.below(targets.len());
        let Target { name: _, seed, mend, parse } = &targets[number];
        // Headers and tables are at the beginning of everything.
        let mut bytes = random.changed(seed, &mut |random, length| match random.below(4) {
            0 => random.below(length),
            1 => random.below(length.min(4096)),
            _ => random.below(length.min(512)),
        });
        mend(&mut bytes);
        taken[number].fetch_add(u64::from(parse(&bytes)), Ordering::Relaxed);
    });
    let Some(ran) = ran else { return };
    let taken: Vec<String> = targets
        .iter()
        .zip(&taken)
        .map(|(target, count)| format!("{} {}", target.name, count.load(Ordering::Relaxed)))
        .collect();
    println!("{ran}; changed and taken all the same: {}", taken.join(", "));
}

fn targets() -> Vec<Target> {
    let nothing = |_: &mut [u8]| {};
    vec![
        Target { name: "UKI", seed: pe(), mend: nothing, parse: |bytes| uki::read(bytes).is_ok() },
        Target {
            name: "event log",
            seed: event_log(),
            mend: nothing,
            parse: |bytes| log::parse(bytes).is_ok(),
        },
        Target {
            name: "partition table",
            seed: table(),
            mend: mend_table,
            parse: |bytes| Table::parse(&Head { bytes, size: DISK }, 512).is_ok(),
        },
        Target { name: "FAT", seed: volume(), mend: nothing, parse: read_volume },
        Target { name: "hash tree", seed: hash_tree(), mend: nothing, parse: check_tree },
        Target {
            name: "chunk index",
            seed: chunk_index(),
            mend: nothing,
            parse: |bytes| chunks::Index::parse(bytes).is_ok(),
        },
        Target {
            name: "EROFS index",
            seed: erofs_index(),
            mend: nothing,
            parse: |bytes| erofs::Index::from_bytes(bytes).is_ok(),
        },
    ]
}

/// A PE32+ program with the sections of a UKI (PE format, "Section Table").
fn pe() -> Vec<u8> {
    let sections: [(&[u8], &[u8]); 5] = [
        (b".osrel", b"ID=edge\n"),
        (b".cmdline", b"quiet"),
        (b".uname", b"6.12"),
        (b".initrd", b"initrd"),
        (b".linux", b"MZ kernel"),
    ];
    let mut file = vec![0; 512];
    let put = |file: &mut Vec<u8>, at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(&mut file, 0, b"MZ");
    put(&mut file, 0x3c, &64_u32.to_le_bytes());
    put(&mut file, 64, b"PE\0\0\x64\x86\x05\0");
    put(&mut file, 64 + 4 + 16, &112_u16.to_le_bytes());
    put(&mut file, 88, &0x020b_u16.to_le_bytes());
    put(&mut file, 88 + 32, &4096_u32.to_le_bytes());
    put(&mut file, 88 + 36, &512_u32.to_le_bytes());
    for (number, (name, content)) in sections.iter().enumerate() {
        let (entry, start) = (88 + 112 + number * 40, file.len());
        put(&mut file, entry, name);
        for (at, value) in [(8, content.len()), (12, (number + 1) * 4096), (16, 512), (20, start)] {
            put(&mut file, entry + at, &(value as u32).to_le_bytes());
        }
        file.extend_from_slice(content);
        file.resize(start + 512, 0);
    }
    file
}

/// A header that names SHA-1 and SHA-256, and a few events (TCG, "PC Client Platform Firmware Profile", section 10.2).
fn event_log() -> Vec<u8> {
    let mut said = b"Spec ID Event03\0".to_vec();
    said.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 2]);
    said.extend_from_slice(&2_u32.to_le_bytes());
    for (algorithm, size) in [(4_u16, 20_u16), (11, 32)] {
        said.extend_from_slice(&algorithm.to_le_bytes());
        said.extend_from_slice(&size.to_le_bytes());
    }
    said.push(0);
    let mut log = Vec::new();
    for word in [0, 3] {
        log.extend_from_slice(&u32::to_le_bytes(word));
    }
    log.extend_from_slice(&[0; 20]);
    log.extend_from_slice(&(said.len() as u32).to_le_bytes());
    log.extend_from_slice(&said);
    for number in 0..6_u32 {
        for word in [11, 13, 2] {
            log.extend_from_slice(&u32::to_le_bytes(word));
        }
        log.extend_from_slice(&4_u16.to_le_bytes());
        log.extend_from_slice(&[1; 20]);
        log.extend_from_slice(&11_u16.to_le_bytes());
        log.extend_from_slice(Digest::of(&number.to_le_bytes()).as_bytes());
        log.extend_from_slice(&7_u32.to_le_bytes());
        log.extend_from_slice(b".linux\0");
    }
    log
}

fn table() -> Vec<u8> {
    let partition = |number: u32| Partition {
        number,
        type_guid: Guid::from_u128(0x7e57),
        guid: Guid::from_u128(number.into()),
        first_lba: 2048 * u64::from(number),
        last_lba: 2048 * u64::from(number) + 63,
        attributes: Attributes::default(),
        label: Some(format!("part-{number}").parse().expect("a label")),
    };
    let table = Table {
        disk_guid: Guid::from_u128(0xd15c),
        sector_size: 512,
        total_sectors: DISK / 512,
        partitions: (1..4).map(partition).collect(),
    };
    // The first copy only: that the other one is missing is told, and no error.
    let mut disk = vec![0; 34 * 512];
    for write in table.image_writes(EntriesPlace::First).expect("a sound table") {
        let at = write.offset as usize;
        if let Some(place) = disk.get_mut(at..at + write.bytes.len()) {
            place.copy_from_slice(&write.bytes);
        }
    }
    disk
}

/// The checksums of header and entries (UEFI 2.10, section 5.3.2), which would hide everything else.
fn mend_table(disk: &mut [u8]) {
    let Some(entries) = disk.get(1024..1024 + 128 * 128) else { return };
    let entries = crc32fast::hash(entries);
    disk[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
    disk[512 + 16..512 + 20].fill(0);
    let header = crc32fast::hash(&disk[512..512 + 92]);
    disk[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
}

fn volume() -> Vec<u8> {
    let mut root = Directory::new();
    let large = vec![7; 20_000];
    for (path, bytes) in [("EFI/Linux/edge_1.0.efi", &large[..]), ("loader/loader.conf", b"timeout 3\n")] {
        root.insert(path, bytes).expect("the path is free");
    }
    let volume = Volume {
        size: ByteSize::bytes(VOLUME),
        label: "ESP".parse().expect("a label"),
        volume_id: 1,
        epoch: EPOCH,
        root,
    };
    let image = Memory(Mutex::new(vec![0; USED]));
    volume.write_to(&image, 0).expect("the volume is written");
    image.0.into_inner().expect("nobody panicked")
}

fn read_volume(bytes: &[u8]) -> bool {
    let head = Head { bytes, size: VOLUME };
    let Ok(listing) = fat::read(&head, 0) else { return false };
    let paths: Vec<&str> =
        listing.items().filter(|item| item.size.is_some()).map(|item| item.path.as_str()).collect();
    paths.iter().take(16).all(|path| listing.read_file(path).is_ok())
}

const BLOCKS: usize = 200;

fn leaves() -> (Vec<u8>, LeafHashes) {
    let data: Vec<u8> = (0..BLOCKS * 4096).map(|at| (at / 4096) as u8).collect();
    let salt = Salt::new([1, 2, 3]).expect("a salt");
    let params = Params { salt, uuid: Guid::from_u128(1), data_blocks: BLOCKS as u64 };
    let leaves = LeafHashes::new(params).expect("a tree");
    leaves.feed(0, &data).expect("all blocks");
    (data, leaves)
}

fn hash_tree() -> Vec<u8> {
    leaves().1.finish().expect("all blocks").bytes
}

/// Verified against the data that it was made of: what is taken all the same differs only where nothing is read.
fn check_tree(bytes: &[u8]) -> bool {
    static SOUND: std::sync::OnceLock<(Vec<u8>, Digest)> = std::sync::OnceLock::new();
    let (data, root) = SOUND.get_or_init(|| {
        let (data, leaves) = leaves();
        (data, leaves.finish().expect("all blocks").root)
    });
    verity::verify(data, &bytes.to_vec(), root).is_ok()
}

fn chunk_index() -> Vec<u8> {
    let root: Vec<u8> = (0..600_000_u32).flat_map(|word| (word / 3).to_le_bytes()).collect();
    let uki = pe();
    let index = chunks::write(&[(Part::Root, &root), (Part::Uki, &uki)], &mut |_pack| Ok(()));
    index.expect("the index").to_bytes()
}

fn erofs_index() -> Vec<u8> {
    let mut tree = Tree::new();
    let text: Vec<u8> = (0..24_000_u32).flat_map(|word| (word / 7).to_le_bytes()).collect();
    for (path, size) in [("/small", 30), ("/block", 4096), ("/large", text.len())] {
        tree.insert(path, node(0o644, Kind::File(Content::inline(&text[..size])))).expect("the path is free");
    }
    packed(&tree, &NoStores, &pack_options(Some(Compression::new(Algorithm::Zstd))), &[]).1.to_bytes()
}

/// Bytes that are written anywhere.
struct Memory(Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut all = self.0.lock().expect("nobody panicked");
        let at = offset as usize;
        // What is written behind are zeros at the end of the volume.
        let place = all.get_mut(at..).unwrap_or_default();
        let length = place.len().min(bytes.len());
        place[..length].copy_from_slice(&bytes[..length]);
        Ok(())
    }
}
