use std::cmp::Ordering;

use basalt_formats::bootentry::Tries;
use basalt_types::Slot;

use super::{
    EntryFacts, NodeFacts, NotARelease, Renaming, TRIES, UpgradeNote, UpgradePlan, UpgradeRefusal,
    UpgradeStep, compare_versions, is_set_aside, missing_slot, no_slot, releases, set_aside,
};

/// Plans to run the other slot's release after the next boot: one that was found good, or that was set aside in the same
/// way before.
///
/// What is set aside stays bootable: the boot loader takes it when every other entry is used up.
///
/// # Errors
/// When there is nothing to go back to.
pub fn plan_rollback(facts: &NodeFacts) -> Result<UpgradePlan, Vec<UpgradeRefusal>> {
    let running = facts.running_slot().ok_or_else(|| vec![no_slot(facts)])?;
    if let Some(plan) = next_anyway(facts, running) {
        return Ok(plan);
    }
    let entry = find_release(facts, !running).map_err(|refusal| vec![refusal])?;
    let own = facts.entries_of(&facts.boot.root_hash).into_iter().next();
    let Some(own) = own else { return Err(vec![UpgradeRefusal::RunningHasNoEntry]) };
    let (Some((_, version)), Some(root_hash)) = (entry.name.image(), entry.root_hash) else {
        let problem = NotARelease::NoEntry;
        return Err(vec![UpgradeRefusal::NothingToGoBackTo { slot: !running, problem }]);
    };
    // With an older version, what runs must step back; a newer one only has to be there again.
    let older = compare_versions(&version, &facts.image.version) == Ordering::Less;
    let again = is_set_aside(&entry.name).then(|| UpgradeStep::RenameEntry {
        from: entry.file.clone(),
        to: entry.name.clone().with_tries(Some(Tries::fresh(TRIES))),
        why: Renaming::Try,
    });
    let aside = if older { set_aside(own) } else { None };
    let steps: Vec<_> = again.into_iter().chain(aside).collect();
    let (from, to) = releases(facts, !running, (version, root_hash));
    Ok(UpgradePlan { from, to, steps, notes: Vec::new() })
}

/// Nothing to do, because the entry that the boot loader takes next is the other slot's.
fn next_anyway(facts: &NodeFacts, running: Slot) -> Option<UpgradePlan> {
    let slot = facts.slot(!running).filter(|slot| slot.finished)?;
    let next = facts.in_boot_order().into_iter().next()?;
    let root_hash = next.root_hash.filter(|hash| slot.holds(hash))?;
    let (_, version) = next.name.image()?;
    let (from, to) = releases(facts, !running, (version, root_hash));
    let notes = vec![UpgradeNote::NextAnyway { file: next.name.clone() }];
    Some(UpgradePlan { from, to, steps: Vec::new(), notes })
}

fn find_release(facts: &NodeFacts, place: Slot) -> Result<&EntryFacts, UpgradeRefusal> {
    let slot = facts.slot(place).ok_or_else(|| missing_slot(facts, place))?;
    let refuse = |problem| UpgradeRefusal::NothingToGoBackTo { slot: place, problem };
    if !slot.finished {
        return Err(refuse(NotARelease::Unfinished));
    }
    let entries = facts.entries_into(&slot);
    let good = |entry: &&&EntryFacts| entry.name.is_good() || is_set_aside(&entry.name);
    match (entries.iter().find(good), entries.first()) {
        (Some(good), _) => Ok(good),
        (None, Some(first)) => Err(refuse(NotARelease::NotGood(first.name.clone()))),
        (None, None) => Err(refuse(NotARelease::NoEntry)),
    }
}
