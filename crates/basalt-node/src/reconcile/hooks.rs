use std::time::Duration;

use basalt_spec::node::{NodeSpec, Stage, words::ItemName};

use super::Record;

/// A script that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    /// Its name.
    pub name: ItemName,
    /// Its text, which begins with `#!`.
    pub script: String,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it runs once in the machine's life: it is written down when it has succeeded.
    pub once: bool,
}

const TIMEOUT: Duration = Duration::from_secs(300);
const SHELL: &str = "#!/bin/sh -eu\n";

/// The scripts of a stage, in the order of their names, without those that run once and have run.
pub fn hooks(spec: &NodeSpec, stage: Stage, record: &Record) -> Vec<HookRun> {
    let mut runs: Vec<HookRun> = spec
        .hooks
        .iter()
        .filter(|hook| hook.stage == stage)
        .filter(|hook| hook.once != Some(true) || !record.hooks.contains(&hook.name))
        .map(|hook| {
            let text = hook.script.as_str();
            let script = if text.starts_with("#!") { text.to_owned() } else { format!("{SHELL}{text}") };
            let timeout = hook.timeout.as_ref().map_or(TIMEOUT, |span| span.duration());
            HookRun { name: hook.name.clone(), script, timeout, once: hook.once == Some(true) }
        })
        .collect();
    runs.sort_by(|one, other| one.name.cmp(&other.name));
    runs
}
