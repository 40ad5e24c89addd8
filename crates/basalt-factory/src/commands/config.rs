//! `basalt config`: documents of nodes, on the host where they are written.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use basalt_spec::{
    cloud::{self, Converted, Flavour},
    node::Layers,
};

use super::FileError;
use crate::{
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report::count,
};

/// Check documents of nodes, and make them from #cloud-config
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a NodeConfig of a #cloud-config written for cloud-init or for Kairos: the document goes to standard output,
    /// what was translated to standard error
    Convert {
        /// The text
        file: PathBuf,
        /// For which of the two it was written; its keys tell if it is not said
        #[arg(long, value_enum)]
        from: Option<Language>,
        /// Print the document although something was refused, without that
        #[arg(long)]
        partial: bool,
        /// Print the document and the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Check documents: each by itself, and all together
    Validate {
        /// The documents, by rising precedence
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Language {
    CloudInit,
    Kairos,
}

/// Runs the command.
///
/// # Errors
/// When a file can't be read, or is not valid.
pub fn run(Arguments { command }: &Arguments) -> CommandResult {
    match command {
        Command::Convert { file, from, partial, json } => {
            let converted = convert(file, *from)?;
            refuse(&converted, *partial)?;
            report(&converted, file, *json)
        }
        Command::Validate { files } => validate(files),
    }
}

fn read(path: &Path) -> CommandResult<String> {
    fs::read_to_string(path).map_err(|source| FileError::new(path, source)).or_fail(Kind::User)
}

fn convert(file: &Path, from: Option<Language>) -> CommandResult<Converted> {
    let flavour = from.map(|language| match language {
        Language::CloudInit => Flavour::CloudInit,
        Language::Kairos => Flavour::Kairos,
    });
    cloud::convert(&file.display().to_string(), &read(file)?, flavour).map_err(CommandError::in_file)
}

/// Nothing is printed as a document that lacks something, unless that was asked for.
fn refuse(Converted { document, refused, .. }: &Converted, partial: bool) -> CommandResult {
    match (refused, document) {
        (None, _) => Ok(()),
        (Some(_), Some(_)) if partial => Ok(()),
        (Some(refused), Some(_)) => Err(CommandError::in_file(refused.clone())
            .hint("take these keys out, or add `--partial` to go on without them")),
        (Some(refused), None) => Err(CommandError::in_file(refused.clone())),
    }
}

fn report(
    Converted { flavour, document, translated, refused }: &Converted,
    file: &Path,
    json: bool,
) -> CommandResult {
    let text = document.as_deref().unwrap_or_default();
    if json {
        let refused: Vec<String> = refused
            .iter()
            .flat_map(|error| error.problems().iter().map(|one| format!("{}: {one}", error.position(one).0)))
            .collect();
        let value = serde_json::json!({
            "flavour": flavour, "document": text, "translated": translated, "refused": refused,
        });
        return super::print(&serde_json::to_string_pretty(&value).or_fail(Kind::Bug)?);
    }
    let mut lines = String::new();
    for one in translated {
        lines = format!("{lines}{}:{}: {} -> {}\n", file.display(), one.line, one.from, one.to);
    }
    if let Some(error) = refused {
        for one in error.problems() {
            lines = format!("{lines}{}:{}: left out: {one}\n", file.display(), error.position(one).0);
        }
    }
    io::stderr().write_all(lines.as_bytes()).or_fail(Kind::Host)?;
    super::print(text)
}

fn validate(files: &[PathBuf]) -> CommandResult {
    let mut layers = Layers::default();
    for file in files {
        layers.push(&file.display().to_string(), &read(file)?).map_err(CommandError::in_file)?;
    }
    match layers.merge() {
        Ok(_) => super::print(&format!("{} valid\n", count(files.len(), "document"))),
        Err(error) => Err(CommandError::in_files(error.parts())),
    }
}
