//! `basalt diff`: what differs between two locks or two builds.

use std::{cmp::Ordering, collections::BTreeMap, fmt, path::PathBuf};

use basalt_debian::version;
use basalt_image::{
    difference::{self, Side, TreeDifference},
    layout::{Role, System},
};
use basalt_spec::LockDiff;
use basalt_types::ByteSize;
use serde::Serialize;

use crate::{
    engine::artifact::{Artifact, RootView, Window},
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Show what differs between two locks, or two builds: packages, files, sizes
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A lock, a disk image or a root file system
    first: PathBuf,
    /// Another one of the same sort
    second: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show files of which only the modification time differs too
    #[arg(long)]
    times: bool,
}

/// What differs between two builds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDifference {
    packages: Vec<PackageChange>,
    files: TreeDifference,
    root_size: (u64, u64),
}

#[derive(Debug, Serialize)]
struct PackageChange {
    name: String,
    before: Option<String>,
    after: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When a file can't be opened, or the two are not of one sort.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { first, second, json, times } = arguments;
    match (Artifact::open(first).or_fail(Kind::User)?, Artifact::open(second).or_fail(Kind::User)?) {
        (Artifact::Lock(old), Artifact::Lock(new)) => {
            let difference = LockDiff::between(&old, &new, version::compare);
            show(*json, &difference)
        }
        (old, new) => {
            let (old, new) = (Root::of(&old)?, Root::of(&new)?);
            show(*json, &compare(&old.open()?, &new.open()?, *times)?)
        }
    }
}

fn show(json: bool, value: &(impl Serialize + fmt::Display)) -> CommandResult {
    match json {
        true => super::print(&serde_json::to_string_pretty(value).or_fail(Kind::Bug)?),
        false => super::print(&value.to_string()),
    }
}

/// Where a build's root file system is.
struct Root<'a>(Window<'a>);

impl<'a> Root<'a> {
    fn of(artifact: &'a Artifact) -> CommandResult<Self> {
        let refuse = |what: &str| {
            let error = CommandError::new(Kind::User, format!("{what} has no root file system to compare"));
            Err(error.hint("give two locks, two disks (.raw), or two EROFS images"))
        };
        match artifact {
            Artifact::Disk(file, parsed) => {
                match Window::partition(file, &parsed.table, Role::Root(System::A)) {
                    Some(window) => Ok(Self(window)),
                    None => refuse("a disk without a finished slot A"),
                }
            }
            Artifact::Root(file) => Ok(Self(Window::all(file))),
            Artifact::Program(_) => refuse("a UKI"),
            Artifact::Manifest(_) => refuse("a manifest"),
            Artifact::Lock(_) => refuse("a lock beside a build"),
        }
    }

    fn open(&self) -> CommandResult<RootView<'a>> {
        RootView::open(self.0).or_fail(Kind::User)
    }
}

fn compare(old: &RootView<'_>, new: &RootView<'_>, times: bool) -> CommandResult<BuildDifference> {
    let side = |view: &RootView<'_>| -> CommandResult<BTreeMap<String, String>> {
        view.packages().or_fail(Kind::User)
    };
    let (before, mut after) = (side(old)?, side(new)?);
    let mut packages = Vec::new();
    for (name, version) in before {
        match after.remove(&name) {
            Some(same) if same == version => {}
            other => packages.push(PackageChange { name, before: Some(version), after: other }),
        }
    }
    packages.extend(after.into_iter().map(|(name, version)| PackageChange {
        name,
        before: None,
        after: Some(version),
    }));
    packages.sort_by(|a, b| a.name.cmp(&b.name));

    let sides = [old, new].map(|view| Side { tree: &view.tree, reader: &view.content });
    let mut files = difference::compare(sides[0], sides[1]).or_fail(Kind::User)?;
    if !times {
        files.changed.retain(|change| change.aspects != [difference::Aspect::Time]);
    }
    Ok(BuildDifference { packages, files, root_size: (old.size, new.size) })
}

impl fmt::Display for BuildDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packages, files, root_size: (before, after) } = self;
        if packages.is_empty() && files.is_empty() {
            return writeln!(f, "no difference");
        }
        writeln!(f, "packages: {}", packages.len())?;
        for PackageChange { name, before, after } in packages {
            match (before, after) {
                (Some(old), Some(new)) => {
                    let word = match version::compare(old, new) {
                        Ordering::Less => "upgraded",
                        Ordering::Greater => "downgraded",
                        Ordering::Equal => "rebuilt",
                    };
                    writeln!(f, "~ {name} {old} → {new} ({word})")?;
                }
                (Some(old), None) => writeln!(f, "- {name} {old}")?,
                (None, Some(new)) => writeln!(f, "+ {name} {new}")?,
                (None, None) => {}
            }
        }
        let TreeDifference { added, removed, changed } = files;
        writeln!(f, "files: {} added, {} removed, {} changed", added.len(), removed.len(), changed.len())?;
        write!(f, "{files}")?;
        let human = |bytes: u64| ByteSize::bytes(bytes).human();
        writeln!(f, "root file system: {} → {}", human(*before), human(*after))
    }
}
