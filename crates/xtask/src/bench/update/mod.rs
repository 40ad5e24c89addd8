//! `cargo xtask bench update`: what a machine fetches for a real security update, beside what others would make it fetch.
//!
//! ```text
//! observe   two locks of the example: the suite as it was released, and with what came since
//! plan      states between them: one advisory, everything but the kernel, everything
//! execute   build each state's update artifact, put its root and UKI together, let others pack the same tree
//! measure   chunks, blocks, rsync
//! report    docs/book/src/develop/update-size.md
//! ```

mod images;
mod measure;
mod page;
mod states;

use std::fs;

use super::{contenders, facts};
use crate::{
    error::{Done, TaskError},
    paths,
    report::say,
    setup, tool,
};
use images::{Artifact, Packer};
use measure::{Change, Fetch};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with our programs, instead of building them (`bin/basalt`, `lib/basalt`)
    #[arg(long)]
    dist: Option<std::path::PathBuf>,
}

/// One update from the released suite.
#[derive(Debug)]
struct Update {
    name: String,
    /// `name old → new`.
    packages: Vec<String>,
    /// What each way of fetching costs, of the artifact and of what others do with the same bytes.
    fetches: Vec<Fetch>,
    /// How much of each packer's image changes.
    changes: Vec<(Packer, Change)>,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Done {
    setup::run()?;
    let bench = contenders::observe(arguments.dist.clone())?;
    let machine = facts::observe(&bench.tree)?;
    let work = bench.work.join("update");
    tool::remove_folder(&work)?;
    tool::create_folder(&work)?;

    let (released, states) = states::plan(&bench, &work)?;
    let old = images::build(&bench, &work, &released)?;
    let old_images = images::pack_others(&bench, &work, &old, released.compression)?;
    let mut updates = Vec::new();
    for state in states {
        say(format!("bench: {}", state.name));
        let new = images::build(&bench, &work, &state)?;
        let new_images = images::pack_others(&bench, &work, &new, state.compression)?;
        let mut changes = Vec::new();
        for ((packer, old), (_, new)) in old_images.iter().zip(&new_images) {
            changes.push((*packer, measure::change(old, new)?));
        }
        let fetches = measure::fetches(&old, &new)?;
        updates.push(Update { packages: state.changed_from(&released), name: state.name, fetches, changes });
        forget(&new, &new_images)?;
    }

    let text = page::page(&machine, &released, &old, &updates);
    say(&text);
    let page = paths::root().join("docs/book/src/develop/update-size.md");
    fs::write(&page, text).map_err(TaskError::io("write", page))
}

/// Some hundred MB that nobody needs any more.
fn forget(artifact: &Artifact, images: &[(Packer, std::path::PathBuf)]) -> Done {
    let ours = [&artifact.root, &artifact.uki, &artifact.archive];
    for path in ours.into_iter().chain(images.iter().map(|(_, path)| path)) {
        if path.exists() {
            fs::remove_file(path).map_err(TaskError::io("remove", path))?;
        }
    }
    Ok(())
}
