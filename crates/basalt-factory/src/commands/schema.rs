//! `basalt schema`: the JSON Schema of a recipe, for editors.

use crate::error::CommandResult;

/// Print the JSON Schema of a recipe, so that editors complete and check it
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs the command.
///
/// # Errors
/// When standard output can't be written.
pub fn run(Arguments {}: &Arguments) -> CommandResult {
    super::print(&basalt_spec::recipe_schema_text())
}
