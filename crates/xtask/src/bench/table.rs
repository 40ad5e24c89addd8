//! Medians as Markdown. Pure.

use std::{collections::BTreeMap, thread};

use super::{
    contenders::{Bench, Job},
    measure::{Sample, median},
};

/// One line a job.
pub(super) fn builds(jobs: &[Job], samples: &BTreeMap<String, Vec<Sample>>) -> String {
    let mut text = "| job | median s | peak MiB | runs |\n|---|--:|--:|--:|\n".to_owned();
    for job in jobs {
        let runs = samples.get(&job.name).map(Vec::as_slice).unwrap_or_default();
        if let Some(Sample { wall, memory }) = median(runs) {
            let (name, wall) = (&job.name, wall.as_secs_f64());
            text.push_str(&format!("| {name} | {wall:.2} | {} | {} |\n", memory >> 20, runs.len()));
        }
    }
    text
}

/// The page of the book.
pub(super) fn page(table: &str, runs: usize, bench: &Bench) -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench` ({runs} measured runs of each job, in turns, after one that warms caches; \
         {processors} processors; {packages} packages, the same for everybody, from one local mirror). Peers are \
         Debian trixie's mkosi and mmdebstrap. Peak memory is the largest sum of proportional set sizes of all \
         processes of the job.\n\n{table}\n\
         The commands are in `crates/xtask/src/bench/contenders.rs`.\n",
        packages = bench.packages.len(),
    )
}
