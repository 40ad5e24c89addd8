//! What the worker does with its order.

use std::{
    path::Path,
    time::{Instant, SystemTime},
};

use basalt_exec::{sandbox::Desk, walk::remove_tree};
use rustix::fs::Mode;

use super::{
    BaseReport, BaseRequest, Event, ExtendRequest, Job, Order, Phase, ScriptRequest, collect, configure,
    error::Failure,
    extract, unpack,
    work::{self, WorkDirectory},
};

type Report<'r> = &'r (dyn Fn(Event) + Sync);

/// Does the job that lies on the desk.
pub(super) fn work(desk: Desk) {
    let outcome = match desk.job::<Order>() {
        Ok(order) => perform(&order, &|event| desk.report(&event)),
        Err(error) => Err(Failure::Order(error.to_string())),
    };
    desk.finish(&outcome);
}

fn perform(order: &Order, report: Report<'_>) -> Result<BaseReport, Failure> {
    let Order { job, work, target } = order;
    timed(Phase::Tidy, report, || work::remove_dead(work))?;
    let nothing = BaseReport { size: 0, entries: 0, by_dpkg: Vec::new() };
    match job {
        Job::Build(request) => {
            in_work_directory(work, report, &|directory| build(request, directory, target, report))
        }
        Job::Extend(request) => {
            in_work_directory(work, report, &|directory| extend(request, directory, target, report))
        }
        Job::Script(request) => {
            in_work_directory(work, report, &|directory| script(request, directory, target, report))
        }
        Job::Extract { image } => {
            let entries = timed(Phase::Extract, report, || extract::extract(image, target))?;
            Ok(BaseReport { entries, ..nothing })
        }
        Job::Remove => timed(Phase::Remove, report, || Ok(remove_tree(target)?)).map(|()| nothing),
    }
}

fn build(
    request: &BaseRequest,
    directory: &WorkDirectory,
    target: &Path,
    report: Report<'_>,
) -> Result<BaseReport, Failure> {
    check_clock(request.epoch)?;
    if !request.packages.iter().any(|package| package.name == "dpkg") {
        return Err(Failure::NoDpkg(request.packages.len()));
    }
    // Modes are set as packages have them; the programs in the chroot get their own umask.
    rustix::process::umask(Mode::empty());
    let planted = timed(Phase::Unpack, report, || {
        let packages = unpack::read_controls(&request.packages)?;
        directory.make_room(packages.iter().map(|package| package.installed_size).sum())?;
        unpack::unpack(request, packages, &directory.tree(), report)
    })?;
    let tree = &directory.tree();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    timed(Phase::Preinst, report, || configure::run_preinsts(request, &planted, tree, report))?;
    let left = configure::left_to_dpkg(&planted, tree)?;
    timed(Phase::Configure, report, || {
        configure::unpack_by_dpkg(request, &left, tree, report)?;
        let first = planted.plan.first.iter().map(|index| planted.packages[*index].key());
        configure::configure(request.epoch, &first.collect::<Vec<_>>(), tree, report)
    })?;
    let stored = store(tree, request.epoch, target, report)?;
    let name = |index: usize| planted.packages[index].name.clone();
    let by_dpkg = left.into_iter().map(|(index, reason)| (name(index), reason)).collect();
    Ok(BaseReport { by_dpkg, ..stored })
}

fn extend(
    request: &ExtendRequest,
    directory: &WorkDirectory,
    target: &Path,
    report: Report<'_>,
) -> Result<BaseReport, Failure> {
    let ExtendRequest { image, added } = request;
    check_clock(added.epoch)?;
    let tree = &directory.tree();
    timed(Phase::Extract, report, || {
        let present = std::fs::metadata(image).map_or(0, |image| image.len());
        // A package takes several times its size when it is unpacked.
        directory.make_room(present + added.packages.iter().map(|package| package.size * 6).sum::<u64>())?;
        extract::extract(image, tree)
    })?;
    let by_dpkg: Vec<(usize, String)> =
        (0..added.packages.len()).map(|index| (index, "Added".to_owned())).collect();
    timed(Phase::Configure, report, || {
        configure::unpack_by_dpkg(added, &by_dpkg, tree, report)?;
        configure::configure(added.epoch, &[], tree, report)
    })?;
    store(tree, added.epoch, target, report)
}

fn script(
    request: &ScriptRequest,
    directory: &WorkDirectory,
    target: &Path,
    report: Report<'_>,
) -> Result<BaseReport, Failure> {
    let ScriptRequest { image, script, epoch } = request;
    check_clock(*epoch)?;
    let tree = &directory.tree();
    timed(Phase::Extract, report, || {
        directory.make_room(std::fs::metadata(image).map_or(0, |image| image.len()))?;
        extract::extract(image, tree)
    })?;
    timed(Phase::Configure, report, || configure::run_script(script, *epoch, tree, report))?;
    store(tree, *epoch, target, report)
}

fn store(tree: &Path, epoch: i64, target: &Path, report: Report<'_>) -> Result<BaseReport, Failure> {
    timed(Phase::Collect, report, || {
        let collected = collect::collect(tree, epoch)?;
        collect::store(&collected, epoch, target)
    })
}

/// Gives the job a directory, and removes it whatever became of the job.
fn in_work_directory(
    work: &Path,
    report: Report<'_>,
    job: &dyn Fn(&WorkDirectory) -> Result<BaseReport, Failure>,
) -> Result<BaseReport, Failure> {
    let directory = WorkDirectory::create(work)?;
    let outcome = job(&directory);
    let removed = timed(Phase::Remove, report, || directory.remove());
    let made = outcome?;
    removed.map(|()| made)
}

/// Everything made by the job is newer than the epoch and everything packaged is older, if the clock is right.
fn check_clock(epoch: i64) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now < epoch { Err(Failure::Clock { now, epoch }) } else { Ok(()) }
}

fn timed<T>(
    phase: Phase,
    report: Report<'_>,
    act: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let began = Instant::now();
    report(Event::Began(phase));
    let outcome = act();
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report(Event::Ended { phase, milliseconds });
    outcome
}
