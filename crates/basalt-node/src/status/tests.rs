use basalt_image::layout::LayoutSpec;
use basalt_spec::FileSystem;
use basalt_types::{Architecture, Guid};

use super::*;

fn image() -> ImageInfo {
    let layout = LayoutSpec {
        esp: ByteSize::gib(1),
        slot: ByteSize::gib(2),
        verity: ByteSize::mib(17),
        slot_b: true,
        recovery: true,
        data_minimum: ByteSize::gib(1),
    };
    ImageInfo {
        name: "edge".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        id: Digest::of(b"recipe"),
        architecture: Architecture::Amd64,
        layout,
        data_file_system: FileSystem::Ext4,
    }
}

fn boot() -> BootFacts {
    BootFacts {
        root_hash: Digest::of(b"root"),
        root_device: "/dev/vda2".into(),
        verity_device: "/dev/vda3".into(),
        disk: Some("/dev/vda".into()),
        root_part_uuid: Guid::from_u128(1),
        slot: Some(BootSlot::A),
        init_start_usec: 1_310_000,
        init_end_usec: 1_720_000,
    }
}

fn healthy() -> Facts {
    Facts {
        image: image(),
        boot: Fact::Known(boot()),
        verification: Fact::Known(Verification::Verified),
        entries: Fact::Known(vec!["other_2.efi".parse().unwrap(), "edge_1.0.0+2-1.efi".parse().unwrap()]),
        history: Vec::new(),
        data: Fact::Known(Data {
            device: "/dev/vda8".into(),
            file_system: "ext4".into(),
            size: ByteSize::mib(3_891),
            used: ByteSize::bytes(43_300_000),
        }),
        system: Fact::Known(SystemFacts {
            state: "running".into(),
            failed_units: Vec::new(),
            finished: Some(9_400_000),
        }),
        loader: Fact::Known(LoaderTimes { init: 2_100_000, exec: 12_900_000 }),
        machine_id: Fact::Known("0f9e8d7c6b5a49382716051423324150".parse().unwrap()),
    }
}

#[test]
fn a_healthy_machine() {
    let status = Status::new(healthy());
    insta::assert_snapshot!(status.text());
    insta::assert_json_snapshot!(status);
}

#[test]
fn a_machine_where_everything_is_wrong() {
    let status = Status::new(Facts {
        verification: Fact::Known(Verification::Corrupted),
        entries: Fact::Known(vec!["edge_1.0.0+0-3.efi".parse().unwrap()]),
        data: Fact::unknown(Unknown::Absent),
        system: Fact::Known(SystemFacts {
            state: "degraded".into(),
            failed_units: vec!["var.mount".into(), "ssh.service".into()],
            finished: None,
        }),
        loader: Fact::unknown(Unknown::Absent),
        ..healthy()
    });
    assert_eq!(status.health, Health::Degraded);
    insta::assert_snapshot!(status.text());
    insta::assert_json_snapshot!(status.warnings);
}

#[test]
fn what_an_ordinary_user_sees() {
    let unknown = Unknown::NeedsRoot;
    let status = Status::new(Facts {
        verification: Fact::Unknown { unknown },
        entries: Fact::Unknown { unknown },
        system: Fact::unknown(Unknown::Unreadable),
        ..healthy()
    });
    assert_eq!(status.health, Health::Healthy);
    insta::assert_snapshot!(status.text());
}

#[test]
fn dm_verity_is_believed_only_with_the_root_hash_of_this_boot() {
    let root = Digest::of(b"root");
    let table = format!("1 254:2 254:3 4096 4096 100 1 sha256 {} 00aa 1 restart_on_corruption", root.hex());
    let of = |status, table: &str| Verification::from_dm(status, table, &root);
    assert_eq!(of("V", &table), Verification::Verified);
    assert_eq!(of("C", &table), Verification::Corrupted);
    assert_eq!(of("V -", &table), Verification::Verified);
    assert_eq!(of("C 3", &table), Verification::Corrupted);
    assert_eq!(of("VC", &table), Verification::NotVerified);
    assert_eq!(of("V", &table.replace(&root.hex(), &Digest::of(b"x").hex())), Verification::NotVerified);
    assert_eq!(of("", &table), Verification::NotVerified);
    assert_eq!(of("V", ""), Verification::NotVerified);
}

#[test]
fn a_data_volume_is_full_by_share_and_by_room() {
    let data = |size: u64, left: u64| Data {
        device: String::new(),
        file_system: String::new(),
        size: ByteSize::mib(size),
        used: ByteSize::mib(size - left),
    };
    assert!(data(1000, 49).is_nearly_full());
    assert!(!data(1000, 51).is_nearly_full());
    assert!(!data(4_000_000, 5000).is_nearly_full());
    assert!(data(4_000_000, 4000).is_nearly_full());
}

#[test]
fn the_recovery_system_says_that_it_is_one() {
    let mut facts = healthy();
    if let Fact::Known(boot) = &mut facts.boot {
        boot.slot = Some(BootSlot::Recovery);
    }
    let status = Status::new(facts);
    assert_eq!((status.health, &status.warnings[..]), (Health::Degraded, &[Warning::Recovery][..]));
}

#[test]
fn an_entry_of_another_version_is_not_this_boot() {
    let entries = Fact::Known(vec!["edge_1.0.1.efi".parse().unwrap()]);
    assert_eq!(Status::new(Facts { entries, ..healthy() }).boot, Fact::unknown(Unknown::Absent));
}

#[test]
fn a_newer_release_that_was_given_up_is_told_with_its_reason() {
    let names = ["edge_1.0.0.efi", "edge_1.0.1+0-3.efi", "edge_1.0.2+0-0.efi", "edge_0.9+0-3.efi"];
    let event = Happened::FellBack {
        from: "1.0.1".parse().unwrap(),
        to: "1.0.0".parse().unwrap(),
        entry: names[1].into(),
        why: Some("system: failed: nginx.service".into()),
    };
    let entries = Fact::Known(names.iter().map(|name| name.parse().unwrap()).collect());
    let status = Status::new(Facts { entries, history: vec![Record { time: 0, event }], ..healthy() });
    let told: Vec<String> = status.warnings.iter().map(ToString::to_string).collect();
    let expected = "1.0.1 was given up, because no boot of it was found good (edge_1.0.1+0-3.efi): system: failed: nginx.service";
    assert_eq!((status.health, told), (Health::Degraded, vec![expected.to_owned()]));
}
