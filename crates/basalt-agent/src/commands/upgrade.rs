//! `upgrade`, `upgrade --follow`, `rollback`, `history` and `record-boot`.

mod follow;
mod pace;

use std::{
    env,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Program};
use basalt_fetch::{
    http::{Client, Patience, Proxies},
    oci::{Access, Credentials, Variables},
};
use basalt_node::upgrade::{
    Allowed, Happened, UpgradePlan, UpgradeRefusal, UpgradeStep, boot_records, plan_rollback, plan_upgrade,
};
use basalt_spec::{RELEASE_KEYS, node::Stage};
use basalt_types::{ByteSize, Digest, ImageRef};
use clap::Args;

use super::stage_hooks;
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{
        record,
        upgrade::{Progress, Survey, Upgrade, UpgradeError, entry_step},
    },
    observe::{
        self, Line, OpenFor,
        release::{Release, ReleaseError, Trust, release_keys},
        upgrade::Node,
    },
    report,
};
pub(crate) use follow::read_standing;
use pace::Pace;

/// What to upgrade to, and how far.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArguments {
    /// The release: oci:FOLDER[:TAG], oci-archive:FILE[:TAG], or [HOST[:PORT]/]NAME[:TAG][@DIGEST] in a registry
    #[arg(required_unless_present = "follow")]
    source: Option<ImageRef>,
    /// Do what this machine's documents want now: `image` says which release, `upgrade` how far and when
    #[arg(long, conflicts_with_all = ["source", "digest", "Extent", "AllowedArguments"])]
    follow: bool,
    /// Take the release only if its manifest has this digest
    #[arg(long, value_name = "sha256:…")]
    digest: Option<Digest>,
    #[command(flatten)]
    extent: Extent,
    #[command(flatten)]
    allowed: AllowedArguments,
}

/// How far to go.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Extent {
    /// Print what would be done and how much would be fetched, and do nothing
    #[arg(long)]
    check: bool,
    /// Put the release into the other slot, but let no boot try it; running again without this finishes
    #[arg(long)]
    stage: bool,
    /// Restart into the release when it is in place
    #[arg(long)]
    reboot: bool,
}

/// What is refused otherwise.
#[derive(Debug, Args)]
struct AllowedArguments {
    /// Take a release that is older than what runs
    #[arg(long)]
    allow_downgrade: bool,
    /// Take a release that was tried here before and failed
    #[arg(long)]
    retry: bool,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    insecure: bool,
    /// The most bytes that are fetched in a second, such as 10MiB
    #[arg(long, value_name = "SIZE")]
    limit_rate: Option<ByteSize>,
}

/// How far to go back.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct RollbackArguments {
    /// Print what would be done, and do nothing
    #[arg(long)]
    check: bool,
    /// Restart into the other release
    #[arg(long)]
    reboot: bool,
}

/// Observe both, plan, execute, report.
pub(crate) fn upgrade(arguments: &UpgradeArguments) -> AgentResult<ExitCode> {
    let UpgradeArguments { source, follow, digest, extent, allowed } = arguments;
    let Some(source) = source.as_ref().filter(|_| !follow) else { return follow::follow() };
    let node = observe::upgrade::node(OpenFor::Writing)?;
    let (client, access) = network(allowed.insecure)?;
    let architecture = node.facts.image.architecture;
    let release = observe::release::release(&client, &access, source, architecture, &trust(*digest)?);
    let mut release = release.map_err(unusable)?;
    let permits = Allowed { downgrade: allowed.allow_downgrade, retry: allowed.retry };
    let plan = plan_upgrade(&node.facts, &release.info, permits).map_err(|refusals| refused(&refusals))?;
    report::print(plan.to_string().as_bytes())?;
    if let Some(key) = release.signed_by {
        report::print(format!("  · signed by the key {key}\n").as_bytes())?;
    }
    if extent.check {
        report_extent(&node, &release, &plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let steps = if extent.stage { plan.staging() } else { &plan.steps };
    take(&node, &mut release, (&plan, steps), source, Pace::new(allowed.limit_rate))?;
    finish(&plan, steps, extent.reboot)
}

/// Does the steps, with the scripts before and after them, and writes into the history what was done.
fn take(
    node: &Node,
    release: &mut Release<'_>,
    (plan, steps): (&UpgradePlan, &[UpgradeStep]),
    source: &ImageRef,
    pace: Pace,
) -> AgentResult<()> {
    if steps.is_empty() {
        return Ok(());
    }
    stage_hooks(Stage::BeforeUpgrade).map_err(|error| error.hint("nothing was written"))?;
    let fetched = execute_upgrade(node, release, steps, pace)?;
    let (from, to, slot) = (plan.from.version.clone(), plan.to.version.clone(), plan.to.slot);
    let event = if steps.len() < plan.steps.len() {
        Happened::Staged { version: to, slot }
    } else {
        let manifest = release.content.manifest();
        Happened::Upgraded { from, to, slot, source: source.to_string(), manifest, fetched }
    };
    record(vec![event]).or_fail(Kind::Host)?;
    stage_hooks(Stage::AfterUpgrade)
        .map_err(|error| error.hint("the release is written; only the restart was not done"))
}

/// Lets the boot loader take the other slot's release again.
pub(crate) fn rollback(arguments: &RollbackArguments) -> AgentResult<ExitCode> {
    let RollbackArguments { check, reboot } = *arguments;
    let node = observe::upgrade::node(OpenFor::Writing)?;
    let plan = plan_rollback(&node.facts).map_err(|refusals| refused(&refusals))?;
    report::print(plan.to_string().as_bytes())?;
    if check {
        return Ok(ExitCode::SUCCESS);
    }
    for step in &plan.steps {
        entry_step(step, &node.esp).map_err(failed)?;
    }
    if !plan.steps.is_empty() {
        let (from, to) = (plan.from.version.clone(), plan.to.version.clone());
        record(vec![Happened::RolledBack { from, to }]).or_fail(Kind::Host)?;
    }
    finish(&plan, &plan.steps, reboot)
}

pub(crate) fn history(json: bool) -> AgentResult<ExitCode> {
    let lines = observe::history()?;
    let mut text = String::new();
    for line in &lines {
        text += &match line {
            Line::Known(record) if json => serde_json::to_string(record).or_fail(Kind::Host)?,
            Line::Known(record) => record.to_string(),
            Line::Other(other) => other.clone(),
        };
        text.push('\n');
    }
    if lines.is_empty() && !json {
        "nothing was recorded yet\n".clone_into(&mut text);
    }
    report::print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Adds this boot to the history, and which newer release was given up.
pub(crate) fn record_boot() -> AgentResult<ExitCode> {
    let (_, boot) = observe::start()?;
    if boot.is_volatile() {
        report::print(b"a live system keeps no history, and neither does the recovery system\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let Node { facts, .. } = observe::upgrade::node(OpenFor::Reading)?;
    let known = observe::records(observe::history()?);
    let events = boot_records(&facts, &known);
    for event in &events {
        report::print(format!("{event}\n").as_bytes())?;
    }
    record(events).or_fail(Kind::Host)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn network(insecure: bool) -> AgentResult<(Client, Access)> {
    let variable = |name: &str| env::var(name).ok();
    let proxies = Proxies::from_variables(&variable);
    let client =
        Client::new(proxies, Patience::default(), Arc::new(AtomicBool::new(false))).or_fail(Kind::Host)?;
    let credentials = Credentials::observe(Variables::observe(&variable)).or_fail(Kind::Host)?;
    Ok((client, Access { insecure, credentials, ..Access::default() }))
}

/// What a release must be: of this digest, and signed if this image asks for it.
pub(super) fn trust(digest: Option<Digest>) -> AgentResult<Trust> {
    let keys = release_keys(Path::new(RELEASE_KEYS)).or_fail(Kind::Format)?;
    Ok(Trust { digest, keys })
}

/// What a check says beside the plan.
fn report_extent(node: &Node, release: &Release<'_>, plan: &UpgradePlan) -> AgentResult<()> {
    let writes = plan.steps.iter().any(|step| matches!(step, UpgradeStep::WriteRoot { .. }));
    if !writes {
        return Ok(());
    }
    let survey = Survey::new(&node.disk, &node.own, plan.to.slot, &release.index).map_err(failed)?;
    let fetch = ByteSize::bytes(survey.plan(&release.index).fetched_bytes());
    let all = ByteSize::bytes(release.index.stored_size());
    report::print(format!("  · {} of {} would be fetched\n", fetch.human(), all.human()).as_bytes())
}

/// Does the steps, and gives how much was fetched.
fn execute_upgrade(
    node: &Node,
    release: &mut Release<'_>,
    steps: &[UpgradeStep],
    pace: Pace,
) -> AgentResult<ByteSize> {
    let mut last = Lines { pace, fetched: 0, tenths: 0, begun: None, failed: None };
    let mut tell = |progress: Progress| last.tell(progress);
    let mut upgrade = Upgrade {
        disk: &node.disk,
        entries: &node.esp,
        info: &release.info,
        index: &release.index,
        packs: &mut release.content,
        own: &node.own,
        tell: &mut tell,
        uki: None,
    };
    for (number, step) in (1..).zip(steps) {
        report::print(format!("{number}/{} {step}\n", steps.len()).as_bytes())?;
        upgrade.step(step).map_err(failed)?;
    }
    last.failed.map_or(Ok(ByteSize::bytes(last.fetched)), Err)
}

/// Progress as lines, one for each tenth of what is fetched; and not faster than is allowed.
struct Lines {
    pace: Pace,
    fetched: u64,
    tenths: u64,
    begun: Option<Instant>,
    failed: Option<AgentError>,
}

impl Lines {
    fn tell(&mut self, progress: Progress) {
        let Progress { here, fetched, to_fetch } = progress;
        let human = |bytes| ByteSize::bytes(bytes).human();
        let tenths = (fetched * 10).checked_div(to_fetch).unwrap_or(10);
        let first = self.begun.is_none();
        let elapsed = self.begun.get_or_insert_with(Instant::now).elapsed();
        if fetched > self.fetched {
            thread::sleep(self.pace.pause(fetched, elapsed));
        }
        self.fetched = fetched;
        let text = if first {
            format!("  {} are here, {} to fetch\n", human(here), human(to_fetch))
        } else if tenths > self.tenths {
            let left = pace::left(fetched, to_fetch, elapsed);
            let left = left.map(|left| format!(", {left} left")).unwrap_or_default();
            format!("  fetched {} of {}{left}\n", human(fetched), human(to_fetch))
        } else {
            return;
        };
        self.tenths = tenths;
        // That nobody reads it is no reason to stop in the middle; it is told at the end.
        self.failed = report::print(text.as_bytes()).err().or(self.failed.take());
    }
}

fn finish(plan: &UpgradePlan, steps: &[UpgradeStep], reboot: bool) -> AgentResult<ExitCode> {
    let shown = steps.len() == plan.steps.len();
    let runs_already = plan.from.slot == plan.to.slot.into();
    let next = match (shown, runs_already, reboot) {
        (_, true, _) => return Ok(ExitCode::SUCCESS),
        (true, false, true) => format!("restarting into {}\n", plan.to.version),
        (true, false, false) => format!("done: {} runs after the next boot\n", plan.to.version),
        (false, false, _) => format!("staged: run it again without --stage to use {}\n", plan.to.version),
    };
    report::print(next.as_bytes())?;
    if reboot {
        restart()?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restart() -> AgentResult<()> {
    let systemctl = Program::find("systemctl", "systemd").or_fail(Kind::Host)?;
    Command::new(&systemctl).arg("reboot").timeout(Duration::from_secs(60)).run().or_fail(Kind::Host)?;
    Ok(())
}

pub(super) fn failed(error: UpgradeError) -> AgentError {
    let hint = error.hint();
    AgentError::new(Kind::Host, error).hint(hint)
}

/// A release that can't be had is the network's fault, one that is wrong is refused.
pub(super) fn unusable(error: ReleaseError) -> AgentError {
    let hint = error.hint();
    let kind = if matches!(error, ReleaseError::Oci(_)) { Kind::Host } else { Kind::Refused };
    AgentError::new(kind, error).hint(hint)
}

/// Every refusal in one error.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed{}", .0.iter().map(|reason| format!("\n  {reason}")).collect::<String>())]
struct Refused(Vec<UpgradeRefusal>);

pub(super) fn refused(refusals: &[UpgradeRefusal]) -> AgentError {
    let error = AgentError::new(Kind::Refused, Refused(refusals.to_vec()));
    refusals.iter().fold(error, |error, refusal| error.hint(refusal.hint()))
}
