//! Where things are in a checkout. Everything that tasks make is below the target folder.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The programs as a release lays them out.
pub(crate) fn dist() -> PathBuf {
    target().join("dist")
}

/// Other people's tools and what they fetched.
pub(crate) fn peers() -> PathBuf {
    target().join("peers")
}

/// The recipe that the demo, the tests and the benchmarks build.
pub(crate) fn example_recipe() -> PathBuf {
    root().join("examples/edge/recipe.yaml")
}
