//! `basalt-agent config`: what this machine should be, and who says so. Reads documents, and changes nothing
//! but for `apply`.

mod report;

use std::{path::PathBuf, process::ExitCode};

use basalt_spec::node::{KeyPath, Merged, NodeSpec, Provenance};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    documents::{self, merged},
    error::{AgentError, AgentResult, Kind, OrFail as _},
    report::print,
};

/// What may be typed behind `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// Read documents below this folder, such as another machine's root, and not the ESP and the config partition
    #[arg(long, global = true, value_name = "FOLDER")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print what all documents say together; secrets are redacted
    Show {
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
        /// Say where each value comes from
        #[arg(long)]
        provenance: bool,
    },
    /// Say what a key is, which document says so, and what the others say
    Explain {
        /// The key, such as `hostname` or `users.admin.shell` or `files[/etc/motd].mode`
        key: KeyPath,
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
    /// Check a document by itself and on top of this machine's
    Validate {
        /// The document
        file: PathBuf,
    },
    /// Keep a document that counts more than all others, and make this machine as all of them say; as `apply FILE`
    Apply {
        /// The document, by its file or its https:// address
        file: String,
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
    /// Say what a document would change on top of this machine's
    Diff {
        /// The document
        file: PathBuf,
        /// Print JSON for a program
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn config(arguments: &ConfigArguments) -> AgentResult<ExitCode> {
    let ConfigArguments { root, command } = arguments;
    let sources = || documents::observe(root.as_deref());
    let text = match command {
        ConfigCommand::Show { json, provenance } => {
            let provenance = if *provenance { Provenance::Shown } else { Provenance::Hidden };
            show(&merged(&sources()?, None)?, *json, provenance)?
        }
        ConfigCommand::Explain { key, json } => explain(&merged(&sources()?, None)?, key, *json)?,
        ConfigCommand::Validate { file } => {
            let sources = sources()?;
            merged(&sources, Some(&documents::file(file)?))?;
            report::valid(file, sources.len())
        }
        ConfigCommand::Apply { file, json } => return super::apply(&super::ApplyArguments::of(file, *json)),
        ConfigCommand::Diff { file, json } => {
            let sources = sources()?;
            let (before, after) = (merged(&sources, None)?, merged(&sources, Some(&documents::file(file)?))?);
            let differences = before.differences(&after);
            if *json { pretty(&differences)? } else { report::differences(&differences) }
        }
    };
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What all documents of this machine say together.
pub(crate) fn node_spec() -> AgentResult<NodeSpec> {
    Ok(merged(&documents::observe(None)?, None)?.config.spec)
}

fn show(merged: &Merged, json: bool, provenance: Provenance) -> AgentResult<String> {
    if !json {
        return Ok(merged.text(provenance));
    }
    let config = merged.json().or_fail(Kind::Format)?;
    match provenance {
        Provenance::Hidden => pretty(&config),
        Provenance::Shown => {
            let leaves = merged.leaves();
            let places: serde_json::Map<_, _> =
                leaves.into_iter().map(|(key, mention)| (key.to_string(), json!(mention.place))).collect();
            pretty(&json!({"config": config, "provenance": places}))
        }
    }
}

fn explain(merged: &Merged, key: &KeyPath, json: bool) -> AgentResult<String> {
    match merged.explain(key) {
        Some(explained) if json => pretty(&explained),
        Some(explained) => Ok(report::explained(&explained)),
        None => {
            key.known().map_err(|error| AgentError::new(Kind::Refused, error))?;
            if json {
                pretty(&serde_json::Value::Null)
            } else {
                Ok(format!("{key}: no document says anything of it\n"))
            }
        }
    }
}

fn pretty(value: &impl serde::Serialize) -> AgentResult<String> {
    serde_json::to_string_pretty(value).map(|text| format!("{text}\n")).or_fail(Kind::Host)
}
