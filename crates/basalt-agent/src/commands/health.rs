//! `health`, `assess` and `bless`: whether this boot is good, and what the boot loader learns of it.

use std::{fs, process::ExitCode, thread, time::Duration};

use basalt_node::{
    health::{self, Answer, Gate, GateReport, Trial, Verdict},
    upgrade::Happened,
};
use rustix::time::{ClockId, clock_gettime};

use super::{config::node_spec, recovery, upgrade};
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{record, upgrade::entry_step},
    observe::{self, OpenFor, upgrade::Node},
    report,
};

/// While this file is there, a judge that fails or breaks ends in a restart (`basalt-give-up.service`). The boot loader's
/// variable says the same; a firmware without variables at run time has none.
const ON_TRIAL: &str = "/run/basalt/on-trial";

/// While this file is there, nothing restarts the machine: there is nothing else to boot.
const LAST_RESORT: &str = "/run/basalt/last-resort";

/// How long to wait before the gates are asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// This boot was given up.
#[derive(Debug, thiserror::Error)]
#[error("this boot is not good{}", .0.iter().map(|reason| format!("\n  {reason}")).collect::<String>())]
struct GivenUp(Vec<String>);

/// Observe, report.
pub(crate) fn health(json: bool) -> AgentResult<ExitCode> {
    let (image, boot) = observe::start()?;
    let reports = observe::health::gates(&health::gates(&node_spec()?.upgrade.health));
    let trial = if boot.is_volatile() { Trial::None } else { trial()?.trial };
    let good = reports.iter().all(|report| report.answer == Answer::Good);
    let text = if json {
        let value = serde_json::json!({"good": good, "boot": trial, "gates": reports});
        serde_json::to_string_pretty(&value).or_fail(Kind::Host)? + "\n"
    } else {
        let lines: String = reports.iter().map(|report| format!("  {report}\n")).collect();
        let good = if good { "good" } else { "not good" };
        format!("{} {} · {good} · {trial}\n\n{lines}", image.name, image.version)
    };
    report::print(text.as_bytes())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Waits until this boot is good, or gives it up: then it fails, and the unit's `OnFailure=` restarts the machine.
///
/// Nothing that it needs may keep it waiting for ever: what can't be read yet is a gate that is not open yet.
pub(crate) fn assess() -> AgentResult<ExitCode> {
    if observe::start()?.1.is_volatile() {
        report::print(b"neither a live system nor the recovery system is on trial\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut assessment = Assessment::default();
    loop {
        match assessment.step()? {
            Verdict::Good => return Ok(ExitCode::SUCCESS),
            Verdict::Wait => thread::sleep(PAUSE),
            Verdict::NotGood { reasons, restart } => return Err(assessment.give_up(reasons, restart)),
        }
    }
}

/// Lets the boot loader keep what runs.
pub(crate) fn bless() -> AgentResult<ExitCode> {
    if observe::start()?.1.is_volatile() {
        report::print(b"nobody counts the boots of a live system or of the recovery system\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let Node { facts, esp, .. } = observe::upgrade::node(OpenFor::Writing)?;
    match health::keep(&facts) {
        None => report::print(b"nobody counts the boots of what runs\n")?,
        Some(step) => {
            report::print(format!("{step}\n").as_bytes())?;
            entry_step(&step, &esp).map_err(upgrade::failed)?;
            let event = Happened::FoundGood { version: facts.image.version, after: since_start().as_secs() };
            record(vec![event]).or_fail(Kind::Host)?;
        }
    }
    recovery::found_good(&esp)?;
    Ok(ExitCode::SUCCESS)
}

/// What is known of the boot that is on trial.
struct OnDisk {
    version: basalt_types::ImageVersion,
    trial: Trial,
}

fn trial() -> AgentResult<OnDisk> {
    let facts = observe::upgrade::node(OpenFor::Reading)?.facts;
    Ok(OnDisk { trial: health::trial(&facts), version: facts.image.version })
}

/// What was learned so far.
#[derive(Default)]
struct Assessment {
    boot: Option<OnDisk>,
    gates: Option<(Vec<Gate>, Duration)>,
    told: Vec<GateReport>,
}

impl Assessment {
    /// Looks at everything once.
    fn step(&mut self) -> AgentResult<Verdict> {
        let mut reports = Vec::new();
        if self.boot.is_none() {
            match trial() {
                Ok(boot) => self.begin(boot)?,
                Err(error) => reports.push(unread("disk", "its boot entries can be read", &error)),
            }
        }
        if let Some(OnDisk { trial: Trial::None, .. }) = self.boot {
            return Ok(Verdict::Good);
        }
        if self.gates.is_none() {
            match node_spec() {
                Ok(spec) => {
                    let wanted = &spec.upgrade.health;
                    self.gates = Some((health::gates(wanted), health::deadline(wanted)));
                }
                Err(error) => reports.push(unread("configuration", "it can be read", &error)),
            }
        }
        let defaults = (health::gates(&basalt_spec::node::Health::default()), health::DEADLINE);
        let (gates, deadline) = self.gates.as_ref().unwrap_or(&defaults);
        reports.extend(observe::health::gates(gates));
        let trial = self.boot.as_ref().map_or(&Trial::None, |boot| &boot.trial);
        let verdict = health::judge(trial, &reports, since_start(), *deadline);
        self.tell(reports)?;
        Ok(verdict)
    }

    fn begin(&mut self, boot: OnDisk) -> AgentResult<()> {
        report::print(format!("{}: {}\n", boot.version, boot.trial).as_bytes())?;
        match boot.trial {
            Trial::OnTrial { .. } => fs::write(ON_TRIAL, "").or_fail(Kind::Host)?,
            Trial::LastResort { .. } => fs::write(LAST_RESORT, "").or_fail(Kind::Host)?,
            Trial::None => {}
        }
        self.boot = Some(boot);
        Ok(())
    }

    /// Prints what has changed.
    fn tell(&mut self, reports: Vec<GateReport>) -> AgentResult<()> {
        let news = reports.iter().filter(|report| !self.told.contains(report));
        let text: String = news.map(|report| format!("{} s: {report}\n", since_start().as_secs())).collect();
        report::print(text.as_bytes())?;
        self.told = reports;
        Ok(())
    }

    /// Writes down why. That it can't be written, because there is no `/var` for example, is told beside it.
    fn give_up(&self, reasons: Vec<String>, restart: bool) -> AgentError {
        let next = if restart {
            "the machine restarts; after the last try the boot loader takes the other release"
        } else {
            "there is nothing else to boot, so the machine stays up: `basalt-agent health` says how it is"
        };
        let error = AgentError::new(Kind::Host, GivenUp(reasons.clone())).hint(next);
        let Some(OnDisk { version, trial: Trial::OnTrial { entry } | Trial::LastResort { entry } }) =
            &self.boot
        else {
            return error;
        };
        let (version, entry) = (version.clone(), entry.to_string());
        let event = Happened::NotGood { version, entry, reasons, after: since_start().as_secs() };
        match record(vec![event]) {
            Ok(()) => error,
            Err(unwritten) => error.hint(format!("it is not in the history: {unwritten}")),
        }
    }
}

/// What can't be read yet may be readable later; what can't be understood stays as it is.
fn unread(name: &str, asks: &str, error: &AgentError) -> GateReport {
    let why = error.to_string().lines().next().unwrap_or_default().to_owned();
    let answer = match error.kind {
        Kind::Host | Kind::Refused => Answer::NotYet(why),
        Kind::Format => Answer::Bad(why),
    };
    GateReport { name: name.to_owned(), asks: asks.to_owned(), answer }
}

/// Since the kernel's start, whatever the clock on the wall says.
fn since_start() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::from_secs(now.tv_sec.unsigned_abs())
}
