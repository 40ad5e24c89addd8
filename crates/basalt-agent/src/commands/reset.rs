//! `reset`: the machine loses its data at the next boot, and keeps its releases.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use basalt_exec::{
    command::{Command, Program},
    esp::{Esp, EspError},
};
use basalt_node::{
    partition_path,
    reset::{Keep, ResetPlan, ResetRefusal, plan_reset},
};
use clap::Args;

use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{
        MACHINE_ID_CREDENTIAL,
        reset::{Credentials, step},
    },
    observe::{self, OpenFor},
    report,
};

/// What is lost, and what happens then.
#[derive(Debug, Args)]
pub(crate) struct ResetArguments {
    /// Keep the machine's id; SSH host keys are on the data volume, and made anew either way
    #[arg(long)]
    keep_identity: bool,
    #[command(flatten)]
    consent: Consent,
    /// Do not restart when it is done: the data is lost at the next boot, whenever that is
    #[arg(long)]
    later: bool,
}

/// How much is asked.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Consent {
    /// Print what would be done and what would be lost, and do nothing
    #[arg(long)]
    plan: bool,
    /// Ask nothing: the data is lost
    #[arg(long)]
    yes: bool,
}

/// Observe, plan, ask, execute, report.
pub(crate) fn reset(arguments: &ResetArguments) -> AgentResult<ExitCode> {
    let ResetArguments { keep_identity, consent: Consent { plan: only_plan, yes }, later } = arguments;
    let keep = if *keep_identity { Keep::Identity } else { Keep::Nothing };
    let open = if *only_plan { OpenFor::Reading } else { OpenFor::Writing };
    let (disk, facts) = observe::reset(open)?;
    let plan = plan_reset(&facts, keep).map_err(|refusals| refused(&refusals))?;
    report::print(plan.to_string().as_bytes())?;
    if *only_plan {
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !plan.steps.is_empty() {
        ask(&plan)?;
    }
    let esp = EspOf { disk: &plan.disk };
    for one in &plan.steps {
        step(one, &disk, &esp).map_err(|error| {
            AgentError::new(Kind::Host, error)
                .hint("`dmesg` says what the disk said; running again goes on from here")
        })?;
    }
    finish(*later)
}

struct EspOf<'a> {
    disk: &'a str,
}

impl Credentials for EspOf<'_> {
    fn forget_machine_id(&self, number: u32) -> Result<(), EspError> {
        Esp::mount(Path::new(&partition_path(self.disk, number)))?.remove(Path::new(MACHINE_ID_CREDENTIAL))
    }
}

/// A person who did not say `--yes` types the disk's name.
fn ask(plan: &ResetPlan) -> AgentResult<()> {
    let mut line = String::new();
    if io::stdin().is_terminal() {
        let question = format!("Type {} to lose its data, anything else to stop: ", plan.disk);
        report::print(question.as_bytes())?;
        io::stdin().lock().read_line(&mut line).or_fail(Kind::Host)?;
    }
    if line.trim() == plan.disk {
        return Ok(());
    }
    let error = AgentError::new(Kind::Refused, Unasked);
    Err(error.hint("--yes resets without asking; --plan shows what would be lost"))
}

fn finish(later: bool) -> AgentResult<ExitCode> {
    if later {
        report::print(b"done: the next boot makes /var anew; what is written there until then is lost\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    report::print(b"done: restarting; the boot makes /var anew\n")?;
    let systemctl = Program::find("systemctl", "systemd").or_fail(Kind::Host)?;
    Command::new(&systemctl)
        .args(["--no-block", "reboot"])
        .timeout(Duration::from_secs(60))
        .run()
        .or_fail(Kind::Host)?;
    Ok(ExitCode::SUCCESS)
}

/// Nobody said yes.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed: nobody said that the data is to be lost")]
struct Unasked;

/// Every refusal in one error.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed{}", .0.iter().map(|reason| format!("\n  {reason}")).collect::<String>())]
struct Refused(Vec<ResetRefusal>);

fn refused(refusals: &[ResetRefusal]) -> AgentError {
    let error = AgentError::new(Kind::Refused, Refused(refusals.to_vec()));
    refusals.iter().fold(error, |error, refusal| error.hint(refusal.hint()))
}
