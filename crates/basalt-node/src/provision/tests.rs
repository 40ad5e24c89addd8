use basalt_formats::gpt::{self, Parsed, Table};
use basalt_formats::{ReadAt, WriteAt, gpt::EntriesPlace};
use basalt_image::layout::{GrowthIds, ImageIds, ImageInfo, LayoutSpec, plan_image, verity_ids};
use basalt_types::{Architecture, Digest, Guid};
use proptest::prelude::*;

use super::*;
use crate::{BootFacts, BootSlot, MachineId};

mod model;

use model::ModelDisk;

const DISK: ByteSize = ByteSize::mib(512);

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

fn image() -> ImageInfo {
    ImageInfo {
        name: "edge".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        id: Digest::of(b"recipe"),
        architecture: Architecture::Amd64,
        layout: layout(),
        data_file_system: FileSystem::Ext4,
    }
}

/// A disk that an image was written to.
fn flashed(size: ByteSize) -> ModelDisk {
    let ids = ImageIds { disk: Guid::from_u128(0xd15c), esp: Guid::from_u128(0xe5b) };
    let plan = plan_image(&layout(), Architecture::Amd64, &Digest::of(b"root"), ids);
    let disk = ModelDisk::new(size);
    for write in plan.table.image_writes(EntriesPlace::First).unwrap() {
        disk.write_at(write.offset, &write.bytes).unwrap();
    }
    disk.flush();
    disk
}

fn machine_id() -> MachineId {
    "0f9e8d7c6b5a49382716051423324150".parse().unwrap()
}

/// What an agent that starts now finds; the kernel has just read the table.
fn observe(disk: &ModelDisk, seed: u8) -> Observed {
    let table = Table::parse(disk, 512).unwrap();
    let data = find(&table.table, Role::Data).map(|(partition, _)| {
        let mut start = vec![0; Signature::BYTES];
        disk.read_at(partition.bytes(512).start, &mut start).unwrap();
        Signature::of(&start)
    });
    let kernel = table.table.partitions.iter().map(|partition| {
        let bytes = partition.bytes(512);
        KernelPartition {
            number: partition.number,
            start: bytes.start,
            size: ByteSize::bytes(bytes.end - bytes.start),
        }
    });
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
        image: image(),
        disk: DiskFacts { device: "/dev/vda".into(), kernel: kernel.collect(), table },
        rivals: Vec::new(),
        data,
        link: Link::Absent,
        credential: disk.credential().map_or(Credential::Absent, Credential::Present),
        machine_id: Some(machine_id()),
        ids: GrowthIds::from_seed([seed; 32]).unwrap(),
    }
}

/// Does what the plan says, as the agent does; gives false when the power is cut.
fn execute(disk: &ModelDisk, plan: &NodePlan) -> bool {
    for step in &plan.steps {
        let parsed = Table::parse(disk, 512).unwrap();
        for write in step.table_writes(&parsed).unwrap() {
            let alive = match write {
                gpt::Step::Write(write) => disk.write_at(write.offset, &write.bytes).is_ok(),
                gpt::Step::Flush => disk.flush(),
            };
            if !alive {
                return false;
            }
        }
        let alive = match step {
            Step::MakeFileSystem { number, .. } => {
                let start = parsed.table.partition(*number).unwrap().bytes(512).start;
                disk.write_at(start + 0x400, &ext4_superblock()).is_ok() && disk.flush()
            }
            Step::WriteCredential { machine_id, .. } => disk.write_credential(*machine_id),
            Step::WriteTable { .. }
            | Step::FinishPartition { .. }
            | Step::AddPartition(_)
            | Step::ResizePartition(_)
            | Step::CheckFileSystem { .. }
            | Step::LinkData { .. }
            | Step::GenerateHostKey { .. } => true,
        };
        if !alive {
            return false;
        }
    }
    true
}

fn ext4_superblock() -> [u8; 512] {
    let mut sector = [0x11; 512];
    sector[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
    sector
}

/// The plan for a machine as it was just observed, changed in one way.
#[track_caller]
fn refused(change: impl Fn(&mut Observed), expected: &[&str]) {
    let mut observed = observe(&flashed(DISK), 1);
    change(&mut observed);
    let refusals = plan_provision(&observed).unwrap_err();
    let text: Vec<String> =
        refusals.iter().map(|refusal| format!("{refusal} → {}", refusal.hint())).collect();
    assert_eq!(text, expected);
}

#[test]
fn the_first_boot_of_a_raw_image() {
    let plan = plan_provision(&observe(&flashed(DISK), 1)).unwrap();
    insta::assert_snapshot!(plan);
    insta::assert_json_snapshot!(plan);
}

#[test]
fn an_ordinary_boot_checks_and_links_and_then_nothing_is_left() {
    let disk = flashed(DISK);
    assert!(execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap()));
    let mut observed = observe(&disk, 2);
    insta::assert_snapshot!(plan_provision(&observed).unwrap(), @"
     1. check the ext4 of partition 8
     2. use partition 8 as /var
      · /dev/vda has all 8 partitions, and both copies of its table are sound
      · the ESP carries the machine id 0f9e8d7c6b5a49382716051423324150
    ");
    observed.link = Link::To("/dev/vda8".into());
    insta::assert_snapshot!(plan_provision(&observed).unwrap(), @"
    nothing to do:
      · /dev/vda has all 8 partitions, and both copies of its table are sound
      · /dev/vda8 is linked as /var
      · the ESP carries the machine id 0f9e8d7c6b5a49382716051423324150
    ");
}

#[test]
fn a_disk_that_becomes_larger_gives_all_of_it_to_data() {
    let small = flashed(DISK);
    assert!(execute(&small, &plan_provision(&observe(&small, 1)).unwrap()));
    let plan = plan_provision(&observe(&small.resized(ByteSize::gib(1)), 2)).unwrap();
    assert!(matches!(&plan.steps[0], Step::WriteTable { growth } if growth.data.is_some()), "{plan}");
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::MakeFileSystem { .. })), "{plan}");
}

#[test]
fn a_damaged_copy_is_repaired_and_nothing_else_happens() {
    let disk = flashed(DISK);
    assert!(execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap()));
    let before = observe(&disk, 1).disk.table.table;
    disk.write_at(512, &[0; 512]).unwrap();
    disk.flush();
    let plan = plan_provision(&observe(&disk, 2)).unwrap();
    assert_eq!(plan.steps[0].to_string(), "write the partition table: repair its copies");
    assert!(execute(&disk, &plan));
    let after = observe(&disk, 3).disk.table;
    assert_eq!((after.table, after.health), (before, gpt::Health::Sound));
}

#[test]
fn refusals_name_the_object_and_the_next_step() {
    refused(
        |observed| observed.boot.root_part_uuid = Guid::from_u128(5),
        &[
            "/dev/vda has no partition 00000000-0000-0000-0000-000000000005, from which this boot says it was started \
           → reboot; if it comes back, two disks of this machine carry the same image: remove one",
        ],
    );
    refused(
        |observed| {
            observed.rivals = vec![Rival { device: "/dev/sdb".into(), id: Guid::from_u128(0xd15c) }];
        },
        &[
            "/dev/vda and /dev/sdb both carry the id 00000000-0000-0000-0000-00000000d15c → remove one of /dev/vda and \
           /dev/sdb, or give /dev/sdb new ids: sgdisk --randomize-guids /dev/sdb",
        ],
    );
    refused(
        |observed| observed.image.layout.slot = ByteSize::gib(1),
        &[
            "/dev/vda can't be divided as the image wants: the disk has 512 MiB and the layout needs 2.1 GiB at least → \
           write the image to a disk of 2197MiB or more, or ask for smaller sizes in the recipe",
        ],
    );
    refused(
        |observed| observed.disk.kernel[1].start += 512,
        &[
            "the kernel has partition 2 of /dev/vda at byte 68157952, its table at byte 68157440 → reboot, so that the \
           kernel reads the table again",
        ],
    );
}

#[test]
fn a_finished_data_partition_is_never_formatted() {
    let disk = flashed(DISK);
    assert!(execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap()));
    for found in [Signature::Nothing, Signature::Luks, Signature::Unknown] {
        let refusals = plan_provision(&Observed { data: Some(found), ..observe(&disk, 2) }).unwrap_err();
        assert!(matches!(refusals[..], [Refusal::DataUnusable { .. }]), "{refusals:?}");
    }
    let xfs = Some(Signature::FileSystem(FileSystem::Xfs));
    let plan = plan_provision(&Observed { data: xfs, ..observe(&disk, 2) }).unwrap();
    assert_eq!(plan.steps, [Step::LinkData { number: 8 }]);
    assert!(matches!(plan.notes[1], Note::OtherFileSystem { .. }));
}

#[test]
fn the_esp_keeps_the_id_that_it_has() {
    let disk = flashed(DISK);
    assert!(execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap()));
    let observed = observe(&disk, 2);
    let other: MachineId = "11111111111111111111111111111111".parse().unwrap();
    let notes = |observed: Observed| plan_provision(&observed).unwrap().notes;
    let differs = Note::CredentialDiffers { stored: machine_id(), running: other };
    assert!(notes(Observed { machine_id: Some(other), ..observed.clone() }).contains(&differs));
    assert!(notes(Observed { machine_id: None, ..observed.clone() }).contains(&Note::NoMachineId));
    let plan = plan_provision(&Observed { credential: Credential::Malformed, ..observed }).unwrap();
    assert!(matches!(plan.steps.last(), Some(Step::WriteCredential { number: 1, .. })), "{plan}");
}

#[test]
fn devices_are_named_as_linux_names_them() {
    assert_eq!(partition_path("/dev/vda", 8), "/dev/vda8");
    assert_eq!(partition_path("/dev/nvme0n1", 8), "/dev/nvme0n1p8");
    assert_eq!(partition_path("/dev/mmcblk0", 1), "/dev/mmcblk0p1");
}

/// How many writes and flushes a whole first boot takes.
fn operations_of_a_first_boot() -> usize {
    let disk = flashed(DISK);
    let before = disk.operations();
    assert!(execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap()));
    disk.operations() - before
}

/// What must hold of a disk at any time: its table can be read, and slot A is what the builder made.
fn check_always(disk: &ModelDisk) -> Parsed {
    let parsed = Table::parse(disk, 512).unwrap();
    let built = Table::parse(&flashed(DISK), 512).unwrap().table;
    assert_eq!(parsed.table.partitions[..3], built.partitions);
    parsed
}

/// Runs the agent again and again, each time with another seed, until a boot is not cut.
fn reach_the_end(disk: &ModelDisk, seed: u8) {
    let observed = observe(disk, seed);
    let had_data =
        find(&observed.disk.table.table, Role::Data).is_some_and(|(_, state)| state == State::Finished);
    let plan = plan_provision(&observed).unwrap();
    let formats = plan.steps.iter().any(|step| matches!(step, Step::MakeFileSystem { .. }));
    assert!(!(had_data && formats), "a finished partition was formatted again");
    assert!(execute(disk, &plan));
    let linked = Link::To("/dev/vda8".into());
    let plan = plan_provision(&Observed { link: linked, ..observe(disk, seed + 1) }).unwrap();
    assert_eq!(plan.steps, [], "planning again must find nothing");
    let labels: Vec<_> = observe(disk, 9)
        .disk
        .table
        .table
        .partitions
        .iter()
        .map(|p| p.label.clone().unwrap().to_string())
        .collect();
    assert_eq!(labels[3..7], ["PRT#basalt-b", "PRT#basalt-b-verity", "PRT#basalt-r", "PRT#basalt-r-verity"]);
    assert_eq!(labels[7], "basalt-data");
}

#[test]
fn power_cut_after_every_write_and_flush() {
    for operations in 0..operations_of_a_first_boot() {
        for lose_cache in [false, true] {
            let disk = flashed(DISK);
            disk.cut_after(operations);
            execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap());
            let disk = disk.after_power_cut(|_| !lose_cache);
            check_always(&disk);
            reach_the_end(&disk, 2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Two cuts in a row, where any part of what was not flushed is lost, sector by sector.
    #[test]
    fn power_cuts_that_lose_any_unflushed_sectors(
        first in 0usize..24, second in 0usize..24, kept in prop::collection::vec(any::<bool>(), 64),
    ) {
        let disk = flashed(DISK);
        disk.cut_after(first);
        execute(&disk, &plan_provision(&observe(&disk, 1)).unwrap());
        let disk = disk.after_power_cut(|sector| kept[sector % kept.len()]);
        check_always(&disk);
        disk.cut_after(second);
        execute(&disk, &plan_provision(&observe(&disk, 2)).unwrap());
        let disk = disk.after_power_cut(|sector| kept[(sector + second) % kept.len()]);
        check_always(&disk);
        reach_the_end(&disk, 3);
    }
}
