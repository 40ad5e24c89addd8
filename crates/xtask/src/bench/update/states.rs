//! States of one recipe between the suite as it was released and what came since: locks, put together from two.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    bench::{contenders::Bench, ours},
    error::{Done, TaskError},
    paths,
    report::say,
    tool,
};

/// A recipe and its lock.
#[derive(Debug)]
pub(super) struct State {
    /// For the table.
    pub(super) name: String,
    /// The recipe; its lock is beside it.
    pub(super) recipe: PathBuf,
    /// Its root's.
    pub(super) compression: &'static str,
    /// Version by package.
    packages: BTreeMap<String, String>,
}

/// A lock as it is written: what is not looked at is kept.
struct Lock {
    document: Value,
    /// The root's.
    compression: &'static str,
    /// By name.
    packages: BTreeMap<String, Value>,
}

/// A source package whose kernel has a version in its name: old and new have no name in common.
const KERNEL: &str = "linux-image";

/// A suite of Debian and the strongest compression of EROFS that its kernel reads.
type Suite = (&'static str, &'static str);

/// Where to look for security updates, the likeliest first: just after a point release a suite has none.
const SUITES: [Suite; 2] = [("trixie", "zstd"), ("bookworm", "lz4hc")];

/// The released suite, and the updates of it.
pub(super) fn plan(bench: &Bench, work: &Path) -> Done<(State, Vec<State>)> {
    for suite in SUITES {
        let name = suite.0;
        let work = work.join(name);
        tool::create_folder(&work)?;
        let released = lock(bench, &work.join("released"), suite, "    pockets: []\n")?;
        let newest = lock(bench, &work.join("newest"), suite, "")?;
        match largest_advisory(&released, &newest) {
            Some(advisory) => return states(name, &work, &advisory, &released, &newest),
            None => say(format!("bench: {name} has had no security update since its last point release")),
        }
    }
    Err(TaskError::Broken(
        "no suite has had a security update since its last point release: measure later".to_owned(),
    ))
}

/// The released suite, and the updates of it that this advisory and everything else newer make.
fn states(
    suite: &str,
    work: &Path,
    advisory: &str,
    released: &Lock,
    newest: &Lock,
) -> Done<(State, Vec<State>)> {
    let is_kernel = |name: &str| name.starts_with(KERNEL);
    let only = |name: &str| newest.origin(name).is_some_and(|(_, source)| source == advisory);
    let old = released.state(work, &format!("{suite} as released"), released, |_| false)?;
    let one = format!("one advisory ({advisory})");
    let updates = vec![
        newest.state(work, &one, released, only)?,
        newest.state(work, "everything but the kernel", released, |name| !is_kernel(name))?,
        newest.state(work, "everything", released, |_| true)?,
    ];
    Ok((old, updates))
}

impl State {
    /// `name old → new` of every package that differs.
    pub(super) fn changed_from(&self, old: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for name in old.packages.keys().chain(self.packages.keys()).collect::<std::collections::BTreeSet<_>>()
        {
            match (old.packages.get(name), self.packages.get(name)) {
                (Some(old), Some(new)) if old == new => {}
                (Some(old), Some(new)) => lines.push(format!("{name} {old} → {new}")),
                (Some(old), None) => lines.push(format!("{name} {old} removed")),
                (None, new) => lines.push(format!("{name} {} added", new.map_or("", String::as_str))),
            }
        }
        lines
    }
}

/// Copies the example into `folder`, gives its base this suite and `line`, and locks it.
fn lock(bench: &Bench, folder: &Path, (suite, compression): Suite, line: &str) -> Done<Lock> {
    let example = paths::example_recipe();
    let from = example.parent().unwrap_or(&example);
    tool::watch(tool::plan("cp", "coreutils")?.args(["-r"]).args([from, folder]))?;
    let recipe = folder.join("recipe.yaml");
    let text = fs::read_to_string(&recipe).map_err(TaskError::io("read", &recipe))?;
    let written = "    suite: trixie\n";
    if !text.contains(written) {
        return Err(TaskError::Broken(format!("`{}` has no line `{}`", recipe.display(), written.trim())));
    }
    let text = text.replacen(written, &format!("    suite: {suite}\n{line}"), 1)
        + &format!("\noutputs: [oci]\ndisk: {{compression: {compression}}}\n");
    fs::write(&recipe, text).map_err(TaskError::io("write", &recipe))?;
    tool::watch(ours::basalt(bench)?.args(["lock"]).arg(&recipe))?;
    let lock = recipe.with_extension("lock");
    let text = fs::read(&lock).map_err(TaskError::io("read", &lock))?;
    let document: Value = serde_json::from_slice(&text)
        .map_err(|source| TaskError::Json { what: lock.display().to_string(), source })?;
    let packages = document["packages"].as_array().into_iter().flatten();
    let named = packages.map(|package| (word(&package["name"]), package.clone())).collect();
    Ok(Lock { document, compression, packages: named })
}

/// The source package of the security archive whose changed binary packages are the largest, the kernel's apart.
fn largest_advisory(released: &Lock, newest: &Lock) -> Option<String> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    for (name, package) in &newest.packages {
        let changed = released.packages.get(name).is_some_and(|old| old["version"] != package["version"]);
        let Some((true, source)) = newest.origin(name) else { continue };
        if changed && !name.starts_with(KERNEL) {
            *sizes.entry(source).or_default() += package["size"].as_u64().unwrap_or(0);
        }
    }
    sizes.into_iter().max_by_key(|(_, size)| *size).map(|(source, _)| source)
}

impl Lock {
    /// Whether a package comes from the security archive, and its source package (a folder of the pool is one).
    fn origin(&self, name: &str) -> Option<(bool, String)> {
        let origin = &self.packages.get(name)?["origin"]["archive"];
        let from = usize::try_from(origin["source"].as_u64()?).ok()?;
        let suite = self.document["sources"].get(from)?["suite"].as_str()?;
        let source = origin["path"].as_str()?.rsplit('/').nth(1)?;
        Some((suite.ends_with("-security"), source.to_owned()))
    }

    /// `released` with those packages of this lock that `takes` names.
    fn state(&self, work: &Path, name: &str, released: &Self, takes: impl Fn(&str) -> bool) -> Done<State> {
        let mut packages: BTreeMap<&String, &Value> = BTreeMap::new();
        packages.extend(released.packages.iter().filter(|(name, _)| !takes(name.as_str())));
        packages.extend(self.packages.iter().filter(|(name, _)| takes(name.as_str())));
        let mut document = self.document.clone();
        document["packages"] = packages.values().map(|package| (*package).clone()).collect();
        let folder = work.join(if std::ptr::eq(self, released) { "released" } else { "newest" });
        let recipe = folder.join(format!("{}.yaml", name.replace([' ', '(', ')'], "-")));
        let from = folder.join("recipe.yaml");
        fs::copy(&from, &recipe).map_err(TaskError::io("copy", from))?;
        let lock = recipe.with_extension("lock");
        let text = serde_json::to_vec_pretty(&document)
            .map_err(|source| TaskError::Json { what: name.to_owned(), source })?;
        fs::write(&lock, text).map_err(TaskError::io("write", lock))?;
        let packages =
            packages.iter().map(|(name, package)| ((*name).clone(), word(&package["version"]))).collect();
        Ok(State { name: name.to_owned(), recipe, compression: self.compression, packages })
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
