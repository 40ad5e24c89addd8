//! Units of systemd's. Stopping what a document no longer names comes before its text is removed; starting comes last.
//!
//! A unit that is `enabled` is started once in a boot: one that ended, failed or was stopped by hand is not started again
//! and again. systemd's `Restart=` is for that.

use std::collections::BTreeSet;

use basalt_spec::node::UnitState;

use super::{
    Active, Enablement, Machine, Phase, Plan, Record, Refusal, Step, UnitAction, UnitFacts,
    wanted::{Run, UnitWish, Wanted},
};

const UNITS: &str = "/etc/systemd/system/";

fn act(plan: &mut Plan, name: &str, action: UnitAction) {
    plan.steps.push(Step::Unit { name: name.to_owned(), action });
}

/// Undoes what an earlier document had said of units that this one does not name.
pub(super) fn undo(wanted: &Wanted, machine: &Machine, record: &Record, plan: &mut Plan) {
    for (name, before) in &record.boot.units {
        if wanted.units.iter().any(|unit| unit.name == *name) {
            continue;
        }
        plan.record.boot.units.remove(name);
        let Some(now) = machine.units.get(name) else { continue };
        let was_ours = !matches!(before, Some(Enablement::Enabled | Enablement::Fixed));
        match (now.enablement, before) {
            (Enablement::Enabled, Some(Enablement::Disabled | Enablement::Masked) | None) => {
                act(plan, name, UnitAction::Disable);
            }
            (
                Enablement::Masked,
                Some(Enablement::Enabled | Enablement::Disabled | Enablement::Fixed) | None,
            ) => {
                act(plan, name, UnitAction::Unmask);
            }
            (_, _) => {}
        }
        match before {
            Some(Enablement::Enabled) if now.enablement != Enablement::Enabled => {
                act(plan, name, UnitAction::Enable);
                act(plan, name, UnitAction::Start);
            }
            Some(Enablement::Masked) if now.enablement != Enablement::Masked => {
                act(plan, name, UnitAction::Mask)
            }
            Some(_) | None => {}
        }
        if was_ours && now.active == Active::Active {
            act(plan, name, UnitAction::Stop);
        }
    }
}

/// Brings units to what the document says, when their texts are written and read.
pub(super) fn plan(wanted: &Wanted, machine: &Machine, plan: &mut Plan) {
    let changed = changed(plan);
    for wish in &wanted.units {
        let facts = machine.units.get(&wish.name).copied();
        if facts.is_none() && !wish.own {
            plan.refusals.push(Refusal::NoUnit { name: wish.name.clone() });
            continue;
        }
        plan.record.boot.units.entry(wish.name.clone()).or_insert(facts.map(|facts| facts.enablement));
        one(wish, facts, changed.contains(&wish.name), (machine.phase, plan));
    }
}

/// The units whose texts are written or removed by the plan.
fn changed(plan: &Plan) -> BTreeSet<String> {
    let unit = |step: &Step| {
        let rest = step.path()?.strip_prefix(UNITS)?;
        let name = rest.split('/').next()?;
        Some(name.strip_suffix(".d").unwrap_or(name).to_owned())
    };
    plan.steps.iter().filter_map(unit).collect()
}

fn one(wish: &UnitWish, facts: Option<UnitFacts>, changed: bool, (phase, plan): (Phase, &mut Plan)) {
    let fresh = UnitFacts { enablement: Enablement::Disabled, active: Active::Inactive, tried: false };
    let UnitFacts { enablement, active, tried } = facts.unwrap_or(fresh);
    let name = &wish.name;
    let runs = active == Active::Active;
    let masked = enablement == Enablement::Masked;
    match wish.state {
        Some(UnitState::Masked) => {
            if !masked {
                act(plan, name, UnitAction::Mask);
            }
            // A start that waits in the queue is taken out of it by the same words.
            if runs || (!masked && phase == Phase::Early) {
                act(plan, name, UnitAction::Stop);
            }
            return;
        }
        Some(UnitState::Disabled) if enablement == Enablement::Enabled => {
            act(plan, name, UnitAction::Disable);
            if runs || phase == Phase::Early {
                act(plan, name, UnitAction::Stop);
            }
            return;
        }
        Some(UnitState::Enabled) => {
            if masked {
                act(plan, name, UnitAction::Unmask);
            }
            if masked || enablement == Enablement::Disabled {
                act(plan, name, UnitAction::Enable);
            }
            if !runs && !tried {
                act(plan, name, UnitAction::Start);
                return;
            }
        }
        Some(UnitState::Disabled) | None => {}
    }
    let start = match wish.run {
        Run::AsItsStateSays => None,
        Run::Always => Some(UnitAction::Start),
        Run::AlwaysAndWait => Some(UnitAction::StartAndWait),
    };
    match start {
        Some(start) if !runs => act(plan, name, start),
        Some(_) | None if changed && runs => act(plan, name, UnitAction::Restart),
        Some(_) | None => {}
    }
}
