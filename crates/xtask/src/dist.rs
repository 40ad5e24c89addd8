//! `cargo xtask dist`: the programs as a release lays them out.
//!
//! ```text
//! target/dist/bin/basalt                            for this host
//! target/dist/lib/basalt/{basalt-init,basalt-agent}  static, they travel inside images
//! target/dist/lib/basalt/basalt-guardx64.efi         what firmware starts
//! ```

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Done, TaskError},
    guard, paths,
    report::say,
    tool,
};

const NODE_TARGET: &str = "x86_64-unknown-linux-gnu";
const NODE_PROGRAMS: [&str; 2] = ["basalt-init", "basalt-agent"];

/// How `basalt` is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// As users get it.
    Release,
    /// As the tests are compiled: their dependencies are compiled once for both.
    Dev,
}

/// Runs the task; gives the folder.
pub(crate) fn run() -> Done<PathBuf> {
    build(Speed::Release)
}

/// Builds everything and lays it out.
pub(crate) fn build(speed: Speed) -> Done<PathBuf> {
    let dist = paths::dist();
    build_node_programs()?;
    for name in NODE_PROGRAMS {
        install(
            &paths::target().join(NODE_TARGET).join("node").join(name),
            &dist.join("lib/basalt").join(name),
        )?;
    }
    let guard = guard::build()?;
    install(&guard, &dist.join("lib/basalt").join(guard.file_name().unwrap_or_default()))?;
    let (profile, folder) = match speed {
        Speed::Release => ("release", "release"),
        Speed::Dev => ("dev", "debug"),
    };
    tool::watch(tool::cargo([
        "build",
        "--package",
        "basalt-factory",
        "--bin",
        "basalt",
        "--profile",
        profile,
    ])?)?;
    install(&paths::target().join(folder).join("basalt"), &dist.join("bin/basalt"))?;
    say(format!("dist: {}", dist.display()));
    Ok(dist)
}

/// Static programs: nothing of the image is needed before its root is mounted, and one build serves every base.
fn build_node_programs() -> Done {
    let packages = NODE_PROGRAMS.iter().flat_map(|name| ["--package", name]);
    let flags = match env::var("RUSTFLAGS") {
        Ok(flags) => format!("{flags} -Ctarget-feature=+crt-static"),
        Err(_) => "-Ctarget-feature=+crt-static".to_owned(),
    };
    let cargo = tool::cargo(["build", "--profile", "node", "--target", NODE_TARGET])?;
    tool::watch(cargo.args(packages).env("RUSTFLAGS", flags))
}

/// Copies under a temporary name first: a machine may be running the old one.
fn install(from: &Path, to: &Path) -> Done {
    tool::create_folder(to.parent().unwrap_or(to))?;
    let partial = to.with_extension("new");
    fs::copy(from, &partial).map_err(TaskError::io("copy", from))?;
    fs::rename(&partial, to).map_err(TaskError::io("rename to", to))
}
