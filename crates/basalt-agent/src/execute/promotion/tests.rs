//! A promotion on a machine in memory, and every cut of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use basalt_formats::{ReadAt, gpt};
use basalt_node::upgrade::{Allowed, PromotionPlan, RecoveryFacts, plan_promotion, plan_upgrade};
use basalt_types::ByteSize;

use super::*;
use crate::execute::upgrade::{
    Upgrade,
    crash_tests::cuts,
    fixtures::{Op, Recorder, TestRelease, World, installed},
    root_of_uki,
};

fn recovery(world: &World, running: &TestRelease) -> RecoveryFacts {
    let there = |file: &str| world.names.contains_key(file);
    let root_hash = root_of_uki(world.file(files::UKI)).ok().and_then(|text| Digest::from_hex(&text).ok());
    RecoveryFacts {
        root_hash,
        boots: there(files::BOOTS).then(|| world.file(files::BOOTS).first().copied().unwrap_or(0)),
        shown: there(files::ENTRY) && there(files::MARK),
        uki: ByteSize::bytes(world.file(files::UKI).len() as u64),
        root: running.info.root.size,
    }
}

fn plan(world: &World, running: &TestRelease) -> PromotionPlan {
    plan_promotion(&world.facts(&running.info), &recovery(world, running)).unwrap()
}

fn promote(world: World, running: &TestRelease) -> (World, Vec<Op>) {
    let plan = plan(&world, running);
    let recorder = Recorder::new(world);
    let (uki, root) = (&running.uki, running.root.len() as u64);
    let promotion = Promotion { disk: &recorder, files: &recorder, uki, root };
    for step in &plan.steps {
        promotion.step(step).unwrap();
    }
    recorder.into_parts()
}

/// What the program before the boot loader, or the boot loader, would start as the recovery system; none when neither would.
fn started<'r>(world: &World, releases: [&'r TestRelease; 2]) -> Option<Result<&'r TestRelease, String>> {
    let offered = [files::BOOTS, files::ENTRY].iter().any(|file| world.names.contains_key(*file));
    if !offered {
        return None;
    }
    let find = || -> Result<&'r TestRelease, String> {
        let uki = world.file(files::UKI);
        let release = releases.into_iter().find(|release| release.uki == uki).ok_or("a torn UKI")?;
        if world.file(files::MARK) != files::MARK_CONTENT {
            return Err("no mark".to_owned());
        }
        let part = |role| {
            let table = Table::parse(world, 512).map_err(|error| error.to_string())?.table;
            let own = |partition: &&gpt::Partition| partition.is_labelled(role);
            let bytes = table.partitions.iter().find(own).ok_or(format!("no {role}"))?.bytes(512);
            let mut content = vec![0; usize::try_from(bytes.end - bytes.start).unwrap()];
            world.read_at(bytes.start, &mut content).map_err(|error| error.to_string())?;
            Ok::<_, String>(content)
        };
        let (root, tree) = (part("basalt-r")?, part("basalt-r-verity")?);
        verity::verify(&root, &tree, &release.info.root.digest).map_err(|error| error.to_string())?;
        Ok(release)
    };
    Some(find())
}

/// The machine after an upgrade that was found good.
fn upgraded(world: World, from: &TestRelease, to: &TestRelease) -> World {
    let (plan, own) =
        (plan_upgrade(&world.facts(&from.info), &to.info, Allowed::default()), world.own(&from.info));
    let recorder = Recorder::new(world);
    let mut upgrade = Upgrade {
        disk: &recorder,
        entries: &recorder,
        info: &to.info,
        index: &to.index,
        packs: &mut to.packs(),
        own: &own,
        tell: &mut |_| {},
        uki: None,
    };
    for step in &plan.unwrap().steps {
        upgrade.step(step).unwrap();
    }
    recorder.rename("edge_2.0+3-0.efi", "edge_2.0.efi").unwrap();
    recorder.into_parts().0
}

/// The bytes of both slots and the boot entries: what no promotion may touch.
fn slots(world: &World) -> Vec<Vec<u8>> {
    let entries = world.names.keys().filter(|name| !name.contains('/'));
    let mut found: Vec<Vec<u8>> = entries.map(|name| world.file(name).to_vec()).collect();
    for system in [System::A, System::B] {
        for role in [Role::Root(system), Role::Verity(system)] {
            let bytes = Table::parse(world, 512).unwrap().table;
            let own =
                |partition: &&gpt::Partition| Role::of_partition(partition).is_some_and(|(of, _)| of == role);
            let bytes = bytes.partitions.iter().find(own).unwrap().bytes(512);
            let mut content = vec![0; 64 << 10];
            world.read_at(bytes.start, &mut content).unwrap();
            found.push(content);
        }
    }
    found
}

#[test]
fn what_runs_becomes_the_recovery_system_and_then_there_is_nothing_to_do() {
    let release = TestRelease::new("1.0", &[1, 2, 3, 4, 0, 6]);
    let (world, _) = promote(installed(&release), &release);
    let found = started(&world, [&release; 2]).unwrap().unwrap();
    assert_eq!(found.info.version, release.info.version);
    assert_eq!(world.file(files::BOOTS), b"0");
    assert_eq!(plan(&world, &release).steps, []);
}

#[test]
fn no_cut_of_a_promotion_leaves_a_recovery_system_that_does_not_start_or_touches_a_slot() {
    let [one, two] = [TestRelease::new("1.0", &[1, 2, 3, 4]), TestRelease::new("2.0", &[1, 20, 3, 4, 5])];
    let fresh = installed(&one);
    let (promoted, first) = promote(fresh.clone(), &one);
    let upgraded = upgraded(promoted, &one, &two);
    let (after, second) = promote(upgraded.clone(), &two);
    assert!(started(&after, [&one, &two]).unwrap().unwrap().info.version == two.info.version);
    let mut states = 0;
    for (before, log, running) in [(&fresh, &first, &one), (&upgraded, &second, &two)] {
        let untouched = slots(before);
        cuts(before, log, &mut |begun, plain, cut| {
            states += 1;
            if let Some(Err(why)) = started(cut, [&one, &two]) {
                panic!("after {begun} of {} operations: {why}", log.len());
            }
            assert_eq!(slots(cut), untouched, "after {begun} operations");
            if plain {
                let (again, _) = promote(cut.clone(), running);
                assert!(started(&again, [&one, &two]).unwrap().is_ok(), "a second try after {begun}");
            }
        });
    }
    println!("crash points of promotion: {states} states, 0 wrong");
    assert!(states > 100, "{states}");
}
