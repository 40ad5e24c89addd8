//! `basalt plan`: what a build would do, and why.

use super::asked::Asked;
use crate::{
    error::{CommandResult, Kind, OrFail as _},
    report,
};

/// Show what a build would do and why each step will or won't run
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    asked: Asked,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the recipe is not valid or no lock can be made.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { asked, json } = arguments;
    let build = asked.observe()?;
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
