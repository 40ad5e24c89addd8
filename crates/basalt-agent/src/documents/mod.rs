//! Where documents are on a machine, by rising precedence:
//!
//! | source | where |
//! |---|---|
//! | the image's default | `/usr/lib/basalt/node.d/*.yaml`, under dm-verity |
//! | vendor drop-ins | `/etc/basalt/node.d/*.yaml`: a recipe's files or a confext |
//! | the ESP | the credential `loader/credentials/basalt.node.cred` |
//! | the config partition | `node.yaml` on the partition `basalt-config` (FAT) of the boot disk |
//! | systemd's credentials | `basalt.node`: SMBIOS strings, QEMU's fw_cfg, the kernel command line (systemd.system-credentials(7)) |
//! | datasources | `/run/basalt/node.d/*.yaml`: whoever asks a cloud leaves what it said there |
//! | the kernel command line | `basalt.node.KEY=VALUE` |
//! | this machine's own | `/var/lib/basalt/node.d/*.yaml`: what `apply FILE` was given |
//!
//! Only the disk that was booted from is looked at: another one that carries such a file must not configure this machine.
//! A document that is there and can't be read is an error, never an empty one.

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use basalt_exec::{
    block::Disk,
    files::{Root, Scope},
    mount::detached_readonly,
};
use basalt_formats::{fat, gpt::Table};
use basalt_image::layout::Role;
use basalt_node::{BootFacts, partition_path};
use basalt_spec::{
    SpecError,
    node::{Layers, MergeError, Merged},
};

use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::DiskMedium,
};

/// One document.
#[derive(Debug)]
pub(crate) struct Source {
    /// What messages call it.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
    /// How it is written.
    pub(crate) form: Form,
}

impl Source {
    /// Whether it is a document at all: most command lines have no word of ours.
    pub(crate) fn says_something(&self) -> bool {
        match self.form {
            Form::Document => true,
            Form::CommandLine => {
                self.text.split_ascii_whitespace().any(|word| word.starts_with("basalt.node."))
            }
        }
    }
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As YAML.
    Document,
    /// As words of a command line.
    CommandLine,
}

const IMAGE: &str = "usr/lib/basalt/node.d";
const VENDOR: &str = "etc/basalt/node.d";
const DATASOURCES: &str = "run/basalt/node.d";
/// What `apply` was given.
const LOCAL: &str = "var/lib/basalt/node.d";
/// systemd puts there what came from the firmware.
const CREDENTIALS: &str = "run/credentials/@system/basalt.node";
const COMMAND_LINE: &str = "proc/cmdline";
/// The document on the ESP; systemd-stub(7) looks for credentials in this folder.
const CREDENTIAL: &str = "loader/credentials/basalt.node.cred";
/// The label of the config partition.
const CONFIG_LABEL: &str = "basalt-config";
/// The document on it.
const CONFIG_FILE: &str = "node.yaml";
/// The largest document. A larger one is refused and not left out.
const MOST_BYTES: u64 = 4 << 20;

/// Something that should be a document and can't be one.
#[derive(Debug, thiserror::Error)]
enum NoDocument {
    #[error("{} is not called NAME.yaml", .0.display())]
    Name(PathBuf),
    #[error("{name} has {bytes} bytes; a document has at most {MOST_BYTES}")]
    Size { name: String, bytes: u64 },
    #[error("{0} is not UTF-8 text")]
    Encoding(String),
    #[error("{0} would come without protection")]
    Plain(String),
    #[error("{path} can't be understood")]
    Boot { path: &'static str, source: serde_json::Error },
    #[error("{name} can't be read from {device}")]
    Disk { name: &'static str, device: String, source: fat::ReadError },
}

/// A file that was named and can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}", path.display())]
struct Unread {
    path: PathBuf,
    source: io::Error,
}

impl Unread {
    fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), source }
    }
}

/// The folders whose documents may change while the machine runs.
pub(crate) const WATCHED: [&str; 3] = [VENDOR, DATASOURCES, LOCAL];
/// Where `apply` keeps the document that it was given, and what it is called.
pub(crate) const LOCAL_DOCUMENT: (&str, &str) = ("/var/lib/basalt/node.d", "local.yaml");

/// The sum of the machine's documents, and perhaps of one more on top.
pub(crate) fn merged(sources: &[Source], top: Option<&Source>) -> AgentResult<Merged> {
    let mut layers = Layers::default();
    for Source { name, text, form } in sources.iter().chain(top) {
        match form {
            Form::Document => layers.push(name, text).map_err(|error| in_document(&error))?,
            Form::CommandLine => {
                // Most machines have no word of ours there, and then it is no document.
                layers.push_command_line(name, text).map(drop).map_err(|error| in_document(&error))?;
            }
        }
    }
    layers.merge().map_err(|error| in_documents(&error))
}

/// Mistakes that were made readable already, with the lines they are in.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.trim())]
struct Rendered(String);

fn rendered(error: &SpecError) -> String {
    format!("{:?}", miette::Report::new(error.clone()))
}

/// Mistakes in one document.
fn in_document(error: &SpecError) -> AgentError {
    AgentError::new(Kind::Format, Rendered(rendered(error)))
}

/// Mistakes that only the sum has.
fn in_documents(error: &MergeError) -> AgentError {
    let parts: String = error.parts().iter().map(rendered).collect();
    AgentError::new(Kind::Format, Rendered(format!("{error}\n{parts}")))
}

/// Every document of this machine, or of the one whose root is given.
pub(crate) fn observe(root: Option<&Path>) -> AgentResult<Vec<Source>> {
    let below = root.unwrap_or(Path::new("/"));
    let mut found = folder(&below.join(IMAGE))?;
    found.append(&mut folder(&below.join(VENDOR))?);
    if root.is_none() {
        found.append(&mut disk()?);
    }
    let path = below.join(CREDENTIALS);
    if let Some(text) = text_if_present(&path)? {
        found.push(Source { name: "credential basalt.node".to_owned(), text, form: Form::Document });
    }
    found.append(&mut folder(&below.join(DATASOURCES))?);
    let path = below.join(COMMAND_LINE);
    if let Some(text) = text_if_present(&path)? {
        found.push(Source { name: "kernel command line".to_owned(), text, form: Form::CommandLine });
    }
    found.append(&mut folder(&below.join(LOCAL))?);
    Ok(found)
}

/// A document that somebody named.
pub(crate) fn file(path: &Path) -> AgentResult<Source> {
    let text = text_if_present(path)?;
    let absent = || AgentError::new(Kind::Host, Unread::new(path, io::ErrorKind::NotFound.into()));
    let text = text.ok_or_else(absent)?;
    Ok(Source { name: path.display().to_string(), text, form: Form::Document })
}

/// A document that somebody named by its file or its https:// address.
pub(crate) fn given(place: &str) -> AgentResult<Source> {
    if place.starts_with("http://") {
        return Err(AgentError::new(Kind::Refused, NoDocument::Plain(place.to_owned())).hint(
            "whoever sits between could write it: use https://, or fetch it yourself and name the file",
        ));
    }
    if !place.starts_with("https://") {
        return file(Path::new(place));
    }
    let client = crate::reconcile::client().or_fail(Kind::Host)?;
    let bytes = client.get(place, MOST_BYTES).or_fail(Kind::Host)?;
    Ok(Source { name: place.to_owned(), text: text(place, bytes)?, form: Form::Document })
}

/// The documents of a folder in the order of their names; none if it isn't there.
fn folder(path: &Path) -> AgentResult<Vec<Source>> {
    let unread = |source| AgentError::new(Kind::Host, Unread::new(path, source));
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unread(error)),
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>().map_err(unread)?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.extension().is_none_or(|extension| extension != "yaml") {
            // Left out in silence, it would be looked for for hours.
            return Err(
                AgentError::new(Kind::Format, NoDocument::Name(path)).hint("rename it, or move it elsewhere")
            );
        }
        found.push(file(&path)?);
    }
    Ok(found)
}

/// What the disk that was booted from has.
fn disk() -> AgentResult<Vec<Source>> {
    let path = BootFacts::PATH;
    let text = text_if_present(Path::new(path))?.ok_or_else(|| {
        AgentError::new(Kind::Host, Unread::new(Path::new(path), io::ErrorKind::NotFound.into()))
            .hint("this is no Basalt image: run it in one, or read another root with `--root FOLDER`")
    })?;
    let boot: BootFacts = serde_json::from_str(&text)
        .map_err(|source| NoDocument::Boot { path, source })
        .or_fail(Kind::Format)?;
    // A live system came from no disk, or from a medium whose document is for what is installed from it (`install`).
    let Some(device) = boot.disk.clone().filter(|_| !boot.is_live()) else { return Ok(Vec::new()) };
    on_disk(Path::new(&device), |number| partition_path(&device, number))
}

/// What a disk has; `node` says where a partition of it is.
fn on_disk(device: &Path, node: impl Fn(u32) -> String) -> AgentResult<Vec<Source>> {
    let disk = DiskMedium(Disk::open(device).or_fail(Kind::Host)?);
    let table = Table::parse(&disk, disk.0.sector_size()).or_fail(Kind::Host)?.table;
    let mut found = Vec::new();
    for partition in &table.partitions {
        let is_esp = Role::of_partition(partition).is_some_and(|(role, _)| role == Role::Esp);
        let is_config = partition.label.as_ref().is_some_and(|label| label.as_str() == CONFIG_LABEL);
        let node = node(partition.number);
        if is_esp {
            found.extend(on_partition(&node, "credential basalt.node of the ESP", CREDENTIAL)?);
        } else if is_config {
            found.extend(on_partition(&node, "config partition", CONFIG_FILE)?);
        }
    }
    // The ESP's comes first wherever the partitions are.
    found.sort_by_key(|source| source.name == "config partition");
    Ok(found)
}

/// A file of a FAT file system: FAT32 is read without mounting it, the smaller ones are for the kernel.
fn on_partition(device: &str, name: &'static str, path: &str) -> AgentResult<Option<Source>> {
    let disk = DiskMedium(Disk::open(Path::new(device)).or_fail(Kind::Host)?);
    let unread = |source| NoDocument::Disk { name, device: device.to_owned(), source };
    let bytes = match fat::read(&disk, 0) {
        Ok(listing) if listing.get(path).is_none() => None,
        Ok(listing) => Some(listing.read_file(path).map_err(unread).or_fail(Kind::Host)?),
        Err(fat::ReadError::Field { field: NO_FAT32, .. }) => mounted(device, path)?,
        Err(error) => return Err(unread(error)).or_fail(Kind::Host),
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let text = text(name, bytes)?;
    Ok(Some(Source { name: name.to_owned(), text, form: Form::Document }))
}

/// What FAT12 and FAT16 have and FAT32 has not: a root directory of a fixed size.
const NO_FAT32: &str = "BPB_RootEntCnt";

fn mounted(device: &str, path: &str) -> AgentResult<Option<Vec<u8>>> {
    let volume = detached_readonly(Path::new(device), &["vfat"]).or_fail(Kind::Host)?;
    let root = Root::from_descriptor(volume, device.into(), Scope::Beneath);
    root.read_if_present(path, MOST_BYTES).or_fail(Kind::Host)
}

fn text_if_present(path: &Path) -> AgentResult<Option<String>> {
    let unread = |source| AgentError::new(Kind::Host, Unread::new(path, source));
    match fs::read(path) {
        Ok(bytes) => text(&path.display().to_string(), bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unread(error)),
    }
}

fn text(name: &str, bytes: Vec<u8>) -> AgentResult<String> {
    let size = bytes.len() as u64;
    if size > MOST_BYTES {
        let error = NoDocument::Size { name: name.to_owned(), bytes: size };
        return Err(AgentError::new(Kind::Format, error));
    }
    String::from_utf8(bytes).map_err(|_bytes| NoDocument::Encoding(name.to_owned())).or_fail(Kind::Format)
}
