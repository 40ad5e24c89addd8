//! What was asked for: options, and the one document that an installer follows and leaves on the disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use basalt_node::install::{Permits, parse_rule};
use basalt_spec::{
    SpecError,
    node::{After, DiskRule, NodeConfig},
};
use basalt_types::{Digest, ImageRef};

use crate::error::{AgentError, AgentResult, Kind, OrFail as _};

/// What systemd imports from the firmware's tables (SMBIOS, fw_cfg) and the kernel's command line (systemd.exec(5),
/// "System credentials").
const SYSTEM_CREDENTIAL: &str = "/run/credentials/@system/basalt.node";
/// What a datasource said.
const DATASOURCES: &str = "/run/basalt/node.d";
/// The largest document, as everywhere.
const MOST_BYTES: usize = 4 << 20;

/// The options.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) disk: Option<&'a str>,
    pub(super) config: Option<&'a Path>,
    pub(super) release: Option<Wanted>,
    pub(super) wipe: bool,
    pub(super) unattended: bool,
    pub(super) after: Option<After>,
}

/// A release from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) reference: ImageRef,
    pub(crate) digest: Option<Digest>,
    pub(crate) insecure: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) rule: DiskRule,
    /// None is what runs.
    pub(crate) release: Option<Wanted>,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) permits: Permits,
    pub(crate) after: Option<After>,
}

/// Why it is not known what is to be done.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("{} documents came with this machine, and an installer follows one:{}", .0.len(), .0.iter().map(|name| format!("\n    {name}")).collect::<String>())]
    Several(Vec<String>),
    #[error("{name} can't be read")]
    Unread { name: String, source: io::Error },
    #[error("{name} is no text, or has more than 4 MiB")]
    NoText { name: String },
    #[error("{}", .0.trim())]
    Document(String),
}

/// A document and what messages call it.
#[derive(Debug)]
struct Found {
    name: String,
    bytes: Vec<u8>,
}

/// Reads what is to be done; none when nobody named a disk. `on_medium` is the document of the live medium.
pub(super) fn read(asked: &Asked<'_>, on_medium: Option<&[u8]>) -> AgentResult<Option<Request>> {
    let found = match asked.config {
        Some(path) => Some(Found { name: path.display().to_string(), bytes: bytes(path)? }),
        None => the_one(came_along(on_medium)?)?,
    };
    decide(asked, found)
}

/// Options win over the document.
fn decide(asked: &Asked<'_>, found: Option<Found>) -> AgentResult<Option<Request>> {
    let (install, document) = match found {
        None => (None, None),
        Some(found) => {
            let config = parse(&found)?;
            (config.spec.install, Some(found.bytes))
        }
    };
    let install = install.unwrap_or_default();
    let rule = match asked.disk {
        Some(text) => Some(parse_rule(text).map_err(|error| AgentError::new(Kind::Format, error))?),
        None => install.disk,
    };
    let Some(rule) = rule else { return Ok(None) };
    let permits = Permits {
        wipe: asked.wipe || install.wipe == Some(true),
        // Whoever asks by hand knows; a machine that restarts into its installer again and again does not.
        reinstall: !asked.unattended,
    };
    let by_document =
        if asked.unattended { Some(install.after.unwrap_or(After::Reboot)) } else { install.after };
    let after = asked.after.or(by_document);
    Ok(Some(Request { rule, release: asked.release.clone(), document, permits, after }))
}

fn parse(found: &Found) -> AgentResult<NodeConfig> {
    let no_text = || AgentError::new(Kind::Format, RequestError::NoText { name: found.name.clone() });
    let text =
        str::from_utf8(&found.bytes).ok().filter(|text| text.len() <= MOST_BYTES).ok_or_else(no_text)?;
    NodeConfig::parse(&found.name, text).map_err(|error| in_document(&error))
}

fn in_document(error: &SpecError) -> AgentError {
    let text = format!("{:?}", miette::Report::new(error.clone()));
    AgentError::new(Kind::Format, RequestError::Document(text))
}

/// Every document that came with the medium or with the machine.
fn came_along(on_medium: Option<&[u8]>) -> AgentResult<Vec<Found>> {
    let name = "credential basalt.node of the medium".to_owned();
    let mut found: Vec<_> =
        on_medium.map(|bytes| Found { name, bytes: bytes.to_vec() }).into_iter().collect();
    let mut paths = vec![PathBuf::from(SYSTEM_CREDENTIAL)];
    paths.extend(folder(Path::new(DATASOURCES))?);
    for path in paths {
        if path.exists() {
            found.push(Found { name: path.display().to_string(), bytes: bytes(&path)? });
        }
    }
    Ok(found)
}

/// The documents of a folder in the order of their names.
fn folder(path: &Path) -> AgentResult<Vec<PathBuf>> {
    let unread = |source| RequestError::Unread { name: path.display().to_string(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AgentError::new(Kind::Host, unread(error))),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<io::Result<_>>().map_err(unread).or_fail(Kind::Host)?;
    paths.sort();
    Ok(paths)
}

fn the_one(mut found: Vec<Found>) -> AgentResult<Option<Found>> {
    if found.len() > 1 {
        let names = found.into_iter().map(|found| found.name).collect();
        let error = AgentError::new(Kind::Refused, RequestError::Several(names));
        return Err(error.hint("say which one: --config FILE"));
    }
    Ok(found.pop())
}

fn bytes(path: &Path) -> AgentResult<Vec<u8>> {
    let unread = |source| RequestError::Unread { name: path.display().to_string(), source };
    fs::read(path).map_err(unread).or_fail(Kind::Host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n";

    fn asked() -> Asked<'static> {
        Asked { disk: None, config: None, release: None, wipe: false, unattended: false, after: None }
    }

    fn found(text: &str) -> Option<Found> {
        Some(Found { name: "node.yaml".into(), bytes: format!("{HEAD}{text}").into_bytes() })
    }

    #[track_caller]
    fn refused(asked: &Asked<'_>, found: Option<Found>, expected: &str) {
        let error = decide(asked, found).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_document_says_all_that_an_unattended_machine_needs() {
        let text = "  install: {disk: {bus: nvme}, wipe: true, after: powerOff}\n";
        let unattended = Asked { unattended: true, ..asked() };
        let request = decide(&unattended, found(text)).unwrap().unwrap();
        assert_eq!(request.rule, parse_rule("bus=nvme").unwrap());
        assert_eq!(request.permits, Permits { wipe: true, reinstall: false });
        assert_eq!(request.after, Some(After::PowerOff));
        assert_eq!(request.document.unwrap(), format!("{HEAD}{text}").as_bytes());
        let rest = decide(&unattended, found("  install: {disk: {}}\n")).unwrap().unwrap();
        assert_eq!(rest.after, Some(After::Reboot));
    }

    #[test]
    fn without_a_word_of_a_disk_nothing_is_installed_by_itself() {
        let unattended = Asked { unattended: true, ..asked() };
        for document in [None, found("  hostname: x\n"), found("  install: {after: halt}\n")] {
            assert_eq!(decide(&unattended, document).unwrap(), None);
        }
        assert_eq!(decide(&asked(), None).unwrap(), None);
    }

    #[test]
    fn options_win_over_the_document() {
        let text = "  install: {disk: {bus: nvme}, after: powerOff}\n";
        let options = Asked { disk: Some("/dev/sda"), after: Some(After::Halt), ..asked() };
        let request = decide(&options, found(text)).unwrap().unwrap();
        assert_eq!(request.rule, parse_rule("/dev/sda").unwrap());
        assert_eq!((request.after, request.permits.reinstall), (Some(After::Halt), true));
        let by_hand = decide(&Asked { disk: Some("auto"), ..asked() }, None).unwrap().unwrap();
        assert_eq!(by_hand.after, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        refused(&asked(), found("  instal: {}\n"), "unknown key `instal`");
        refused(&Asked { disk: Some("sda"), ..asked() }, None, "`sda` is no rule for a disk");
        let bytes = vec![0xff];
        refused(&asked(), Some(Found { name: "x".into(), bytes }), "x is no text");
        let several = [found(""), found("")].into_iter().flatten().collect();
        let error = the_one(several).unwrap_err().to_string();
        assert!(error.contains("2 documents came with this machine"), "{error}");
    }
}
