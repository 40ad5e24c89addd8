//! `basalt build`: makes what a recipe asks for.

use std::path::PathBuf;

use super::keys::SigningArguments;
use crate::{
    engine::{
        build::{self, Build, Wishes},
        project::Project,
    },
    error::CommandResult,
    report::{Audience, Reporter},
};

/// Build a recipe's outputs
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The recipe
    #[arg(default_value = "recipe.yaml")]
    recipe: PathBuf,
    /// The folder for what is made
    #[arg(short, long, default_value = "out")]
    output: PathBuf,
    /// Do every step again; downloads are kept
    #[arg(long)]
    no_cache: bool,
    /// Refuse to make or change the lock
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    signing: SigningArguments,
    /// How progress is told, on standard error
    #[arg(long, value_enum, default_value_t = Audience::Text)]
    progress: Audience,
}

/// Runs the command.
///
/// # Errors
/// When the recipe is not valid, or a step fails.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { recipe, output, no_cache, locked, signing, progress } = arguments;
    let wishes =
        Wishes { output: output.clone(), no_cache: *no_cache, locked: *locked, signing: signing.open()? };
    let reporter = Reporter::new(*progress);

    let build = Build::observe(Project::open(recipe)?, wishes)?;
    let plan = build.plan();
    build::report_skipped(&plan, &reporter);
    let outcome = build::execute(&build, &plan, &reporter)?;

    let mut text: String = outcome.files.iter().map(|path| format!("{}\n", path.display())).collect();
    if let Some(summary) = &outcome.summary {
        reporter.tell(&summary.to_string());
    }
    if let Some(size) = outcome.minimum_disk {
        text.push_str(&format!("the machine's disk needs {} or more\n", size.human()));
    }
    super::print(&text)
}
