use basalt_image::{
    layout::LayoutSpec,
    update::{Blob, Verity},
};
use basalt_spec::node::DiskBus;
use basalt_types::{Architecture, Digest, Guid};
use proptest::prelude::*;

use super::*;

fn release() -> UpdateInfo {
    UpdateInfo {
        name: "edge".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        id: Digest::of(b"id"),
        architecture: Architecture::Amd64,
        epoch: 0,
        kernel: "6.12".into(),
        root: Blob { size: ByteSize::mib(190), digest: Digest::of(b"root") },
        verity: Verity { salt: "5a17".into(), uuid: Guid::from_u128(7) },
        uki: Blob { size: ByteSize::mib(16), digest: Digest::of(b"uki") },
        layout: LayoutSpec {
            esp: ByteSize::mib(128),
            slot: ByteSize::mib(256),
            verity: ByteSize::mib(3),
            slot_b: true,
            recovery: true,
            data_minimum: ByteSize::mib(64),
        },
    }
}

fn disk(name: &str, size: ByteSize) -> BlockDisk {
    BlockDisk {
        device: format!("/dev/{name}"),
        links: vec![format!("/dev/disk/by-id/{name}")],
        size,
        sector_size: 512,
        model: None,
        serial: None,
        wwn: None,
        bus: None,
        rotational: false,
        removable: false,
        read_only: false,
        uses: Vec::new(),
        content: None,
        partitions: Vec::new(),
    }
}

fn nvme(name: &str, gib: u64) -> BlockDisk {
    BlockDisk { bus: Some(DiskBus::Nvme), ..disk(name, ByteSize::gib(gib)) }
}

fn partition(number: u32, label: Option<&str>, content: Option<Content>) -> BlockPartition {
    let (start, size) = (u64::from(number) << 30, ByteSize::gib(1));
    let label = label.map(str::to_owned);
    BlockPartition { number, start, size, guid: Some(Guid::from_u128(number.into())), label, content }
}

fn plan_with(disks: &[BlockDisk], rule: &str, permits: Permits) -> Result<InstallPlan, Vec<InstallRefusal>> {
    let facts = InstallFacts { architecture: Architecture::Amd64, disks: disks.to_vec() };
    let (rule, release) = (parse_rule(rule).unwrap(), release());
    let files = vec![EspFile { path: "EFI/Linux/edge_1.0+3-0.efi".into(), size: release.uki.size }];
    let ids = GrowthIds::from_seed([7; 32]).unwrap();
    plan_install(&facts, &InstallWish { rule: &rule, release: &release, files, permits, after: None, ids })
}

fn plan(disks: &[BlockDisk], rule: &str) -> Result<InstallPlan, Vec<InstallRefusal>> {
    plan_with(disks, rule, Permits::default())
}

#[track_caller]
fn chosen(disks: &[BlockDisk], rule: &str, expected: &str) {
    assert_eq!(plan(disks, rule).unwrap().target.device, expected);
}

#[track_caller]
fn refused(disks: &[BlockDisk], rule: &str, expected: &[&str]) {
    let refusals = plan(disks, rule).unwrap_err();
    let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
    assert!(refusals.iter().all(|refusal| !refusal.hint().is_empty()));
}

#[test]
fn the_only_disk_is_taken_and_everything_on_it_is_named() {
    let old = BlockDisk {
        model: Some("Samsung SSD 870".into()),
        partitions: vec![
            partition(1, Some("EFI"), Some(Content::Fat)),
            partition(2, None, Some(Content::Ntfs)),
        ],
        ..disk("sda", ByteSize::gib(8))
    };
    insta::assert_snapshot!(plan(&[old], "auto").unwrap().to_string());
}

#[test]
fn an_empty_disk_loses_nothing() {
    let text = plan(&[disk("vda", ByteSize::gib(8))], "auto").unwrap().to_string();
    assert!(text.contains("\nnothing is lost: /dev/vda holds nothing that is known\n"), "{text}");
}

#[test]
fn rules_choose_by_what_disks_say() {
    let disks = [
        nvme("nvme0n1", 500),
        nvme("nvme1n1", 200),
        BlockDisk { model: Some("QEMU HARDDISK".into()), ..disk("sda", ByteSize::gib(300)) },
        BlockDisk { serial: Some("S5Y1".into()), ..disk("sdb", ByteSize::gib(300)) },
    ];
    chosen(&disks, "bus=nvme,prefer=smallest", "/dev/nvme1n1");
    chosen(&disks, "prefer=largest", "/dev/nvme0n1");
    chosen(&disks, "bus=nvme,min-size=300GiB", "/dev/nvme0n1");
    chosen(&disks, "max-size=200GiB", "/dev/nvme1n1");
    chosen(&disks, "model=qemu*", "/dev/sda");
    chosen(&disks, "serial=S5Y1", "/dev/sdb");
    chosen(&disks, "/dev/disk/by-id/sdb", "/dev/sdb");
}

#[test]
fn several_disks_are_refused_by_name() {
    let disks = [nvme("nvme0n1", 500), nvme("nvme1n1", 500), disk("sda", ByteSize::gib(900))];
    let both = "2 disks could be meant, and only one is erased:\n    /dev/nvme0n1 (nvme, 500 GiB)\n    /dev/nvme1n1 (nvme, 500 GiB)";
    refused(&disks, "bus=nvme", &[both]);
    refused(&disks, "prefer=smallest", &[both]);
}

/// A disk that is busy was perhaps the one that was meant.
#[test]
fn auto_does_not_pass_over_a_disk_that_is_in_use() {
    let held = DiskUse::Held { device: "/dev/sda2".into(), holder: "md127".into() };
    let mounted = DiskUse::Mounted { device: "/dev/sda1".into(), at: "/mnt".into() };
    let busy = BlockDisk { uses: vec![held, mounted], ..disk("sda", ByteSize::gib(9)) };
    let refusals = plan(&[busy.clone(), disk("sdb", ByteSize::gib(9))], "auto").unwrap_err();
    assert!(matches!(refusals[..], [InstallRefusal::Ambiguous { .. }]));
    let text =
        "/dev/sda (9 GiB) is in use:\n    /dev/sda2 is in use by md127\n    /dev/sda1 is mounted at /mnt";
    refused(std::slice::from_ref(&busy), "auto", &[text]);
    let hint = plan(&[busy], "/dev/sda").unwrap_err()[0].hint();
    assert_eq!(hint, "`mdadm --stop /dev/md127`; `umount /mnt`");
}

#[test]
fn every_disk_that_can_not_be_meant_says_why() {
    let medium = BlockDisk { uses: vec![DiskUse::Booted], ..disk("sda", ByteSize::gib(8)) };
    let small = disk("mmcblk0", ByteSize::mib(512));
    let locked = BlockDisk { read_only: true, ..nvme("nvme0n1", 8) };
    let text = "no disk of this machine is the one to install on\n    \
        /dev/sda (8 GiB): bus is not said\n    ";
    let refusals = plan(&[medium, small, locked], "bus=nvme").unwrap_err();
    let found =
        refusals[0].to_string().replace("it does not say its bus, and `nvme` is wanted", "bus is not said");
    assert_eq!(
        found,
        format!(
            "{}; this system was started from it\n    \
             /dev/mmcblk0 (512 MiB): bus is not said; it has 512 MiB and 971 MiB are needed\n    \
             /dev/nvme0n1 (nvme, 8 GiB): it can't be written",
            text.trim_end()
        )
    );
    refused(&[], "auto", &["no disk of this machine is the one to install on"]);
}

#[test]
fn a_part_of_something_larger_is_erased_only_when_asked_for() {
    let raid = BlockDisk {
        partitions: vec![
            partition(1, None, Some(Content::LinuxRaid)),
            partition(2, None, Some(Content::Lvm)),
        ],
        ..disk("sda", ByteSize::gib(9))
    };
    let text = "/dev/sda (9 GiB) is a part of something larger, of which other disks may need it:\n    \
        /dev/sda1: a member of a Linux RAID\n    /dev/sda2: a physical volume of LVM";
    refused(std::slice::from_ref(&raid), "auto", &[text]);
    let plan = plan_with(&[raid], "auto", Permits { wipe: true, reinstall: false }).unwrap();
    let InstallStep::EraseSignatures { places } = &plan.steps[1] else { panic!("{plan}") };
    // Both ends of both partitions, where they name themselves.
    for place in [1 << 30, (2 << 30) - 4096, 2 << 30, (3 << 30) - 4096] {
        assert!(places.iter().any(|span| (span.start..span.start + span.length).contains(&place)), "{place}");
    }
}

#[test]
fn an_installation_is_not_repeated_and_not_doubled_by_itself() {
    let [root, _] = verity_ids(&release().root.digest);
    let mut installed = disk("sda", ByteSize::gib(9));
    installed.partitions =
        vec![BlockPartition { guid: Some(root), ..partition(2, Some("basalt-a"), Some(Content::Erofs)) }];
    refused(std::slice::from_ref(&installed), "auto", &["/dev/sda (9 GiB) holds 1.0 already, whole"]);
    assert!(
        plan_with(std::slice::from_ref(&installed), "auto", Permits { wipe: false, reinstall: true }).is_ok()
    );
    let two = [installed.clone(), disk("sdb", ByteSize::gib(9))];
    let rival = "/dev/sda holds the same release, and a machine with two of them would not know which /var is its own";
    refused(&two, "/dev/sdb", &[rival]);
    // Neither what was cut nor a live medium is an installation.
    for label in ["PRT#basalt-a", "basalt-live"] {
        installed.partitions[0].label = Some(label.into());
        assert!(plan(std::slice::from_ref(&installed), "auto").is_ok(), "{label}");
    }
}

#[test]
fn all_refusals_come_at_once() {
    let mut wrong =
        BlockDisk { sector_size: 4096, content: Some(Content::Zfs), ..disk("sda", ByteSize::gib(9)) };
    wrong.uses = vec![DiskUse::Swap { device: "/dev/sda1".into() }];
    refused(
        &[wrong],
        "/dev/sda",
        &[
            "/dev/sda (9 GiB) is in use:\n    the kernel swaps to /dev/sda1",
            "/dev/sda (9 GiB) is a part of something larger, of which other disks may need it:\n    \
             /dev/sda: a member of a ZFS pool",
            "/dev/sda (9 GiB) has sectors of 4096 bytes, and the boot partition is made for 512",
        ],
    );
}

#[test]
fn a_cd_on_a_stick_loses_what_starts_it() {
    let cd = BlockDisk { content: Some(Content::Iso9660), ..disk("sda", ByteSize::gib(9)) };
    let InstallStep::EraseTable { places } = &plan(&[cd], "auto").unwrap().steps[0] else { panic!("order") };
    assert_eq!(places.last(), Some(&CD_DESCRIPTORS));
}

#[test]
fn contents_are_known_by_their_magic_numbers() {
    let size = (10 << 20) + 4096;
    let check = |offset: u64, magic: &[u8], expected: Content| {
        let mut bytes = vec![0_u8; usize::try_from(size).unwrap()];
        let offset = usize::try_from(offset).unwrap();
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        let found = Content::of(&bytes[..HEAD], &bytes[bytes.len() - TAIL..], size);
        assert_eq!(found, Some(expected), "{offset}");
    };
    let md = 0xa92b_4efc_u32.to_le_bytes();
    for offset in [0, 4096, size - 8192, (10 << 20) - (64 << 10)] {
        check(offset, &md, Content::LinuxRaid);
    }
    let uberblock = 0x00ba_b10c_u64.to_le_bytes();
    check((128 << 10) + 5 * 1024, &uberblock, Content::Zfs);
    check((10 << 20) - (128 << 10), &uberblock, Content::Zfs);
    check(0, b"bluestore block device\n", Content::Ceph);
    check(size - 1024, b"Intel Raid ISM Cfg Sig. ", Content::FirmwareRaid);
    check(size - 512, &[0xde, 0x11, 0xde, 0x11], Content::FirmwareRaid);
    for (offset, magic, expected) in [
        (0, &b"LUKS\xba\xbe"[..], Content::Luks),
        (0x438, &[0x53, 0xef], Content::Ext),
        (0x1_0040, b"_BHRfS_M", Content::Btrfs),
        (3, b"NTFS    ", Content::Ntfs),
        (0x8001, b"CD001", Content::Iso9660),
        (4086, b"SWAPSPACE2", Content::Swap),
        (777, b"?", Content::Unknown),
    ] {
        check(offset, magic, expected);
    }
    assert_eq!(Content::of(&[0; 4096], &[], 4096), None);
    assert_eq!(Content::of(&[], &[], 0), None);
}

proptest! {
    #[test]
    fn no_plan_writes_a_disk_that_is_used_too_small_or_not_asked_for(
        sizes in prop::collection::vec((200_u64..2000, 0_usize..5), 0..6),
        rule in prop::sample::select(vec!["auto", "bus=nvme", "prefer=smallest", "min-size=1GiB", "bus=nvme,prefer=largest"]),
    ) {
        let disks: Vec<_> = sizes.iter().enumerate().map(|(number, (mib, sort))| {
            let plain = disk(&format!("sd{number}"), ByteSize::mib(*mib));
            match sort {
                0 => BlockDisk { uses: vec![DiskUse::Booted], ..plain },
                1 => BlockDisk { content: Some(Content::Lvm), ..plain },
                2 => BlockDisk { read_only: true, ..plain },
                3 => BlockDisk { bus: Some(DiskBus::Nvme), ..plain },
                _ => plain,
            }
        }).collect();
        if let Ok(plan) = plan(&disks, rule) {
            let target = disks.iter().find(|disk| disk.device == plan.target.device).unwrap();
            prop_assert!(target.uses.is_empty() && !target.read_only && target.content.is_none());
            prop_assert!(target.size >= release().layout.minimum_disk());
            prop_assert!(!rule.contains("nvme") || target.bus == Some(DiskBus::Nvme));
            let InstallStep::WriteTable { table, partitions } = &plan.steps[2] else { panic!("order") };
            prop_assert!(table.validate().is_ok());
            prop_assert_eq!(partitions.len(), 8);
            prop_assert!(partitions.iter().all(|extent| extent.end() <= target.size.get()));
            let InstallStep::EraseSignatures { places } = &plan.steps[1] else { panic!("order") };
            prop_assert!(places.iter().all(|place| place.start + place.length <= target.size.get()));
            prop_assert!(places.windows(2).all(|pair| pair[0].start + pair[0].length < pair[1].start));
        }
    }

    #[test]
    fn any_bytes_are_some_content_or_none(bytes in prop::collection::vec(any::<u8>(), 0..2048), size in any::<u64>()) {
        let content = Content::of(&bytes, &bytes, size);
        prop_assert_eq!(content.is_none(), bytes.iter().all(|byte| *byte == 0));
    }
}
