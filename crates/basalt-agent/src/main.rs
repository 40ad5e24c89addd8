//! `basalt-agent`: what runs on a machine. Synchronous; only `upgrade` from a registry uses the network. Each
//! command is `observe → plan → execute → report`.
//!
//! | command | observes | does |
//! |---|---|---|
//! | `status` | everything | nothing |
//! | `config` | documents of the image, the boot disk, `/run` and the command line | nothing |
//! | `plan` | what those documents say something of | nothing |
//! | `apply`, `reconcile`, `daemon` | the same | makes the machine as they say |
//! | `provision` | the boot disk, the ESP | grows the disk, makes `/var`'s file system, keeps the machine's id |
//! | `identity` | `/var/lib/basalt/ssh` | makes the SSH host keys that are missing |
//! | `install` | disks, the live system, a release | puts the release onto a disk |
//! | `upgrade` | slots, boot entries, a release | puts the release into the other slot, and lets the next boot try it |
//! | `reset` | the boot disk, the ESP | marks the data as unfinished, takes the machine's id away |
//! | `rollback` | slots, boot entries | lets the next boot take the other slot |
//! | `history` | `/var/lib/basalt/history.jsonl` | nothing |
//! | `record-boot` | boot entries | adds to the history |
//! | `health` | systemd, and what the checks of the configuration ask | nothing |
//! | `assess` | the same, until this boot is found good or is given up | adds to the history |
//! | `doctor` | all of these, and the kernel, the network and what crashes left | nothing |
//! | `logs bundle` | the same, and logs | writes an archive |
//! | `bless` | boot entries | lets the boot loader keep what runs |
//!
//! Exit codes: 0 done or healthy · 1 `status` has warnings, `plan` found drift, `apply` left something undone, or `health` or `doctor` found something · 2 wrong command line · 3 this machine lacks something or
//! a step failed · 4 refused, nothing was written · 5 a file that the image or `basalt-init` wrote, or a configuration,
//! can't be understood.
//!
//! Not here: decisions (`basalt-node`), layouts (`basalt-image`), formats (`basalt-formats`), system calls
//! (`basalt-exec`).

mod commands;
mod daemon;
mod datasource;
mod documents;
mod error;
mod execute;
mod observe;
mod reconcile;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::AgentResult;

/// Looks after a machine that runs a Basalt image
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which image runs, whether it is verified, and how the machine is; exit code 1 if there are warnings
    Status {
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
    /// Give the boot disk what it lacks: other slots, data, a file system; safe to run at every boot
    Provision {
        /// Print what would be done, and do nothing
        #[arg(long)]
        plan: bool,
    },
    /// Put the release of a live system, or another one, onto a disk of this machine; everything on the disk is lost
    Install(commands::InstallArguments),
    /// Put another release into the other slot, and let the next boot try it; falls back by itself when it fails
    Upgrade(commands::UpgradeArguments),
    /// Lose this machine's data at the next boot, and keep its releases
    Reset(commands::ResetArguments),
    /// Go back to the release in the other slot, at the next boot
    Rollback(commands::RollbackArguments),
    /// Make what runs the recovery system, which is started when neither slot comes up
    Promote(commands::PromoteArguments),
    /// Choose what the next boot starts
    BootNext(commands::BootNextArguments),
    /// Say what happened to this machine's releases: upgraded, booted, fell back, rolled back
    History {
        /// Print the records as JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// Add this boot to the history: for the unit that does it
    #[command(hide = true)]
    RecordBoot,
    /// Ask everything that must be true before a new release is kept; exit code 1 if something is not
    Health {
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
    /// Say what is wrong with this machine, how bad it is, and what to do; exit code 1 if something is
    Doctor {
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
    /// Gather logs and states for whoever looks from elsewhere
    Logs(commands::LogsArguments),
    /// Wait until this boot is found good, or give it up: for the unit that does it
    #[command(hide = true)]
    Assess,
    /// Let the boot loader keep what runs: for the unit that does it
    #[command(hide = true)]
    Bless,
    /// Say what this machine should be, and which document says so
    Config(commands::ConfigArguments),
    /// Say what differs between this machine and its documents; exit code 1 if something does
    Plan {
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
    /// Make this machine as its documents say, or as one more document says that is kept
    Apply(commands::ApplyArguments),
    /// Keep this machine as its documents say, and answer who asks: for the unit that does it
    Daemon(daemon::DaemonArguments),
    /// Make this machine as its documents say, early in a boot: for the unit that does it
    #[command(hide = true)]
    Reconcile,
    /// Run the scripts of a shutdown if there is one: for the unit that does it
    #[command(hide = true)]
    ShutdownHooks,
    /// Make the SSH host keys that are missing
    Identity {
        /// Print what would be done, and do nothing
        #[arg(long)]
        plan: bool,
    },
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match run(&command) {
        Ok(code) => code,
        Err(error) => {
            report::failure(&error);
            error.kind.exit_code()
        }
    }
}

fn run(command: &Command) -> AgentResult<ExitCode> {
    match command {
        Command::Status { json } => commands::status(*json),
        Command::Provision { plan: true } => commands::plan_provision(),
        Command::Provision { plan: false } => commands::provision(),
        Command::Install(arguments) => commands::install(arguments),
        Command::Upgrade(arguments) => commands::upgrade(arguments),
        Command::Reset(arguments) => commands::reset(arguments),
        Command::Promote(arguments) => commands::promote(arguments),
        Command::BootNext(arguments) => commands::boot_next(arguments),
        Command::Rollback(arguments) => commands::rollback(arguments),
        Command::History { json } => commands::history(*json),
        Command::RecordBoot => commands::record_boot(),
        Command::Health { json } => commands::health(*json),
        Command::Doctor { json } => commands::doctor(*json),
        Command::Logs(arguments) => commands::logs(arguments),
        Command::Assess => commands::assess(),
        Command::Bless => commands::bless(),
        Command::Config(arguments) => commands::config(arguments),
        Command::Plan { json } => commands::plan(*json),
        Command::Apply(arguments) => commands::apply(arguments),
        Command::Daemon(arguments) => daemon::daemon(arguments),
        Command::Reconcile => commands::reconcile_at_boot(),
        Command::ShutdownHooks => commands::shutdown_hooks(),
        Command::Identity { plan: true } => commands::plan_identity(),
        Command::Identity { plan: false } => commands::identity(),
    }
}
