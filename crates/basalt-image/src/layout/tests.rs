use basalt_formats::gpt::{EntriesPlace, Partition, Table};
use basalt_spec::{Disk, SlotSize};
use basalt_types::{Architecture, ByteSize, Digest, Guid};
use proptest::prelude::*;

use super::*;

const AMD64: Architecture = Architecture::Amd64;

fn request() -> Disk {
    Disk::default()
}

fn content(root: ByteSize) -> Content {
    Content { root, uki: ByteSize::mib(20) }
}

/// A spec of small partitions, so that tests can write whole disks.
fn small() -> LayoutSpec {
    LayoutSpec {
        esp: ByteSize::mib(64),
        slot: ByteSize::mib(16),
        verity: ByteSize::mib(1),
        slot_b: true,
        recovery: true,
        data_minimum: ByteSize::mib(64),
    }
}

fn image(spec: &LayoutSpec) -> ImagePlan {
    let ids = ImageIds { disk: Guid::from_u128(0xd15c), esp: Guid::from_u128(0xe5b) };
    plan_image(spec, AMD64, &Digest::of(b"root"), ids)
}

fn ids() -> GrowthIds {
    GrowthIds::from_seed([7; 32]).unwrap()
}

/// The image's table on a disk of `size`.
fn on_disk(spec: &LayoutSpec, size: ByteSize) -> Table {
    Table { total_sectors: size.get() / 512, ..image(spec).table }
}

fn labels(table: &Table) -> Vec<String> {
    table.partitions.iter().map(|p| p.label.as_ref().map_or(String::new(), ToString::to_string)).collect()
}

#[test]
fn a_small_root_gets_the_default_sizes() {
    let spec = LayoutSpec::from_content(content(ByteSize::mib(300)), &request()).unwrap();
    let wanted = LayoutSpec {
        esp: ByteSize::gib(1),
        slot: ByteSize::gib(2),
        verity: ByteSize::mib(17),
        slot_b: true,
        recovery: true,
        data_minimum: ByteSize::gib(1),
    };
    assert_eq!(spec, wanted);
    assert_eq!(spec.minimum_disk(), ByteSize::mib(1 + 1024 + 3 * (2048 + 17) + 1024 + 1));
}

#[test]
fn a_large_root_gets_a_slot_of_twice_its_size() {
    let spec = LayoutSpec::from_content(content(ByteSize::mib(1500)), &request()).unwrap();
    assert_eq!(spec.slot, ByteSize::mib(3008));
}

#[test]
fn everything_that_does_not_fit_is_refused_at_once() {
    let slot = SlotSize::Fixed(ByteSize::mib(256));
    let request = Disk { esp: ByteSize::mib(64), slot, data: ByteSize::mib(1), ..request() };
    let refusals = LayoutSpec::from_content(content(ByteSize::mib(300)), &request).unwrap_err();
    let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "basalt-data was to have 1 MiB and must have 64 MiB at least",
            "the root file system has 300 MiB and a slot was to have 256 MiB",
            "the ESP must hold 4 UKIs of 20 MiB and was to have 64 MiB: ask for 96 MiB or more",
        ]
    );
    let huge = Disk { slot: SlotSize::Fixed(ByteSize::bytes(u64::MAX)), ..request };
    let refusals = LayoutSpec::from_content(content(ByteSize::mib(300)), &huge).unwrap_err();
    assert!(refusals.iter().any(|r| matches!(r, LayoutRefusal::AboveMost { .. })), "{refusals:?}");
}

#[test]
fn the_spec_travels_as_json() {
    let json = serde_json::to_string(&small()).unwrap();
    assert_eq!(
        json,
        r#"{"esp":"64MiB","slot":"16MiB","verity":"1MiB","slotB":true,"recovery":true,"dataMinimum":"64MiB"}"#
    );
    assert_eq!(serde_json::from_str::<LayoutSpec>(&json).unwrap(), small());
    assert!(serde_json::from_str::<LayoutSpec>(&json.replace("recovery", "recover")).is_err());
}

#[test]
fn the_image_has_the_esp_and_slot_a() {
    let plan = image(&small());
    assert_eq!(plan.disk, ByteSize::mib(1 + 64 + 16 + 1 + 1));
    assert_eq!(labels(&plan.table), ["esp", "basalt-a", "basalt-a-verity"]);
    let ids: Vec<u8> = plan.table.partitions[1..].iter().flat_map(|p| *p.guid.as_bytes()).collect();
    assert_eq!(ids, Digest::of(b"root").as_bytes());
    assert_eq!([plan.esp, plan.root, plan.verity], small().image_extents());
    plan.table.image_writes(EntriesPlace::First).unwrap();
}

#[test]
fn a_disk_that_grew_has_everything_and_data_to_the_end() {
    let observed = on_disk(&small(), ByteSize::mib(512));
    let plan = plan_growth(&observed, &small(), AMD64, &ids()).unwrap();
    let wanted = plan.wanted(&observed);
    wanted.validate().unwrap();
    assert_eq!(
        labels(&wanted),
        [
            "esp",
            "basalt-a",
            "basalt-a-verity",
            "PRT#basalt-b",
            "PRT#basalt-b-verity",
            "PRT#basalt-r",
            "PRT#basalt-r-verity",
            "PRT#basalt-data"
        ]
    );
    let mib = |p: &Partition| (p.bytes(512).start >> 20, p.bytes(512).end >> 20);
    assert_eq!(mib(&wanted.partitions[3]), (82, 98));
    assert_eq!(mib(&wanted.partitions[7]), (116, 511));
    assert_ne!(wanted.disk_guid, observed.disk_guid);
    assert_eq!(wanted.partitions[..3], observed.partitions);
    assert!(plan_growth(&wanted, &small(), AMD64, &ids()).unwrap().is_empty());
}

#[test]
fn the_data_partition_follows_a_disk_that_becomes_larger() {
    let observed = on_disk(&small(), ByteSize::mib(512));
    let grown = plan_growth(&observed, &small(), AMD64, &ids()).unwrap().wanted(&observed);
    let observed = Table { total_sectors: ByteSize::gib(1).get() / 512, ..grown };
    let plan = plan_growth(&observed, &small(), AMD64, &ids()).unwrap();
    let growth = DataGrowth { number: 8, from: ByteSize::mib(395), to: ByteSize::mib(907) };
    assert_eq!((plan.data, plan.disk_guid), (Some(growth), observed.disk_guid));
    let wanted = plan.wanted(&observed);
    wanted.validate().unwrap();
    assert!(plan_growth(&wanted, &small(), AMD64, &ids()).unwrap().is_empty());
}

#[test]
fn what_a_later_image_asks_for_is_noted_and_never_squeezed_in() {
    let without = LayoutSpec { recovery: false, ..small() };
    let observed = on_disk(&without, ByteSize::mib(512));
    let grown = plan_growth(&observed, &without, AMD64, &ids()).unwrap().wanted(&observed);
    let plan = plan_growth(&grown, &small(), AMD64, &ids()).unwrap();
    assert!(plan.is_empty());
    let [root, verity] = [Role::Root(System::Recovery), Role::Verity(System::Recovery)];
    assert_eq!(plan.notes, [GrowthNote::NoRoom { role: root }, GrowthNote::NoRoom { role: verity }]);
}

/// A disk that is changed in one way and what is said about it.
#[track_caller]
fn refused(size: ByteSize, change: impl Fn(&mut Table), expected: &[&str]) {
    let mut observed = on_disk(&small(), size);
    change(&mut observed);
    let refusals = plan_growth(&observed, &small(), AMD64, &ids()).unwrap_err();
    let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!(text, expected);
}

#[test]
fn disks_that_cannot_be_grown_are_refused_with_the_reason() {
    let foreign = |number, start: ByteSize| Partition {
        number,
        type_guid: Guid::from_u128(1),
        guid: Guid::from_u128(u128::from(number) << 64),
        first_lba: start.get() / 512,
        last_lba: start.get() / 512 + 7,
        attributes: basalt_formats::gpt::Attributes::NONE,
        label: None,
    };
    let roomy = ByteSize::mib(512);
    refused(ByteSize::mib(180), |_| (), &["the disk has 180 MiB and the layout needs 181 MiB at least"]);
    refused(
        roomy,
        |table| table.partitions.push(foreign(9, ByteSize::mib(200))),
        &["partition 9 (no label) stands where `basalt-b` and what follows must go"],
    );
    refused(
        roomy,
        |table| drop(table.partitions.remove(2)),
        &["the disk has no partition `basalt-a-verity`"],
    );
    refused(
        roomy,
        |table| {
            let twin = Partition { number: 5, ..table.partitions[1].clone() };
            table.partitions.push(twin);
        },
        &["partitions 2 and 5 are both labelled `basalt-a`"],
    );
    refused(
        ByteSize::mib(60),
        |_| (),
        &[
            "partition 1 ends behind the end of the disk: the disk was copied to a smaller one",
            "partition 2 ends behind the end of the disk: the disk was copied to a smaller one",
            "partition 3 ends behind the end of the disk: the disk was copied to a smaller one",
        ],
    );
}

#[test]
fn data_that_was_there_is_never_made_again_in_silence() {
    let mut grown = on_disk(&small(), ByteSize::mib(512));
    grown = plan_growth(&grown, &small(), AMD64, &ids()).unwrap().wanted(&grown);
    let refusal = GrowthRefusal::DataLost { beside: Role::Root(System::B) };
    grown
        .partitions
        .retain(|partition| Role::of_partition(partition).is_none_or(|(role, _)| role != Role::Data));
    assert_eq!(plan_growth(&grown, &small(), AMD64, &ids()).unwrap_err(), std::slice::from_ref(&refusal));
    assert_eq!(
        refusal.to_string(),
        "the disk has a partition `basalt-b` and no partition `basalt-data`, which came with it"
    );
}

#[test]
fn a_disk_of_the_minimum_size_is_large_enough() {
    let observed = on_disk(&small(), small().minimum_disk());
    let wanted = plan_growth(&observed, &small(), AMD64, &ids()).unwrap().wanted(&observed);
    assert_eq!(wanted.partitions[7].sectors() * 512, small().data_minimum.get());
}

#[test]
fn a_seed_of_zeros_is_refused_and_seeds_give_different_ids() {
    assert_eq!(GrowthIds::from_seed([0; 32]), Err(NoSeed));
    assert_ne!(ids().id("disk"), ids().id("basalt-data"));
    assert_ne!(ids().id("disk"), GrowthIds::from_seed([8; 32]).unwrap().id("disk"));
}

#[test]
fn labels_and_roles_are_inverse() {
    for role in Role::ALL {
        for state in [State::Partial, State::Finished] {
            assert_eq!(Role::of_label(role.label(state).as_str()), Some((role, state)));
        }
        assert_eq!(role.label(State::Finished).as_str(), role.name());
        assert_eq!(role.label(State::Partial).as_str(), format!("{PARTIAL_PREFIX}{role}"));
    }
    assert_eq!(Role::of_label("PRT#PRT#esp"), None);
    assert_eq!(Role::of_label("home"), None);
}

proptest! {
    /// Whatever fits is placed without overlap, and planning again finds nothing to do.
    #[test]
    fn growth_reaches_the_wanted_table(
        root in 1u64..4000, esp in 64u64..3000, data in 64u64..9000, extra in 0u64..9_000_000_000,
        slot_b: bool, recovery: bool, seed in 1u8..,
    ) {
        let (esp, data) = (ByteSize::mib(esp), ByteSize::mib(data));
        let request = Disk { esp, data, slot_b, recovery, ..Disk::default() };
        let content = Content { root: ByteSize::mib(root), uki: ByteSize::mib(1) };
        let spec = LayoutSpec::from_content(content, &request).unwrap();
        let ids = GrowthIds::from_seed([seed; 32]).unwrap();
        let size = ByteSize::bytes(spec.minimum_disk().get() + extra);
        let observed = on_disk(&spec, size);
        let wanted = plan_growth(&observed, &spec, AMD64, &ids).unwrap().wanted(&observed);
        prop_assert_eq!(wanted.validate(), Ok(()));
        prop_assert_eq!(&wanted.partitions[..3], &observed.partitions[..]);
        prop_assert_eq!(wanted.partitions.len(), spec.roles().count());
        prop_assert!(plan_growth(&wanted, &spec, AMD64, &ids).unwrap().is_empty());
        let data = wanted.partitions.last().unwrap();
        prop_assert!(data.sectors() * 512 >= spec.data_minimum.get());
        let short = on_disk(&spec, ByteSize::bytes(spec.minimum_disk().get() - (1 << 20)));
        prop_assert!(plan_growth(&short, &spec, AMD64, &ids).is_err());
    }
}
