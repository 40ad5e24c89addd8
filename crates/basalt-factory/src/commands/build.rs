//! `basalt build`: makes what a recipe asks for.

use super::asked::Asked;
use crate::{
    engine::build,
    error::CommandResult,
    report::{Audience, Reporter},
};

/// Build a recipe's outputs
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    asked: Asked,
    /// How progress is told, on standard error
    #[arg(long, value_enum, default_value_t = Audience::Text)]
    progress: Audience,
}

/// Runs the command.
///
/// # Errors
/// When the recipe is not valid, or a step fails.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { asked, progress } = arguments;
    let reporter = Reporter::new(*progress);

    let build = asked.observe()?;
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
