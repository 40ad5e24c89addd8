//! What npm has and nobody else: a tree under `target/peers/npm`.

use std::path::PathBuf;

use crate::{error::Done, peers, tool};

/// What judges pages for those who can't see them. One version for everybody.
const PACKAGES: [&str; 1] = ["axe-core@4.14.1"];

/// The tree; see [`peers::kept`].
pub(crate) fn tree() -> Done<PathBuf> {
    peers::kept("npm", "BASALT_NPM_TREE", &PACKAGES, |tree| {
        peers::begin(tree)?;
        tool::create_folder(tree)?;
        // Nothing of a package runs when it is installed.
        let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix"];
        tool::watch(tool::plan("npm", "npm")?.args(install).arg(tree).args(PACKAGES))
    })
}
