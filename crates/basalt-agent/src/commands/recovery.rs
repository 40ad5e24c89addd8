//! `promote` and `boot-next`: the recovery system is made, and asked for.

use std::process::ExitCode;

use basalt_node::upgrade::{Happened, PROMOTE_AFTER, RecoveryFacts, is_due, plan_promotion, recovery_files};
use basalt_spec::node::words::Span;
use clap::{Args, ValueEnum};

use super::{
    config::node_spec,
    upgrade::{refused, restart},
};
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{
        promotion::{Promotion, PromotionError},
        record,
    },
    observe::{
        self, OpenFor,
        upgrade::{EspEntries, Node},
    },
    report,
};

/// How far to go.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PromoteArguments {
    /// Print what would be done, and do nothing
    #[arg(long)]
    check: bool,
    /// Only when there is no recovery system, or what runs has been running well for long enough (`upgrade.promoteAfter`)
    #[arg(long)]
    when_due: bool,
}

/// What the next boot is to start.
#[derive(Debug, Args)]
pub(crate) struct BootNextArguments {
    /// The system
    system: NextSystem,
    /// Restart now
    #[arg(long)]
    reboot: bool,
}

/// A system that a boot can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NextSystem {
    /// The recovery system, for one boot
    Recovery,
    /// What the boot loader takes by itself
    Usual,
}

/// There is nothing to start.
#[derive(Debug, thiserror::Error)]
#[error("this machine has no recovery system yet")]
struct NoRecovery;

/// Observe, plan, execute, report.
pub(crate) fn promote(arguments: &PromoteArguments) -> AgentResult<ExitCode> {
    let node = observe::upgrade::node(OpenFor::Writing)?;
    let recovery = node.recovery()?;
    if arguments.when_due && !due(&node, &recovery)? {
        report::print(b"not due: there is a recovery system, or nothing that could become one\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan_promotion(&node.facts, &recovery).map_err(|refusals| refused(&refusals))?;
    report::print(plan.to_string().as_bytes())?;
    if arguments.check || plan.steps.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let files = node.esp.files();
    let promotion =
        Promotion { disk: &node.disk, files: &files, uki: &node.own.uki, root: recovery.root.get() };
    for (number, step) in (1..).zip(&plan.steps) {
        report::print(format!("{number}/{} {step}\n", plan.steps.len()).as_bytes())?;
        promotion.step(step).map_err(failed)?;
    }
    record(vec![Happened::Promoted { version: plan.version.clone() }]).or_fail(Kind::Host)?;
    report::print(format!("done: {} is the recovery system\n", plan.version).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Chooses what the next boot starts. No variable of the firmware is needed for it.
pub(crate) fn boot_next(arguments: &BootNextArguments) -> AgentResult<ExitCode> {
    let node = observe::upgrade::node(OpenFor::Writing)?;
    let recovery = node.recovery()?;
    let (byte, what): (u8, &[u8]) = match arguments.system {
        NextSystem::Recovery => {
            (recovery_files::NEXT_RECOVERY, b"the next boot starts the recovery system\n")
        }
        NextSystem::Usual => {
            (recovery_files::NONE_UNPROVEN, b"the next boot starts what the boot loader takes\n")
        }
    };
    if recovery.boots.is_none() || recovery.root_hash.is_none() {
        let error = AgentError::new(Kind::Refused, NoRecovery);
        return Err(error.hint("`basalt-agent promote` makes what runs the recovery system"));
    }
    node.esp.set_boots(byte).or_fail(Kind::Host)?;
    report::print(what)?;
    if arguments.reboot {
        restart()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the program before the boot loader that this boot was found good.
pub(super) fn found_good(esp: &EspEntries) -> AgentResult<()> {
    let stays = [recovery_files::NONE_UNPROVEN, recovery_files::NEXT_RECOVERY];
    match esp.boots() {
        Some(boots) if !stays.contains(&boots) => {
            esp.set_boots(recovery_files::NONE_UNPROVEN).or_fail(Kind::Host)
        }
        Some(_) | None => Ok(()),
    }
}

fn due(node: &Node, recovery: &RecoveryFacts) -> AgentResult<bool> {
    let after = node_spec()?.upgrade.promote_after.map_or(PROMOTE_AFTER, Span::duration);
    let known = observe::records(observe::history()?);
    Ok(is_due(&node.facts, recovery, &known, (observe::now(), after)))
}

fn failed(error: PromotionError) -> AgentError {
    AgentError::new(Kind::Host, error)
        .hint("`dmesg` says what the disk said; the slots are as they were, and running again begins anew")
}
