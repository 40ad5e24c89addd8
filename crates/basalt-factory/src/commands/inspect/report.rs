//! What inspecting found, as values that print for people and serialise for programs.

use std::fmt;

use basalt_spec::{Lock, Manifest};
use basalt_types::{Digest, Guid};
use serde::Serialize;

use crate::report::size;

/// What a file is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum Report {
    Disk(Disk),
    KernelImage(KernelImage),
    Root(Root),
    Manifest(Manifest),
    Lock(Lock),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disk {
    pub(super) size: u64,
    pub(super) table: String,
    pub(super) partitions: Vec<Partition>,
    pub(super) releases: Vec<Release>,
    pub(super) slots: Vec<(String, Root)>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Partition {
    pub(super) number: u32,
    pub(super) label: String,
    pub(super) size: u64,
    pub(super) guid: Guid,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Release {
    pub(super) entry: String,
    pub(super) tries_left: Option<u32>,
    pub(super) kernel: KernelImage,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KernelImage {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kernel: String,
    pub(super) command_line: String,
    pub(super) root_hash: Option<String>,
    pub(super) sections: Vec<(String, u64)>,
    pub(super) signed: Signed,
}

/// Who signed a program for Secure Boot. Whether a machine trusts them is its own affair.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "detail")]
pub(super) enum Signed {
    /// These, exactly these bytes.
    By(Vec<String>),
    /// Nobody.
    No,
    /// There is a signature that firmware would not take; why.
    Wrongly(String),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Root {
    pub(super) size: u64,
    /// Name, version and id.
    pub(super) image: Option<(String, String, Digest)>,
    pub(super) packages: usize,
    pub(super) file_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<String>,
    pub(super) verified: Verified,
}

/// Whether every block of a root leads to a root hash.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "detail")]
pub(super) enum Verified {
    /// It does, to this one.
    Yes(String),
    /// It does not; why.
    No(String),
    /// There is nothing to check it against.
    Unknown,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(disk) => disk.fmt(f),
            Self::KernelImage(image) => writeln!(f, "unified kernel image").and_then(|()| image.fmt(f)),
            Self::Root(root) => writeln!(f, "EROFS root file system").and_then(|()| root.fmt(f)),
            Self::Manifest(manifest) => write_manifest(f, manifest),
            Self::Lock(lock) => write_lock(f, lock),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size: total, table, partitions, releases, slots } = self;
        writeln!(f, "disk of {}, partition table {table}", size(*total))?;
        for Partition { number, label, size: bytes, guid } in partitions {
            writeln!(f, "  {number}  {label:<16} {:>10}  {guid}", size(*bytes))?;
        }
        for Release { entry, tries_left, kernel } in releases {
            let tries = match tries_left {
                None => "found good".to_owned(),
                Some(tries) => format!("{tries} tries left"),
            };
            writeln!(f, "\nEFI/Linux/{entry} ({tries})")?;
            kernel.fmt(f)?;
        }
        for (slot, root) in slots {
            writeln!(f, "\n{slot}")?;
            root.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for KernelImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, kernel, command_line, root_hash: _, sections, signed } = self;
        writeln!(f, "  image         {name} {version}")?;
        writeln!(f, "  kernel        {kernel}")?;
        writeln!(f, "  command line  {command_line}")?;
        let shown: Vec<String> =
            sections.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
        writeln!(f, "  sections      {}", shown.join(", "))?;
        match signed {
            Signed::By(names) => writeln!(f, "  signed by     {}", names.join(", ")),
            Signed::No => writeln!(f, "  signed by     nobody"),
            Signed::Wrongly(why) => writeln!(f, "  signed by     NOBODY: {why}"),
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size: bytes, image, packages, file_count, files, verified } = self;
        if let Some((name, version, id)) = image {
            writeln!(f, "  image         {name} {version}")?;
            writeln!(f, "  id            {id}")?;
        }
        writeln!(f, "  size          {}", size(*bytes))?;
        writeln!(f, "  content       {packages} packages, {file_count} names")?;
        match verified {
            Verified::Yes(root_hash) => writeln!(f, "  verified      yes, root hash {root_hash}")?,
            Verified::No(why) => writeln!(f, "  verified      NO: {why}")?,
            Verified::Unknown => writeln!(f, "  verified      unknown: no root hash to check against")?,
        }
        files.iter().try_for_each(|path| writeln!(f, "  {path}"))
    }
}

fn write_manifest(f: &mut fmt::Formatter<'_>, manifest: &Manifest) -> fmt::Result {
    writeln!(f, "manifest of {} {} ({})", manifest.name, manifest.version, manifest.architecture)?;
    writeln!(f, "  id            {}", manifest.id)?;
    if let Some(root_hash) = &manifest.root_hash {
        writeln!(f, "  root hash     {root_hash}")?;
    }
    writeln!(f, "  lock          {}", manifest.lock)?;
    if let Some(kernel) = &manifest.kernel {
        writeln!(f, "  kernel        {kernel}")?;
    }
    writeln!(f, "  packages      {}", manifest.packages)?;
    writeln!(f, "  built by      basalt {}", manifest.tool)?;
    for partition in &manifest.partitions {
        writeln!(
            f,
            "  partition     {:<16} {:>10}, {} used",
            partition.label,
            partition.size.human(),
            partition.used.human()
        )?;
    }
    manifest
        .artifacts
        .iter()
        .try_for_each(|artifact| writeln!(f, "  artifact      {} ({})", artifact.file, size(artifact.size)))
}

fn write_lock(f: &mut fmt::Formatter<'_>, lock: &Lock) -> fmt::Result {
    let download = size(lock.download_size());
    writeln!(
        f,
        "lock of {} packages for {}, {download} to download",
        lock.packages.len(),
        lock.architecture
    )?;
    writeln!(f, "  content       {}", lock.content_digest())?;
    for source in &lock.sources {
        let components: Vec<String> = source.components.iter().map(ToString::to_string).collect();
        writeln!(f, "  source        {} {} {}", source.uri, source.suite, components.join(" "))?;
    }
    for package in &lock.packages {
        writeln!(f, "  {:<32} {:<28} {:>10}", package.name, package.version, size(package.size))?;
    }
    Ok(())
}
