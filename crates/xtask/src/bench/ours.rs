//! Our own builds: the example recipe, with one file more that a row changes.

use basalt_exec::command::{Command, Program};
use basalt_spec::{Output, OutputSource};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

use super::contenders::{Bench, Job, LIMIT, Row};
use crate::{
    error::{Done, TaskError},
    paths, tool,
};

/// A package of the lock.
#[derive(Debug, Deserialize)]
pub(super) struct Locked {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
}

const CHANGED: &str = "files/changed";

/// Copies the recipe, locks it at the bench's mirror, and gives what was locked. Results of earlier benches are dropped,
/// their downloads are kept.
pub(super) fn lock(bench: &Bench) -> Done<Vec<Locked>> {
    #[derive(Deserialize)]
    struct Lock {
        packages: Vec<Locked>,
    }
    for stale in ["steps", "outputs", "work"] {
        tool::remove_folder(&cache(bench).join(stale))?;
    }
    let recipe = copy_example(bench)?;
    tool::watch(basalt(bench)?.arg("lock").arg(&recipe))?;
    let lock = recipe.with_extension("lock");
    let text = fs::read(&lock).map_err(TaskError::io("read", &lock))?;
    let Lock { packages } = serde_json::from_slice(&text)
        .map_err(|source| TaskError::Json { what: lock.display().to_string(), source })?;
    Ok(packages)
}

fn copy_example(bench: &Bench) -> Done<PathBuf> {
    let folder = bench.work.join("recipe");
    tool::remove_folder(&folder)?;
    let example = paths::example_recipe();
    let from = example.parent().unwrap_or(&example);
    tool::watch(tool::plan("cp", "coreutils")?.args(["-r"]).args([from, &folder]))?;
    let recipe = folder.join("recipe.yaml");
    let text = fs::read_to_string(&recipe).map_err(TaskError::io("read", &recipe))?;
    let added = format!("files:\n  - path: /usr/share/bench/changed\n    source: {CHANGED}\n");
    let text = text.replacen("files:\n", &added, 1);
    fs::write(folder.join(CHANGED), "0\n").map_err(TaskError::io("write", &folder))?;
    fs::write(&recipe, text).map_err(TaskError::io("write", &recipe))?;
    let lock = folder.join("recipe.lock");
    if lock.exists() {
        fs::remove_file(&lock).map_err(TaskError::io("remove", lock))?;
    }
    Ok(recipe)
}

fn cache(bench: &Bench) -> PathBuf {
    bench.work.join("basalt-cache")
}

/// A run of our program with the bench's cache and mirror.
pub(super) fn basalt(bench: &Bench) -> Done<Command> {
    let program = Program::at(bench.dist.join("bin/basalt"))?;
    Ok(Command::new(&program)
        .directory(&bench.work)
        .timeout(LIMIT)
        .env("HOME", &bench.work)
        .env("BASALT_CACHE", cache(bench))
        .env("BASALT_NODE_DIR", bench.dist.join("lib/basalt"))
        .env("BASALT_DEBIAN_MIRROR", bench.mirror.url("debian")))
}

/// `basalt build` of the bench's recipe into `out`.
pub(super) fn build(bench: &Bench, out: &Path) -> Done<Command> {
    Ok(basalt(bench)?.arg("build").arg(bench.work.join("recipe/recipe.yaml")).arg("-o").arg(out))
}

/// `basalt build` of the same release into other outputs, by a recipe of this name.
pub(super) fn build_outputs(bench: &Bench, name: &str, outputs: &[Output], out: &Path) -> Done<Command> {
    let folder = bench.work.join("recipe");
    let recipe = folder.join(format!("{name}.yaml"));
    let from = folder.join("recipe.yaml");
    let text = fs::read_to_string(&from).map_err(TaskError::io("read", &from))?;
    let words: Vec<&str> = outputs.iter().map(|output| output.word()).collect();
    let text = format!("{text}\noutputs: [{}]\n", words.join(", "));
    fs::write(&recipe, text).map_err(TaskError::io("write", &recipe))?;
    let lock = from.with_extension("lock");
    fs::copy(&lock, recipe.with_extension("lock")).map_err(TaskError::io("copy", lock))?;
    Ok(basalt(bench)?.arg("build").arg("--locked").arg(&recipe).arg("-o").arg(out))
}

/// Our jobs in their order: each starts from what the one before left.
pub(super) fn jobs(bench: &Bench) -> Done<Vec<Job>> {
    let out = bench.work.join("basalt-out");
    let job = |row, command, write, remove| Job { row, remove, write, command };
    let every: Vec<Output> =
        Output::ALL.into_iter().filter(|output| output.source() != OutputSource::Difference).collect();
    let every_out = bench.work.join("basalt-every-out");
    let every = build_outputs(bench, "every", &every, &every_out)?;
    let changed = (bench.work.join("recipe").join(CHANGED), "@UNIQUE@\n".to_owned());
    Ok(vec![
        job(Row::Full, build(bench, &out)?.arg("--no-cache"), Vec::new(), vec![out.clone()]),
        job(Row::Nothing, build(bench, &out)?, Vec::new(), Vec::new()),
        job(Row::OneFile, build(bench, &out)?, vec![changed], Vec::new()),
        job(Row::AllOutputs, every.arg("--no-cache"), Vec::new(), vec![every_out]),
    ])
}
