//! Crash points: the real executor's writes, flushes and renames are recorded, every prefix of them is cut, with what was
//! not flushed kept, lost, or kept in any part, and a model of firmware, systemd-boot and `basalt-init` boots what is left.
//!
//! No two writes between two flushes meet the same sector, so every order of them is one of the subsets.

use basalt_formats::{bootentry::EntryName, gpt::Partition, verity};
use basalt_image::layout::verity_ids;
use basalt_node::upgrade::{
    Allowed, NodeFacts, UpgradePlan, after_try, boot_order, plan_rollback, plan_upgrade,
};

use super::{
    fixtures::{Op, Recorder, SECTOR, TestRelease, World, installed},
    *,
};

/// With more pending operations than this, subsets are sampled.
const ALL_SUBSETS: usize = 8;
/// How many of the larger ones.
const SAMPLES: u64 = 64;
/// More restarts than all counters together allow.
const RESTARTS: usize = 12;

/// Three releases that share most of their blocks.
struct Releases([TestRelease; 4]);

impl Releases {
    fn new() -> Self {
        Self([
            TestRelease::new("1.0", &[1, 2, 3, 4, 5, 0, 6]),
            TestRelease::new("2.0", &[1, 2, 30, 4, 5, 6, 0, 7]),
            TestRelease::new("3.0", &[1, 2, 30, 4, 50, 6]),
            TestRelease::new("2.5", &[1, 9, 30, 4, 50, 6, 0, 0, 8]),
        ])
    }

    fn get(&self, version: &str) -> &TestRelease {
        self.0.iter().find(|release| release.info.version.as_str() == version).unwrap()
    }
}

/// What somebody wants of a machine.
#[derive(Clone, Copy)]
enum Wish<'a> {
    Upgrade(&'a TestRelease),
    Rollback,
}

impl Wish<'_> {
    fn plan(self, facts: &NodeFacts) -> UpgradePlan {
        let allowed = Allowed { downgrade: true, retry: false };
        match self {
            Self::Upgrade(release) => plan_upgrade(facts, &release.info, allowed).unwrap(),
            Self::Rollback => plan_rollback(facts).unwrap(),
        }
    }

    /// Plans and executes on a machine on which `running` runs.
    fn fulfil(self, world: World, running: &TestRelease) -> (World, Vec<Op>) {
        let (plan, own) = (self.plan(&world.facts(&running.info)), world.own(&running.info));
        let recorder = Recorder::new(world);
        let release = match self {
            Self::Upgrade(release) => release,
            Self::Rollback => running,
        };
        let mut packs = release.packs();
        let mut upgrade = Upgrade {
            disk: &recorder,
            entries: &recorder,
            info: &release.info,
            index: &release.index,
            packs: &mut packs,
            own: &own,
            tell: &mut |_| {},
            uki: None,
        };
        for step in &plan.steps {
            upgrade.step(step).unwrap();
        }
        recorder.into_parts()
    }
}

/// What comes up, and the machine afterwards; none when nothing ever does.
fn boot<'r>(world: &World, releases: &'r Releases) -> Option<(&'r TestRelease, World)> {
    let mut world = world.clone();
    for _ in 0..RESTARTS {
        // The firmware finds the ESP by the table, whichever copy is sound, and systemd-boot its entries.
        let table = Table::parse(&world, 512).ok()?.table;
        let entries: Vec<EntryName> = world.names.keys().filter_map(|name| name.parse().ok()).collect();
        let entry = (*boot_order(&entries).first()?).clone();
        let tried = after_try(&entry);
        let file = world.names.remove(&entry.to_string())?;
        world.names.insert(tried.to_string(), file);
        if let Some(release) = start(&world, &table, &tried, releases) {
            let good = tried.clone().with_tries(None);
            // Found good. What was set aside and boots for want of anything else is found good as well.
            let file = world.names.remove(&tried.to_string())?;
            world.names.insert(good.to_string(), file);
            return Some((release, world));
        }
    }
    None
}

/// The stub and `basalt-init`: the UKI is whole, both partitions are found by the halves of the root hash and are finished,
/// and every block is what the root hash says.
fn start<'r>(
    world: &World,
    table: &Table,
    entry: &EntryName,
    releases: &'r Releases,
) -> Option<&'r TestRelease> {
    let uki = world.file(&entry.to_string());
    let release = releases.0.iter().find(|release| release.uki == uki)?;
    let finished = |partition: &&Partition| !partition.label.as_ref().unwrap().as_str().starts_with("PRT#");
    let [root, tree] = verity_ids(&release.info.root.digest).map(|id| {
        let found = table.partitions.iter().find(|partition| partition.guid == id).filter(finished)?;
        let bytes = found.bytes(512);
        Some(Window { whole: world, start: bytes.start, size: bytes.end - bytes.start })
    });
    verity::verify(&root?, &tree?, &release.info.root.digest).ok()?;
    Some(release)
}

/// The operations that a loss of power may part, each as small as it may part them.
fn pieces(op: &Op) -> Vec<Op> {
    let Op::Write { offset, bytes } = op else { return vec![op.clone()] };
    let piece = (bytes.len() / SECTOR).div_ceil(4).max(1) * SECTOR;
    let parts = bytes.chunks(piece).enumerate();
    parts
        .map(|(number, part)| Op::Write { offset: offset + (number * piece) as u64, bytes: part.to_vec() })
        .collect()
}

/// Which of `count` pending operations are kept: each subset, or for many of them none, all, each one alone, all but one,
/// and some more.
fn subsets(count: usize) -> Vec<Vec<bool>> {
    if count <= ALL_SUBSETS {
        let bits = |number: usize| (0..count).map(|bit| number >> bit & 1 == 1).collect();
        return (0..1 << count).map(bits).collect();
    }
    let alone = |kept: bool| (0..count).map(move |one| (0..count).map(|at| (at == one) == kept).collect());
    let random = |sample: u64| {
        let digest = Digest::of(&sample.to_le_bytes());
        (0..count).map(|at| digest.as_bytes()[at / 8 % 32] >> (at % 8) & 1 == 1).collect()
    };
    let plain = [vec![false; count], vec![true; count]];
    plain.into_iter().chain(alone(true)).chain(alone(false)).chain((0..SAMPLES).map(random)).collect()
}

/// Every state that a cut of `log` leaves of `before`: how many operations were begun, whether all of what was pending was
/// kept or all lost, and the machine.
pub(crate) fn cuts(before: &World, log: &[Op], look: &mut dyn FnMut(usize, bool, &World)) {
    let (mut durable, mut disk, mut esp) = (before.clone(), Vec::new(), Vec::new());
    for (begun, op) in (1..).zip(log) {
        match op {
            Op::Flush => disk.drain(..).for_each(|op| durable.apply(&op)),
            Op::Sync => esp.drain(..).for_each(|op| durable.apply(&op)),
            Op::Write { .. } => disk.extend(pieces(op)),
            Op::Name { .. } | Op::Unname { .. } | Op::Data { .. } => esp.extend(pieces(op)),
        }
        let pending: Vec<&Op> = disk.iter().chain(&esp).collect();
        for kept in subsets(pending.len()) {
            let mut world = durable.clone();
            pending.iter().zip(&kept).filter(|(_, kept)| **kept).for_each(|(op, _)| world.apply(op));
            let plain = kept.iter().all(|kept| *kept) || kept.iter().all(|kept| !*kept);
            look(begun, plain, &world);
        }
    }
}

/// Cuts the fulfilment of a wish everywhere; each state boots the old or the new release, and where everything that was
/// pending was kept or lost, a second try finishes. Gives how many states there were, and the machine after all went well.
fn check(world: &World, running: &TestRelease, wish: Wish<'_>, releases: &Releases) -> (usize, World) {
    let target = wish.plan(&world.facts(&running.info)).to.root_hash;
    let (after, log) = wish.fulfil(world.clone(), running);
    let (mut states, mut unbootable) = (0, Vec::new());
    cuts(world, &log, &mut |begun, plain, cut| {
        states += 1;
        let Some((booted, next)) = boot(cut, releases) else { return unbootable.push(begun) };
        let (old, new) = (running.info.root.digest, target);
        let found = booted.info.root.digest;
        assert!(found == old || found == new, "after {begun} operations {} boots", booted.info.version);
        if plain && found == old && old != new {
            let (again, _) = wish.fulfil(next, booted);
            let (finally, _) = boot(&again, releases).unwrap();
            assert_eq!(finally.info.root.digest, new, "a second try after {begun} operations");
        }
    });
    assert_eq!(unbootable, Vec::<usize>::new(), "operations after which nothing boots, of {}", log.len());
    let (booted, after) = boot(&after, releases).unwrap();
    assert_eq!(booted.info.root.digest, target);
    (states, after)
}

#[test]
fn no_cut_of_an_upgrade_or_a_rollback_leaves_a_machine_that_does_not_boot() {
    let releases = Releases::new();
    let [one, two, three, between] = ["1.0", "2.0", "3.0", "2.5"].map(|version| releases.get(version));
    let world = installed(one);
    let turns = [
        ("first upgrade, 1.0 to 2.0", one, Wish::Upgrade(two)),
        ("rollback to 1.0", two, Wish::Rollback),
        ("and back to 2.0", one, Wish::Rollback),
        ("second upgrade, 2.0 to 3.0", two, Wish::Upgrade(three)),
        ("downgrade, 3.0 to 2.5", three, Wish::Upgrade(between)),
        ("rollback to 3.0", between, Wish::Rollback),
    ];
    let (mut world, mut total) = (world, 0);
    for (name, running, wish) in turns {
        let (states, after) = check(&world, running, wish, &releases);
        println!("{name}: {states} states after a cut, 0 unbootable");
        (world, total) = (after, total + states);
    }
    println!("crash points of upgrade and rollback: {total} states, 0 unbootable");
    assert!(total > 500, "{total}");
}

/// The model finds what is wrong: an order that is not ours leaves machines that do not boot.
#[test]
fn the_model_refuses_a_wrong_order() {
    let releases = Releases::new();
    let (one, two) = (releases.get("1.0"), releases.get("2.0"));
    let (world, _) = Wish::Upgrade(two).fulfil(installed(one), one);
    let (running, world) = boot(&world, &releases).unwrap();
    assert_eq!(running.info.version, two.info.version);
    // Both entries renamed between two flushes.
    let rename = |from: &str, to: &str| {
        let file = world.names[from];
        [Op::Name { name: to.to_owned(), file }, Op::Unname { name: from.to_owned() }]
    };
    let log =
        [rename("edge_1.0.efi", "edge_1.0+3-0.efi"), rename("edge_2.0.efi", "edge_2.0+0-0.efi")].concat();
    let mut unbootable = 0;
    cuts(&world, &log, &mut |_, _, cut| unbootable += usize::from(boot(cut, &releases).is_none()));
    assert!(unbootable > 0);
}
