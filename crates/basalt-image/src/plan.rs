//! The build plan: which steps a build has, what names each, and why it runs or not.
//!
//! A step's key is the digest of everything that decides its result: the keys of the steps before it, its own inputs
//! and the program that does it. Equal keys mean equal bytes, so a result with the key in its name can be taken as it is.
//!
//! Not here: where results are kept, and how a step is done.

use std::fmt;

use basalt_types::{ByteSize, Digest};
use serde::Serialize;

/// What a build is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The identity of the release: the digest of the canonical resolved recipe.
    pub id: Digest,
    /// The program that builds: another one may do a step otherwise.
    pub program: Digest,
    /// What the build starts from, when it starts from another one.
    pub below: Option<Below>,
    /// The packages to unpack, the node package among them: digest of their list in the lock. None when what is below
    /// has them all.
    pub packages: Option<Digest>,
    /// The recipe's files, users, units and names.
    pub customisation: Digest,
    /// The recipe's script, when it has one.
    pub script: Option<Digest>,
    /// The static init program.
    pub init: Digest,
    /// What is to be made.
    pub outputs: Outputs,
}

/// The build below this one, by the keys of its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below {
    /// Its base tree.
    pub base: Digest,
    /// Its tree as packages, files and script left it.
    pub tree: Digest,
}

/// The outputs of a build, as far as steps care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outputs {
    /// The digest of their list.
    pub list: Digest,
    /// Whether one of them is made from the release.
    pub release: bool,
    /// Whether one of them is what differs from the build below, whose tree is read then.
    pub difference: bool,
}

/// What is there before the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Packages that are not in the content store: how many and how many bytes.
    pub missing_packages: (usize, ByteSize),
    /// How many packages the lock names.
    pub package_count: usize,
    /// Whether the person asked to ignore results of earlier builds.
    pub ignore_cache: bool,
    /// Keys whose results are in the cache.
    pub results: Vec<Digest>,
    /// The key of what stands in the output folder unchanged, if anything does.
    pub standing_output: Option<Digest>,
}

/// The steps in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// Download what the content store lacks.
    Fetch,
    /// Unpack and configure the packages.
    Base,
    /// Run the recipe's script in the sandbox.
    Script,
    /// Pack the init program and the kernel modules.
    Initramfs,
    /// Make what boots: root file system, hash tree, UKI.
    Release,
    /// Write the outputs.
    Outputs,
}

/// Why a step runs or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// It will be done.
    Run {
        /// Why.
        because: String,
    },
    /// An earlier result stands.
    Reuse {
        /// Why.
        because: String,
    },
    /// There is nothing for it to do.
    Skip {
        /// Why.
        because: String,
    },
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// The digest of everything that decides its result.
    pub key: Digest,
    /// Whether it runs.
    #[serde(flatten)]
    pub action: Action,
}

/// What a build will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildPlan {
    /// The identity of the release.
    pub id: Digest,
    /// What is done first for the build below this one, when something here needs its tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Box<BuildPlan>>,
    /// All steps, in order.
    pub steps: Vec<Step>,
}

/// Decides which steps run; second, whether they need the tree of the build below.
///
/// A step whose result nobody needs is skipped: when the outputs stand unchanged nothing runs, when the finished tree is known
/// no package is fetched. Whatever a step that runs reads is in the plan: a sweep may have removed any result and left any other.
pub fn plan(inputs: &Inputs, observed: &Observed) -> (BuildPlan, bool) {
    let keys = Keys::of(inputs);
    let known = |key: &Digest| !observed.ignore_cache && observed.results.contains(key);
    let stands = !observed.ignore_cache && observed.standing_output == Some(keys.outputs);
    let release = standing((!stands && inputs.outputs.release).then(|| known(&keys.release)));
    let makes_release = release == Standing::Unknown;
    let initramfs = standing(makes_release.then(|| known(&keys.initramfs)));
    let wanted = TreeWanted {
        start: initramfs == Standing::Unknown,
        // Outputs come with a bill of materials, which describes it.
        finished: !stands,
    };
    let (mut steps, needs_below) = tree_steps(inputs, observed, wanted);
    if inputs.outputs.release {
        let action = cached(initramfs, "the kernel or the init program changed");
        steps.push(Step { name: StepName::Initramfs, key: keys.initramfs, action });
        let action = cached(release, "something that is in the image changed");
        steps.push(Step { name: StepName::Release, key: keys.release, action });
    }
    let action = match stands {
        true => Action::Reuse { because: "the output folder holds exactly this build".into() },
        false => Action::Run { because: "the output folder does not hold this build".into() },
    };
    steps.push(Step { name: StepName::Outputs, key: keys.outputs, action });
    let needs_below = needs_below || !stands && inputs.outputs.difference;
    (BuildPlan { id: inputs.id, below: None, steps }, needs_below)
}

/// Decides which steps run for the tree alone, which a build above wants; second, as [`plan`].
pub fn plan_tree(inputs: &Inputs, observed: &Observed) -> (BuildPlan, bool) {
    let wanted = TreeWanted { start: false, finished: true };
    let (steps, needs_below) = tree_steps(inputs, observed, wanted);
    (BuildPlan { id: inputs.id, below: None, steps }, needs_below)
}

/// Which trees later steps want.
#[derive(Clone, Copy)]
struct TreeWanted {
    /// The one with all packages.
    start: bool,
    /// The one after files and script.
    finished: bool,
}

/// The steps up to the finished tree, and whether they need the tree of the build below.
fn tree_steps(inputs: &Inputs, observed: &Observed, wanted: TreeWanted) -> (Vec<Step>, bool) {
    let keys = Keys::of(inputs);
    let known = |key: &Digest| !observed.ignore_cache && observed.results.contains(key);
    let script = keys.script.map(|key| (key, standing(wanted.finished.then(|| known(&key)))));
    let start_needed =
        wanted.start || script.map_or(wanted.finished, |(_, standing)| standing == Standing::Unknown);
    let mut steps = Vec::new();
    let needs_below = match inputs.packages {
        Some(packages) => {
            let base = standing(start_needed.then(|| known(&keys.base)));
            steps.push(Step { name: StepName::Fetch, key: packages, action: fetch(observed, base) });
            let action = cached(base, "the packages or their configuration changed");
            steps.push(Step { name: StepName::Base, key: keys.base, action });
            inputs.below.is_some() && base == Standing::Unknown
        }
        None => start_needed,
    };
    if let Some((key, standing)) = script {
        let action = cached(standing, "the script or what it works on changed");
        steps.push(Step { name: StepName::Script, key, action });
    }
    (steps, needs_below)
}

/// What names each step's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// The tree with all packages.
    pub base: Digest,
    /// The tree after the script.
    pub script: Option<Digest>,
    /// The finished tree: the script's, or what files, users and units make of the one with all packages.
    pub tree: Digest,
    /// The initramfs.
    pub initramfs: Digest,
    /// The release.
    pub release: Digest,
    /// The outputs.
    pub outputs: Digest,
}

impl Keys {
    /// The keys of a build.
    pub fn of(inputs: &Inputs) -> Self {
        let Inputs { id, program, below, packages, customisation, script, init, outputs } = inputs;
        let key = |name, inputs: &[&Digest]| key(program, name, inputs);
        let (base, start) = match (below, packages) {
            (None, Some(packages)) => twice(key(StepName::Base, &[packages])),
            (Some(below), Some(packages)) => twice(key(StepName::Base, &[&below.tree, packages])),
            (Some(below), None) => (below.base, below.tree),
            (None, None) => twice(key(StepName::Base, &[])),
        };
        let script = script.as_ref().map(|script| key(StepName::Script, &[&start, customisation, script]));
        let tree = script.unwrap_or_else(|| key(StepName::Script, &[&start, customisation]));
        // The modules come from the kernel package; nothing that a script may do to the tree changes them.
        let initramfs = key(StepName::Initramfs, &[&base, init]);
        // The id names everything else that is in a release: kernel arguments, sizes, customisation.
        let release = key(StepName::Release, &[id, &tree, &initramfs]);
        let outputs = key(StepName::Outputs, &[&release, &outputs.list]);
        Self { base, script, tree, initramfs, release, outputs }
    }
}

fn twice(key: Digest) -> (Digest, Digest) {
    (key, key)
}

impl BuildPlan {
    /// The step of this name.
    pub fn step(&self, name: StepName) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Whether the step of this name runs.
    pub fn runs(&self, name: StepName) -> bool {
        self.step(name).is_some_and(Step::runs)
    }

    /// Whether nothing runs.
    pub fn is_empty(&self) -> bool {
        !self.steps.iter().any(Step::runs) && self.below.as_ref().is_none_or(|below| below.is_empty())
    }
}

impl Action {
    /// The reason, whatever it is for.
    pub fn because(&self) -> &str {
        match self {
            Self::Run { because } | Self::Reuse { because } | Self::Skip { because } => because,
        }
    }
}

impl Step {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        matches!(self.action, Action::Run { .. })
    }
}

fn key(program: &Digest, name: StepName, inputs: &[&Digest]) -> Digest {
    let mut text = format!("{program} {name}");
    for input in inputs {
        text.push(' ');
        text.push_str(&input.to_string());
    }
    Digest::of(text.as_bytes())
}

/// Whether a step's result is wanted and there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    NotNeeded,
    Known,
    Unknown,
}

/// `known`: whether the result is in the cache, of a step whose result is wanted.
fn standing(known: Option<bool>) -> Standing {
    match known {
        None => Standing::NotNeeded,
        Some(true) => Standing::Known,
        Some(false) => Standing::Unknown,
    }
}

fn fetch(observed: &Observed, base: Standing) -> Action {
    let total = observed.package_count;
    match (base, observed.missing_packages) {
        (Standing::NotNeeded | Standing::Known, _) => {
            Action::Skip { because: "no step needs the packages".into() }
        }
        (Standing::Unknown, (0, _)) => {
            Action::Reuse { because: format!("all {total} packages are in the content store") }
        }
        (Standing::Unknown, (missing, size)) => Action::Run {
            because: format!("{missing} of {total} packages are not in the content store ({})", size.human()),
        },
    }
}

fn cached(standing: Standing, changed: &str) -> Action {
    match standing {
        Standing::NotNeeded => Action::Skip { because: "no step needs it".into() },
        Standing::Known => Action::Reuse { because: "an earlier build made it from the same inputs".into() },
        Standing::Unknown => Action::Run { because: format!("not in the cache: first build, or {changed}") },
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fetch => "fetch",
            Self::Base => "base",
            Self::Script => "script",
            Self::Initramfs => "initramfs",
            Self::Release => "release",
            Self::Outputs => "outputs",
        })
    }
}

impl fmt::Display for BuildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(below) = &self.below {
            writeln!(f, "for the recipe that it starts from:\n{below}and then:")?;
        }
        for step in &self.steps {
            let (verb, because) = match &step.action {
                Action::Run { because } => ("run", because),
                Action::Reuse { because } => ("reuse", because),
                Action::Skip { because } => ("skip", because),
            };
            writeln!(f, "  {:<10} {verb:<6} {because}", step.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
