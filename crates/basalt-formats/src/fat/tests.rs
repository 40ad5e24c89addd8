use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::{ReadAt, WriteAt};

const PAGE: usize = 4096;

/// A device in memory that keeps what was written, in pages.
#[derive(Default)]
struct Sparse {
    size: u64,
    pages: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl WriteAt for Sparse {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut pages = self.pages.lock().unwrap();
        for (index, byte) in (offset..).zip(bytes) {
            let page = pages.entry(index / PAGE as u64).or_insert_with(|| vec![0; PAGE]);
            page[(index % PAGE as u64) as usize] = *byte;
        }
        Ok(())
    }
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pages = self.pages.lock().unwrap();
        for (at, byte) in (offset..).zip(buffer) {
            *byte = pages.get(&(at / PAGE as u64)).map_or(0, |page| page[(at % PAGE as u64) as usize]);
        }
        Ok(())
    }
}

fn volume(size: ByteSize, root: Directory) -> Volume {
    Volume { size, label: "ESP".parse().unwrap(), volume_id: 0xba5a_1700, epoch: 1_764_000_000, root }
}

fn written(volume: &Volume, base: u64) -> Sparse {
    let device = Sparse { size: base + volume.size.get(), ..Sparse::default() };
    volume.write_to(&device, base).unwrap();
    device
}

fn files(listing: &Listing<'_>) -> BTreeMap<String, Vec<u8>> {
    let files = listing.items().filter(|item| item.size.is_some());
    files.map(|item| (item.path.clone(), listing.read_file(&item.path).unwrap())).collect()
}

fn any_directory() -> impl Strategy<Value = Directory> {
    let path = "([a-zA-Zß_ä .+~-]{1,14}/){0,2}[a-zA-Zß_ä .+~0-9-]{1,30}";
    prop::collection::vec((path, prop::collection::vec(any::<u8>(), 0..3000)), 0..24).prop_map(|files| {
        let mut root = Directory::new();
        for (path, bytes) in files {
            drop(root.insert(&path, bytes)); // some paths are refused: that is another test
        }
        root
    })
}

fn expected(directory: &Directory, at: &str, into: &mut BTreeMap<String, Vec<u8>>) {
    for (name, entry) in directory.entries() {
        let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        match entry {
            Entry::File(bytes) => drop(into.insert(path, bytes.to_vec())),
            Entry::Directory(below) => expected(below, &path, into),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(root in any_directory(), base in prop::sample::select(vec![0u64, 1 << 20])) {
        let mut wanted = BTreeMap::new();
        expected(&root, "", &mut wanted);
        let device = written(&volume(ByteSize::mib(64), root), base);
        let listing = read(&device, base).unwrap();
        prop_assert_eq!((listing.label.as_deref(), listing.volume_id), (Some("ESP"), 0xba5a_1700));
        prop_assert!(listing.items().all(|item| item.modified == 1_764_000_000));
        prop_assert_eq!(files(&listing), wanted);
    }

    #[test]
    fn short_names_are_valid_and_unique(names in prop::collection::btree_set("[A-Za-zé .+~1-9]{0,12}[a-z1]", 0..40)) {
        let shorts = names::short_names(names.iter().map(String::as_str));
        let unique: std::collections::BTreeSet<_> = shorts.iter().collect();
        prop_assert_eq!(unique.len(), names.len());
        for (short, name) in shorts.iter().zip(&names) {
            let text = String::from_utf8(short.to_vec()).unwrap();
            let (base, extension) = (text[..8].trim_end(), text[8..].trim_end());
            let valid = |part: &str| part.bytes().all(|b| b != b' ' && b != b'.' && !b.is_ascii_lowercase());
            prop_assert!(!base.is_empty() && valid(base) && valid(extension), "{} for {}", text, name);
        }
    }

    #[test]
    fn times_round_trip(seconds in 315_532_800i64..4_354_819_200) {
        prop_assert_eq!(directory::DosTime::from_unix(seconds).to_unix(), seconds & !1);
    }

    #[test]
    fn a_changed_volume_never_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
        boot in prop::collection::vec((11usize..90, any::<u8>()), 0..3),
    ) {
        let mut root = Directory::new();
        root.insert("EFI/Linux/edge_1.0.0+3-0.efi", vec![1; 9000]).unwrap();
        root.insert("loader/loader.conf", *b"timeout 0\n").unwrap();
        let device = written(&volume(ByteSize::mib(34), root), 0);
        let pages: Vec<u64> = device.pages.lock().unwrap().keys().copied().collect();
        for (index, byte) in edits {
            let at = index.index(pages.len() * PAGE);
            device.write_at(pages[at / PAGE] * PAGE as u64 + (at % PAGE) as u64, &[byte]).unwrap();
        }
        for (at, byte) in boot {
            device.write_at(at as u64, &[byte]).unwrap();
        }
        if let Ok(listing) = read(&device, 0) {
            for item in listing.items() {
                if let Ok(bytes) = listing.read_file(&item.path) {
                    prop_assert!(bytes.len() as u64 <= device.size);
                }
            }
        }
    }

    #[test]
    fn noise_never_panics(mut noise in prop::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(read(&noise, 0).is_err());
        if let Some(signature) = noise.get_mut(510..512) {
            signature.copy_from_slice(&[0x55, 0xaa]);
        }
        prop_assert!(read(&noise, 0).is_err());
    }
}

#[test]
fn clusters_follow_the_specification() {
    let cluster = |size| geometry::Geometry::new(size, 0).unwrap().cluster_size();
    assert_eq!(cluster(Volume::MIN_SIZE), 512);
    assert_eq!(cluster(ByteSize::mib(260)), 512);
    assert_eq!(cluster(ByteSize::bytes((260 << 20) + 512)), 4096);
    assert_eq!(cluster(ByteSize::gib(8)), 4096);
    assert_eq!(cluster(ByteSize::gib(9)), 8192);
    assert_eq!(cluster(ByteSize::gib(33)), 32768);
}

#[test]
fn a_volume_that_can_not_be_is_refused() {
    let refused = |size, base, root| volume(size, root).write_to(&Sparse::default(), base).unwrap_err();
    let small = ByteSize::bytes(66_600 * 512);
    assert_eq!(refused(small, 0, Directory::new()), FatError::TooSmall(small));
    assert_eq!(
        refused(ByteSize::bytes(1 << 30 | 1), 0, Directory::new()),
        FatError::PartialSector(1 << 30 | 1)
    );
    assert_eq!(refused(ByteSize::gib(2048), 0, Directory::new()), FatError::TooLarge(ByteSize::gib(2048)));
    assert_eq!(refused(ByteSize::gib(1), 100, Directory::new()), FatError::Base(100));
    let mut full = Directory::new();
    full.insert("a", vec![1; 40 << 20]).unwrap();
    assert!(matches!(refused(Volume::MIN_SIZE, 0, full), FatError::Full { .. }));
    let mut many = Directory::new();
    for number in 0..22_000 {
        many.insert(&format!("a-long-name-{number}"), []).unwrap();
    }
    assert_eq!(refused(ByteSize::gib(1), 0, many), FatError::DirectoryTooLarge(65_991));
}

#[test]
fn names_are_one_whatever_their_case() {
    let mut root = Directory::new();
    root.insert("EFI/BOOT/BOOTX64.EFI", *b"one").unwrap();
    root.insert("efi/boot/bootx64.efi", *b"two").unwrap();
    root.insert("efi/ß", *b"").unwrap();
    root.insert("efi/ss", *b"").unwrap();
    let device = written(&volume(ByteSize::mib(40), root.clone()), 0);
    let listing = read(&device, 0).unwrap();
    let paths: Vec<&str> = listing.items().map(|item| item.path.as_str()).collect();
    assert_eq!(paths, ["EFI", "EFI/BOOT", "EFI/BOOT/BOOTX64.EFI", "EFI/ss", "EFI/ß"]);
    assert_eq!(listing.read_file("/efi/Boot/bootX64.efi").unwrap(), b"two");
    assert_eq!(listing.read_file("EFI"), Err(ReadError::Missing("EFI".into())));
    assert_eq!(root.insert("efi", *b""), Err(FatError::Kind("efi".into())));
    assert_eq!(root.insert("EFI/ss/x", *b""), Err(FatError::Kind("EFI/ss".into())));
}

#[test]
fn names_that_fat_can_not_hold_are_refused() {
    for name in ["", "a:b", "a.", "a ", "..", "a\tb", "ä".repeat(256).as_str()] {
        let refused = Directory::new().insert(&format!("x/{name}"), []);
        assert_eq!(refused, Err(FatError::Name(name.into())), "{name}");
    }
    for label in ["", "esp", "TWELVE-CHARS"] {
        assert_eq!(label.parse::<VolumeLabel>(), Err(FatError::Label(label.into())));
    }
}

#[test]
fn aliases_follow_the_specification() {
    let names = [
        "BOOTX64.EFI",
        "EDGE_1~1.EFI",
        "edge_1.0.0+3-0.efi",
        "edge_1.0.1.efi",
        "loader.conf",
        "plain.txt",
        ".x",
    ];
    let shorts: Vec<String> = names::short_names(names.into_iter())
        .into_iter()
        .map(|short| String::from_utf8(short.to_vec()).unwrap())
        .collect();
    let wanted = [
        "BOOTX64 EFI",
        "EDGE_1~1EFI",
        "EDGE_1~2EFI",
        "EDGE_1~3EFI",
        "LOADER~1CON",
        "PLAIN   TXT",
        "X~1        ",
    ];
    assert_eq!(shorts, wanted);
}

#[test]
fn an_empty_gigabyte_costs_a_few_pages() {
    let device = written(&volume(ByteSize::gib(1), Directory::new()), 0);
    let touched = device.pages.lock().unwrap().len();
    assert!(touched <= 4, "{touched} pages"); // boot sectors, two FATs, root directory
}

#[test]
fn circles_are_found() {
    let mut root = Directory::new();
    root.insert("d/f", vec![1; 2000]).unwrap();
    let device = written(&volume(ByteSize::mib(40), root), 0);
    let fat = 32 * 512;
    let link = |from: u64, to: u32| device.write_at(fat + from * 4, &to.to_le_bytes()).unwrap();
    link(4, 4); // the file's first cluster of four
    let listing = read(&device, 0).unwrap();
    assert_eq!(listing.read_file("d/f"), Err(ReadError::Chain { path: "d/f".into(), cluster: 4 }));
    link(3, 2); // the directory leads to the root
    assert_eq!(read(&device, 0).unwrap_err(), ReadError::Chain { path: "d".into(), cluster: 2 });
}
