//! Observes what a build needs, and executes its plan.

mod execute;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use basalt_fetch::{
    debian::Context,
    http::{Client, Patience},
    mirror::Facts,
    store::{Check, Found, Store},
};
use basalt_image::plan::{self, Below, BuildPlan, Inputs, Keys, Observed, Outputs};
use basalt_spec::{
    Lock, LockedImage, LockedPackage, OciBase, Origin, OutputSource, Recipe, ResolvedRecipe,
    words::RelativePath,
};
use basalt_types::{ByteSize, Digest};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::{Deserialize, Serialize};

pub use execute::{Outcome, execute};

use super::{
    cache::{Cache, ResultKind},
    keys::Signing,
    node::NodeParts,
    output::Stamp,
    project::{self, Project},
    resolve,
};
use crate::{
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report::Reporter,
};

/// What the person asked of a build.
#[derive(Debug, Default)]
pub struct Wishes {
    /// The folder for what is made.
    pub output: PathBuf,
    /// Ignore results of earlier builds; downloads are kept.
    pub no_cache: bool,
    /// Refuse to change the lock.
    pub locked: bool,
    /// Sign what boots with this.
    pub signing: Option<Signing>,
}

/// Everything that a build knows before it decides anything.
#[derive(Debug)]
pub struct Build {
    resolved: ResolvedRecipe,
    id: Digest,
    sources: BTreeMap<RelativePath, Vec<u8>>,
    folder: PathBuf,
    node: Arc<NodeParts>,
    host: Arc<Host>,
    output: PathBuf,
    signing: Option<Signing>,
    inputs: Inputs,
    observed: Observed,
    /// The build that this one starts from.
    below: Option<Box<Build>>,
    /// Packages whose download was damaged in the store, and where it was moved.
    damaged: Vec<(String, PathBuf)>,
}

/// What this machine offers to a build.
#[derive(Debug)]
pub struct Host {
    /// Results of earlier builds.
    pub cache: Cache,
    /// Downloads.
    pub store: Store,
    /// Mirrors and proxies.
    pub mirrors: Facts,
    /// Becomes true when the person wants to stop.
    pub stop: Arc<AtomicBool>,
}

/// What was last written into an output folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputRecord {
    /// By path.
    files: BTreeMap<PathBuf, Stamp>,
}

impl Host {
    /// Opens the caches, reads the mirrors, and listens for ctrl-C.
    ///
    /// # Errors
    /// When a cache can't be opened or apt's configuration can't be understood.
    pub fn observe() -> CommandResult<Self> {
        let cache = Cache::open().or_fail(Kind::Host)?;
        let store = Store::open(cache.root()).or_fail(Kind::Host)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).or_fail(Kind::Host)?;
        }
        Ok(Self { cache, store, mirrors: resolve::observe_mirrors()?, stop })
    }

    /// A client for the network that stops when the person wants to.
    ///
    /// # Errors
    /// When a proxy's address is not one.
    pub fn client(&self) -> CommandResult<Client> {
        let proxies = self.mirrors.proxies.clone();
        Client::new(proxies, Patience::default(), Arc::clone(&self.stop)).or_fail(Kind::Config)
    }

    /// Fails when the person wants to stop: asked between steps.
    ///
    /// # Errors
    /// When they do.
    pub fn check_stop(&self) -> CommandResult {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(CommandError::new(Kind::Interrupted, "stopped; nothing half-written is left")
                .hint("the same command goes on where it stopped")),
            false => Ok(()),
        }
    }
}

/// The lock of a project: the one beside the recipe when it fits, else a new one, which is written there.
///
/// # Errors
/// When a new one is needed and refused by `locked`, or can't be made.
pub fn lock(
    project: &Project,
    below: Option<&Lock>,
    (host, node): (&Host, &NodeParts),
    locked: bool,
) -> CommandResult<Lock> {
    let misfit = match project.read_lock()? {
        Some(lock) => match lock.fits_over(&project.recipe, below) {
            Ok(()) => return Ok(lock),
            Err(misfit) => misfit.to_string(),
        },
        None => format!("{} is not there", project.lock_path.display()),
    };
    if locked {
        return Err(CommandError::new(Kind::Config, misfit).hint("leave out --locked to let it be made"));
    }
    let lock = new_lock(project, below, host, node)?;
    write_lock(project, &lock)?;
    Ok(lock)
}

/// The lock of a project that may start from another one: as [`lock`], those below first.
///
/// # Errors
/// As [`lock`].
pub fn lock_all(project: &Project, with: (&Host, &NodeParts), locked: bool) -> CommandResult<Lock> {
    let below = project.below.as_deref().map(|below| lock_all(below, with, locked)).transpose()?;
    lock(project, below.as_ref(), with, locked)
}

/// Resolves the recipe anew, whatever the lock says.
///
/// # Errors
/// As [`resolve::resolve`].
pub fn new_lock(
    project: &Project,
    below: Option<&Lock>,
    host: &Host,
    node: &NodeParts,
) -> CommandResult<Lock> {
    let client = host.client()?;
    let context = Context { client: &client, store: &host.store, report: &|_event| {} };
    let lock = resolve::resolve(project, below, (&host.mirrors, context), &node.control);
    host.check_stop()?;
    lock
}

/// Writes the lock beside the recipe.
///
/// # Errors
/// When it can't be written.
pub fn write_lock(project: &Project, lock: &Lock) -> CommandResult {
    let access = basalt_exec::files::Access::Public;
    basalt_exec::files::write_atomic(&project.lock_path, lock.to_json().as_bytes(), access)
        .or_fail(Kind::Host)
}

impl Build {
    /// Observes everything that the build of `project` depends on.
    ///
    /// # Errors
    /// When a file is missing, or no lock can be made.
    pub fn observe(project: Project, wishes: Wishes) -> CommandResult<Self> {
        let host = Arc::new(Host::observe()?);
        Self::observe_on(host, project, wishes)
    }

    /// As [`Build::observe`], on a host that somebody has observed already.
    ///
    /// # Errors
    /// As [`Build::observe`].
    pub fn observe_on(host: Arc<Host>, project: Project, wishes: Wishes) -> CommandResult<Self> {
        let node = Arc::new(NodeParts::observe(project.recipe.architecture)?);
        let mut build = Self::observe_layer(project, &wishes, (host, node))?;
        if let Some(signing) = wishes.signing {
            let unsigned = build.inputs.outputs.list;
            let signed = format!("{unsigned} signed {}", signing.digest().or_fail(Kind::Bug)?);
            build.inputs.outputs.list = Digest::of(signed.as_bytes());
            build.signing = Some(signing);
        }
        Ok(build)
    }

    fn observe_layer(
        project: Project,
        wishes: &Wishes,
        (host, node): (Arc<Host>, Arc<NodeParts>),
    ) -> CommandResult<Self> {
        let mut project = project;
        let observe_below = |below: Box<Project>| {
            Self::observe_layer(*below, wishes, (Arc::clone(&host), Arc::clone(&node))).map(Box::new)
        };
        let below = project.below.take().map(observe_below).transpose()?;
        let sources = project.read_sources()?;
        let lock = lock(&project, below.as_deref().map(Self::lock), (&host, &node), wishes.locked)?;
        let Project { folder, lock_path: _, recipe, below: _ } = project;
        let resolved = ResolvedRecipe::new(recipe, lock, project::digests(&sources)).or_fail(Kind::Bug)?;
        let id = release_id(&resolved, &node, below.as_deref());
        let inputs = inputs(&resolved, id, &node, below.as_deref())?;
        let output = wishes.output.clone();
        let observed = Observed { ignore_cache: wishes.no_cache, ..Observed::default() };
        let damaged = Vec::new();
        let mut build = Self {
            resolved,
            id,
            sources,
            folder,
            node,
            host,
            output,
            signing: None,
            inputs,
            observed,
            below,
            damaged,
        };
        (build.observed, build.damaged) = build.observe_results()?;
        Ok(build)
    }

    /// Decides what to do.
    pub fn plan(&self) -> BuildPlan {
        self.with_below(plan::plan(&self.inputs, &self.observed))
    }

    fn with_below(&self, (mut plan, needs_below): (BuildPlan, bool)) -> BuildPlan {
        if let Some(below) = self.below.as_ref().filter(|_| needs_below) {
            let tree = plan::plan_tree(&below.inputs, &below.observed);
            plan.below = Some(Box::new(below.with_below(tree)));
        }
        plan
    }

    /// The packages that are to be unpacked: all, or those that what is below does not have.
    pub fn added_packages(&self) -> Vec<&LockedPackage> {
        self.lock().added_to(self.below.as_deref().map(Self::lock))
    }

    /// The OCI image that this build starts from; what is below has its own.
    pub fn image(&self) -> Option<(&OciBase, &LockedImage)> {
        let base = self.recipe().base.oci.as_ref().filter(|_| self.below.is_none());
        base.zip(self.lock().oci.as_ref())
    }

    fn keys(&self) -> Keys {
        Keys::of(&self.inputs)
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        self.resolved.recipe()
    }

    /// The lock.
    pub fn lock(&self) -> &Lock {
        self.resolved.lock()
    }

    /// The path of an artifact: `NAME` with this ending.
    pub fn artifact(&self, ending: &str) -> PathBuf {
        self.output.join(format!("{}.{ending}", self.recipe().name))
    }

    fn observe_results(&self) -> CommandResult<(Observed, Vec<(String, PathBuf)>)> {
        let Keys { base, script, tree: _, initramfs, release, outputs } = self.keys();
        let known = |key: &Digest| {
            [ResultKind::Tree, ResultKind::Initramfs, ResultKind::Release]
                .iter()
                .any(|kind| self.host.cache.has(key, *kind))
        };
        let keys = [Some(base), script, Some(initramfs), Some(release)];
        let results: Vec<Digest> = keys.into_iter().flatten().filter(known).collect();
        let standing_output = self.standing_output();
        // What will be unpacked is read in full now, so that damage is mended by fetching instead of failing later.
        let unpacks =
            self.observed.ignore_cache || standing_output != Some(outputs) && !results.contains(&base);
        let check = if unpacks { Check::Content } else { Check::Size };
        let packages = self.added_packages();
        let found = packages.par_iter().map(|package| {
            let found = match package.origin {
                Origin::File(_) => None,
                Origin::Archive { .. } => Some(
                    self.host.store.get(&package.sha256, Some(package.size), check).or_fail(Kind::Host)?,
                ),
            };
            Ok((package, found))
        });
        let (mut count, mut bytes, mut damaged) = (0, 0, Vec::new());
        for (package, found) in found.collect::<CommandResult<Vec<_>>>()? {
            match found {
                None | Some(Found::Whole(_)) => continue,
                Some(Found::Absent) => {}
                Some(Found::Corrupt(moved)) => damaged.push((package.name.to_string(), moved)),
            }
            count += 1;
            bytes += package.size;
        }
        let layers = self.image().map(|(_, image)| image.layers.as_slice()).unwrap_or_default();
        for layer in layers {
            match self.host.store.get(&layer.digest, Some(layer.size), check).or_fail(Kind::Host)? {
                Found::Whole(_) => continue,
                Found::Absent => {}
                Found::Corrupt(moved) => damaged.push((format!("layer {}", layer.digest), moved)),
            }
            count += 1;
            bytes += layer.size;
        }
        let observed = Observed {
            missing_packages: (count, ByteSize::bytes(bytes)),
            package_count: packages.len() + layers.len(),
            ignore_cache: self.observed.ignore_cache,
            results,
            standing_output,
        };
        Ok((observed, damaged))
    }

    /// The key of the build whose files all stand in the output folder as they were written.
    fn standing_output(&self) -> Option<Digest> {
        let record = fs::read(self.record_path()).ok()?;
        let OutputRecord { files } = serde_json::from_slice(&record).ok()?;
        let key = files.values().next()?.key;
        let stands = |(path, stamp): (&PathBuf, &Stamp)| Stamp::of(path, key).is_ok_and(|now| now == *stamp);
        files.iter().all(stands).then_some(key)
    }

    fn record_path(&self) -> PathBuf {
        let path = std::path::absolute(self.artifact("manifest.json"));
        self.host.cache.output_record(path.as_deref().unwrap_or(Path::new("")))
    }
}

/// The identity of a release: the resolved recipe, and the programs of ours that are in it.
fn release_id(resolved: &ResolvedRecipe, node: &NodeParts, below: Option<&Build>) -> Digest {
    let below = below.map(|below| format!(" on {}", below.id)).unwrap_or_default();
    Digest::of(format!("basalt release 1 {} {}{below}", resolved.id(), node.digest()).as_bytes())
}

fn inputs(
    resolved: &ResolvedRecipe,
    id: Digest,
    node: &NodeParts,
    below: Option<&Build>,
) -> CommandResult<Inputs> {
    let files: Vec<_> = resolved.recipe().all_files().collect();
    let Recipe { units, users, locale, timezone, keymap, script, .. } = resolved.recipe();
    let hostname = resolved.recipe().hostname();
    let customisation =
        digest_of(&(files, units, users, (locale, timezone, hostname, keymap), resolved.files()))?;
    let script = script.as_ref().map(|script| digest_of(&(script, resolved.files()))).transpose()?;
    let packages = format!("{} {}", resolved.lock().content_digest(), Digest::of(&node.archive));
    let added = !resolved.lock().added_to(below.map(Build::lock)).is_empty();
    let keys = below.map(Build::keys);
    let program = fs::read("/proc/self/exe").or_fail(Kind::Host)?;
    Ok(Inputs {
        id,
        program: Digest::of(&program),
        below: keys.map(|keys| Below { base: keys.base, tree: keys.tree }),
        packages: (added || below.is_none()).then(|| Digest::of(packages.as_bytes())),
        customisation,
        script,
        init: Digest::of(&node.init),
        outputs: outputs(resolved.recipe())?,
    })
}

fn outputs(recipe: &Recipe) -> CommandResult<Outputs> {
    let from = |source| recipe.outputs.iter().any(|output| output.source() == source);
    Ok(Outputs {
        list: digest_of(&recipe.outputs)?,
        release: from(OutputSource::Release),
        difference: from(OutputSource::Difference),
    })
}

fn digest_of(value: &impl Serialize) -> CommandResult<Digest> {
    Ok(Digest::of(&serde_json::to_vec(value).or_fail(Kind::Bug)?))
}

/// Shows every step of `plan` that does not run.
pub fn report_skipped(plan: &BuildPlan, reporter: &Reporter) {
    if let Some(below) = &plan.below {
        report_skipped(below, reporter);
    }
    for step in plan.steps.iter().filter(|step| !step.runs()) {
        reporter.report(&crate::report::Event::Kept {
            step: step.name,
            because: step.action.because().to_owned(),
        });
    }
}
