use super::*;
use crate::{BootSlot, upgrade::tests::machine};

const DAY: u64 = 86_400;

/// A machine that has never had a recovery system.
fn nothing() -> RecoveryFacts {
    RecoveryFacts {
        root_hash: None,
        boots: None,
        shown: false,
        uki: ByteSize::bytes(0),
        root: ByteSize::mib(8),
    }
}

fn of(root_hash: Digest) -> RecoveryFacts {
    let uki = ByteSize::mib(12);
    RecoveryFacts { root_hash: Some(root_hash), boots: Some(b'1'), shown: true, uki, ..nothing() }
}

/// The same machine with the partitions of its recovery system in this state.
fn with_recovery(state: State) -> NodeFacts {
    let facts = machine();
    NodeFacts { table: in_state(&facts.table, System::Recovery, state, None), ..facts }
}

#[test]
fn the_first_promotion_hides_nothing_that_was_finished() {
    let plan = plan_promotion(&with_recovery(State::Partial), &nothing()).unwrap();
    insta::assert_snapshot!(plan, @r"
    1.0 becomes the recovery system
     1. remove what starts the recovery system that is there
     2. copy the root of 8 MiB and its hash tree from slot a
     3. read both back, and expect the root hash d0ff5974b6aa52cf…
     4. mark the recovery system as finished
     5. copy the UKI edge_1.0.efi to EFI/basalt/recovery.efi
     6. let the boot loader offer it, and count the boots that nobody finds good
    ");
}

#[test]
fn another_release_is_replaced_and_the_same_one_stays() {
    let facts = with_recovery(State::Finished);
    let steps = |recovery: &RecoveryFacts| plan_promotion(&facts, recovery).unwrap().steps;
    assert_eq!(steps(&of(Digest::of(b"other")))[..2], [PromotionStep::Hide, PromotionStep::Reopen]);
    assert_eq!(steps(&of(facts.boot.root_hash)), []);
    // What was cut before its end is made anew.
    assert!(!steps(&RecoveryFacts { boots: None, ..of(facts.boot.root_hash) }).is_empty());
}

#[test]
fn what_is_not_known_good_or_does_not_fit_is_refused_by_name() {
    let refusals = |change: &dyn Fn(&mut NodeFacts, &mut RecoveryFacts)| {
        let (mut facts, mut recovery) = (with_recovery(State::Partial), nothing());
        change(&mut facts, &mut recovery);
        let refusals = plan_promotion(&facts, &recovery).unwrap_err();
        refusals.iter().map(|refusal| format!("{refusal}\n")).collect::<String>()
    };
    let trial = refusals(&|facts, _| {
        let entry = &mut facts.esp.entries[0];
        entry.file = "edge_1.0+2-1.efi".into();
        entry.name = entry.file.parse().unwrap();
    });
    assert!(trial.contains("not found good yet (`edge_1.0+2-1.efi`)"), "{trial}");
    let recovery = refusals(&|facts, _| facts.boot.slot = Some(BootSlot::Recovery));
    assert!(recovery.contains("this boot came from no slot (it is recovery)"), "{recovery}");
    let small = refusals(&|_, recovery| recovery.root = ByteSize::mib(64));
    assert!(small.contains("`basalt-r` is too small") || small.contains("is too small"), "{small}");
    let full = refusals(&|facts, _| facts.esp.free = ByteSize::mib(1));
    assert!(full.contains("the ESP is too full"), "{full}");
    let none = refusals(&|facts, _| {
        let of_recovery = |role| matches!(role, Role::Root(System::Recovery));
        facts
            .table
            .partitions
            .retain(|one| !Role::of_partition(one).is_some_and(|(role, _)| of_recovery(role)));
    });
    assert!(none.contains("has no recovery system"), "{none}");
}

#[test]
fn a_first_one_is_due_at_once_and_a_newer_one_when_it_has_been_running_for_long() {
    let facts = with_recovery(State::Finished);
    let booted = |day: u64| Record {
        time: day * DAY,
        event: Happened::Booted { version: "1.0".parse().unwrap(), slot: Slot::A },
    };
    let due = |recovery: &RecoveryFacts, known: &[Record], day: u64| {
        is_due(&facts, recovery, known, (day * DAY, Duration::from_secs(7 * DAY)))
    };
    let other = of(Digest::of(b"other"));
    assert!(due(&nothing(), &[], 0));
    assert!(!due(&other, &[], 100), "nobody knows since when it runs");
    assert!(!due(&other, &[booted(1)], 7));
    assert!(due(&other, &[booted(1), booted(6)], 8));
    assert!(!due(&of(facts.boot.root_hash), &[booted(1)], 100), "it is the recovery system");
    let upgraded = Record {
        time: 5 * DAY,
        event: Happened::RolledBack { from: "2.0".parse().unwrap(), to: "1.0".parse().unwrap() },
    };
    assert!(!due(&other, &[booted(1), upgraded, booted(5)], 9), "somebody came back to it four days ago");
}
