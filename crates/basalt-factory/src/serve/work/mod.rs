//! Who works: threads that take turns and watch over the processes that build.

mod job;
mod resolve;
mod watch;

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use basalt_exec::command::{Command, Program};

use super::{
    event::{Event, EventLog, Failure, Whose},
    state::{Ended, State, StateError, StateResult, io_error},
    turn,
};
use crate::error::chain;

pub(super) use job::run as run_job;
pub(super) use resolve::{Preview, Resolved, Resolver, Since};
pub(super) use watch::Limits;

/// How long a worker sleeps that nobody wakes: a build may be put back by hand.
const NAP: Duration = Duration::from_secs(5);
/// How often retention is looked at.
const SWEEP: Duration = Duration::from_secs(3600);

/// The threads that build, and what wakes them.
#[derive(Debug)]
pub(super) struct Workers {
    state: Arc<State>,
    limits: Limits,
    hosts: BTreeSet<String>,
    bell: Bell,
    ending: AtomicBool,
}

/// Wakes whoever waits for work.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, at_most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) = self
            .changed
            .wait_timeout_while(rung, at_most, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

impl Workers {
    /// Puts back what was running when the server ended, then starts so many workers.
    pub(super) fn start(
        state: Arc<State>,
        (limits, number): (Limits, usize),
        hosts: BTreeSet<String>,
    ) -> StateResult<(Arc<Self>, Vec<JoinHandle<()>>)> {
        for id in state.resume()? {
            let because = Some("the factory was restarted".to_owned());
            tell(&state.build_folder(&id), &Event::Queued { because });
        }
        sweep_folders(&state)?;
        let workers =
            Arc::new(Self { state, limits, hosts, bell: Bell::default(), ending: AtomicBool::new(false) });
        let mut threads = Vec::new();
        for _ in 0..number {
            let own = Arc::clone(&workers);
            let thread = thread::Builder::new().name("builder".to_owned()).spawn(move || own.work());
            threads.push(thread.map_err(|source| io_error(workers.state.folder(), source))?);
        }
        Ok((workers, threads))
    }

    /// Says that there is something to do.
    pub(super) fn wake(&self) {
        self.bell.ring();
    }

    /// Lets nobody begin anything; what runs is put back for the next start.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    fn work(&self) {
        while !self.ending.load(Ordering::SeqCst) {
            match self.work_once() {
                Ok(true) => {}
                Ok(false) => self.bell.wait(NAP),
                Err(error) => {
                    super::complain(&format!("a worker pauses: {}", chain(&error)));
                    self.bell.wait(NAP);
                }
            }
        }
    }

    /// Takes one turn; whether there was somebody to serve.
    fn work_once(&self) -> StateResult<bool> {
        let waiting = self.state.waiting()?;
        let Some(next) = turn::next(&waiting) else { return Ok(false) };
        // Another worker may have been faster.
        if !self.state.begin(&next.id)? {
            return Ok(true);
        }
        if waiting.len() > 1 {
            self.bell.ring();
        }
        let folder = self.state.build_folder(&next.id);
        let verdict = self.build(&next.id, &folder);
        let ended = match verdict {
            Ok(Some(ended)) => ended,
            // The server ends: the build stays begun, and the next start puts it back.
            Ok(None) => return Ok(true),
            Err(error) => {
                let why = chain(&error);
                tell(&folder, &ended_badly(why, Whose::Factory));
                Ended::Failed
            }
        };
        let lock = resolve::lock_digest(&folder.join("recipe.lock"));
        if ended == Ended::Failed {
            remove_outputs(&folder);
        }
        self.state.end(&next.id, &ended, lock.as_deref())?;
        Ok(true)
    }

    /// Runs the job's process to its end; nothing when the server ends first.
    fn build(&self, id: &str, folder: &Path) -> StateResult<Option<Ended>> {
        let order = job::Order { only_lock: false, hosts: self.hosts.iter().cloned().collect() };
        let stopped = || self.state.stopped_by(id).unwrap_or(None);
        let verdict = watch::run(
            folder,
            &order,
            (&self.limits, &|| {
                if self.ending.load(Ordering::SeqCst) {
                    watch::Wish::Leave
                } else {
                    stopped().map_or(watch::Wish::Go, watch::Wish::Stop)
                }
            }),
        )?;
        Ok(match verdict {
            watch::Verdict::Done => {
                let path = job::result_path(folder);
                let text = fs::read(&path).map_err(|source| io_error(&path, source))?;
                let made: job::Made = serde_json::from_slice(&text)
                    .map_err(|error| io_error(&path, io::Error::other(error)))?;
                if made.resolved {
                    resolve::remember_of(&self.state, folder)?;
                }
                Some(Ended::Succeeded { image: made.image.clone(), artifacts: made.artifacts() })
            }
            watch::Verdict::Failed { said: true } => Some(Ended::Failed),
            watch::Verdict::Failed { said: false } => {
                tell(folder, &ended_badly("the build ended without a word".to_owned(), Whose::Program));
                Some(Ended::Failed)
            }
            watch::Verdict::Over(limit) => {
                tell(folder, &ended_badly(limit, Whose::Recipe));
                Some(Ended::Failed)
            }
            watch::Verdict::Stopped(by) => {
                tell(folder, &Event::Cancelled { by });
                remove_outputs(folder);
                Some(Ended::Cancelled)
            }
            watch::Verdict::Left => None,
        })
    }
}

/// Forgets builds that ended so many days ago, for as long as the server runs.
pub(super) fn retain(state: &Arc<State>, days: u32, ending: &Workers) {
    let mut left = Duration::ZERO;
    while !ending.ending.load(Ordering::SeqCst) {
        if left.is_zero() {
            if let Err(error) = forget_old(state, days) {
                super::complain(&format!("retention: {}", chain(&error)));
            }
            left = SWEEP;
        }
        thread::sleep(Duration::from_millis(500));
        left = left.saturating_sub(Duration::from_millis(500));
    }
}

fn forget_old(state: &State, days: u32) -> StateResult {
    let before = super::state::now() - i64::from(days) * 24 * 3600;
    for (project, id) in state.ended_before(before)? {
        if state.forget(project, &id)? {
            remove_folder(&state.build_folder(&id))?;
        }
    }
    Ok(())
}

/// Removes folders of builds that no row knows: a removal that was cut off, or a request that never got its row.
fn sweep_folders(state: &State) -> StateResult {
    let place = state.folder().join("builds");
    let fail = |source| io_error(&place, source);
    for entry in fs::read_dir(&place).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !state.knows_build(&entry.file_name().to_string_lossy())? {
            remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a build's folder.
pub(super) fn remove_folder(folder: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(folder, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a build left that did not end well is of no use.
fn remove_outputs(folder: &Path) {
    if let Err(error) = remove_folder(&folder.join("out")) {
        super::complain(&chain(&error));
    }
}

/// Notes an event of a build that no process runs now.
pub(super) fn tell(folder: &Path, event: &Event) {
    if let Err(error) = EventLog::in_folder(folder).append(event) {
        super::complain(&format!("{}: {error}", folder.display()));
    }
}

fn ended_badly(error: String, whose: Whose) -> Event {
    Event::Failed(Failure::bare(error, whose))
}

/// This program with the order to do the job in `folder`.
fn job_command(folder: &Path) -> StateResult<Command> {
    let program = Program::at("/proc/self/exe").map_err(|error| io_error(folder, io::Error::other(error)))?;
    let inherited =
        ["BASALT_CACHE", "BASALT_CACHE_SIZE", "BASALT_NODE_DIR", "BASALT_MIRROR", "XDG_CACHE_HOME", "HOME"];
    let proxies = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("BASALT_")
            || name.to_ascii_lowercase().ends_with("_proxy")
            || inherited.contains(&name.as_ref())
    });
    let command = Command::new(&program).arg("serve-job").arg(folder);
    Ok(proxies.fold(command, |command, (name, value)| command.env(name, value)))
}
