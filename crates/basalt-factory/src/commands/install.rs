//! `basalt install`: writes a disk image or a live medium onto a disk of this machine.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use basalt_types::ByteSize;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    engine::install::{self, Refusal, WritePlan},
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Write a disk image or a live medium onto a disk of this machine, or into a file, and read it back
///
/// To install from a live system on the machine itself: `basalt-agent install`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The image: NAME.raw or NAME.iso of a build
    image: PathBuf,
    /// The disk that is erased, such as /dev/sdb; or a file, which is made
    #[arg(long, value_name = "DISK")]
    disk: PathBuf,
    /// Print what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Ask nothing: the disk is erased
    #[arg(long)]
    yes: bool,
}

/// Every refusal in one error.
#[derive(Debug, thiserror::Error)]
#[error("nothing was written{}", .0.iter().map(|reason| format!("\n  {reason}")).collect::<String>())]
struct Refused(Vec<Refusal>);

/// Nobody said yes.
#[derive(Debug, thiserror::Error)]
#[error("nothing was written: nobody said that {} is to be erased", .0.display())]
struct Unasked(PathBuf);

/// Runs the command: observe, plan, ask, execute, report.
///
/// # Errors
/// When the plan is refused, nobody agrees, or the disk can't be written.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { image, disk, dry_run, yes } = arguments;
    let image = install::image(image).or_fail(Kind::User)?;
    let target = install::target(disk).or_fail(Kind::Host)?;
    let plan = install::plan(&image, &target).map_err(refused)?;
    super::print(&plan.to_string())?;
    if *dry_run {
        return Ok(());
    }
    if !yes && !plan.fresh_file {
        ask(&plan)?;
    }
    let bar = ProgressBar::new(0);
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta}").or_fail(Kind::Bug)?;
    bar.set_style(style);
    let done = install::execute(&plan, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    done.map_err(|error| {
        CommandError::new(Kind::Host, error)
            .hint("`dmesg` says what the disk said; the same command begins anew")
    })?;
    let size = ByteSize::bytes(plan.size).human();
    super::print(&format!("{size} are on {} and were read back", plan.target.display()))
}

fn refused(refusals: Vec<Refusal>) -> CommandError {
    let hints: Vec<_> = refusals.iter().map(Refusal::hint).collect();
    let error = CommandError::new(Kind::User, Refused(refusals));
    hints.into_iter().fold(error, CommandError::hint)
}

/// A person who did not say `--yes` types the disk's name.
fn ask(plan: &WritePlan) -> CommandResult {
    let device = plan.target.display().to_string();
    let mut line = String::new();
    if io::stdin().is_terminal() {
        super::print(&format!("Type {device} to erase it, anything else to stop:"))?;
        io::stdin().lock().read_line(&mut line).or_fail(Kind::Host)?;
    }
    if line.trim() == device {
        return Ok(());
    }
    let error = CommandError::new(Kind::User, Unasked(plan.target.clone()));
    Err(error.hint("--yes erases it without asking; --dry-run shows what would be done"))
}
