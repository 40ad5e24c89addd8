use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use basalt_formats::{
    gpt::{Attributes, EntriesPlace, Partition, Table},
    modules::ModuleIndex,
    verity::{Salt, Superblock},
};
use basalt_types::Guid;

use crate::{
    attach::slice,
    choose::{BootSlot, Choice, FoundRoot, choose},
    disks::{
        BlockNode, Disk, DiskPartition, KernelPartition, Place, kernel_partitions, loader_partition,
        observe_one, slices,
    },
    drivers::{Drivers, modaliases},
    error::InitError,
    plan::{Facts, MachineId, PlanError, Step, plan},
    report::Story,
    wanted::{Wanted, reboot_delay},
};

const HASH: &str = "0123456789abcdef0123456789abcdef" /* root */;
const TREE: &str = "fedcba9876543210fedcba9876543210" /* its hash tree */;

fn wanted(more: &str) -> Wanted {
    Wanted::parse(&format!("quiet roothash={HASH}{TREE} gpt {more}\n")).unwrap()
}

fn node(name: &str, number: &str) -> BlockNode {
    BlockNode { name: name.into(), number: number.into(), size: 1 << 30 }
}

fn partition(number: u32, guid: Guid, label: &str, node: BlockNode) -> DiskPartition {
    DiskPartition { number, guid, label: Some(label.into()), place: Some(Place::Node(node)) }
}

const ESP: Guid = Guid::from_u128(0xe5e5);

/// A disk with an ESP, the wanted root in slot A and its hash tree.
fn disk(name: &str, esp: Guid, external: bool) -> (String, Disk) {
    let wanted = wanted("");
    let partitions = vec![
        partition(1, esp, "esp", node(&format!("{name}1"), "254:1")),
        partition(2, wanted.root_partition(), "basalt-a", node(&format!("{name}2"), "254:2")),
        partition(3, wanted.hash_partition(), "basalt-a-verity", node(&format!("{name}3"), "254:3")),
    ];
    (name.to_owned(), Disk { name: name.to_owned(), size: 4 << 30, external, table: Ok(partitions) })
}

fn change(disk: &mut Disk, index: usize, change: impl Fn(&mut DiskPartition)) {
    change(&mut disk.table.as_mut().unwrap()[index]);
}

#[test]
fn the_command_line_gives_the_root_and_its_partitions() {
    let wanted =
        wanted("basalt.device_timeout=5 init=/bin/x usb-storage.quirks=1:2:u modprobe.blacklist=a-b,c");
    assert_eq!(wanted.root_partition().to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(wanted.hash_partition().to_string(), "fedcba98-7654-3210-fedc-ba9876543210");
    assert_eq!(wanted.device_timeout, Duration::from_secs(5));
    assert_eq!(wanted.init.as_deref(), Some("/bin/x"));
    assert!(wanted.module_parameters.contains(&("usb_storage".into(), "quirks=1:2:u".into())));
    assert_eq!(wanted.blacklist, ["a_b", "c"]);
}

#[test]
fn a_wrong_command_line_is_refused_by_name() {
    let check = |line: &str, message: &str| assert_eq!(Wanted::parse(line).unwrap_err().to_string(), message);
    check("quiet", "the kernel command line has no roothash=");
    check("roothash=12", "roothash= is not 64 hex digits");
    let (one, other) = (format!("{HASH}{TREE}"), format!("{TREE}{HASH}"));
    check(
        &format!("roothash={one} roothash={other}"),
        "the kernel command line has several roothash=, and they differ",
    );
    check(
        &format!("roothash={one} basalt.device_timeout=soon"),
        "basalt.device_timeout=soon is not a number of seconds",
    );
    assert!(Wanted::parse(&format!("roothash={one} roothash={one}")).is_ok());
}

#[test]
fn a_failure_stays_readable_for_as_long_as_was_asked() {
    assert_eq!(reboot_delay("basalt.reboot_delay=3"), Duration::from_secs(3));
    assert_eq!(reboot_delay("basalt.reboot_delay=x"), Duration::from_secs(10));
    assert_eq!(reboot_delay(""), Duration::from_secs(10));
}

fn check_choice(disks: Vec<(String, Disk)>, loader: Option<Guid>, settled: bool, wanted_choice: &str) {
    let disks: BTreeMap<_, _> = disks.into_iter().collect();
    let said = match choose(&wanted(""), &disks, loader, settled) {
        Choice::Use(FoundRoot { disk, passed_over, .. }) => {
            format!("use {}, not {passed_over:?}", disk.unwrap_or_default())
        }
        Choice::WaitForRoot => "wait".to_owned(),
        Choice::WaitForBetter => "wait for a better one".to_owned(),
        Choice::Ambiguous(names) => format!("ambiguous {names:?}"),
    };
    assert_eq!(said, wanted_choice);
}

#[test]
fn one_disk_inside_the_machine_is_used_at_once() {
    check_choice(vec![disk("vda", ESP, false)], None, false, "use vda, not []");
    check_choice(vec![], None, true, "wait");
}

#[test]
fn the_disk_of_the_boot_loader_comes_first() {
    let other = Guid::from_u128(1);
    let both = || vec![disk("nvme0n1", other, false), disk("sda", ESP, true)];
    check_choice(both(), Some(ESP), false, r#"use sda, not ["nvme0n1"]"#);
    check_choice(both(), Some(other), false, r#"use nvme0n1, not ["sda"]"#);
    // It may still appear; when it does not, what is inside counts.
    check_choice(vec![disk("vda", other, false)], Some(ESP), false, "wait for a better one");
    check_choice(vec![disk("vda", other, false)], Some(ESP), true, "use vda, not []");
}

#[test]
fn an_external_disk_is_used_when_nothing_else_comes() {
    check_choice(vec![disk("sda", ESP, true)], None, false, "wait for a better one");
    check_choice(vec![disk("sda", ESP, true)], None, true, "use sda, not []");
    check_choice(
        vec![disk("sda", ESP, true), disk("vda", ESP, false)],
        None,
        false,
        r#"use vda, not ["sda"]"#,
    );
    // A copy of the whole disk has the same ESP.
    check_choice(
        vec![disk("sda", ESP, true), disk("vda", ESP, false)],
        Some(ESP),
        false,
        r#"use vda, not ["sda"]"#,
    );
}

#[test]
fn disks_that_are_as_good_as_each_other_are_refused() {
    let two = |external| vec![disk("sda", ESP, external), disk("sdb", ESP, external)];
    check_choice(two(false), None, false, r#"ambiguous ["sda", "sdb"]"#);
    check_choice(two(false), Some(ESP), false, r#"ambiguous ["sda", "sdb"]"#);
    check_choice(two(true), None, true, r#"ambiguous ["sda", "sdb"]"#);
}

/// The same root on a live medium.
fn live_disk(name: &str, esp: Guid) -> (String, Disk) {
    let (name, mut disk) = disk(name, esp, true);
    change(&mut disk, 1, |partition| partition.label = Some("basalt-live".into()));
    change(&mut disk, 2, |partition| partition.label = Some("basalt-live-verity".into()));
    (name, disk)
}

/// A disk with both slots' release as its recovery system, whose partitions have ids of their own.
fn disk_with_recovery(label: &str) -> BTreeMap<String, Disk> {
    let (name, mut disk) = disk("vda", ESP, false);
    let table = disk.table.as_mut().unwrap();
    for (number, label) in [(7, label.to_owned()), (8, format!("{label}-verity"))] {
        let name = format!("vda{number}");
        table.push(partition(number, Guid::from_u128(number.into()), &label, node(&name, "254:7")));
    }
    BTreeMap::from([(name, disk)])
}

#[test]
fn the_recovery_system_is_started_when_its_entry_says_so_and_never_else() {
    let started = |label, recovery| {
        let wanted = Wanted { recovery, ..wanted("") };
        match choose(&wanted, &disk_with_recovery(label), Some(ESP), true) {
            Choice::Use(found) => found.slot.map(|slot| slot.to_string()),
            Choice::WaitForRoot | Choice::WaitForBetter | Choice::Ambiguous(_) => None,
        }
    };
    assert_eq!(started("basalt-r", true).as_deref(), Some("recovery"));
    assert_eq!(started("basalt-r", false).as_deref(), Some("a"));
    assert_eq!(started("PRT#basalt-r", true), None, "what was not written whole is not started");
}

#[test]
fn a_live_medium_is_used_when_it_was_asked_for_and_never_else() {
    let check = |disks: Vec<(String, Disk)>, arguments: &str, said: &str| {
        let disks: BTreeMap<_, _> = disks.into_iter().collect();
        let slot = match choose(&wanted(arguments), &disks, None, true) {
            Choice::Use(FoundRoot { disk, slot, .. }) => format!("{} {}", disk.unwrap(), slot.unwrap()),
            other @ (Choice::WaitForRoot | Choice::WaitForBetter | Choice::Ambiguous(_)) => {
                format!("{other:?}")
            }
        };
        assert_eq!(slot, said);
    };
    let other = Guid::from_u128(1);
    check(vec![live_disk("sda", other), disk("vda", ESP, false)], "", "vda a");
    check(vec![live_disk("sda", other), disk("vda", ESP, false)], "basalt.live", "sda live");
    check(vec![live_disk("sr0", other), live_disk("sda", other)], "basalt.live", "sda live");
    check(vec![disk("vda", ESP, false)], "basalt.live", "WaitForRoot");
    check(vec![live_disk("sr0", other)], "", "WaitForRoot");
}

#[test]
fn an_incomplete_disk_is_no_candidate() {
    let spoil = |index: usize, by: fn(&mut DiskPartition)| {
        let (name, mut disk) = disk("vda", ESP, false);
        change(&mut disk, index, by);
        check_choice(vec![(name, disk)], None, true, "wait");
    };
    spoil(1, |partition| partition.label = Some("PRT#basalt-a".into()));
    spoil(2, |partition| partition.place = None);
    spoil(2, |partition| partition.guid = Guid::from_u128(7));
}

fn facts() -> Facts {
    let found = FoundRoot {
        disk: Some("vda".into()),
        external: false,
        root: Place::Node(node("vda2", "254:2")),
        hash: Place::Node(node("vda3", "254:3")),
        partition: None,
        slot: Some(BootSlot::A),
        passed_over: Vec::new(),
    };
    let salt = Salt::new([0xab, 0xcd]).unwrap();
    let superblock = Superblock { uuid: Guid::from_u128(0x1234), data_blocks: 100, salt };
    let machine_id = MachineId::parse(&"5".repeat(32));
    let (root, hash) = (node("vda2", "254:2"), node("vda3", "254:3"));
    Facts {
        found,
        root,
        hash,
        superblock,
        machine_id,
        started: 7,
        arguments: vec!["--flag".into()],
        measured: true,
    }
}

#[test]
fn the_plan_verifies_before_it_mounts_and_hands_over_last() {
    let steps = plan(&wanted(""), &facts()).unwrap();
    let said: Vec<String> = steps.iter().map(summary).collect();
    assert_eq!(
        said,
        [
            format!(
                "activate root 800 verity 1 254:2 254:3 4096 4096 100 1 sha256 {HASH}{TREE} abcd \
                 as CRYPT-VERITY-00000000000000000000000000001234-root"
            ),
            "check root".to_owned(),
            "mount erofs /sysroot ".to_owned(),
            "directory /run/basalt/etc".to_owned(),
            "directory /run/basalt/etc/upper".to_owned(),
            "directory /run/basalt/etc/work".to_owned(),
            "mount overlay /sysroot/etc lowerdir=/sysroot/etc,upperdir=/run/basalt/etc/upper,\
             workdir=/run/basalt/etc/work"
                .to_owned(),
            format!("write /sysroot/etc/machine-id {}", "5".repeat(32)),
            "measure leave-initrd".to_owned(),
            "move /dev /sysroot/dev".to_owned(),
            "move /proc /sysroot/proc".to_owned(),
            "move /sys /sysroot/sys".to_owned(),
            "move /run /sysroot/run".to_owned(),
            "record /sysroot/run/basalt/boot.json /dev/vda2 /dev/vda3 /dev/vda".to_owned(),
            "switch /sysroot".to_owned(),
            r#"become ["/usr/lib/systemd/systemd", "/sbin/init"] ["--flag"]"#.to_owned(),
        ]
    );
    // Where the stub measured nothing, the register means nothing.
    let unmeasured = plan(&wanted(""), &Facts { measured: false, ..facts() }).unwrap();
    assert!(!unmeasured.iter().any(|step| matches!(step, Step::Measure(_))));
}

fn summary(step: &Step) -> String {
    match step {
        Step::Activate(device) => format!(
            "activate {} {} {} {} as {}",
            device.name, device.sectors, device.target, device.parameters, device.uuid
        ),
        Step::CheckRoot(device) => format!("check {}", device.name),
        Step::MakeDirectory(path) => format!("directory {}", path.display()),
        Step::Mount(mount) => format!("mount {} {} {}", mount.kind, mount.target.display(), mount.data),
        Step::WriteFile { path, content } => format!("write {} {}", path.display(), content.trim_end()),
        Step::Measure(phase) => format!("measure {}", phase.word()),
        Step::MoveMount { from, to } => format!("move {} {}", from.display(), to.display()),
        Step::WriteRecord { path, record } => {
            let (root, hash, disk) = (&record.root_device, &record.verity_device, record.disk.as_deref());
            format!("record {} {root} {hash} {}", path.display(), disk.unwrap_or("-"))
        }
        Step::SwitchRoot(path) => format!("switch {}", path.display()),
        Step::Become { programs, arguments } => format!("become {programs:?} {arguments:?}"),
    }
}

#[test]
fn a_live_system_has_its_data_in_memory() {
    let mut facts = facts();
    facts.found.slot = Some(BootSlot::Live);
    facts.found.disk = None;
    let said: Vec<String> = plan(&wanted(""), &facts).unwrap().iter().map(summary).collect();
    let data = said.iter().position(|step| step == "mount tmpfs /sysroot/var mode=0755").unwrap();
    let moved = said.iter().position(|step| step.starts_with("move ")).unwrap();
    assert!(data < moved, "{said:?}");
    assert!(said.contains(&"record /sysroot/run/basalt/boot.json /dev/vda2 /dev/vda3 -".to_owned()));
}

#[test]
fn a_partition_of_a_cd_is_a_slice_of_it() {
    let table = Table {
        disk_guid: ESP,
        sector_size: 512,
        total_sectors: 16384,
        partitions: vec![Partition {
            number: 2,
            type_guid: ESP,
            guid: Guid::from_u128(2),
            first_lba: 4096,
            last_lba: 8191,
            attributes: Attributes::READ_ONLY,
            label: Some("basalt-live".parse().unwrap()),
        }],
    };
    let mut medium = vec![0; 16384 * 512];
    for write in table.image_writes(EntriesPlace::First).unwrap() {
        let start = usize::try_from(write.offset).unwrap();
        medium[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    let cd = BlockNode { name: "sr0".into(), number: "11:0".into(), size: medium.len() as u64 };
    let found = slices(&Table::parse(&medium, 512).unwrap(), &cd);
    let place = Place::Slice(cd.clone(), 4096 * 512..8192 * 512);
    let label = Some("basalt-live".into());
    assert_eq!(found, [DiskPartition { number: 2, guid: Guid::from_u128(2), label, place: Some(place) }]);

    let device = slice("live-root", &cd, 4096 * 512, 4096 * 512);
    assert_eq!((device.sectors, device.parameters.as_str()), (4096, "11:0 4096"));
}

#[test]
fn the_command_line_may_name_another_init() {
    let steps = plan(&wanted("init=/bin/other"), &Facts { machine_id: None, ..facts() }).unwrap();
    assert_eq!(summary(steps.last().unwrap()), r#"become ["/bin/other"] ["--flag"]"#);
    assert!(!steps.iter().any(|step| matches!(step, Step::WriteFile { .. })));
}

#[test]
fn partitions_that_are_smaller_than_the_superblock_says_are_refused() {
    let mut facts = facts();
    facts.superblock.data_blocks = (1 << 30) / 4096 + 1;
    let refusal = plan(&wanted(""), &facts).unwrap_err();
    let need = (1 << 30) + 4096;
    assert_eq!(refusal, PlanError::TooSmall { device: "vda2".into(), have: 1 << 30, need });
}

#[test]
fn the_record_is_what_the_agent_reads() {
    let steps = plan(&wanted(""), &facts()).unwrap();
    let is_record = |step: &&Step| matches!(step, Step::WriteRecord { .. });
    let Some(Step::WriteRecord { record, .. }) = steps.iter().find(is_record) else {
        panic!("no record in {steps:?}");
    };
    let json = serde_json::to_value(record).unwrap();
    let expected = serde_json::json!({
        "rootHash": format!("{HASH}{TREE}"),
        "rootDevice": "/dev/vda2",
        "verityDevice": "/dev/vda3",
        "disk": "/dev/vda",
        "rootPartUuid": "01234567-89ab-cdef-0123-456789abcdef",
        "slot": "a",
        "initStartUsec": 7,
        "initEndUsec": 0,
    });
    assert_eq!(json, expected);
}

#[test]
fn a_machine_id_is_32_hex_digits_and_not_zero() {
    assert!(MachineId::parse("0123456789abcdef0123456789abcdef\n").is_some());
    let zero = "0".repeat(32);
    for wrong in ["", "0123", "0123456789ABCDEF0123456789abcdef", zero.as_str()] {
        assert_eq!(MachineId::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn the_boot_loaders_variable_names_its_partition() {
    let mut variable = vec![6, 0, 0, 0];
    variable.extend("4E6F2B40-0000-4000-8000-0123456789AB\0".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(loader_partition(&variable).unwrap().to_string(), "4e6f2b40-0000-4000-8000-0123456789ab");
    for end in 0..variable.len() - 2 {
        assert_eq!(loader_partition(&variable[..end]), None);
    }
}

#[test]
fn a_failure_tells_what_was_wanted_and_found() {
    let (name, mut found) = disk("vda", ESP, false);
    change(&mut found, 1, |partition| partition.guid = Guid::from_u128(7));
    change(&mut found, 0, |partition| partition.place = None);
    let empty = Disk {
        name: "sdb".into(),
        size: 8 << 30,
        external: true,
        table: Err("no `EFI PART` at sector 1".into()),
    };
    let story = Story {
        wanted: Some(wanted("")),
        disks: [(name, found), ("sdb".into(), empty)].into(),
        driver_failures: vec!["the kernel refuses the module x.ko: bad".into()],
    };
    let text = story.tell(&InitError::NotFound(Duration::from_secs(60)));
    assert_eq!(
        text,
        "\
the machine can't start: no disk brought both partitions within 60 s (basalt.device_timeout=)
wanted  root hash 0123456789abcdef0123456789abcdeffedcba9876543210fedcba9876543210
wanted  partition 01234567-89ab-cdef-0123-456789abcdef (root) and fedcba98-7654-3210-fedc-ba9876543210 (its hash tree)
wanted  a disk: a live medium counts only with basalt.live
found   sdb, 8 GiB, external: no `EFI PART` at sector 1
found   vda, 4 GiB
found     1 00000000-0000-0000-0000-00000000e5e5 esp  (the kernel has no device for it)
found     2 00000000-0000-0000-0000-000000000007 basalt-a
found     3 fedcba98-7654-3210-fedc-ba9876543210 basalt-a-verity  <- wanted
driver  the kernel refuses the module x.ko: bad
"
    );
}

fn write(sys: &Path, path: &str, text: &str) {
    let path = sys.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

#[test]
fn the_kernels_partitions_are_found_by_number() {
    let sys = tempfile::tempdir().unwrap();
    for (name, value) in [("partition", "2"), ("start", "2048"), ("size", "16"), ("dev", "259:3")] {
        write(sys.path(), &format!("class/block/nvme0n1/nvme0n1p2/{name}"), value);
    }
    write(sys.path(), "class/block/nvme0n1/queue/logical_block_size", "4096");
    let node = BlockNode { name: "nvme0n1p2".into(), number: "259:3".into(), size: 16 * 512 };
    let expected = BTreeMap::from([(2, KernelPartition { start: 2048 * 512, node })]);
    assert_eq!(kernel_partitions(&sys.path().join("class/block/nvme0n1"), "nvme0n1"), expected);
}

#[test]
fn partitions_loops_and_empty_readers_are_no_disks() {
    let sys = tempfile::tempdir().unwrap();
    write(sys.path(), "class/block/loop0/size", "8");
    write(sys.path(), "class/block/sdb/size", "0");
    write(sys.path(), "class/block/sda1/size", "8");
    write(sys.path(), "class/block/sda1/partition", "1");
    for name in ["loop0", "sdb", "sda1", "gone"] {
        assert_eq!(observe_one(sys.path(), name), None, "{name}");
    }
}

#[test]
fn a_disk_that_cannot_be_opened_is_told_with_the_reason() {
    let sys = tempfile::tempdir().unwrap();
    write(sys.path(), "class/block/no-such-disk/size", "2048");
    write(sys.path(), "class/block/no-such-disk/removable", "1");
    let disk = observe_one(sys.path(), "no-such-disk").unwrap();
    assert!(disk.external);
    assert_eq!(disk.size, 1 << 20);
    assert!(disk.table.unwrap_err().starts_with("can't be read: "));
}

#[test]
fn only_buses_with_a_driver_are_looked_at() {
    let sys = tempfile::tempdir().unwrap();
    write(sys.path(), "bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4");
    write(sys.path(), "bus/memory/devices/memory0/modalias", "memory:x");
    write(sys.path(), "devices/system/cpu/modalias", "cpu:type:x86");
    fs::create_dir_all(sys.path().join("bus/virtio/devices/virtio1")).unwrap();
    let index: ModuleIndex =
        "basalt-modules 1 x\nmodule a.ko\nalias virtio:d2v*\nalias acpi*:A:*\nalias of:N*\nalias usb:v*"
            .parse()
            .unwrap();
    let wanted = wanted("");
    let buses = Drivers::new(&index, &wanted).buses();
    assert_eq!(buses, ["acpi", "platform", "usb", "virtio"].into());
    assert_eq!(modaliases(sys.path(), &buses).unwrap(), ["cpu:type:x86", "virtio:d00000002v00001AF4"]);
}
