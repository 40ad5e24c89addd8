//! `basalt lock`: resolves a recipe into the exact packages it means.

use std::path::PathBuf;

use basalt_debian::version;
use basalt_spec::LockDiff;

use crate::{
    engine::{
        build::{self, Host},
        node::NodeParts,
        project::Project,
    },
    error::CommandResult,
    report,
};

/// Resolve a recipe: write recipe.lock with every package, version, size and digest
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The recipe
    #[arg(default_value = "recipe.yaml")]
    recipe: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the recipe is not valid, an index can't be fetched or trusted, or the packages can't be together.
pub fn run(arguments: &Arguments) -> CommandResult {
    let project = Project::open(&arguments.recipe)?;
    let host = Host::observe()?;
    let node = NodeParts::observe(project.recipe.architecture)?;
    let old = project.read_lock().unwrap_or(None);
    let below = match &project.below {
        Some(below) => Some(build::lock_all(below, (&host, &node), false)?),
        None => None,
    };
    let lock = build::new_lock(&project, below.as_ref(), &host, &node)?;
    build::write_lock(&project, &lock)?;
    let count = report::count(lock.packages.len(), "package");
    let size = report::size(lock.download_size());
    super::print(&format!("wrote {}: {count}, {size} to download", project.lock_path.display()))?;
    match old {
        Some(old) => super::print(&LockDiff::between(&old, &lock, version::compare).to_string()),
        None => Ok(()),
    }
}
