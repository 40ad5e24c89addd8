//! Many packages into an empty tree at once, and their registration with dpkg.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use basalt_debian::{
    archive::{self, Expected},
    dpkgdb::{self, ADMIN_DIRECTORY, Unpacked},
    unpack::{self, UnpackPlan, Unpackable},
};
use basalt_exec::{
    files::{Root, Scope},
    walk::remove_tree,
};

use super::{
    BaseRequest, DebPackage, Event,
    error::Failure,
    plant::{self, Clashes, Ground, MERGED, Planter},
};

/// A tree that holds all packages that we unpack, registered with dpkg.
pub(super) struct Planted {
    /// The packages, in the request's order.
    pub(super) packages: Vec<Unpackable>,
    /// Who unpacked what.
    pub(super) plan: UnpackPlan,
    /// For each package of the request, the paths of its archive; empty for those left to dpkg.
    pub(super) paths: Vec<Vec<Vec<u8>>>,
}

type Report<'r> = &'r (dyn Fn(Event) + Sync);

/// Plans, unpacks and registers.
pub(super) fn unpack(
    request: &BaseRequest,
    packages: Vec<Unpackable>,
    tree: &Path,
    report: Report<'_>,
) -> Result<Planted, Failure> {
    let mut shared = BTreeSet::new();
    loop {
        let plan = unpack::plan(&packages, &shared);
        let made = fs::DirBuilder::new().mode(0o755).create(tree);
        made.map_err(|error| Failure::io("make", tree, &error))?;
        let wave = Wave { request, packages: &packages, order: &plan.direct, report };
        let ground = Ground::open(tree)?;
        let outcome = wave.run(&ground);
        let clashing = involved(&packages, &plan, &ground.clashes(), &outcome);
        let settled = plan.by_dpkg.iter().map(|(index, _)| *index).collect::<BTreeSet<_>>();
        if !clashing.is_subset(&settled) {
            shared.extend(clashing);
            drop(outcome);
            remove_tree(tree)?;
            continue;
        }
        let paths = outcome.into_result()?;
        ground.finish_directories()?;
        link_merged_directories(&ground, tree)?;
        register(&request.architecture, &packages, &plan, &paths, tree)?;
        return Ok(Planted { packages, plan, paths });
    }
}

/// Opens a package file.
fn open(package: &DebPackage) -> Result<File, Failure> {
    File::open(&package.path).map_err(|error| Failure::io("open", &package.path, &error))
}

/// The control data of all packages, each of which is the one that was asked for.
pub(super) fn read_controls(packages: &[DebPackage]) -> Result<Vec<Unpackable>, Failure> {
    use rayon::prelude::*;
    packages.par_iter().map(read_control).collect()
}

/// The control data of a package, which must be the package that was asked for.
fn read_control(package: &DebPackage) -> Result<Unpackable, Failure> {
    let shown = package.path.display().to_string();
    let refuse = |message: String| Failure::Package { package: package.name.clone(), message };
    let files = match archive::read_control(&shown, open(package)?) {
        Ok(files) => files,
        // What stands at the beginning of a damaged file explains less than its size and digest do.
        Err(error) => {
            verify(package)?;
            return Err(error.into());
        }
    };
    let found = Unpackable::parse(&shown, files).map_err(|error| refuse(error.to_string()))?;
    let wanted = (&package.name, &package.version, &package.architecture);
    if (&found.name, &found.version, &found.architecture) != wanted {
        return Err(refuse(format!(
            "`{shown}` holds {} {} ({}), but {} {} ({}) is wanted",
            found.name,
            found.version,
            found.architecture,
            package.name,
            package.version,
            package.architecture
        )));
    }
    Ok(found)
}

fn expected(package: &DebPackage) -> Expected {
    Expected { shown: package.path.display().to_string(), size: package.size, digest: package.sha256 }
}

/// Only the size and the digest.
fn verify(package: &DebPackage) -> Result<(), Failure> {
    struct Nowhere;
    impl archive::Sink for Nowhere {
        type Error = Failure;
        fn entry(&mut self, _: archive::Entry, _: &mut dyn std::io::Read) -> Result<(), Failure> {
            Ok(())
        }
    }
    archive::unpack(&expected(package), open(package)?, &mut Nowhere)
}

/// One try at unpacking.
struct Wave<'w> {
    request: &'w BaseRequest,
    packages: &'w [Unpackable],
    order: &'w [usize],
    report: Report<'w>,
}

/// What a try gave: for each package its paths or why not.
struct Outcome {
    paths: Vec<Vec<Vec<u8>>>,
    failures: Vec<(usize, Failure)>,
}

impl Outcome {
    /// The paths, or the failure of the package that comes first.
    fn into_result(mut self) -> Result<Vec<Vec<Vec<u8>>>, Failure> {
        self.failures.sort_by_key(|(rank, _)| *rank);
        match self.failures.into_iter().next() {
            None => Ok(self.paths),
            Some((_, failure)) => Err(failure),
        }
    }
}

impl Wave<'_> {
    /// Unpacks the biggest first, so that no thread begins one when the others are done.
    fn run(&self, ground: &Ground) -> Outcome {
        let mut queue: Vec<usize> = (0..self.order.len()).collect();
        queue.sort_by_key(|rank| std::cmp::Reverse(self.request.packages[self.order[*rank]].size));
        let (next, done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let outcome =
            Mutex::new(Outcome { paths: vec![Vec::new(); self.packages.len()], failures: Vec::new() });
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let work = || {
            while let Some(rank) = queue.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let unpacked = self.unpack_one(ground, rank);
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                match unpacked {
                    Ok(paths) => outcome.paths[self.order[rank]] = paths,
                    Err(failure) => {
                        stop.store(true, Ordering::Relaxed);
                        outcome.failures.push((rank, failure));
                    }
                }
                drop(outcome);
                (self.report)(Event::Unpacked {
                    package: self.packages[self.order[rank]].name.clone(),
                    done: done.fetch_add(1, Ordering::Relaxed) + 1,
                    total: self.order.len(),
                });
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn unpack_one(&self, ground: &Ground, rank: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let index = self.order[rank];
        let package = &self.request.packages[index];
        let mut planter = Planter::new(ground, rank, &self.packages[index]);
        archive::unpack(&expected(package), open(package)?, &mut planter)?;
        Ok(planter.paths)
    }
}

/// The packages that a clash concerns: those that were refused, and all that have the path.
fn involved(
    packages: &[Unpackable],
    plan: &UnpackPlan,
    clashes: &Clashes,
    outcome: &Outcome,
) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = clashes.ranks.iter().map(|rank| plan.direct[*rank]).collect();
    if clashes.paths.is_empty() {
        return found;
    }
    for (index, paths) in outcome.paths.iter().enumerate().take(packages.len()) {
        let has = |path: &Vec<u8>| {
            clashes.paths.contains(path) || clashes.paths.contains(&plant::merged(path, false))
        };
        if paths.iter().any(has) {
            found.insert(index);
        }
    }
    found
}

/// Before Debian 13 no package held the links of merged `/usr`; the installers made them.
fn link_merged_directories(ground: &Ground, tree: &Path) -> Result<(), Failure> {
    for name in MERGED {
        let target = format!("usr/{name}");
        if ground.holds(target.as_bytes()) && !ground.holds(name.as_bytes()) {
            let link = tree.join(name);
            std::os::unix::fs::symlink(&target, &link).map_err(|error| Failure::io("link", &link, &error))?;
        }
    }
    Ok(())
}

/// Writes dpkg's database.
fn register(
    architecture: &str,
    packages: &[Unpackable],
    plan: &UnpackPlan,
    paths: &[Vec<Vec<u8>>],
    tree: &Path,
) -> Result<(), Failure> {
    let unpacked: Vec<Unpacked<'_>> = plan
        .registered
        .iter()
        .map(|index| Unpacked { package: &packages[*index], paths: &paths[*index] })
        .collect();
    let refuse = |error: basalt_exec::files::FileError| Failure::io(error.action, &error.path, &error.source);
    Root::open(tree, Scope::NoLinks)
        .and_then(|root| {
            for directory in ["info", "triggers", "updates", "parts", "alternatives"] {
                root.create_directories(format!("{ADMIN_DIRECTORY}/{directory}"))?;
            }
            Ok(())
        })
        .map_err(refuse)?;
    let admin = Root::open(&tree.join(ADMIN_DIRECTORY), Scope::NoLinks).map_err(refuse)?;
    for file in dpkgdb::files(architecture, &unpacked) {
        plant::write_new(&admin, &file.path, &file.bytes, file.mode, file.mtime)?;
    }
    Ok(())
}
