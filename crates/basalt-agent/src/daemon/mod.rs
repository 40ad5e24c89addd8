//! `basalt-agent daemon`: reconciles when a document or a file of its own changes, and from time to time, and answers on a
//! socket. One thread waits and reconciles, one waits for who asks; no runtime, nothing is polled.

mod api;
mod banner;
mod clock;
mod metrics;
mod notify;
mod release;
mod watch;

use std::{
    os::unix::net::UnixListener,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use basalt_node::reconcile::{Phase, Report};
use basalt_spec::node::{Stage, words::Span};
use clap::Args;

use crate::{
    commands::journal,
    datasource,
    error::{AgentError, AgentResult, Kind, OrFail as _},
    reconcile::{self, System, Wish},
    report,
};

pub(crate) use api::{Answer, Request, ask};
pub(crate) use clock::is_stopping;

/// Where the daemon answers.
pub(crate) const SOCKET: &str = "/run/basalt/agent.sock";
/// After a step has failed the next try comes sooner; each later one takes twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(15);
/// What changes together is looked at together.
const SETTLE: Duration = Duration::from_millis(500);

/// What may be typed behind `daemon`.
#[derive(Debug, Args)]
pub(crate) struct DaemonArguments {
    /// How often drift is looked for where nothing announces it
    #[arg(long, default_value = "5m", value_name = "TIME")]
    interval: Span,
    /// Also give metrics at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<std::net::SocketAddr>,
}

/// What is counted, for metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    runs: u64,
    failed_runs: u64,
    steps: u64,
    last: Report,
}

type Shared = Arc<Mutex<Counters>>;

/// Runs until it is told to end.
pub(crate) fn daemon(arguments: &DaemonArguments) -> AgentResult<ExitCode> {
    let DaemonArguments { interval, metrics } = arguments;
    let counters = Shared::default();
    let listener = listen(Path::new(SOCKET))?;
    api::serve(listener, counters.clone());
    if let Some(address) = metrics {
        let listener = std::net::TcpListener::bind(address).or_fail(Kind::Host)?;
        metrics::serve(listener, counters.clone());
    }
    let mut watch = watch::Watch::new().or_fail(Kind::Host)?;
    let watchdog = notify::watchdog();
    let (mut stages, mut release, mut failures) = (clock::Stages::default(), release::Asked::default(), 0);
    datasource::start();
    banner::start();
    notify::send("READY=1");
    let mut due = Instant::now();
    loop {
        if due <= Instant::now() {
            let good = once(&counters).as_ref().is_ok_and(Report::is_good);
            banner::show();
            release.look();
            failures = if good { 0 } else { failures + 1 };
            due = Instant::now() + clock::pause(interval.duration(), failures, FIRST_RETRY);
        }
        let until = if stages.run(&mut journal) { due.min(Instant::now() + clock::SOON) } else { due };
        watch.renew().or_fail(Kind::Host)?;
        if wait(&mut watch, until, watchdog)? {
            due = Instant::now();
        }
    }
}

/// Waits until something changes, or the time is over and it gives false; tells the watchdog that this loop is alive.
fn wait(watch: &mut watch::Watch, until: Instant, watchdog: Option<Duration>) -> AgentResult<bool> {
    loop {
        notify::send("WATCHDOG=1");
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let nap = watchdog.map_or(left, |watchdog| left.min(watchdog));
        if watch.wait(nap).or_fail(Kind::Host)? {
            thread::sleep(SETTLE);
            return Ok(true);
        }
    }
}

fn once(counters: &Shared) -> AgentResult<Report> {
    let report = reconcile::reconcile(Phase::Running, &mut journal);
    if let Err(error) = &report {
        report::failure(error);
    }
    count(counters, report.as_ref());
    report
}

/// Adds a reconciliation to what is counted.
fn count(counters: &Shared, report: Result<&Report, &AgentError>) {
    let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
    counters.runs += 1;
    match report {
        Ok(report) => {
            counters.steps += report.done.len() as u64;
            counters.failed_runs += u64::from(!report.is_good());
            counters.last = report.clone();
        }
        Err(_) => counters.failed_runs += 1,
    }
}

/// A socket that only root may use. One that a killed daemon left is replaced.
fn listen(path: &Path) -> AgentResult<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(AgentError::new(Kind::Host, error)),
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path).or_fail(Kind::Host);
    rustix::process::umask(before);
    listener
}

/// Runs the scripts of a stage; gives whether all of them succeeded.
fn run_stage(stage: Stage, log: reconcile::Log<'_>) -> AgentResult<()> {
    reconcile::run_hooks(&Wish::observe()?.spec, stage, &System::this()?, log).map(drop)
}
