//! Keeping this machine as its documents say: documents → spec → observe → plan → execute → report.
//!
//! One at a time: whoever reconciles holds [`LOCK`]. The record of what may be touched is on the data volume before the first
//! step, and what is remembered in the end after the last; a step that fails is told, and the others are done.

mod accounts;
mod execute;
mod extensions;
mod hooks;
mod keys;
mod observe;
mod state;
mod systemd;

#[cfg(test)]
mod tests;

use basalt_exec::files::{Lock, Root, Scope};
use basalt_node::reconcile::{self, Condition, Note, Outcome, Phase, Plan, Record, Report, Step};
use basalt_spec::node::{NodeSpec, Stage};
use serde::Serialize;
use std::{collections::BTreeSet, path::Path};

use crate::{
    documents::{self, Source},
    error::{AgentError, AgentResult, Kind, OrFail as _},
    observe::now,
};

pub(crate) use hooks::run as run_hooks;
pub(crate) use keys::{Keys, client};
pub(crate) use state::read_report;

/// Held while a machine is changed.
const LOCK: &str = "/run/basalt/reconcile.lock";

/// How often something is planned again at once, because what was done brought news.
const MOST_PLANS: usize = 3;

/// The file system that is looked at and written to, and what the image has there.
#[derive(Debug)]
pub(crate) struct System {
    root: Root,
    image: Root,
}

/// What a machine should be, by whom.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The names of the documents, by rising precedence.
    pub(crate) documents: Vec<String>,
    /// Their sum.
    pub(crate) spec: NodeSpec,
}

/// Something that happened, for the journal: one line of JSON each.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub(crate) enum Event<'a> {
    /// There is something to do.
    Planned {
        /// How many steps.
        steps: usize,
        /// What can't be done.
        refusals: Vec<String>,
        /// What waits.
        waiting: Vec<String>,
    },
    /// A step begins.
    Started {
        /// Which, for people.
        message: String,
        /// Which.
        #[serde(flatten)]
        step: &'a Step,
    },
    /// A step failed; the others are done all the same.
    Failed {
        /// What, and why.
        message: &'a str,
    },
    /// A script of the document's ran.
    Hook {
        /// Which.
        name: &'a str,
        /// How it went.
        message: &'a str,
    },
    /// It is over.
    Finished {
        /// What is true now.
        conditions: &'a [Condition],
    },
}

/// Where events go.
pub(crate) type Log<'a> = &'a mut dyn FnMut(&Event<'_>);

impl System {
    /// The machine that this program runs on.
    pub(crate) fn this() -> AgentResult<Self> {
        let image = basalt_exec::mount::bare_root()
            .map_err(|error| AgentError::new(Kind::Host, error).hint("run it as root"))?;
        let image = Root::from_descriptor(image, "the image's /".into(), Scope::InRoot);
        Ok(Self { root: Root::open(Path::new("/"), Scope::InRoot).or_fail(Kind::Host)?, image })
    }
}

impl Wish {
    /// What these documents say together, with one more on top.
    pub(crate) fn of(sources: &[Source], top: Option<&Source>) -> AgentResult<Self> {
        let spec = documents::merged(sources, top)?.config.spec;
        let names = sources.iter().chain(top).filter(|source| source.says_something());
        Ok(Self { documents: names.map(|source| source.name.clone()).collect(), spec })
    }

    /// What all documents of this machine say.
    pub(crate) fn observe() -> AgentResult<Self> {
        Self::of(&documents::observe(None)?, None)
    }
}

/// Observes and plans; changes nothing.
pub(crate) fn plan(wish: &Wish, phase: Phase) -> AgentResult<Plan> {
    let system = System::this()?;
    Ok(planned(wish, &system, phase)?.0)
}

fn planned(wish: &Wish, system: &System, phase: Phase) -> AgentResult<(Plan, Record)> {
    let record = state::read_record(system)?;
    let machine = observe::machine(system, &wish.spec, &record, phase)?;
    let mut plan = reconcile::plan(&wish.spec, &machine, &record);
    if wish.documents.is_empty() {
        plan.notes.push(Note::NoDocument);
    }
    Ok((plan, record.in_boot(&machine.boot_id)))
}

/// Makes this machine as its documents say, and leaves a report. Documents that are no configuration are reported too.
pub(crate) fn reconcile(phase: Phase, log: Log<'_>) -> AgentResult<Report> {
    let _lock = Lock::wait(Path::new(LOCK)).or_fail(Kind::Host)?;
    let wish = match Wish::observe() {
        Ok(wish) => wish,
        Err(error) => {
            let conditions = Report::conditions(&Plan::default(), &Outcome::Invalid(error.error.to_string()));
            log(&Event::Finished { conditions: &conditions });
            state::write_report(&Report { at: now(), conditions, ..Report::default() })?;
            return Err(error);
        }
    };
    let system = System::this()?;
    let report = settle(&wish, &system, phase, log)?;
    state::write_report(&report)?;
    Ok(report)
}

fn settle(wish: &Wish, system: &System, phase: Phase, log: Log<'_>) -> AgentResult<Report> {
    if phase == Phase::Running {
        refresh_keys(wish, system, log)?;
    }
    let (mut plan, before) = planned(wish, system, phase)?;
    let mut done: Vec<String> = plan.steps.iter().map(Step::to_string).collect();
    let mut failures = execute_plan(&plan, system, &before, log)?;
    // A fetched key is a file of the next plan, a fetched extension a link of it, and what that brings is of the one behind.
    for _ in 0..MOST_PLANS {
        if !failures.is_empty() || !plan.steps.iter().any(Step::brings_news) {
            break;
        }
        let (again, before) = planned(wish, system, phase)?;
        failures = execute_plan(&again, system, &before, log)?;
        done.extend(again.steps.iter().map(Step::to_string));
        plan = again;
    }
    if !done.is_empty() && phase == Phase::Running {
        failures.extend(run_hooks(&wish.spec, Stage::Reconcile, system, log)?);
    }
    let conditions = Report::conditions(&plan, &Outcome::Executed { failures });
    if !done.is_empty() || phase == Phase::Early {
        log(&Event::Finished { conditions: &conditions });
    }
    Ok(Report { at: now(), documents: wish.documents.clone(), done, conditions })
}

/// Asks again for keys that are from yesterday. Those that are there are kept if nobody answers.
fn refresh_keys(wish: &Wish, system: &System, log: Log<'_>) -> AgentResult<()> {
    for source in Keys::read(system)?.stale(&wish.spec) {
        if let Err(error) = keys::fetch(system, &source) {
            log(&Event::Failed {
                message: &format!("fetch the SSH keys of {source} again: {}", chain(&error)),
            });
        }
    }
    Ok(())
}

/// Does every step; gives those that failed, each with its reason.
fn execute_plan(plan: &Plan, system: &System, before: &Record, log: Log<'_>) -> AgentResult<Vec<String>> {
    if plan.steps.is_empty() {
        // Nothing is undone by forgetting what is gone.
        if plan.record != *before {
            state::write_record(system, &plan.record)?;
        }
        return Ok(Vec::new());
    }
    log(&Event::Planned {
        steps: plan.steps.len(),
        refusals: plan.refusals.iter().map(ToString::to_string).collect(),
        waiting: plan.waiting.iter().map(ToString::to_string).collect(),
    });
    state::write_record(system, &plan.record_before)?;
    let mut failures = Vec::new();
    for step in &plan.steps {
        log(&Event::Started { message: step.to_string(), step });
        if let Err(error) = execute::step(step, system) {
            let message = format!("{step}: {}", chain(&error));
            log(&Event::Failed { message: &message });
            failures.push(message);
        }
    }
    if failures.is_empty() {
        state::write_record(system, &plan.record)?;
    }
    Ok(failures)
}

/// What was written to this machine, by the record.
pub(crate) fn written_paths() -> AgentResult<BTreeSet<String>> {
    Ok(state::read_record(&System::this()?)?.paths)
}

/// An error and its causes as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
