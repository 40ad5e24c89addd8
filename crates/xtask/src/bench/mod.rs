//! `cargo xtask bench`: our build beside mkosi and mmdebstrap, in one run, on one machine, with one list of packages and
//! one local mirror; then our initramfs beside Debian's.
//!
//! ```text
//! observe   programs, trixie tree, mirror, the example's locked packages, the machine
//! plan      a job per row, each with what prepares it
//! execute   caches are filled once, then N measured runs of each job, in turns; N boots of each initramfs
//! judge     medians against the bars (pure)
//! report    docs/book/src/develop/benchmarks.md
//! ```

mod bars;
mod boot;
mod contenders;
mod erofs;
mod facts;
mod measure;
mod ours;
mod page;
mod same;
mod theirs;
mod update;

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::{
    error::{Done, TaskError},
    paths,
    report::say,
    setup, tool,
};
use contenders::{Job, Row};
pub(crate) use facts::commit;
use measure::Sample;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each job is measured; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How often each peer's job is measured, if less often
    #[arg(long)]
    peer_runs: Option<usize>,
    /// Only rows whose name contains this; nothing is written
    #[arg(long)]
    only: Option<String>,
    /// The folder with our programs, instead of building them (`bin/basalt`, `lib/basalt`)
    #[arg(long)]
    dist: Option<PathBuf>,
    #[command(subcommand)]
    other: Option<Other>,
}

/// What is measured apart.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Measure what a machine fetches for a security update
    Update(update::Arguments),
}

/// All that was measured.
#[derive(Debug, Default)]
struct Measured {
    builds: BTreeMap<Row, Vec<Sample>>,
    boots: Option<boot::Boots>,
    packing: Vec<erofs::Packing>,
    /// What the peers installed beside the locked packages.
    beside: Vec<String>,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Done {
    if let Some(Other::Update(arguments)) = &arguments.other {
        return update::run(arguments);
    }
    setup::run()?;
    // Packing is measured last, by `cargo bench`: that it is missing must not show after ten minutes.
    tool::plan("cargo", "cargo")?;
    let bench = contenders::observe(arguments.dist.clone())?;
    let machine = facts::observe(&bench.tree)?;
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let jobs: Vec<Job> = contenders::plan(&bench)?.into_iter().filter(|job| wanted(job.row.name())).collect();
    if !bench.warm {
        say("bench: filling caches (not measured)");
        let fills = |job: &&Job| arguments.only.is_some() || job.row.fills_a_cache();
        execute(&jobs.iter().filter(fills).collect::<Vec<_>>(), 0..1, 0)?;
        if arguments.only.is_none() {
            contenders::mark_warm(&bench)?;
        }
    }
    let peer_runs = arguments.peer_runs.unwrap_or(arguments.runs);
    let builds = execute(&jobs.iter().collect::<Vec<_>>(), 1..arguments.runs + 1, peer_runs)?;
    let mut measured = Measured { builds, ..Measured::default() };
    if wanted(boot::ROW) {
        measured.boots = Some(boot::measure(&bench, arguments.runs)?);
    }
    if wanted(erofs::ROW) {
        measured.packing = erofs::measure(&bench, peer_runs)?;
    }
    if arguments.only.is_some() {
        say(page::tables(&measured));
        return Ok(());
    }
    measured.beside = same::check(&bench)?;
    let text = page::page(
        &page::About { machine: &machine, bench: &bench, jobs: &jobs, runs: arguments.runs, peer_runs },
        &measured,
    );
    say(&text);
    let page = paths::root().join("docs/book/src/develop/benchmarks.md");
    fs::write(&page, text).map_err(TaskError::io("write", page))
}

/// In turns, so that a slow minute of the machine hits every contender. Peers sit out rounds after `peer_runs`.
fn execute(
    jobs: &[&Job],
    rounds: std::ops::Range<usize>,
    peer_runs: usize,
) -> Done<BTreeMap<Row, Vec<Sample>>> {
    let mut samples: BTreeMap<Row, Vec<Sample>> = BTreeMap::new();
    let unique = facts::seconds_now()?;
    for round in rounds {
        for job in jobs.iter().filter(|job| round <= peer_runs || !job.row.is_a_peers()) {
            for path in &job.remove {
                remove(path)?;
            }
            for (path, text) in &job.write {
                tool::create_folder(path.parent().unwrap_or(path))?;
                fs::write(path, text.replace("@UNIQUE@", &format!("{unique}-{round}")))
                    .map_err(TaskError::io("write", path))?;
            }
            let sample = measure::run(job.command.clone())?;
            say(format!("{:<48} run {round}: {sample}", job.row.name()));
            samples.entry(job.row).or_default().push(sample);
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
