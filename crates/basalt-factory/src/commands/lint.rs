//! `basalt lint`: what should not be in an image, or in a recipe.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use basalt_image::{
    layout::{Role, System},
    lint::{self, Allowance, Finding, Report, Severity, Subject},
};
use basalt_types::ByteSize;
use serde::Serialize;

use crate::{
    engine::{
        artifact::{Artifact, RootView, Window},
        project::Project,
    },
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report::count,
};

/// Look for what should not be in an image: secrets, strange rights, what is missing
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A recipe, a disk image, a root file system, a manifest, or the folder that a build wrote
    #[arg(default_value = "recipe.yaml")]
    what: PathBuf,
    /// A finding that is meant: a rule, or a rule and a path as `setuid:/usr/bin/x`
    #[arg(long, value_name = "RULE[:PATH]")]
    allow: Vec<Allowance>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List the rules and why they are there
    #[arg(long)]
    rules: bool,
}

/// Runs the command.
///
/// # Errors
/// When what is named can't be read, or a finding is an error.
pub fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { what, allow, json, rules } = arguments;
    if *rules {
        let line = |rule: &lint::Rule| format!("{:<18} {:<8} {}\n", rule.id, rule.severity, rule.why);
        return super::print(&lint::RULES.iter().map(line).collect::<String>());
    }
    let report = check(what, allow)?;
    match json {
        true => super::print(&serde_json::to_string_pretty(&report).or_fail(Kind::Bug)?)?,
        false => super::print(&Shown(&report).to_string())?,
    }
    match report.findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(()),
        errors => Err(CommandError::new(Kind::User, count(errors, "error"))
            .hint("mend them, or allow with `--allow RULE:PATH` what is meant")),
    }
}

fn check(what: &Path, allow: &[Allowance]) -> CommandResult<Report> {
    let is_recipe = what.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if is_recipe {
        let project = Project::open(what)?;
        let lock = project.read_lock()?;
        let subject = Subject { image: None, lock: lock.as_ref(), recipe: Some(&project.recipe) };
        return lint::check(subject, allow).or_fail(Kind::User);
    }
    let image = image_of(what)?;
    let artifact = Artifact::open(&image).or_fail(Kind::User)?;
    let window = root_of(&artifact, &image)?;
    let view = RootView::open(window).or_fail(Kind::User)?;
    let subject = Subject { image: Some((&view.tree, &view.content)), ..Subject::default() };
    lint::check(subject, allow).or_fail(Kind::User)
}

/// The image that is meant: the file itself, or the disk beside the manifest of a build.
fn image_of(what: &Path) -> CommandResult<PathBuf> {
    let is_manifest = |path: &Path| path.to_string_lossy().ends_with(MANIFEST);
    if is_manifest(what) {
        return Ok(disk_beside(what));
    }
    if !what.is_dir() {
        return Ok(what.to_owned());
    }
    let entries = fs::read_dir(what)
        .map_err(|source| CommandError::new(Kind::User, super::FileError::new(what, source)))?;
    let mut manifests = Vec::new();
    for entry in entries {
        let path = entry.or_fail(Kind::User)?.path();
        if is_manifest(&path) {
            manifests.push(path);
        }
    }
    match manifests.as_slice() {
        [manifest] => Ok(disk_beside(manifest)),
        found => {
            let error = format!("{} holds {}, not one", what.display(), count(found.len(), "manifest"));
            Err(CommandError::new(Kind::User, error).hint("name the disk image or the manifest itself"))
        }
    }
}

const MANIFEST: &str = ".manifest.json";

fn disk_beside(manifest: &Path) -> PathBuf {
    let name = manifest.to_string_lossy();
    PathBuf::from(format!("{}.raw", name.trim_end_matches(MANIFEST)))
}

fn root_of<'a>(artifact: &'a Artifact, path: &Path) -> CommandResult<Window<'a>> {
    let refuse = || {
        let error = format!("{} has no root file system to look at", path.display());
        Err(CommandError::new(Kind::User, error)
            .hint("name a recipe, a disk (.raw), an EROFS image or the folder of a build"))
    };
    match artifact {
        Artifact::Disk(file, parsed) => match Window::partition(file, &parsed.table, Role::Root(System::A)) {
            Some(window) => Ok(window),
            None => refuse(),
        },
        Artifact::Root(file) => Ok(Window::all(file)),
        Artifact::Program(_) | Artifact::Manifest(_) | Artifact::Lock(_) => refuse(),
    }
}

/// A report for people.
#[derive(Serialize)]
struct Shown<'a>(&'a Report);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { findings, allowed, largest } = self.0;
        let mut rule = "";
        for Finding { severity, id, path, explanation, remedy } in findings {
            if rule != *id {
                writeln!(f, "{severity}: {id}: {remedy}")?;
                rule = id;
            }
            match path {
                Some(path) => writeln!(f, "  {path}: {explanation}")?,
                None => writeln!(f, "  {explanation}")?,
            }
        }
        let number = |severity| findings.iter().filter(|one| one.severity == severity).count();
        writeln!(
            f,
            "{}, {}, {}, {allowed} allowed",
            count(number(Severity::Error), "error"),
            count(number(Severity::Warning), "warning"),
            count(number(Severity::Note), "note"),
        )?;
        let sizes: Vec<String> = largest
            .iter()
            .map(|(name, bytes)| format!("{name} {}", ByteSize::bytes(*bytes).human()))
            .collect();
        match sizes.is_empty() {
            true => Ok(()),
            false => writeln!(f, "largest packages: {}", sizes.join(", ")),
        }
    }
}
