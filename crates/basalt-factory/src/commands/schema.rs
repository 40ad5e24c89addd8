//! `basalt schema`: the JSON Schema of a document, for editors.

use crate::error::CommandResult;

/// Print a JSON Schema, so that editors complete and check recipes and node configurations
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of which document
    #[arg(value_enum, default_value_t = Document::Recipe)]
    document: Document,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Document {
    Recipe,
    NodeConfig,
}

/// Runs the command.
///
/// # Errors
/// When standard output can't be written.
pub fn run(Arguments { document }: &Arguments) -> CommandResult {
    super::print(&match document {
        Document::Recipe => basalt_spec::recipe_schema_text(),
        Document::NodeConfig => basalt_spec::node_config_schema_text(),
    })
}
