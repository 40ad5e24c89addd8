use basalt_image::{
    layout::{GrowthIds, ImageIds, ImageInfo, LayoutSpec, plan_growth, plan_image, verity_ids},
    update::{Blob, Verity},
};
use basalt_spec::FileSystem;
use basalt_types::{Architecture, Guid};
use proptest::prelude::*;

use super::*;
use crate::{BootFacts, BootSlot};

const UKI: ByteSize = ByteSize::mib(12);

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

fn hash(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

/// A machine that was installed with release 1.0 and has booted it well.
pub(super) fn machine() -> NodeFacts {
    let ids = ImageIds { disk: Guid::from_u128(0xd15c), esp: Guid::from_u128(0xe5b) };
    let mut table = plan_image(&layout(), Architecture::Amd64, &hash("1.0"), ids).table;
    table.total_sectors = ByteSize::mib(512).get() / 512;
    let growth = plan_growth(&table, &layout(), Architecture::Amd64, &GrowthIds::from_seed([7; 32]).unwrap());
    let table = growth.unwrap().wanted(&table);
    let [root_part_uuid, _] = verity_ids(&hash("1.0"));
    NodeFacts {
        image: ImageInfo {
            name: "edge".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            id: Digest::of(b"recipe"),
            architecture: Architecture::Amd64,
            layout: layout(),
            data_file_system: FileSystem::Ext4,
        },
        boot: BootFacts {
            root_hash: hash("1.0"),
            root_device: "/dev/vda2".into(),
            verity_device: "/dev/vda3".into(),
            disk: Some("/dev/vda".into()),
            root_part_uuid,
            slot: Some(BootSlot::A),
            init_start_usec: 0,
            init_end_usec: 0,
        },
        table,
        esp: EspFacts {
            entries: vec![entry("edge_1.0.efi", "1.0")],
            partial: None,
            free: ByteSize::mib(50),
            cluster: ByteSize::bytes(512),
        },
    }
}

fn entry(file: &str, version: &str) -> EntryFacts {
    EntryFacts {
        file: file.to_owned(),
        name: file.parse().unwrap(),
        size: UKI,
        root_hash: Some(hash(version)),
    }
}

fn release(version: &str) -> UpdateInfo {
    UpdateInfo {
        name: "edge".parse().unwrap(),
        version: version.parse().unwrap(),
        id: Digest::of(b"recipe 2"),
        architecture: Architecture::Amd64,
        epoch: 0,
        kernel: "6.12".into(),
        root: Blob { size: ByteSize::mib(15), digest: hash(version) },
        verity: Verity { salt: String::new(), uuid: Guid::from_u128(1) },
        uki: Blob { size: UKI, digest: Digest::of(version.as_bytes()) },
        layout: layout(),
    }
}

/// What the steps leave, when all goes well.
fn apply(mut facts: NodeFacts, plan: &UpgradePlan) -> NodeFacts {
    for step in &plan.steps {
        if let Some(table) = step.wanted_table(&facts.table) {
            table.validate().unwrap();
            facts.table = table;
        }
        match step {
            UpgradeStep::RemoveEntry { file, .. } => {
                let at = facts.esp.entries.iter().position(|entry| entry.file == *file).unwrap();
                let gone = facts.esp.entries.remove(at);
                facts.esp.free = ByteSize::bytes(facts.esp.free.get() + gone.size.get());
            }
            UpgradeStep::ReopenSlot { .. }
            | UpgradeStep::FinishSlot { .. }
            | UpgradeStep::WriteRoot { .. }
            | UpgradeStep::WriteHashTree { .. } => {}
            UpgradeStep::WriteUki { size, .. } => {
                facts.esp.partial = Some(*size);
                facts.esp.free = ByteSize::bytes(facts.esp.free.get().checked_sub(size.get()).unwrap());
            }
            UpgradeStep::RenameEntry { from, to, .. } => {
                let old = facts.esp.entries.iter().position(|entry| entry.file == *from);
                let moved = match old {
                    Some(at) => facts.esp.entries.remove(at),
                    None => entry(&to.to_string(), plan.to.version.as_str()),
                };
                facts.esp.partial = facts.esp.partial.filter(|_| from != PARTIAL);
                facts.esp.entries.push(EntryFacts { file: to.to_string(), name: to.clone(), ..moved });
            }
        }
    }
    facts
}

/// The machine after it was restarted and what it took was found good.
fn rebooted(mut facts: NodeFacts) -> NodeFacts {
    let next = facts.in_boot_order()[0].clone();
    let root_hash = next.root_hash.unwrap();
    let slot =
        [Slot::A, Slot::B].into_iter().find(|slot| facts.slot(*slot).unwrap().holds(&root_hash)).unwrap();
    facts.boot.root_hash = root_hash;
    facts.boot.slot = Some(if slot == Slot::A { BootSlot::A } else { BootSlot::B });
    facts.image.version = next.name.image().unwrap().1;
    for entry in facts.esp.entries.iter_mut().filter(|entry| entry.file == next.file) {
        entry.name = entry.name.clone().with_tries(None);
        entry.file = entry.name.to_string();
    }
    facts
}

fn upgraded(facts: NodeFacts, version: &str) -> NodeFacts {
    let allowed = Allowed { downgrade: true, retry: false };
    let plan = plan_upgrade(&facts, &release(version), allowed).unwrap();
    rebooted(apply(facts, &plan))
}

fn files(facts: &NodeFacts) -> Vec<&str> {
    facts.in_boot_order().into_iter().map(|entry| entry.file.as_str()).collect()
}

fn refusals_of(change: impl Fn(&mut NodeFacts, &mut UpdateInfo)) -> String {
    let (mut facts, mut wanted) = (machine(), release("2.0"));
    change(&mut facts, &mut wanted);
    let refusals = plan_upgrade(&facts, &wanted, Allowed::default()).unwrap_err();
    refusals.iter().map(|one| format!("{one}\n    → {}\n", one.hint())).collect()
}

#[test]
fn the_first_upgrade() {
    let plan = plan_upgrade(&machine(), &release("2.0"), Allowed::default()).unwrap();
    insta::assert_snapshot!(plan);
    insta::assert_json_snapshot!(plan.steps[0]);
}

#[test]
fn the_second_upgrade_replaces_the_oldest_release() {
    let facts = upgraded(machine(), "2.0");
    assert_eq!(files(&facts), ["edge_2.0.efi", "edge_1.0.efi"]);
    let plan = plan_upgrade(&facts, &release("3.0"), Allowed::default()).unwrap();
    insta::assert_snapshot!(plan);
    assert_eq!(files(&upgraded(facts, "3.0")), ["edge_3.0.efi", "edge_2.0.efi"]);
}

#[test]
fn an_upgrade_to_what_runs_or_is_staged_does_nothing_and_says_so() {
    let plan = plan_upgrade(&machine(), &release("1.0"), Allowed::default()).unwrap();
    assert_eq!((plan.steps, plan.notes), (Vec::new(), vec![UpgradeNote::Runs]));
    let plan = plan_upgrade(&machine(), &release("2.0"), Allowed::default()).unwrap();
    let facts = apply(machine(), &plan);
    let plan = plan_upgrade(&facts, &release("2.0"), Allowed::default()).unwrap();
    let file = "edge_2.0+3-0.efi".parse().unwrap();
    assert_eq!((plan.steps, plan.notes), (Vec::new(), vec![UpgradeNote::Staged { file }]));
}

#[test]
fn a_downgrade_sets_the_newer_release_aside_last() {
    let facts = upgraded(machine(), "2.0");
    let allowed = Allowed { downgrade: true, retry: false };
    let plan = plan_upgrade(&facts, &release("1.5"), allowed).unwrap();
    insta::assert_snapshot!(plan);
    let facts = apply(facts, &plan);
    assert_eq!(files(&facts), ["edge_1.5+3-0.efi", "edge_2.0+0-0.efi"]);
    assert_eq!(plan_upgrade(&facts, &release("1.5"), allowed).unwrap().steps, []);
}

#[test]
fn there_and_back_again() {
    let facts = upgraded(machine(), "2.0");
    let back = plan_rollback(&facts).unwrap();
    let facts = apply(facts, &back);
    let again = plan_rollback(&facts).unwrap();
    let facts = rebooted(facts);
    assert_eq!(
        (facts.image.version.as_str(), files(&facts)),
        ("1.0", vec!["edge_1.0.efi", "edge_2.0+0-0.efi"])
    );
    let forth = plan_rollback(&facts).unwrap();
    insta::assert_snapshot!([back, again, forth.clone()].map(|plan| plan.to_string()).concat());
    let facts = rebooted(apply(facts, &forth));
    assert_eq!((facts.image.version.as_str(), files(&facts)), ("2.0", vec!["edge_2.0.efi", "edge_1.0.efi"]));
}

#[test]
fn refusals_name_the_object_and_the_next_step() {
    let both = |_: &mut NodeFacts, wanted: &mut UpdateInfo| {
        wanted.name = "kiosk".parse().unwrap();
        wanted.architecture = Architecture::Arm64;
    };
    let failed = entry("edge_2.0+0-3.efi", "2.0");
    let texts = [
        refusals_of(|_, wanted| wanted.version = "0.9".parse().unwrap()),
        refusals_of(|_, wanted| wanted.version = "1.0".parse().unwrap()),
        refusals_of(both),
        refusals_of(|_, wanted| wanted.root.size = ByteSize::mib(17)),
        refusals_of(|facts, _| facts.esp.free = ByteSize::mib(3)),
        refusals_of(|facts, _| facts.boot.slot = Some(BootSlot::Live)),
        refusals_of(|facts, _| facts.table.partitions.retain(|partition| partition.number != 5)),
        refusals_of(|facts, _| facts.esp.entries.clear()),
        refusals_of(|facts, _| facts.esp.entries = vec![entry("edge_1.0+2-1.efi", "1.0")]),
        refusals_of(|facts, _| facts.esp.entries.push(failed.clone())),
        refusals_of(|facts, _| facts.table.partitions[5].guid = verity_ids(&hash("2.0"))[0]),
    ];
    insta::assert_snapshot!(texts.concat());
}

#[test]
fn nothing_to_go_back_to_is_said() {
    let words = |facts: &NodeFacts| plan_rollback(facts).unwrap_err()[0].to_string();
    assert_eq!(words(&machine()), "there is no other release to go back to: slot b holds no whole release");
    let mut facts = upgraded(machine(), "2.0");
    facts.esp.entries[0] = entry("edge_1.0+0-3.efi", "1.0");
    assert_eq!(
        words(&facts),
        "there is no other release to go back to: slot a holds a release that was never found good (`edge_1.0+0-3.efi`)"
    );
    facts.esp.entries.remove(0);
    assert_eq!(
        words(&facts),
        "there is no other release to go back to: slot a holds a release that no boot entry starts"
    );
}

/// The recovery system of release 1.0 runs.
fn recovering(mut facts: NodeFacts) -> NodeFacts {
    facts.image.version = "1.0".parse().unwrap();
    (facts.boot.slot, facts.boot.root_hash) = (Some(BootSlot::Recovery), hash("1.0"));
    facts
}

#[test]
fn from_the_recovery_system_its_own_release_mends_the_slot_that_has_it() {
    let mut facts = recovering(machine());
    // Its UKI is torn, and no root is read from it.
    facts.esp.entries[0].root_hash = None;
    let plan = plan_upgrade(&facts, &release("1.0"), Allowed::default()).unwrap();
    insta::assert_snapshot!(plan, @r"
    1.0 in the recovery system → 1.0 in slot a
     1. remove EFI/Linux/edge_1.0.efi, which is replaced
     2. mark slot a as unfinished
     3. write the root of 15 MiB into slot a
     4. read slot a back, write its hash tree, and expect the root hash d0ff5974b6aa52cf…
     5. mark slot a as finished, with the ids of its root hash
     6. write the UKI of 12 MiB to EFI/Linux/basalt-upgrade.partial
     7. rename EFI/Linux/basalt-upgrade.partial to edge_1.0+3-0.efi: the next boot tries it
    ");
    let mended = rebooted(apply(facts, &plan));
    assert_eq!((mended.boot.slot, mended.image.version.as_str()), (Some(BootSlot::A), "1.0"));
}

#[test]
fn from_the_recovery_system_the_last_good_release_stays_and_steps_out_of_the_way() {
    let upgrade = |facts: NodeFacts, version| {
        let plan = plan_upgrade(&facts, &release(version), Allowed::default()).unwrap();
        (plan.to.slot, rebooted(apply(facts, &plan)))
    };
    let (slot, facts) = upgrade(machine(), "2.0");
    assert_eq!((slot, facts.boot.slot), (Slot::B, Some(BootSlot::B)));
    // 2.0 was found good and does not come up any more: 1.5 goes where 1.0 is, and is booted.
    let (slot, facts) = upgrade(recovering(facts), "1.5");
    assert_eq!((slot, facts.image.version.as_str()), (Slot::A, "1.5"));
    let files: Vec<&str> = facts.esp.entries.iter().map(|entry| entry.file.as_str()).collect();
    assert!(files.contains(&"edge_2.0+0-0.efi"), "{files:?}");
}

#[test]
fn a_full_esp_loses_what_starts_nothing_and_nothing_else() {
    let mut facts = machine();
    facts.esp.entries.extend([
        entry("edge_0.9.efi", "0.9"),
        entry("other_3.efi", "x"),
        entry("edge_0.8.efi", "0.8"),
    ]);
    facts.esp.free = ByteSize::mib(1);
    let plan = plan_upgrade(&facts, &release("2.0"), Allowed::default()).unwrap();
    let removed: Vec<_> = plan.steps.iter().take(2).map(ToString::to_string).collect();
    assert_eq!(removed[0], "remove EFI/Linux/edge_0.8.efi, which starts nothing that is here, to make room");
    assert!(removed[1].starts_with("write the root"), "{plan}");
    // An upgrade that was cut has left its file, which is written over.
    facts.esp.partial = Some(UKI);
    let plan = plan_upgrade(&facts, &release("2.0"), Allowed::default()).unwrap();
    assert!(matches!(plan.steps[0], UpgradeStep::WriteRoot { .. }), "{plan}");
}

#[test]
fn a_release_that_failed_is_tried_again_only_when_asked_for() {
    let mut facts = machine();
    facts.esp.entries.push(entry("edge_2.0+0-3.efi", "2.0"));
    let plan = plan_upgrade(&facts, &release("2.0"), Allowed { downgrade: false, retry: true }).unwrap();
    assert_eq!(plan.steps[0].to_string(), "remove EFI/Linux/edge_2.0+0-3.efi, which is replaced");
}

#[test]
fn staging_ends_before_the_boot_loader_sees_anything() {
    let plan = plan_upgrade(&upgraded(machine(), "2.0"), &release("3.0"), Allowed::default()).unwrap();
    let staging = plan.staging();
    assert_eq!(staging.len() + 1, plan.steps.len());
    assert!(matches!(staging.last(), Some(UpgradeStep::WriteUki { .. })));
}

#[test]
fn a_boot_is_recorded_and_what_was_given_up_once() {
    let mut facts = machine();
    facts.esp.entries.extend([entry("edge_2.0+0-3.efi", "2.0"), entry("edge_3.0+0-0.efi", "3.0")]);
    let words = |events: &[Happened]| events.iter().map(ToString::to_string).collect::<Vec<_>>();
    let events = boot_records(&facts, &[]);
    let booted = "booted      1.0 from slot a";
    let fell =
        |why: &str| format!("fell back   2.0 → 1.0: no boot of it was found good (edge_2.0+0-3.efi): {why}");
    assert_eq!(words(&events), [&fell("each of its 3 boots ended before it could say anything"), booted]);
    let recorded = |events: Vec<Happened>| -> Vec<_> {
        events.into_iter().map(|event| Record { time: 0, event }).collect()
    };
    let mut known = recorded(events);
    assert_eq!(words(&boot_records(&facts, &known)), [booted]);
    // Tried again, it failed again, and said why twice.
    let [from, to] = ["1.0", "2.0"].map(|text| text.parse().unwrap());
    let not_good = |reason: &str| Happened::NotGood {
        version: "2.0".parse().unwrap(),
        entry: "edge_2.0+1-2.efi".into(),
        reasons: vec![reason.into()],
        after: 40,
    };
    known.extend(recorded(vec![
        Happened::RolledBack { from, to },
        not_good("first"),
        not_good("failed: x.service"),
    ]));
    let why = "failed: x.service; another boot of it ended before it could say anything";
    assert_eq!(words(&boot_records(&facts, &known)), [&fell(why), booted]);
    assert_eq!(
        not_good("failed: x.service").to_string(),
        "not good    2.0 (edge_2.0+1-2.efi) after 40 s: failed: x.service"
    );
}

#[test]
fn the_last_try_is_a_trial_and_the_last_resort_is_none() {
    use crate::health::{Trial, keep, trial};
    let mut facts = machine();
    let mut told = |names: &[(&str, &str)]| {
        facts.esp.entries = names.iter().map(|(name, version)| entry(name, version)).collect();
        (trial(&facts), keep(&facts).map(|step| step.to_string()))
    };
    let good = |name: &str| format!("rename EFI/Linux/{name} to edge_1.0.efi: found good");
    for name in ["edge_1.0+2-1.efi", "edge_1.0+0-3.efi"] {
        let on_trial = Trial::OnTrial { entry: name.parse().unwrap() };
        assert_eq!(told(&[(name, "1.0"), ("edge_0.9.efi", "0.9")]), (on_trial, Some(good(name))));
    }
    let name = "edge_1.0+0-3.efi";
    let last = Trial::LastResort { entry: name.parse().unwrap() };
    assert_eq!(told(&[(name, "1.0"), ("edge_0.9+0-3.efi", "0.9")]), (last, Some(good(name))));
    for name in ["edge_1.0.efi", "edge_1.0+0-0.efi"] {
        assert_eq!(told(&[(name, "1.0")]), (Trial::None, None));
    }
    assert_eq!(told(&[("edge_0.9+3-0.efi", "0.9")]), (Trial::None, None));
}

#[test]
fn records_of_older_programs_say_no_reason() {
    let line = r#"{"time":0,"event":"fellBack","from":"2.0","to":"1.0","entry":"edge_2.0+0-3.efi"}"#;
    let record: Record = serde_json::from_str(line).unwrap();
    assert_eq!(
        record.to_string(),
        "1970-01-01T00:00:00Z fell back   2.0 → 1.0: no boot of it was found good (edge_2.0+0-3.efi)"
    );
}

proptest! {
    /// Any way through upgrades, downgrades and rollbacks: a plan applied gives what was wanted at the next boot, planning
    /// again gives nothing to do, and neither what runs nor its entry's content was touched.
    #[test]
    fn plans_reach_what_is_wanted_and_then_are_empty(turns in prop::collection::vec(0u8..8, 1..12)) {
        let mut facts = machine();
        for turn in turns {
            let running = (facts.running_slot().unwrap(), facts.boot.root_hash);
            let wanted = release(&format!("{turn}.0"));
            let allowed = Allowed { downgrade: true, retry: false };
            let rollback = turn == 0;
            let planned = if rollback { plan_rollback(&facts) } else { plan_upgrade(&facts, &wanted, allowed) };
            let Ok(plan) = planned else {
                prop_assert!(rollback && facts.slot(!running.0).is_some_and(|slot| !slot.finished), "{planned:?}");
                continue;
            };
            let after = apply(facts.clone(), &plan);
            let slot = after.slot(running.0).unwrap();
            prop_assert!(slot.finished && slot.holds(&running.1));
            prop_assert!(after.esp.entries.iter().any(|entry| entry.root_hash == Some(running.1)));
            let again = if rollback { plan_rollback(&after) } else { plan_upgrade(&after, &wanted, allowed) };
            prop_assert_eq!(again.unwrap().steps, []);
            let target = plan.to.root_hash;
            facts = rebooted(after);
            prop_assert_eq!(facts.boot.root_hash, target);
        }
    }
}
