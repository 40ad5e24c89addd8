//! One build, in a process of its own: `basalt serve-job FOLDER`.
//!
//! ```text
//! FOLDER/recipe.yaml ─▶ lock ─▶ plan ─▶ execute ─▶ checksums ─▶ FOLDER/result.json
//!                        │               │
//!                        └──── events ───┴──────▶ FOLDER/events.jsonl
//! ```
//!
//! A process and not a thread: it can be stopped at any instant, what it takes of memory is given back, and what goes wrong in
//! it is not the server's end. It dies with the server, and is safe to run again.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use basalt_types::Digest;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::super::{
    check::{self, Reach},
    event::{Event, EventLog, Failure},
    state::Artifact,
};
use crate::{
    commands::FileError,
    engine::{
        build::{self, Build, Host, Wishes},
        node::NodeParts,
        project::Project,
    },
    error::{CommandError, CommandResult, Kind, OrFail as _},
    report::{self, Reporter},
};

/// The step that makes a lock, which is the server's word and not the engine's.
const RESOLVE: &str = "resolve";
/// The step that reads everything again.
const CHECKSUMS: &str = "checksums";
/// A step's progress is told when it moved by this share of the whole.
const SHARES: u64 = 50;

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Order {
    /// Only the lock is wanted.
    pub(in crate::serve) only_lock: bool,
    /// Hosts that the recipe may reach.
    pub(in crate::serve) hosts: Vec<String>,
}

/// What a job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Made {
    pub(in crate::serve) image: String,
    /// Whether the lock was made just now.
    pub(in crate::serve) resolved: bool,
    /// Name, size and SHA-256.
    pub(in crate::serve) files: Vec<(String, u64, String)>,
}

impl Made {
    pub(in crate::serve) fn artifacts(&self) -> Vec<Artifact> {
        let artifact = |(name, size, sha256): &(String, u64, String)| Artifact {
            name: name.clone(),
            size: *size,
            sha256: sha256.clone(),
        };
        self.files.iter().map(artifact).collect()
    }
}

/// The files of a job.
pub(in crate::serve) fn order_path(folder: &Path) -> PathBuf {
    folder.join("order.json")
}

/// Where a job says what it made.
pub(in crate::serve) fn result_path(folder: &Path) -> PathBuf {
    folder.join("result.json")
}

/// Tells events, and remembers in which step one is.
struct Teller {
    log: EventLog,
    /// The step that runs, and the last share of it that was told.
    at: Mutex<(Option<String>, u64)>,
}

impl Teller {
    fn tell(&self, event: &Event) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { step } => *at = (Some(step.clone()), 0),
            Event::Progress { done, total, .. } => {
                let share = done.saturating_mul(SHARES).checked_div(*total).unwrap_or_default();
                if share <= at.1 {
                    return;
                }
                at.1 = share;
            }
            Event::Finished { .. } => *at = (None, 0),
            Event::Queued { .. }
            | Event::Note { .. }
            | Event::Kept { .. }
            | Event::Succeeded { .. }
            | Event::Failed(_)
            | Event::Cancelled { .. } => {}
        }
        // A log that can't be written must not stop a build; the build will say that the disk is full.
        drop(self.log.append(event));
    }

    fn step(&self) -> Option<String> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Does the job in `folder`. A failure is an event, too; the exit status says whose turn it is.
///
/// # Errors
/// What the build fails with.
pub(in crate::serve) fn run(folder: &Path) -> CommandResult {
    let teller = Arc::new(Teller { log: EventLog::in_folder(folder), at: Mutex::new((None, 0)) });
    let start = Instant::now();
    match perform(folder, &teller) {
        Ok(None) => Ok(()),
        Ok(Some(made)) => {
            let text = serde_json::to_vec(&made).or_fail(Kind::Bug)?;
            let access = basalt_exec::files::Access::Secret;
            basalt_exec::files::write_atomic(&result_path(folder), &text, access).or_fail(Kind::Host)?;
            teller.tell(&Event::Succeeded { milliseconds: since(start), image: made.image });
            Ok(())
        }
        Err(error) => {
            teller.tell(&Event::Failed(Failure::of(teller.step(), &error)));
            Err(error)
        }
    }
}

fn perform(folder: &Path, teller: &Arc<Teller>) -> CommandResult<Option<Made>> {
    let order = read(&order_path(folder))?;
    let Order { only_lock, hosts } = serde_json::from_slice(&order).or_fail(Kind::Bug)?;
    let path = folder.join("recipe.yaml");
    let text = String::from_utf8(read(&path)?).or_fail(Kind::Config)?;
    // The server has checked it; this is the process that acts on it.
    check::parse(&text, &Reach::new(hosts)).map_err(CommandError::in_file)?;
    let host = Arc::new(Host::observe()?);
    let project = Project::open(&path)?;
    let resolved = resolve(&host, &project, teller)?;
    if only_lock {
        return Ok(None);
    }
    let reporter = Reporter::to(Box::new({
        let teller = Arc::clone(teller);
        move |event| teller.tell(&translated(event))
    }));
    let wishes = Wishes { output: folder.join("out"), locked: true, ..Wishes::default() };
    let build = Build::observe_on(host, project, wishes)?;
    let plan = build.plan();
    build::report_skipped(&plan, &reporter);
    build::execute(&build, &plan, &reporter)?;
    let files = checksums(&folder.join("out"), teller)?;
    Ok(Some(Made { image: plan.id.hex(), resolved, files }))
}

/// Makes the lock, unless it is there: the same request resolves once. Says whether it made one.
fn resolve(host: &Host, project: &Project, teller: &Teller) -> CommandResult<bool> {
    let step = || RESOLVE.to_owned();
    if let Some(lock) = project.read_lock()?
        && lock.fits_over(&project.recipe, None).is_ok()
    {
        let because = format!("the recipe was resolved to {}", report::count(lock.packages.len(), "package"));
        teller.tell(&Event::Kept { step: step(), because });
        return Ok(false);
    }
    let start = Instant::now();
    teller.tell(&Event::Started { step: step() });
    let node = NodeParts::observe(project.recipe.architecture)?;
    let lock = build::new_lock(project, None, host, &node)?;
    build::write_lock(project, &lock)?;
    let packages = report::count(lock.packages.len(), "package");
    let result = format!("{packages}, {} to download", report::size(lock.download_size()));
    teller.tell(&Event::Finished { step: step(), milliseconds: since(start), result });
    Ok(true)
}

/// Reads every file that was made, for its checksum: also of disks, whose zeros the engine leaves out.
fn checksums(out: &Path, teller: &Teller) -> CommandResult<Vec<(String, u64, String)>> {
    let start = Instant::now();
    let step = || CHECKSUMS.to_owned();
    teller.tell(&Event::Started { step: step() });
    let (mut names, mut total) = (Vec::new(), 0);
    for entry in fs::read_dir(out).or_fail(Kind::Host)? {
        let entry = entry.or_fail(Kind::Host)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The engine's own list lacks the disk; ours is made of all.
        if name.ends_with(".sha256") || name.starts_with('.') {
            continue;
        }
        total += entry.metadata().or_fail(Kind::Host)?.len();
        names.push(name);
    }
    names.sort();
    let (mut files, mut done) = (Vec::new(), 0);
    for name in names {
        let path = out.join(&name);
        let (size, digest) = digest_of(&path, |read| {
            teller.tell(&Event::Progress { step: step(), done: done + read, total });
        })?;
        done += size;
        files.push((name, size, digest.hex()));
    }
    let result = format!("{}, {}", report::count(files.len(), "file"), report::size(total));
    teller.tell(&Event::Finished { step: step(), milliseconds: since(start), result });
    Ok(files)
}

fn digest_of(path: &Path, read: impl Fn(u64)) -> CommandResult<(u64, Digest)> {
    let fail = |source| CommandError::new(Kind::Host, FileError::new(path, source));
    let mut file = fs::File::open(path).map_err(fail)?;
    let (mut hasher, mut buffer, mut size) = (sha2::Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let count = file.read(&mut buffer).map_err(fail)?;
        if count == 0 {
            return Ok((size, Digest::from_bytes(hasher.finalize().into())));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
        read(size);
    }
}

/// The engine's events in our words.
fn translated(event: &report::Event) -> Event {
    use report::Event as E;
    match event {
        E::Started { step } => Event::Started { step: step.to_string() },
        E::Progress { step, done, total } => {
            Event::Progress { step: step.to_string(), done: *done, total: *total }
        }
        E::Note { step, text } => Event::Note { step: step.to_string(), text: text.clone() },
        E::Kept { step, because } => Event::Kept { step: step.to_string(), because: because.clone() },
        E::Finished { step, milliseconds, result } => {
            Event::Finished { step: step.to_string(), milliseconds: *milliseconds, result: result.clone() }
        }
    }
}

fn read(path: &Path) -> CommandResult<Vec<u8>> {
    fs::read(path).map_err(|source| CommandError::new(Kind::Host, FileError::new(path, source)))
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
