//! `install`: puts the release that runs from a live medium, or another one, onto a disk.

mod execute;
#[cfg(test)]
mod fake;
mod form;
mod installer;
mod live;
mod request;
mod tui;
mod web;

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Program};
use basalt_image::layout::ImageInfo;
use basalt_node::{
    BootFacts,
    install::{BlockDisk, InstallFacts, InstallPlan, InstallRefusal, InstallWish, plan_install},
};
use basalt_spec::node::After;
use basalt_types::{Digest, ImageRef};
use clap::Args;

use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    observe::{
        self,
        install::{RunningError, disks},
    },
    report,
};
use execute::{Lines, Prepared, run};
use installer::{Ended, Questions};
use live::Live;
use request::Asked;

/// How long disks may take to appear after the start of an unattended machine.
const DISKS: Duration = Duration::from_secs(60);
/// How often they are looked for.
const LOOK: Duration = Duration::from_secs(2);

/// What to install where.
#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// Which disk: `auto`, a path, or a rule such as `bus=nvme,min-size=100GiB,prefer=smallest`
    #[arg(long, value_name = "RULE")]
    disk: Option<String>,
    /// What the machine should be: a document of `kind: NodeConfig`, which the installed system finds on its boot partition
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another release than the one that runs, as for `upgrade`: oci:FOLDER[:TAG], oci-archive:FILE[:TAG] or HOST/NAME:TAG
    #[arg(long, value_name = "SOURCE")]
    from: Option<ImageRef>,
    /// Take that release only if its manifest has this digest
    #[arg(long, value_name = "sha256:…", requires = "from")]
    digest: Option<Digest>,
    /// Speak plain HTTP with the registry
    #[arg(long, requires = "from")]
    insecure: bool,
    /// Ask on a page for the local network, at this address; the console shows the code that opens it
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "[::]:8080")]
    #[arg(conflicts_with_all = ["disk", "plan", "yes", "unattended"])]
    web: Option<SocketAddr>,
    /// Do what a document says that came with the medium or the machine, or nothing: for the unit that does it
    #[arg(long, hide = true, conflicts_with_all = ["disk", "config", "from", "plan", "yes"])]
    unattended: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    after: AfterArguments,
}

/// How much is asked.
#[derive(Debug, Args)]
struct Consent {
    /// Print what would be done and what would be lost, and do nothing
    #[arg(long, conflicts_with = "yes")]
    plan: bool,
    /// Ask nothing: the disk is erased
    #[arg(long)]
    yes: bool,
    /// Erase the disk also where it is a part of something larger: of a RAID, of LVM, ZFS or Ceph
    #[arg(long)]
    wipe: bool,
}

/// What happens when it is done.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
struct AfterArguments {
    /// Restart when it is done
    #[arg(long)]
    reboot: bool,
    /// Power off when it is done
    #[arg(long)]
    poweroff: bool,
    /// Halt when it is done
    #[arg(long)]
    halt: bool,
}

impl AfterArguments {
    fn get(self) -> Option<After> {
        match self {
            Self { reboot: true, .. } => Some(After::Reboot),
            Self { poweroff: true, .. } => Some(After::PowerOff),
            Self { halt: true, .. } => Some(After::Halt),
            Self { reboot: false, poweroff: false, halt: false } => None,
        }
    }
}

/// Observe, validate, plan, ask, execute, report.
pub(crate) fn install(arguments: &InstallArguments) -> AgentResult<ExitCode> {
    let (image, boot) = observe::start()?;
    if arguments.unattended && !boot.is_live() {
        report::print(b"nothing to install: this system runs from a disk\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let running = observe::install::running(&image, &boot).map_err(not_running)?;
    let request = request::read(&asked(arguments), running.document.as_deref())?;
    let Some(request) = request.filter(|_| arguments.web.is_none()) else {
        return without_disk(arguments, image, boot);
    };
    let booted = boot.disk.as_deref();
    let prepared = Prepared::new(&request, running)?;
    let facts = || Ok(InstallFacts { architecture: image.architecture, disks: look(booted)? });
    let plan = patiently(arguments.unattended, || plan(&facts()?, &prepared.wish()))?;
    report::print(plan.to_string().as_bytes())?;
    if arguments.consent.plan {
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.consent.yes && !arguments.unattended {
        ask(&plan)?;
    }
    let again = |prepared: &Prepared| self::plan(&facts()?, &prepared.wish());
    run(prepared, &plan, &again, &mut Lines::default())?;
    finish(&plan, plan.after)
}

/// Nobody named a disk: a person is asked, and a machine does nothing.
fn without_disk(arguments: &InstallArguments, image: ImageInfo, boot: BootFacts) -> AgentResult<ExitCode> {
    if arguments.unattended {
        report::print(b"nothing to install: no document says which disk (`install.disk`)\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let questions = if arguments.config.is_some() { Questions::DiskOnly } else { Questions::All };
    let mut live = Live::new(image, boot, arguments);
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let ended = match arguments.web {
        Some(address) => web::run(&mut live, questions, address)?,
        None if is_terminal && !arguments.consent.plan && !arguments.consent.yes => {
            tui::run(&mut live, questions)?
        }
        None => {
            let error = AgentError::new(Kind::Refused, NoDisk);
            return Err(error.hint("--disk auto takes the only disk there is; `lsblk` lists them"));
        }
    };
    match ended {
        Ended::Stopped => report::print(b"nothing was changed\n").map(|()| ExitCode::SUCCESS),
        Ended::Installed(after) => match live.followed() {
            Some(plan) => finish(&plan, after.or(plan.after)),
            None => Ok(ExitCode::SUCCESS),
        },
    }
}

fn asked(arguments: &InstallArguments) -> Asked<'_> {
    let InstallArguments { disk, config, from, digest, insecure, web: _, unattended, consent, after } =
        arguments;
    Asked {
        disk: disk.as_deref(),
        config: config.as_deref(),
        release: from.as_ref().map(|from| request::Wanted {
            reference: from.clone(),
            digest: *digest,
            insecure: *insecure,
        }),
        wipe: consent.wipe,
        unattended: *unattended,
        after: after.get(),
    }
}

fn look(booted: Option<&str>) -> AgentResult<Vec<BlockDisk>> {
    disks(Path::new("/"), booted).or_fail(Kind::Host)
}

fn plan(facts: &InstallFacts, wish: &InstallWish<'_>) -> AgentResult<InstallPlan> {
    plan_install(facts, wish).map_err(|refusals| refused(&refusals))
}

/// Plans, and on an unattended machine waits for disks that appear late.
fn patiently(patient: bool, plan: impl Fn() -> AgentResult<InstallPlan>) -> AgentResult<InstallPlan> {
    let deadline = Instant::now() + DISKS;
    loop {
        let result = plan();
        let is_absent = |error: &AgentError| {
            let refused = error.error.downcast_ref::<Refused>();
            refused.is_some_and(|Refused(reasons)| {
                reasons.iter().all(|reason| matches!(reason, InstallRefusal::NoDisk { .. }))
            })
        };
        match result {
            Err(error) if patient && is_absent(&error) && Instant::now() < deadline => {
                std::thread::sleep(LOOK);
            }
            other => return other,
        }
    }
}

/// A person who did not say `--yes` types the disk's name.
fn ask(plan: &InstallPlan) -> AgentResult<()> {
    let device = &plan.target.device;
    let unasked = || {
        let error = AgentError::new(Kind::Refused, Unasked { device: device.clone() });
        error.hint("--yes erases it without asking; --plan shows what would be done")
    };
    if !io::stdin().is_terminal() {
        return Err(unasked());
    }
    report::print(format!("Type {device} to erase it and install, anything else to stop: ").as_bytes())?;
    io::stdout().flush().or_fail(Kind::Host)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).or_fail(Kind::Host)?;
    if line.trim() == device { Ok(()) } else { Err(unasked()) }
}

/// Says what comes next, and does it.
fn finish(plan: &InstallPlan, after: Option<After>) -> AgentResult<ExitCode> {
    let (name, device) = (&plan.release.name, &plan.target.device);
    let version = &plan.release.version;
    let verb = match after {
        None => {
            let text = format!(
                "done: {name} {version} is on {device}; take the medium out and restart (`systemctl reboot`)\n"
            );
            report::print(text.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(After::Reboot) => "reboot",
        Some(After::PowerOff) => "poweroff",
        Some(After::Halt) => "halt",
    };
    report::print(format!("done: {name} {version} is on {device}; now: {verb}\n").as_bytes())?;
    let systemctl = Program::find("systemctl", "systemd").or_fail(Kind::Host)?;
    let command = Command::new(&systemctl).args(["--no-block", verb]);
    command.timeout(Duration::from_secs(60)).run().or_fail(Kind::Host)?;
    Ok(ExitCode::SUCCESS)
}

/// Nobody said where.
#[derive(Debug, thiserror::Error)]
#[error("no disk was named")]
struct NoDisk;

/// Nobody said yes.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed: nobody said that {device} is to be erased")]
struct Unasked {
    device: String,
}

/// Every refusal in one error.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed{}", .0.iter().map(|reason| format!("\n  {reason}")).collect::<String>())]
struct Refused(Vec<InstallRefusal>);

fn refused(refusals: &[InstallRefusal]) -> AgentError {
    let error = AgentError::new(Kind::Refused, Refused(refusals.to_vec()));
    refusals.iter().fold(error, |error, refusal| error.hint(refusal.hint()))
}

fn not_running(error: RunningError) -> AgentError {
    let hint = error.hint();
    let kind = if matches!(error, RunningError::NotLive) { Kind::Refused } else { Kind::Host };
    AgentError::new(kind, error).hint(hint)
}
