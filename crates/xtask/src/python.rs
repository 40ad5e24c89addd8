//! Other people's tools that Debian 12 does not have and PyPI does: a virtual environment under `target/peers/python`.

use std::path::PathBuf;

use crate::{error::Done, peers, tool};

/// The validators of bills of materials, and what tries our API. One version for everybody: what a validator accepts changes with
/// it.
const PACKAGES: [&str; 3] =
    ["cyclonedx-python-lib[json-validation]==11.12.0", "schemathesis==4.32.5", "spdx-tools==0.8.5"];

/// The environment; see [`peers::kept`].
pub(crate) fn tree() -> Done<PathBuf> {
    peers::kept("python", "BASALT_PYTHON_TREE", &PACKAGES, |tree| {
        peers::begin(tree)?;
        tool::watch(tool::plan("python3", "python3-venv")?.args(["-m", "venv"]).arg(tree))?;
        let python = tree.join("bin/python").display().to_string();
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        tool::watch(tool::plan(&python, "python3-venv")?.args(install).args(PACKAGES))
    })
}
