//! The executor on a sparse file, with the real mkfs.ext4 and e2fsck, cut after every operation.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    sync::atomic::{AtomicUsize, Ordering},
};

use basalt_exec::{
    block::Disk,
    command::{Command, Program},
};
use basalt_formats::gpt::{EntriesPlace, Health};
use basalt_image::layout::{GrowthIds, ImageIds, ImageInfo, LayoutSpec, Role, plan_image, verity_ids};
use basalt_node::{
    BootFacts, BootSlot, Credential, DiskFacts, HostKey, KernelPartition, Link, NodePlan, Observed,
    Signature, plan_provision,
};
use basalt_spec::FileSystem;
use basalt_types::{Architecture, ByteSize, Digest, Guid};

use super::*;
use crate::observe::Window;

const SIZE: ByteSize = ByteSize::mib(384);

/// A disk whose power goes after some writes and flushes.
struct CutMedium {
    disk: DiskMedium,
    left: AtomicUsize,
}

/// A machine whose power goes too, and which remembers what it was told.
struct FakeMachine<'a> {
    medium: &'a CutMedium,
    told: Cell<usize>,
    link: Cell<Option<u32>>,
    credential: RefCell<Option<MachineId>>,
}

impl CutMedium {
    fn new(path: &std::path::Path, operations: usize) -> Self {
        Self { disk: DiskMedium(Disk::open_locked(path).unwrap()), left: AtomicUsize::new(operations) }
    }

    fn spend(&self) -> io::Result<()> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(drop).map_err(|_empty| io::Error::other("the power is off"))
    }
}

impl ReadAt for CutMedium {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, buffer)
    }
}

impl Medium for CutMedium {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.disk.write(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.spend()?;
        self.disk.flush()
    }

    fn forget(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.forget(offset, length)
    }

    fn sector_size(&self) -> u32 {
        self.disk.sector_size()
    }
}

impl Machine for FakeMachine<'_> {
    fn tell_kernel(&self, _news: News, _place: Place) -> Result<(), ExecuteError> {
        self.told.set(self.told.get() + 1);
        Ok(())
    }

    fn volume(&self, number: u32, table: &Table) -> Volume {
        let bytes = table.partition(number).unwrap().bytes(512);
        let part = Some((bytes.start, bytes.end - bytes.start));
        Volume { path: self.medium.disk.0.path().to_owned(), part }
    }

    fn link_data(&self, number: u32) -> Result<(), ExecuteError> {
        self.medium.spend().map_err(ExecuteError::Disk)?;
        self.link.set(Some(number));
        Ok(())
    }

    fn keep_machine_id(&self, _number: u32, id: MachineId) -> Result<(), ExecuteError> {
        self.medium.spend().map_err(ExecuteError::Disk)?;
        *self.credential.borrow_mut() = Some(id);
        Ok(())
    }
}

fn layout() -> LayoutSpec {
    LayoutSpec {
        esp: ByteSize::mib(64),
        slot: ByteSize::mib(16),
        verity: ByteSize::mib(1),
        slot_b: true,
        recovery: true,
        data_minimum: ByteSize::mib(64),
    }
}

/// A sparse file that the image was written to; slot A holds something.
fn flashed() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(SIZE.get()).unwrap();
    let ids = ImageIds { disk: Guid::from_u128(0xd15c), esp: Guid::from_u128(0xe5b) };
    let plan = plan_image(&layout(), Architecture::Amd64, &Digest::of(b"root"), ids);
    let disk = Disk::open_locked(file.path()).unwrap();
    for write in plan.table.image_writes(EntriesPlace::First).unwrap() {
        disk.write_at(write.offset, &write.bytes).unwrap();
    }
    disk.write_at(plan.root.start, b"the root").unwrap();
    file
}

fn observe(path: &std::path::Path, seed: u8, link: Link) -> Observed {
    let disk = DiskMedium(Disk::open(path).unwrap());
    let table = Table::parse(&disk, 512).unwrap();
    let data = table.table.labelled("basalt-data").map(|partition| {
        let bytes = partition.bytes(512);
        let window = Window { whole: &disk, start: bytes.start, size: bytes.end - bytes.start };
        let mut start = vec![0; Signature::BYTES];
        window.read_at(0, &mut start).unwrap();
        Signature::of(&start)
    });
    let kernel = |partition: &gpt::Partition| {
        let bytes = partition.bytes(512);
        let size = ByteSize::bytes(bytes.end - bytes.start);
        KernelPartition { number: partition.number, start: bytes.start, size }
    };
    Observed {
        boot: BootFacts {
            root_hash: Digest::of(b"root"),
            root_device: "/dev/vda2".into(),
            verity_device: "/dev/vda3".into(),
            disk: Some("/dev/vda".into()),
            root_part_uuid: verity_ids(&Digest::of(b"root"))[0],
            slot: Some(BootSlot::A),
            init_start_usec: 0,
            init_end_usec: 0,
        },
        image: ImageInfo {
            name: "edge".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            id: Digest::of(b"recipe"),
            architecture: Architecture::Amd64,
            layout: layout(),
            data_file_system: FileSystem::Ext4,
        },
        disk: DiskFacts {
            device: "/dev/vda".into(),
            kernel: table.table.partitions.iter().map(kernel).collect(),
            table,
        },
        rivals: Vec::new(),
        data,
        link,
        credential: Credential::Absent,
        machine_id: Some("0f9e8d7c6b5a49382716051423324150".parse().unwrap()),
        ids: GrowthIds::from_seed([seed; 32]).unwrap(),
    }
}

/// Runs the plan with so many operations of power; gives how many were left, or none when they did not suffice.
fn run(path: &std::path::Path, plan: &NodePlan, operations: usize) -> Option<usize> {
    let medium = CutMedium::new(path, operations);
    let machine = FakeMachine {
        medium: &medium,
        told: Cell::new(0),
        link: Cell::new(None),
        credential: RefCell::new(None),
    };
    let done = plan.steps.iter().try_for_each(|wanted| step(wanted, &medium, &machine));
    done.is_ok().then(|| medium.left.load(Ordering::SeqCst))
}

/// The tool ends with exit code 0 and says these words.
#[track_caller]
fn judged(program: &str, package: &'static str, arguments: &[&str], words: &str) {
    let output = Command::new(&Program::find(program, package).unwrap()).args(arguments).run().unwrap();
    let said = String::from_utf8_lossy(&output);
    assert!(said.contains(words), "{program}: {said}");
}

/// Other people's tools accept the disk and its file system, and slot A holds what it held.
#[track_caller]
fn check_finished(path: &std::path::Path) {
    let shown = path.to_str().unwrap();
    judged("sfdisk", "fdisk", &["--verify", shown], "No errors detected");
    judged("sgdisk", "gdisk", &["--verify", shown], "No problems found");
    let disk = DiskMedium(Disk::open(path).unwrap());
    let parsed = Table::parse(&disk, 512).unwrap();
    assert_eq!((parsed.health, parsed.backup_at_end), (Health::Sound, true));
    let data = parsed.table.labelled("basalt-data").unwrap().bytes(512);
    judged("e2fsck", "e2fsprogs", &["-f", "-n", &format!("{shown}?offset={}", data.start)], "basalt-data: ");
    let mut root = [0; 8];
    disk.read_at(parsed.table.labelled("basalt-a").unwrap().bytes(512).start, &mut root).unwrap();
    assert_eq!(&root, b"the root");
}

#[test]
fn a_first_boot_makes_a_disk_that_other_tools_accept() {
    let file = flashed();
    let plan = plan_provision(&observe(file.path(), 1, Link::Absent)).unwrap();
    assert!(run(file.path(), &plan, 1000).is_some());
    check_finished(file.path());
    let again = plan_provision(&observe(file.path(), 2, Link::To("/dev/vda8".into()))).unwrap();
    assert!(matches!(again.steps[..], [Step::WriteCredential { .. }]), "{again}");
}

#[test]
fn a_plan_that_was_done_can_be_done_again() {
    let file = flashed();
    let plan = plan_provision(&observe(file.path(), 1, Link::Absent)).unwrap();
    assert!(run(file.path(), &plan, 1000).is_some());
    let boot = plan_provision(&observe(file.path(), 2, Link::Absent)).unwrap();
    assert!(boot.steps.iter().any(|step| matches!(step, Step::CheckFileSystem { .. })), "{boot}");
    assert!(run(file.path(), &boot, 1000).is_some());
    assert!(run(file.path(), &boot, 1000).is_some());
    check_finished(file.path());
}

#[test]
fn power_cut_after_every_operation_and_the_next_boot_finishes() {
    let operations = {
        let file = flashed();
        let plan = plan_provision(&observe(file.path(), 1, Link::Absent)).unwrap();
        1000 - run(file.path(), &plan, 1000).unwrap()
    };
    assert!(operations > 12, "{operations}");
    for cut in 0..operations {
        let file = flashed();
        let plan = plan_provision(&observe(file.path(), 1, Link::Absent)).unwrap();
        assert_eq!(run(file.path(), &plan, cut), None, "cut after {cut}");
        let plan = plan_provision(&observe(file.path(), 2, Link::Absent)).unwrap();
        assert!(run(file.path(), &plan, 1000).is_some(), "cut after {cut}");
        check_finished(file.path());
    }
}

#[test]
fn a_file_system_that_needs_a_person_is_an_error_and_not_formatted() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let volume = Volume { path: file.path().to_owned(), part: None };
    filesystem::make(&volume, FileSystem::Ext4, "basalt-data", Guid::from_u128(1)).unwrap();
    filesystem::check(&volume, FileSystem::Ext4).unwrap();
    let disk = Disk::open_locked(file.path()).unwrap();
    // The magic number of the primary superblock: e2fsck wants to be told which backup to take.
    disk.write_at(0x438, &[0, 0]).unwrap();
    drop(disk);
    let before = fs::read(file.path()).unwrap();
    let error = filesystem::check(&volume, FileSystem::Ext4).unwrap_err();
    assert!(matches!(error, ExecuteError::Broken { program: "e2fsck", code: 8, .. }), "{error:?}");
    assert!(fs::read(file.path()).unwrap() == before, "nothing may be written");
}

#[test]
fn host_keys_are_made_whole_and_what_a_cut_left_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let keygen = SshKeygen { directory: directory.path().join("ssh") };
    let left = directory.path().join("ssh/.new-ed25519");
    fs::create_dir_all(&left).unwrap();
    File::create(left.join("ssh_host_ed25519_key")).unwrap();
    keygen.execute(&Step::GenerateHostKey { kind: HostKey::Ed25519 }).unwrap();
    let facts = crate::observe::ssh(&keygen.directory).unwrap();
    assert_eq!(facts.keys, [HostKey::Ed25519]);
    assert!(!left.exists());
    fs::write(keygen.directory.join("ssh_host_rsa_key"), "-----BEGIN").unwrap();
    assert_eq!(crate::observe::ssh(&keygen.directory).unwrap().keys, [HostKey::Ed25519]);
    let wrong = keygen.execute(&Step::LinkData { number: 8 }).unwrap_err();
    assert_eq!(wrong.to_string(), "`use partition 8 as /var` is no step of this command");
}

#[test]
fn the_link_and_the_id_go_to_the_partitions_of_the_boot_disk() {
    let file = flashed();
    let medium = CutMedium::new(file.path(), 1000);
    let machine = FakeMachine {
        medium: &medium,
        told: Cell::new(0),
        link: Cell::new(None),
        credential: RefCell::new(None),
    };
    let plan = plan_provision(&observe(file.path(), 1, Link::Absent)).unwrap();
    for wanted in &plan.steps {
        step(wanted, &medium, &machine).unwrap();
    }
    assert_eq!((machine.told.get(), machine.link.get()), (5, Some(8)));
    assert_eq!(machine.credential.take().unwrap().to_string(), "0f9e8d7c6b5a49382716051423324150");
    assert_eq!(Role::Data.name(), "basalt-data");
}
