//! The `basalt` program: from a recipe to a running image.

use std::{io::Write as _, process::ExitCode};

use basalt_factory::{base, commands, error::CommandResult};
use clap::{Parser, Subcommand};

/// Build image-based Linux from a recipe: verified, immutable, reproducible.
#[derive(Debug, Parser)]
#[command(name = "basalt", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Arguments),
    Lock(commands::lock::Arguments),
    Plan(commands::plan::Arguments),
    Build(commands::build::Arguments),
    Inspect(commands::inspect::Arguments),
    Run(commands::run::Arguments),
    Install(commands::install::Arguments),
    Diff(commands::diff::Arguments),
    Push(commands::push::Arguments),
    Keys(commands::keys::Arguments),
    Sign(commands::sign::Arguments),
    Verify(commands::verify::Arguments),
    Measure(commands::measure::Arguments),
    Lint(commands::lint::Arguments),
    Store(commands::store::Arguments),
    Config(commands::config::Arguments),
    Schema(commands::schema::Arguments),
    Serve(commands::serve::Arguments),
    #[command(hide = true)]
    ServeJob(commands::serve::JobArguments),
}

fn main() -> ExitCode {
    if let Some(code) = base::worker_main_if_asked() {
        return code;
    }
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed; the exit code still says it.
            drop(writeln!(std::io::stderr(), "{error}"));
            error.kind.exit_code()
        }
    }
}

fn run(command: Command) -> CommandResult {
    match command {
        Command::Init(arguments) => commands::init::run(&arguments),
        Command::Lock(arguments) => commands::lock::run(&arguments),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Build(arguments) => commands::build::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Install(arguments) => commands::install::run(&arguments),
        Command::Diff(arguments) => commands::diff::run(&arguments),
        Command::Push(arguments) => commands::push::run(&arguments),
        Command::Keys(arguments) => commands::keys::run(&arguments),
        Command::Sign(arguments) => commands::sign::run(&arguments),
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Measure(arguments) => commands::measure::run(&arguments),
        Command::Lint(arguments) => commands::lint::run(&arguments),
        Command::Store(arguments) => commands::store::run(&arguments),
        Command::Config(arguments) => commands::config::run(&arguments),
        Command::Schema(arguments) => commands::schema::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::ServeJob(arguments) => commands::serve::run_job(&arguments),
    }
}
