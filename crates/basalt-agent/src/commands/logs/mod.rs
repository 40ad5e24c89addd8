//! `logs bundle`: everything that helps somebody elsewhere to see what is wrong, as one archive without secrets.
//!
//! observe (each part by itself; one that can't be had says why) → redact → pack → report.

mod archive;
mod parts;

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use basalt_exec::files::{Access, write_atomic};
use basalt_node::redact::Redactor;
use basalt_spec::node::NodeSpec;
use basalt_types::ByteSize;
use clap::{Args, Subcommand};

use super::config::node_spec;
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    observe, report,
};

/// What may be typed behind `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    #[command(subcommand)]
    command: LogsCommand,
}

#[derive(Debug, Subcommand)]
enum LogsCommand {
    /// Put logs and states into one archive (tar, Zstandard); secrets are redacted
    Bundle {
        /// The archive; basalt-logs-NAME-TIME.tar.zst in the working directory if not written
        file: Option<PathBuf>,
    },
}

/// A part of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// Its path in the bundle.
    name: String,
    /// What it says, or why there is nothing.
    content: Result<String, String>,
}

pub(crate) fn logs(arguments: &LogsArguments) -> AgentResult<ExitCode> {
    let LogsArguments { command: LogsCommand::Bundle { file } } = arguments;
    if !rustix::process::geteuid().is_root() {
        return Err(AgentError::new(Kind::Host, "only root may read what belongs into a bundle")
            .hint("run it with `sudo`"));
    }
    let now = observe::now();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").or_fail(Kind::Host)?;
    let name = format!("basalt-logs-{}-{now}", host.trim());
    let path = file.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar.zst")));
    let spec = node_spec();
    let secrets = spec.as_ref().map(secrets).unwrap_or_default();
    let parts = parts::collect();
    let bytes = bundle(&name, &parts, &Redactor::new(secrets), now).or_fail(Kind::Host)?;
    write_atomic(&path, &bytes, Access::Secret).or_fail(Kind::Host)?;
    report::print(told(&path, &parts, bytes.len()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn told(path: &Path, parts: &[Part], bytes: usize) -> String {
    let missing: String = parts
        .iter()
        .filter_map(|part| Some(format!("  without {}: {}\n", part.name, part.content.as_ref().err()?)))
        .collect();
    let size = ByteSize::bytes(bytes as u64).human();
    format!(
        "{missing}{}: {} parts, {size}; look at it before you give it away\n",
        path.display(),
        parts.len()
    )
}

/// The archive of these parts below one folder.
fn bundle(
    name: &str,
    parts: &[Part],
    redactor: &Redactor,
    now: u64,
) -> Result<Vec<u8>, archive::ArchiveError> {
    let mut files = Vec::new();
    let mut missing = String::new();
    for Part { name, content } in parts {
        match content {
            Ok(text) => files.push((name.clone(), redactor.text(text))),
            Err(why) => missing += &format!("{name}: {why}\n"),
        }
    }
    if !missing.is_empty() {
        files.push(("missing.txt".to_owned(), redactor.text(&missing)));
    }
    archive::pack(name, &files, now)
}

/// What documents name as secrets, and the lines of files that only their owners may read.
fn secrets(spec: &NodeSpec) -> Vec<String> {
    use basalt_spec::node::{InterfaceKind, NodeFileContent};
    let mut found = Vec::new();
    found.extend(spec.users.iter().filter_map(|user| Some(user.password_hash.as_ref()?.to_string())));
    for interface in &spec.network.interfaces {
        if let InterfaceKind::Card(_, Some(wifi)) = &interface.kind {
            let passphrases = wifi.networks.iter().filter_map(|network| network.passphrase.as_ref());
            found.extend(passphrases.map(|secret| secret.reveal().to_owned()));
        }
    }
    if let Some(kubernetes) = &spec.kubernetes {
        let secrets = kubernetes.token.iter().chain(kubernetes.environment.values());
        found.extend(secrets.map(|secret| secret.reveal().to_owned()));
    }
    for file in spec.files.iter().filter(|file| file.mode.bits() & 0o077 == 0) {
        let text = match &file.content {
            NodeFileContent::Text(text) => text.clone(),
            NodeFileContent::Bytes(bytes) => String::from_utf8_lossy(&bytes.bytes()).into_owned(),
            NodeFileContent::Link(_) | NodeFileContent::Directory => String::new(),
        };
        found.extend(text.lines().map(str::trim).filter(|line| line.len() > 7).map(str::to_owned));
    }
    found
}
