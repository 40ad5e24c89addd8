//! What `build` is asked to make, and `plan` to show.

use std::path::PathBuf;

use super::keys::SigningArguments;
use crate::{
    engine::{
        build::{Build, Wishes},
        project::Project,
    },
    error::CommandResult,
};

/// A build, as it is typed.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// The recipe
    #[arg(default_value = "recipe.yaml")]
    recipe: PathBuf,
    /// The folder for what is made
    #[arg(short, long, default_value = "out")]
    output: PathBuf,
    /// Do every step again, as if no earlier build had been; downloads are kept
    #[arg(long)]
    no_cache: bool,
    /// Refuse to make or change the lock
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    signing: SigningArguments,
}

impl Asked {
    /// Looks at all that the build depends on.
    ///
    /// # Errors
    /// When the recipe is not valid, no lock can be made, or the keys can't be used.
    pub(super) fn observe(&self) -> CommandResult<Build> {
        let Self { recipe, output, no_cache, locked, signing } = self;
        let wishes =
            Wishes { output: output.clone(), no_cache: *no_cache, locked: *locked, signing: signing.open()? };
        Build::observe(Project::open(recipe)?, wishes)
    }
}
