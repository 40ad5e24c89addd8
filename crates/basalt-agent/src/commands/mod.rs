//! One function a command, in which its verbs can be read off.

mod config;
mod doctor;
mod health;
mod install;
mod logs;
mod reconcile;
mod recovery;
mod reset;
mod upgrade;

pub(crate) use config::{ConfigArguments, config};
pub(crate) use doctor::doctor;
pub(crate) use health::{assess, bless, health};
pub(crate) use install::{InstallArguments, install};
pub(crate) use logs::{LogsArguments, logs};
pub(crate) use reconcile::{
    ApplyArguments, apply, execute, journal, plan, reconcile_at_boot, shutdown_hooks, stage_hooks,
};
pub(crate) use recovery::{BootNextArguments, PromoteArguments, boot_next, promote};
pub(crate) use reset::{ResetArguments, reset};
use upgrade::read_standing;
pub(crate) use upgrade::{RollbackArguments, UpgradeArguments, history, record_boot, rollback, upgrade};

use std::{path::Path, process::ExitCode};

use basalt_node::{
    NodePlan, Observed, Refusal,
    reconcile::Report,
    status::{Health, Status},
    upgrade::Standing,
};

use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{self, DiskMedium, ExecuteError, SshKeygen, ThisMachine},
    observe::{self, OpenFor},
    report::{self, Event},
};

/// Where the host keys are; the image's sshd is told so.
const SSH_DIRECTORY: &str = "/var/lib/basalt/ssh";

/// The status, and how the machine's documents are followed.
#[derive(serde::Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    status: &'a Status,
    configuration: Option<&'a Report>,
    release: Option<&'a Standing>,
}

pub(crate) fn status(json: bool) -> AgentResult<ExitCode> {
    let facts = observe::status()?;
    let status = Status::new(facts);
    let report = crate::reconcile::read_report()?;
    let standing = read_standing()?;
    if json {
        let whole = Whole { status: &status, configuration: report.as_ref(), release: standing.as_ref() };
        let mut text = serde_json::to_vec_pretty(&whole).or_fail(Kind::Host)?;
        text.push(b'\n');
        report::print(&text)?;
    } else {
        let configuration = report.as_ref().map(Report::status_text).unwrap_or_default();
        let release =
            standing.as_ref().map(|standing| format!("    release: {standing}\n")).unwrap_or_default();
        report::print(format!("{}{configuration}{release}", status.text()).as_bytes())?;
    }
    let followed =
        report.is_none_or(|report| report.is_good()) && standing.is_none_or(|standing| standing.is_good());
    Ok(match (status.health, followed) {
        (Health::Healthy, true) => ExitCode::SUCCESS,
        (Health::Healthy | Health::Degraded, _) => ExitCode::from(1),
    })
}

pub(crate) fn plan_provision() -> AgentResult<ExitCode> {
    let (image, boot) = observe::start()?;
    if let Some(plan) = basalt_node::plan_volatile(&boot) {
        report::print(plan.to_string().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (_disk, observed) = observe::provision(image, boot, OpenFor::Reading)?;
    let plan = basalt_node::plan_provision(&observed).map_err(|refusals| refused(&observed, &refusals))?;
    report::print(plan.to_string().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The disk's lock is held from before the first observation until after the last write, so the plan can't be stale.
pub(crate) fn provision() -> AgentResult<ExitCode> {
    let (image, boot) = observe::start()?;
    if let Some(plan) = basalt_node::plan_volatile(&boot) {
        return execute_plan(&plan, |step| Err(failed(ExecuteError::NotMine(step.to_string()))));
    }
    let (disk, observed) = observe::provision(image, boot, OpenFor::Writing)?;
    let plan = match basalt_node::plan_provision(&observed) {
        Ok(plan) => plan,
        Err(refusals) => {
            report_refusals(&refusals)?;
            return Err(refused(&observed, &refusals));
        }
    };
    let medium = DiskMedium(disk);
    let machine = ThisMachine { disk: &medium, device: &observed.disk.device };
    execute_plan(&plan, |step| execute::step(step, &medium, &machine).map_err(failed))
}

pub(crate) fn plan_identity() -> AgentResult<ExitCode> {
    let facts = observe::ssh(Path::new(SSH_DIRECTORY))?;
    report::print(basalt_node::plan_identity(&facts).to_string().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn identity() -> AgentResult<ExitCode> {
    let facts = observe::ssh(Path::new(SSH_DIRECTORY))?;
    let plan = basalt_node::plan_identity(&facts);
    let keygen = SshKeygen { directory: SSH_DIRECTORY.into() };
    execute_plan(&plan, |step| keygen.execute(step).map_err(failed))
}

fn execute_plan(
    plan: &NodePlan,
    execute: impl Fn(&basalt_node::Step) -> AgentResult<()>,
) -> AgentResult<ExitCode> {
    report::event(&Event::Planned { plan })?;
    for step in &plan.steps {
        report::event(&Event::Started { step })?;
        execute(step)?;
    }
    report::event(&Event::Finished { steps: plan.steps.len() })?;
    Ok(ExitCode::SUCCESS)
}

fn failed(error: ExecuteError) -> AgentError {
    let hint = error.hint();
    hint.into_iter().fold(AgentError::new(Kind::Host, error), AgentError::hint)
}

fn report_refusals(refusals: &[Refusal]) -> AgentResult<()> {
    for refusal in refusals {
        let (message, next) = (refusal.to_string(), refusal.hint());
        report::event(&Event::Refused { refusal, message, next })?;
    }
    Ok(())
}

/// Every refusal in one error.
#[derive(Debug, thiserror::Error)]
#[error("{device} is left as it is{}", list(.reasons))]
struct Refused {
    device: String,
    reasons: Vec<String>,
}

fn list(reasons: &[String]) -> String {
    reasons.iter().map(|reason| format!("\n  {reason}")).collect()
}

fn refused(observed: &Observed, refusals: &[Refusal]) -> AgentError {
    let reasons = refusals.iter().map(ToString::to_string).collect();
    let error = Refused { device: observed.disk.device.clone(), reasons };
    let error = AgentError::new(Kind::Refused, error);
    refusals.iter().fold(error, |error, refusal| error.hint(refusal.hint()))
}
