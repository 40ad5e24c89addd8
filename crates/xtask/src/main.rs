//! Developer commands. Each is one file: observe, plan, execute, report.

mod bench;
mod demo;
mod dist;
mod error;
mod golang;
mod guard;
mod npm;
mod paths;
mod peers;
mod python;
mod report;
mod screens;
mod setup;
mod soak;
mod suite;
mod test;
mod tidy;
mod tool;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What one does to this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the host's tools that tests and the demo need
    Setup,
    /// Build the programs of a release into target/dist
    Dist,
    /// Build examples/edge/recipe.yaml, boot it, show it
    Demo,
    /// Everything that must hold before a change lands
    Test(test::Arguments),
    /// Check walls between crates, file sizes and generated files
    Tidy,
    /// Compare with mkosi and mmdebstrap in one run
    Bench(bench::Arguments),
    /// Pictures of every page of the factory, in target/screens
    Screens,
    /// Repeat dangerous things for long
    #[command(subcommand)]
    Soak(soak::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Dist => dist::run().map(drop),
        Task::Demo => demo::run(),
        Task::Test(arguments) => test::run(&arguments),
        Task::Tidy => tidy::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Screens => screens::run(),
        Task::Soak(arguments) => soak::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}
