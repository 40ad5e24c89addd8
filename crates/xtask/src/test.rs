//! `cargo xtask test`: everything that must hold before a change lands.
//!
//! The order is by how fast a mistake shows. Everything that is compiled is compiled in the dev profile: dependencies are
//! compiled once for the tests and for the `basalt` that builds the image which the tests boot.

use std::thread;

use crate::{
    demo,
    error::{Done, TaskError},
    paths, peers, python,
    report::Stages,
    setup, suite, tidy, tool,
};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Done {
    let mut stages = Stages::default();
    stages.run("set up the host", setup::run)?;
    // Fetching and unpacking the tree waits for the network and the disk while cargo keeps the processors busy.
    let tree = thread::spawn(peers::tree);
    stages.run("formatting", || tool::watch(tool::cargo(["fmt", "--all", "--check"])?))?;
    stages.run("tidy", tidy::run)?;
    stages.run("clippy", clippy)?;
    let dist = stages.run("build the programs", demo::dist_for_tests)?;
    let image = paths::target().join("test-image");
    let cache = paths::target().join("test-cache");
    stages.run("build the image", || demo::build_image(&dist, &image, &[("BASALT_CACHE", cache.clone())]))?;
    let tree = stages.run("wait for the trixie tree", || {
        tree.join().map_err(|_panic| TaskError::Broken("making the trixie tree panicked".to_owned()))?
    })?;
    let python = stages.run("make the Python environment", python::tree)?;
    let environment = [
        ("BASALT_TRIXIE_TREE", tree),
        ("BASALT_PYTHON_TREE", python),
        ("BASALT_DIST", dist.clone()),
        ("BASALT_NODE_DIR", dist.join("lib/basalt")),
        ("BASALT_TEST_IMAGE", image),
        ("BASALT_CACHE", cache),
    ];
    stages.run("tests", || suite::run(arguments.filter.as_deref(), &environment))?;
    stages.report();
    Ok(())
}

fn clippy() -> Done {
    tool::watch(tool::cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?)
}
