//! Keeping a machine equal to its document.
//!
//! `NodeSpec → interest → (observe) → Machine + NodeSpec + Record → plan → Plan (steps, what waits, what is refused)`
//!
//! Invariants: a plan applied is followed by a plan without steps; what a document wrote is undone when it is no longer named,
//! and nothing else is; what can't be done is refused by name, and everything else is done: a unit that is misspelt must not
//! keep its machine from having users.
//!
//! Not here: reading or changing anything (`basalt-agent`), documents and their merge (`basalt_spec::node`).

mod accounts;
mod entries;
mod extensions;
mod hooks;
mod mounts;
mod observed;
mod record;
mod refusal;
mod report;
mod step;
mod sysctl;
mod units;
mod users;
mod wanted;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use accounts::{AccountEdit, Accounts, TableName};
pub use extensions::{
    ExtensionFacts, ExtensionReport, ExtensionState, Mismatch, STORE, Stored, fits, stored_file,
};
pub use hooks::{HookRun, hooks};
pub use observed::{Active, Enablement, Entry, EntryKind, Interest, Machine, Phase, UnitFacts};
pub use record::{BootRecord, Record};
pub use refusal::{Note, Refusal, Waiting};
pub use report::{Condition, Outcome, Report};
pub use step::{AccountChange, Attributes, Content, Found, Reload, Step, UnitAction};
pub use wanted::interest;

use std::{collections::BTreeSet, fmt};

use basalt_spec::node::{NodeSpec, words::KeySource};
use serde::Serialize;

use wanted::Wanted;

/// What makes a machine equal to its document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What is done, in this order.
    pub steps: Vec<Step>,
    /// What waits for something.
    pub waiting: Vec<Waiting>,
    /// What can't be done.
    pub refusals: Vec<Refusal>,
    /// What needs no step.
    pub notes: Vec<Note>,
    /// What becomes of each extension of the document.
    pub extensions: Vec<ExtensionReport>,
    /// What is remembered when all of it is done.
    #[serde(skip)]
    pub record: Record,
    /// What is remembered before the first step: everything that any step may touch.
    #[serde(skip)]
    pub record_before: Record,
}

/// Plans what makes `machine` as `spec` says. `record` is what earlier plans did to it.
pub fn plan(spec: &NodeSpec, machine: &Machine, record: &Record) -> Plan {
    let record = record.clone().in_boot(&machine.boot_id);
    let mut wanted = Wanted::new(spec, &machine.keys);
    let users = users::plan(&spec.users, machine, &record);
    if let Some(zone) = wanted.zone.take().filter(|zone| !machine.present.contains(zone)) {
        wanted.refusals.push(Refusal::NoZone { path: zone });
        wanted.entries.remove("/etc/localtime");
    }
    wanted.entries.extend(users.entries);
    let mut plan = Plan { record: record.clone(), ..Plan::default() };
    plan.record.uids = users.uids;
    plan.record.boot.users = spec.users.iter().map(|user| user.name.to_string()).collect();
    plan.refusals.extend(users.refusals.into_iter().chain(std::mem::take(&mut wanted.refusals)));

    let starts = extensions::plan(spec, machine, &record, (&mut wanted, &mut plan));
    sysctl::plan(&wanted, machine, &record, &mut plan);
    sysctl::plan_hostname(&wanted, machine, &record, &mut plan);
    plan.steps.extend(users.steps.into_iter().chain(users.homes));
    units::undo(&wanted, machine, &record, &mut plan);
    entries::undo(&wanted, machine, &record, &mut plan);
    entries::plan(&wanted, &users.after, machine, &mut plan);
    let unit_steps = plan.steps.len();
    units::plan(&wanted, machine, &mut plan);
    let later = plan.steps.split_off(unit_steps);
    let unmerged = extensions::unmerged(&wanted, &machine.extensions);
    let reloads = reloads(&plan.steps, &record, (machine.phase, unmerged));
    plan.steps.extend(reloads.iter().map(|what| Step::Reload { what: *what }));
    plan.steps.extend(starts.into_iter().chain(later));
    keys(spec, machine, &mut plan);
    extensions::collect(spec, machine, &mut plan);

    plan.notes.extend(not_followed(spec).map(|key| Note::NotFollowed { key }));
    plan.record_before = before(&record, &plan.record, reloads);
    plan.record.boot.pending.clear();
    plan
}

/// Whom the steps concern, and who was to be told when an earlier run ended too soon. Before services run, nobody but systemd
/// itself has read anything; what extensions bring, it reads then.
fn reloads(
    steps: &[Step],
    record: &Record,
    (phase, unmerged): (Phase, BTreeSet<Reload>),
) -> BTreeSet<Reload> {
    let ours = |path: &&str| *path != "/etc/sysctl.d/50-basalt.conf";
    let mut found: BTreeSet<Reload> =
        steps.iter().filter_map(Step::path).filter(ours).filter_map(Reload::of).collect();
    found.extend(&record.boot.pending);
    found.extend(unmerged);
    if found.contains(&Reload::Extensions) || found.contains(&Reload::Configuration) {
        found.insert(Reload::Systemd);
    }
    match phase {
        Phase::Early => {
            found.retain(|what| matches!(what, Reload::Extensions | Reload::Configuration | Reload::Systemd))
        }
        Phase::Running => {}
    }
    found
}

/// Everything that was or will be touched.
fn before(old: &Record, new: &Record, pending: BTreeSet<Reload>) -> Record {
    let mut both = new.clone();
    both.paths.extend(old.paths.iter().cloned());
    both.boot.users.extend(old.boot.users.iter().cloned());
    both.boot.units.extend(old.boot.units.iter().map(|(name, was)| (name.clone(), *was)));
    both.boot.sysctls.extend(old.boot.sysctls.iter().map(|(path, was)| (path.clone(), was.clone())));
    both.boot.pending = pending;
    both
}

/// Keys that were never fetched. Those that were are fetched again from time to time, by whoever has a clock.
fn keys(spec: &NodeSpec, machine: &Machine, plan: &mut Plan) {
    let sources: BTreeSet<&KeySource> =
        spec.users.iter().flat_map(|user| &user.ssh_authorized_keys).collect();
    for source in sources {
        let fetched = match source {
            KeySource::Key(_) => true,
            KeySource::GitHub(_) | KeySource::GitLab(_) | KeySource::Url(_) => {
                machine.keys.contains_key(source)
            }
        };
        match machine.phase {
            Phase::Early if !fetched => plan.waiting.push(Waiting::Keys { source: source.to_string() }),
            Phase::Running if !fetched => plan.steps.push(Step::FetchKeys { source: source.clone() }),
            Phase::Early | Phase::Running => {}
        }
    }
}

/// Keys of the document that this release reads and does not follow.
fn not_followed(spec: &NodeSpec) -> impl Iterator<Item = &'static str> {
    let keys = [
        ("disks", !spec.disks.is_empty()),
        ("encryption", spec.encryption.data.is_some()),
        ("kubernetes", spec.kubernetes.is_some()),
    ];
    keys.into_iter().filter_map(|(key, written)| written.then_some(key))
}

impl Step {
    /// Whether it brings what the plan could not know: fetched keys become a file, and an extension brings units, programs and
    /// files. Who did such a step plans again.
    pub fn brings_news(&self) -> bool {
        match self {
            Self::FetchKeys { .. } | Self::FetchExtension { .. } => true,
            Self::Reload { what } => matches!(what, Reload::Extensions | Reload::Configuration),
            Self::LoadModule { .. }
            | Self::SetSysctl { .. }
            | Self::Account { .. }
            | Self::MakeHome { .. }
            | Self::WriteFile { .. }
            | Self::MakeLink { .. }
            | Self::MakeDirectory { .. }
            | Self::SetAttributes { .. }
            | Self::Remove { .. }
            | Self::RemoveDirectory { .. }
            | Self::Restore { .. }
            | Self::SetHostname { .. }
            | Self::ForgetExtension { .. }
            | Self::Unit { .. } => false,
        }
    }

    /// The path that is written or removed.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::WriteFile { path, .. }
            | Self::MakeLink { path, .. }
            | Self::MakeDirectory { path, .. }
            | Self::SetAttributes { path, .. }
            | Self::Remove { path }
            | Self::RemoveDirectory { path }
            | Self::Restore { path } => Some(path),
            Self::LoadModule { .. }
            | Self::SetSysctl { .. }
            | Self::Account { .. }
            | Self::MakeHome { .. }
            | Self::SetHostname { .. }
            | Self::FetchKeys { .. }
            | Self::FetchExtension { .. }
            | Self::ForgetExtension { .. }
            | Self::Reload { .. }
            | Self::Unit { .. } => None,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            let rest = if self.refusals.is_empty() { "" } else { ", but for what can't be done" };
            writeln!(f, "nothing to do: the machine is as its documents say{rest}")?;
        }
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:>2}. {step}")?;
        }
        for waiting in &self.waiting {
            writeln!(f, "  … {waiting}")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "  ✗ {refusal}\n      next: {}", refusal.hint())?;
        }
        for note in &self.notes {
            writeln!(f, "  · {note}")?;
        }
        Ok(())
    }
}
