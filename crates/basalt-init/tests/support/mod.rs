//! A kernel, our initramfs and a tiny verified disk to start in a virtual machine.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Exit, Program};
use basalt_formats::{
    WriteAt, cpio,
    erofs::{Layout, Options},
    gpt::{Attributes, EntriesPlace, Partition, Table, types},
    tree::{Content, Kind, Metadata, NoStores, Node, Tree},
    verity::{HashTree, LeafHashes, Params, Salt},
};
use basalt_image::initramfs::{InitramfsSource, ModulePlan, assemble, plan_modules};
use basalt_testkit::{Trixie, basalt_program, patience};
use basalt_types::{ByteSize, Digest, Guid};
use basalt_vm::{Accel, Bus, Disk, DiskFormat, Machine, OnReboot, Running, Write};

const MIB: u64 = 1 << 20;
const EPOCH: i64 = 1_750_000_000;

/// What all tests of this file share.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) initrd_size: u64,
    pub(crate) plan: ModulePlan,
    pub(crate) disk: TestDisk,
    /// The same root on a live medium.
    pub(crate) live: TestDisk,
    /// The initramfs with the root and its hash tree behind it.
    pub(crate) netboot_initrd: PathBuf,
}

/// A disk with a verified root.
#[derive(Clone)]
pub(crate) struct TestDisk {
    pub(crate) path: PathBuf,
    pub(crate) root_hash: Digest,
    /// Where the content of the file `/data/file` begins.
    pub(crate) data_offset: u64,
    /// Where the hash partition begins.
    pub(crate) hash_offset: u64,
}

/// The trixie tree: it has a Debian kernel, its modules (depmod ran) and the initrd that initramfs-tools made.
pub(crate) fn kernel_tree() -> PathBuf {
    Trixie::from_environment().path().to_owned()
}

/// Built once for each test program.
pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let tree = kernel_tree();
        let modules = tree.join("usr/lib/modules");
        let version = only_entry(&modules);
        let image = read_modules(&modules.join(&version), &version);
        let plan = plan_modules(&image, &NoStores, &version).unwrap();
        let init = fs::read(basalt_program("basalt-init")).unwrap().into();
        let source = InitramfsSource { image: &image, content: &NoStores, init, epoch: EPOCH };
        let archive = cpio::write(&assemble(&source, &plan).unwrap(), &NoStores, EPOCH).unwrap();
        let compressed = cpio::compress_initramfs(&archive, 19).unwrap();
        let initrd = folder.path().join("initrd");
        fs::write(&initrd, &compressed).unwrap();
        let root = VerifiedRoot::build(folder.path());
        let disk = root.on_disk(&folder.path().join("disk.raw"), "basalt-a");
        let live = root.on_disk(&folder.path().join("live.iso"), "basalt-live");
        let netboot_initrd = folder.path().join("netboot.initrd");
        // The kernel takes what is not compressed for an archive only at a multiple of 4 bytes.
        let mut both = compressed.clone();
        both.resize(both.len().next_multiple_of(4), 0);
        both.extend(root.archive());
        fs::write(&netboot_initrd, both).unwrap();
        let kernel = tree.join("boot").join(format!("vmlinuz-{version}"));
        let initrd_size = compressed.len() as u64;
        Fixture { kernel, initrd, initrd_size, plan, disk, live, netboot_initrd, folder }
    })
}

fn only_entry(directory: &Path) -> String {
    let mut names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let name = names.next().expect("a kernel").into_string().unwrap();
    assert!(names.next().is_none(), "{} holds several kernels", directory.display());
    name
}

fn read_modules(from: &Path, version: &str) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![from.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let inside = path.strip_prefix(from).unwrap().display().to_string();
                put(
                    &mut tree,
                    &format!("/usr/lib/modules/{version}/{inside}"),
                    0o644,
                    &fs::read(&path).unwrap(),
                );
            }
        }
    }
    tree
}

pub(crate) fn put(tree: &mut Tree, path: &str, mode: u16, bytes: &[u8]) {
    let kind = Kind::File(Content::inline(bytes));
    tree.insert(path, Node { metadata: Metadata::root_owned(mode), kind }).unwrap();
}

/// The bytes of `/data/file`: no two blocks are the same.
pub(crate) fn test_data() -> Vec<u8> {
    (0..2 * MIB / 8).flat_map(|word| (word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()).collect()
}

/// A root file system and its hash tree.
struct VerifiedRoot {
    root: Vec<u8>,
    hashes: HashTree,
}

impl VerifiedRoot {
    fn build(folder: &Path) -> Self {
        let root = root_image(folder);
        let blocks = root.len() as u64 / 4096;
        let params =
            Params { salt: Salt::from([7; 32]), uuid: Guid::from_bytes([3; 16]), data_blocks: blocks };
        let leaves = LeafHashes::new(params).unwrap();
        leaves.feed(0, &root).unwrap();
        Self { root, hashes: leaves.finish().unwrap() }
    }

    /// Both as partitions of an image whose table counts in sectors of 512 bytes.
    fn on_disk(&self, path: &Path, label: &str) -> TestDisk {
        let Self { root, hashes } = self;
        let root_offset = MIB;
        let hash_offset = root_offset + (root.len() as u64).next_multiple_of(MIB);
        let end = hash_offset + (hashes.bytes.len() as u64).next_multiple_of(MIB);
        let half = |from: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hashes.root.as_bytes()[from..from + 16]);
            Guid::from_bytes(bytes)
        };
        let part = |number, type_guid, guid, range: std::ops::Range<u64>, label: &str| Partition {
            number,
            type_guid,
            guid,
            first_lba: range.start / 512,
            last_lba: range.end / 512 - 1,
            attributes: Attributes::READ_ONLY,
            label: Some(label.parse().unwrap()),
        };
        let verity = format!("{label}-verity");
        let table = Table {
            disk_guid: Guid::from_bytes([9; 16]),
            sector_size: 512,
            total_sectors: (end + MIB) / 512,
            partitions: vec![
                part(2, types::ROOT_X86_64, half(0), root_offset..hash_offset, label),
                part(3, types::ROOT_VERITY_X86_64, half(16), hash_offset..end, &verity),
            ],
        };
        let file = File::create(path).unwrap();
        file.set_len(end + MIB).unwrap();
        for write in table.image_writes(EntriesPlace::First).unwrap() {
            file.write_all_at(&write.bytes, write.offset).unwrap();
        }
        file.write_all_at(root, root_offset).unwrap();
        file.write_all_at(&hashes.bytes, hash_offset).unwrap();
        let data = test_data();
        let data_offset =
            root_offset + root.windows(64).position(|window| window == &data[..64]).unwrap() as u64;
        TestDisk { path: path.to_owned(), root_hash: hashes.root, data_offset, hash_offset }
    }

    /// Both as files of a second archive of an initramfs.
    fn archive(&self) -> Vec<u8> {
        let mut tree = Tree::new();
        put(&mut tree, "/.basalt/root.erofs", 0o644, &self.root);
        put(&mut tree, "/.basalt/root.verity", 0o644, &self.hashes.bytes);
        cpio::write(&tree, &NoStores, EPOCH).unwrap()
    }
}

fn root_image(folder: &Path) -> Vec<u8> {
    let mut tree = Tree::new();
    for path in ["/dev", "/proc", "/sys", "/run", "/etc", "/var"] {
        tree.make_directories(path).unwrap();
    }
    put(&mut tree, "/etc/machine-id", 0o444, b"");
    put(&mut tree, "/data/file", 0o644, &test_data());
    put(&mut tree, "/sbin/init", 0o755, &fs::read(probe_program(folder)).unwrap());
    let options = Options { uuid: Guid::from_bytes([5; 16]), label: "test".into(), epoch: EPOCH };
    let layout = Layout::plan(&tree, &options).unwrap();
    let image = folder.join("root.erofs");
    let file = File::create(&image).unwrap();
    file.set_len(layout.image_size()).unwrap();
    layout.write(&NoStores, &Sink(file)).unwrap();
    let mut bytes = fs::read(image).unwrap();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    bytes
}

struct Sink(File);

impl WriteAt for Sink {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

/// The static program that stands for an image's init.
pub(crate) fn probe_program(folder: &Path) -> PathBuf {
    let program = folder.join("probe");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/probe.rs");
    // The compiler beside the cargo that built this test.
    let compiler = Program::at(Path::new(env!("CARGO")).with_file_name("rustc")).unwrap();
    let finished = Command::new(&compiler)
        .args(["--edition", "2024", "-O", "-C", "strip=symbols", "-C", "target-feature=+crt-static", "-o"])
        .args([&program, &source])
        .finish()
        .unwrap();
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    program
}

/// A machine that starts our initramfs with `disks`.
pub(crate) fn machine(arguments: &str, disks: &[(&TestDisk, Bus)]) -> Machine {
    let fixture = fixture();
    let append = format!("console=ttyS0 panic=1 {arguments}");
    let mut machine = Machine::kernel(&fixture.kernel, Some(&fixture.initrd), append);
    machine.on_reboot = OnReboot::Exit;
    machine.accel = Accel::Best;
    machine.memory = ByteSize::mib(512);
    for (disk, bus) in disks {
        let write = match bus {
            Bus::Cd => Write::Never,
            Bus::Virtio | Bus::Nvme | Bus::Ahci | Bus::Usb | Bus::Scsi | Bus::SdCard | Bus::Ide => {
                Write::Overlay { at_least: ByteSize::mib(64) }
            }
        };
        machine.disks.push(Disk { path: disk.path.clone(), format: DiskFormat::Raw, bus: *bus, write });
    }
    machine
}

/// The kernel arguments that name the root of `disk`.
pub(crate) fn root_of(disk: &TestDisk) -> String {
    format!("roothash={} gpt", disk.root_hash.hex())
}

/// What a machine said until it ended by itself.
pub(crate) struct Ended {
    pub(crate) text: String,
    pub(crate) seconds: f64,
}

/// Runs the machine until it powers off or restarts.
pub(crate) fn run(machine: &Machine) -> Ended {
    let began = Instant::now();
    let mut running: Running = basalt_vm::boot(machine).unwrap();
    let within = patience(&running, Duration::from_secs(20));
    running.wait_exit(within).unwrap_or_else(|error| {
        panic!("{error}\n{}", running.console().unwrap().tail(60));
    });
    let text = running.console().unwrap().text();
    Ended { text, seconds: began.elapsed().as_secs_f64() }
}

impl Ended {
    /// The text of the probe's line `what`.
    pub(crate) fn probe(&self, what: &str) -> &str {
        let prefix = format!("PROBE {what}: ");
        let line = self.text.lines().find_map(|line| line.split_once(&prefix).map(|(_, rest)| rest));
        let line = line.unwrap_or_else(|| panic!("the machine did not say `{what}`:\n{}", self.text));
        // The kernel may speak in the middle of a line: `[   12.061260] …`.
        line.split_once("[ ").map_or(line, |(before, _kernel)| before)
    }

    /// Fails unless the console showed `wanted`.
    pub(crate) fn assert_says(&self, wanted: &str) {
        assert!(self.text.contains(wanted), "`{wanted}` is not in:\n{}", self.text);
    }
}

/// A copy of `disk` with one byte inverted.
pub(crate) fn damaged(disk: &TestDisk, offset: u64, name: &str) -> TestDisk {
    let path = fixture().folder.path().join(name);
    fs::copy(&disk.path, &path).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
    TestDisk { path, ..disk.clone() }
}
