//! Other people's tools that Debian 12 does not have and PyPI does: a virtual environment under `target/peers/python`.

use std::{env, fs, path::PathBuf};

use crate::{
    error::{Done, TaskError},
    paths,
    report::say,
    tool,
};

/// The validators of bills of materials. One version for everybody: what a validator accepts changes with it.
const PACKAGES: [&str; 2] = ["cyclonedx-python-lib[json-validation]==11.12.0", "spdx-tools==0.8.5"];

/// The environment: the one that `BASALT_PYTHON_TREE` names, or ours, made when it is missing or made of another list.
pub(crate) fn tree() -> Done<PathBuf> {
    if let Some(given) = env::var_os("BASALT_PYTHON_TREE") {
        return Ok(PathBuf::from(given));
    }
    let (tree, stamp) = (paths::peers().join("python"), paths::peers().join("python.packages"));
    let wanted = PACKAGES.join("\n");
    if tree.is_dir() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(tree);
    }
    say(format!("peers: making {}", tree.display()));
    tool::remove_folder(&tree)?;
    tool::create_folder(&paths::peers())?;
    tool::watch(tool::plan("python3", "python3-venv")?.args(["-m", "venv"]).arg(&tree))?;
    let python = tree.join("bin/python").display().to_string();
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    tool::watch(tool::plan(&python, "python3-venv")?.args(install).args(PACKAGES))?;
    fs::write(&stamp, wanted).map_err(TaskError::io("write", &stamp))?;
    Ok(tree)
}
