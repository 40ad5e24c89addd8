//! `basalt plan`: what a build would do, and why.

use std::path::PathBuf;

use super::keys::SigningArguments;
use crate::{
    engine::{
        build::{Build, Wishes},
        project::Project,
    },
    error::{CommandResult, Kind, OrFail as _},
    report,
};

/// Show what a build would do and why each step will or won't run
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The recipe
    #[arg(default_value = "recipe.yaml")]
    recipe: PathBuf,
    /// The folder for what is made
    #[arg(short, long, default_value = "out")]
    output: PathBuf,
    /// As if no earlier build had been; downloads are kept
    #[arg(long)]
    no_cache: bool,
    /// Refuse to make or change the lock
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    signing: SigningArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the recipe is not valid or no lock can be made.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { recipe, output, no_cache, locked, signing, json } = arguments;
    let wishes =
        Wishes { output: output.clone(), no_cache: *no_cache, locked: *locked, signing: signing.open()? };
    let build = Build::observe(Project::open(recipe)?, wishes)?;
    let plan = build.plan();
    if *json {
        return super::print(&serde_json::to_string_pretty(&plan).or_fail(Kind::Bug)?);
    }
    let recipe = build.recipe();
    let packages = report::count(build.lock().packages.len(), "package");
    let head = format!("{} {} for {}, {packages}", recipe.name, recipe.version, recipe.architecture);
    let verdict = if plan.is_empty() { "\nnothing to do\n" } else { "" };
    super::print(&format!("{head}\nid {}\n{plan}{verdict}", plan.id))
}
