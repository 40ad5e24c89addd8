//! `basalt init`: writes a commented recipe to start from.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
};

use basalt_spec::TEMPLATE;

use crate::error::{CommandError, CommandResult, Kind};

/// Write a commented recipe to start from
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to write it
    #[arg(default_value = "recipe.yaml")]
    path: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the file is there already or can't be written.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { path } = arguments;
    let written = OpenOptions::new().write(true).create_new(true).open(path);
    written.and_then(|mut file| file.write_all(TEMPLATE.as_bytes())).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return CommandError::new(Kind::User, format!("{} is there already", path.display()))
                .hint("name another file, or move this one away: a recipe is never overwritten");
        }
        CommandError::new(Kind::Host, format!("can't write {}: {error}", path.display()))
    })?;
    super::print(&format!("wrote {0}\nnext: basalt build {0} -o out/", path.display()))
}
