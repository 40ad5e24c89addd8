//! `cargo xtask test`: everything that must hold before a change lands.
//!
//! The order is by how fast a mistake shows. Everything that is compiled is compiled in the dev profile: dependencies are
//! compiled once for the tests and for the `basalt` that builds the image which the tests boot.

use basalt_exec::command::{Command, Program};
use basalt_testkit::Factory;
use std::{path::Path, thread, time::Duration};

use crate::{
    demo::{self, Shared},
    error::{Done, TaskError},
    npm, paths, peers, python,
    report::Stages,
    setup,
    suite::{self, Setting},
    tidy, tool,
};

/// Keeps what the tests build within bounds: the step results of each test program are of little use to the next.
const CACHE_SIZE: &str = "3GiB";
/// What the suite writes beside its cache at its worst, in MiB: machines' disks, twice.
const SPACE: u64 = 8 << 10;

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
    let Shared { factory: Factory { dist, cache }, image } =
        stages.run("build the programs and the image", demo::shared)?;
    let tree = stages.run("wait for the trixie tree", || {
        tree.join().map_err(|_panic| TaskError::Broken("making the trixie tree panicked".to_owned()))?
    })?;
    let python = stages.run("make the Python environment", python::tree)?;
    enough_space(&paths::target())?;
    enough_space(&std::env::temp_dir())?;
    let basalt = Program::at(dist.join("bin/basalt"))?;
    let npm = stages.run("make the tree of npm", npm::tree)?;
    let environment = [
        ("BASALT_TRIXIE_TREE", tree),
        ("BASALT_PYTHON_TREE", python),
        ("BASALT_NPM_TREE", npm),
        ("BASALT_DIST", dist.clone()),
        ("BASALT_NODE_DIR", dist.join("lib/basalt")),
        ("BASALT_TEST_IMAGE", image),
        ("BASALT_CACHE", cache.clone()),
    ];
    let tidy_up = Command::new(&basalt)
        .args(["store", "gc", "--max-size", CACHE_SIZE])
        .env("BASALT_CACHE", cache)
        .timeout(Duration::from_secs(600));
    let setting = Setting { environment: &environment, tidy_up };
    stages.run("tests", || suite::run(arguments.filter.as_deref(), &setting))?;
    stages.report();
    Ok(())
}

/// A full disk would fail whatever test happens to write then, with words about something else.
fn enough_space(folder: &Path) -> Done {
    let space =
        rustix::fs::statvfs(folder).map_err(|errno| TaskError::io("examine", folder)(errno.into()))?;
    match space.f_bavail.saturating_mul(space.f_frsize) >> 20 {
        free if free < SPACE => Err(TaskError::Broken(format!(
            "{} has {free} MiB free and the tests write up to {SPACE} MiB at a time; make room and start again",
            folder.display()
        ))),
        _enough => Ok(()),
    }
}

fn clippy() -> Done {
    tool::watch(tool::cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?)
}
