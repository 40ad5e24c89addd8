//! `cargo xtask bench`: our build beside mkosi and mmdebstrap, in one run, on one machine, with one package list and one
//! local mirror whose cache is warm.
//!
//! ```text
//! observe   programs, trixie tree, mirror, the example's locked package list
//! plan      a job per contender and row, each with what prepares it
//! execute   one unmeasured run of each, then N measured ones in turns
//! report    medians as a table, and docs/book/src/develop/benchmarks.md
//! ```

mod boot;
mod contenders;
mod measure;
mod table;

use basalt_testkit::Trixie;
use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::{
    dist,
    error::{Done, TaskError},
    paths, peers,
    report::say,
    setup, tool,
};
use contenders::{Bench, Job};
use measure::Sample;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each job is measured; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only jobs whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Leave out the boots of the initramfs row (they are minutes each under emulation)
    #[arg(long)]
    no_boot: bool,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Done {
    setup::run()?;
    let bench = observe()?;
    let jobs: Vec<Job> = contenders::plan(&bench)?
        .into_iter()
        .filter(|job| arguments.only.as_ref().is_none_or(|only| job.name.contains(only)))
        .collect();
    let samples = execute(&jobs, arguments.runs)?;
    let mut text = table::builds(&jobs, &samples);
    if !arguments.no_boot {
        text.push_str(&boot::measure(&bench)?);
    }
    say(&text);
    let page = paths::root().join("docs/book/src/develop/benchmarks.md");
    fs::write(&page, table::page(&text, arguments.runs, &bench)).map_err(TaskError::io("write", page))
}

fn observe() -> Done<Bench> {
    let dist = dist::run()?;
    let tree = Trixie::at(peers::tree()?);
    let mirror = peers::mirror()?;
    let work = paths::target().join("bench");
    tool::create_folder(&work)?;
    let mut bench = Bench { dist, tree, mirror, work, packages: Vec::new() };
    bench.packages = contenders::locked_packages(&bench)?;
    Ok(bench)
}

/// In turns, so that a slow minute of the machine hits every contender.
fn execute(jobs: &[Job], runs: usize) -> Done<BTreeMap<String, Vec<Sample>>> {
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for round in 0..=runs {
        for job in jobs {
            for path in &job.remove {
                remove(path)?;
            }
            for (path, text) in &job.write {
                fs::write(path, text.replace("@ROUND@", &round.to_string()))
                    .map_err(TaskError::io("write", path))?;
            }
            let sample = measure::run(job.command.clone())?;
            say(format!("{:<40} @ROUND@: {sample}", job.name));
            if round > 0 {
                samples.entry(job.name.clone()).or_default().push(sample);
            }
        }
    }
    Ok(samples)
}

fn remove(path: &PathBuf) -> Done {
    if path.is_dir() {
        return tool::remove_folder(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TaskError::io("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
