//! `basalt serve`: the factory as a web page and an API, from one program with no other service.
//!
//! ```text
//! browser, program ─▶ web (HTTP, pages, API) ─▶ service ─▶ state (SQLite, folders)
//!                                                  │            ▲
//!                                            check, resolve     │
//!                                                               │
//!                     work: threads, by turns ─▶ a process for each build ─▶ the engine
//! ```
//!
//! Invariants: a recipe is read by the engine's own parser and nothing of it reaches a file or a host of this machine that it may
//! not; a build that was accepted is in the database before anybody is told; every query names the project of whoever asks;
//! no secret is stored (digests and Argon2id hashes are) and none is printed but the one-time link of the first start.
//!
//! Not here: how anything is built (`engine`).

mod check;
mod document;
mod door;
mod event;
mod form;
mod secret;
mod service;
mod state;
mod template;
mod turn;
mod web;
mod work;

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use basalt_types::ByteSize;

use check::Reach;
use door::Door;
use state::{Invitation, State};
use work::{Limits, Resolver, Workers};

use crate::error::{CommandError, CommandResult, Kind, OrFail as _};

/// Each stream of events looks at its file a few times a second.
const STREAMS: usize = 256;

/// How a factory is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it remembers is here.
    pub state: PathBuf,
    /// Its address for browsers, where that is not where it listens: behind a proxy that speaks HTTPS.
    pub public: Option<String>,
    /// How many builds run at a time.
    pub workers: usize,
    /// How many may wait.
    pub queue: u32,
    /// How many of one account may wait.
    pub queue_of_one: u32,
    /// How long a build may take.
    pub build_time: Duration,
    /// How much memory a build may take.
    pub build_memory: ByteSize,
    /// How much of the disk stays free.
    pub free_disk: ByteSize,
    /// For how many days builds are kept that nobody pinned.
    pub keep_days: u32,
    /// Mirrors and registries that recipes may name.
    pub allowed_hosts: Vec<String>,
}

/// All that handlers use.
#[derive(Debug)]
struct Site {
    options: Options,
    state: Arc<State>,
    workers: Arc<Workers>,
    resolver: Resolver,
    reach: Reach,
    door: Door,
    /// So many may watch builds at a time.
    streams: Arc<tokio::sync::Semaphore>,
}

impl Options {
    /// Whether browsers come by HTTPS.
    fn is_https(&self) -> bool {
        self.public.as_ref().is_some_and(|address| address.starts_with("https://"))
    }

    /// The address that people type, by where it really listens.
    fn address(&self, listens: SocketAddr) -> String {
        let own = || format!("http://{listens}");
        self.public.clone().unwrap_or_else(own).trim_end_matches('/').to_owned()
    }
}

/// Serves until somebody stops the program.
///
/// # Errors
/// When the state can't be opened or nobody can listen there.
pub fn run(options: Options) -> CommandResult {
    let state = Arc::new(State::open(&options.state).or_fail(Kind::Host)?);
    let hosts: BTreeSet<String> = options.allowed_hosts.iter().cloned().collect();
    let limits =
        Limits { time: options.build_time, memory: options.build_memory, free_disk: options.free_disk };
    let listener = std::net::TcpListener::bind(options.listen).map_err(|error| {
        CommandError::new(Kind::Host, format!("can't listen on {}: {error}", options.listen))
            .hint("choose another address with --listen")
    })?;
    let listens = listener.local_addr().or_fail(Kind::Host)?;
    let (workers, threads) =
        Workers::start(Arc::clone(&state), (limits, options.workers), hosts.clone()).or_fail(Kind::Host)?;
    greet(&state, &options.address(listens))?;
    let keeper = thread::spawn({
        let (state, workers, days) = (Arc::clone(&state), Arc::clone(&workers), options.keep_days);
        move || work::retain(&state, days, &workers)
    });
    let site = Arc::new(Site {
        reach: Reach::new(hosts.iter().cloned()),
        resolver: Resolver::new(Arc::clone(&state), limits, hosts),
        door: Door::default(),
        streams: Arc::new(tokio::sync::Semaphore::new(STREAMS)),
        workers: Arc::clone(&workers),
        state,
        options,
    });
    let served = web::serve(listener, site).or_fail(Kind::Host);
    workers.end();
    for thread in threads.into_iter().chain([keeper]) {
        // A thread that panicked has said so.
        drop(thread.join());
    }
    served
}

/// Does one build in a process of its own.
///
/// # Errors
/// What the build fails with.
pub fn run_job(folder: &Path) -> CommandResult {
    work::run_job(folder)
}

/// Says where the page is; the first time with the one-time link that makes the first account.
fn greet(state: &State, address: &str) -> CommandResult {
    let text = match state.is_new().or_fail(Kind::Host)? {
        false => format!("the factory is at {address}/"),
        true => {
            let link = state.new_link(Invitation { project: None, admin: true }).or_fail(Kind::Host)?;
            format!(
                "the factory is at {address}/\nnobody has an account yet; this link makes the first one, once, within two days:\n  {address}/setup/{}",
                link.reveal()
            )
        }
    };
    crate::commands::print(&text)
}

/// A line for whoever runs the factory.
fn complain(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(std::io::stderr(), "{text}"));
}
