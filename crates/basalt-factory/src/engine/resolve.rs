//! From a recipe to a lock: the only step that asks the network what is there.
//!
//! ```text
//! observe   the mirror of each suite (recipe, environment, the host's apt), local .deb files
//! fetch     Release files and indices, verified (basalt-fetch)
//! solve     wanted packages → the exact set, with reasons (basalt-debian)
//! lock      the set, by digest, and the indices it was chosen from (basalt-spec)
//! ```

mod below;

use std::{env, fs, path::Path, time::SystemTime};

use basalt_debian::{
    archive,
    index::{self, Record},
    solve::{self, Base, Chosen, Origin as PoolOrigin, Pool, Request, SolveError, Wanted, Why},
};
use basalt_fetch::{
    debian::{self, Context, Indices, Source, Suite},
    mirror::{self, Facts},
    openpgp::Keyring,
};
use basalt_spec::{
    LOCK_VERSION, Lock, LockedPackage, LockedSource, Origin, Pocket, Reason, Recipe,
    words::{PackageFile, PackageName, PackageSpec},
};
use basalt_types::Digest;

use super::{base_oci, node::PACKAGE, project::Project};
use crate::{
    commands::FileError,
    error::{CommandError, CommandResult, Kind, OrFail as _},
};

/// Packages of the recipe's folder win over an archive's; those of backports are taken only when asked for.
const LOCAL_PRIORITY: i16 = 900;
const ARCHIVE_PRIORITY: i16 = 500;
const BACKPORTS_PRIORITY: i16 = 100;

/// A package file of the recipe's folder.
#[derive(Debug)]
struct LocalPackage {
    path: PackageFile,
    control: String,
    size: u64,
    digest: Digest,
}

/// Resolves the recipe of `project`; `node_control` describes the package of our node programs.
///
/// # Errors
/// When no mirror is known, an index can't be fetched or trusted, or the packages can't be together.
pub fn resolve(
    project: &Project,
    below: Option<&Lock>,
    (facts, context): (&Facts, Context<'_>),
    node_control: &str,
) -> CommandResult<Lock> {
    let recipe = &project.recipe;
    if let Some(base) = &recipe.base.oci {
        return base_oci::resolve(project, base, below, context);
    }
    let sources = sources(project, facts)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).or_fail(Kind::Host)?;
    let now = i64::try_from(now.as_secs()).or_fail(Kind::Host)?;
    let indices = debian::resolve(context, &sources, recipe.architecture, now).or_fail(Kind::Remote)?;

    let local = read_local_packages(project)?;
    let mut pool = indices.pool(recipe.architecture).or_fail(Kind::Remote)?;
    add_own(&mut pool, &indices, &local, node_control)?;
    let mut request = request(recipe, &local)?;
    let gone = below.map(|below| below::gone(&pool, &indices, below)).transpose()?.unwrap_or_default();
    below::add(&mut pool, &gone, ARCHIVE_PRIORITY)?;
    if let Some(below) = below {
        below::keep(&mut request, below);
    }
    let solution = solve::solve(&pool, &request).map_err(|error| match error {
        SolveError::Refused(_) | SolveError::Impossible(_) => match below {
            None => CommandError::new(Kind::User, error),
            Some(_) => CommandError::new(Kind::User, error).hint(
                "the packages of the recipe below stay as its lock says; `basalt lock` there renews it",
            ),
        },
        SolveError::Unsound { .. } => CommandError::new(Kind::Bug, error),
    })?;
    let mut lock = lock(recipe, &indices, &local, &solution.packages)?;
    if let Some(below) = below {
        lock.below = Some(below.content_digest());
        lock.epoch = lock.epoch.max(below.epoch);
        // Why a package is there was decided where it came in.
        for package in &mut lock.packages {
            let known = below.packages.iter().find(|known| known.sha256 == package.sha256);
            if let Some(known) = known {
                package.reason = known.reason.clone();
            }
        }
    }
    Ok(lock)
}

/// What the environment and the host's apt say about mirrors and proxies.
///
/// # Errors
/// When a file of apt's configuration can't be understood.
pub fn observe_mirrors() -> CommandResult<Facts> {
    mirror::observe(Path::new("/"), &|name| env::var(name).ok()).or_fail(Kind::Host)
}

fn sources(project: &Project, facts: &Facts) -> CommandResult<Vec<Source>> {
    let base = &project.recipe.base.debian;
    let keyring = match &base.keyring {
        None => Keyring::debian().or_fail(Kind::Bug)?,
        Some(path) => {
            let place = project.bottom().folder.join(path.as_str());
            let bytes = fs::read(&place)
                .map_err(|source| CommandError::new(Kind::User, FileError::new(&place, source)))?;
            Keyring::parse(&bytes, path.as_str()).or_fail(Kind::Config)?
        }
    };
    let suite = base.suite.as_str();
    let mut names = vec![(suite.to_owned(), ARCHIVE_PRIORITY)];
    names.extend(base.pockets().into_iter().map(|pocket| match pocket {
        Pocket::Updates => (format!("{suite}-updates"), ARCHIVE_PRIORITY),
        Pocket::Security => (format!("{suite}-security"), ARCHIVE_PRIORITY),
        Pocket::Backports => (format!("{suite}-backports"), BACKPORTS_PRIORITY),
    }));
    let source = |(suite, priority): (String, i16)| {
        Ok(Source {
            url: url(project, facts, &suite)?,
            suite,
            components: base.components.iter().map(ToString::to_string).collect(),
            priority,
            check_valid_until: base.checks_valid_until(),
            keyring: keyring.clone(),
        })
    };
    names.into_iter().map(source).collect()
}

fn url(project: &Project, facts: &Facts, suite: &str) -> CommandResult<String> {
    let base = &project.recipe.base.debian;
    let recipe = base.mirror.as_ref().map(|url| url.as_str());
    if let Some(stamp) = &base.snapshot {
        return Ok(mirror::snapshot(facts, recipe, suite, stamp.as_str()).or_fail(Kind::Config)?.url);
    }
    if let Some(url) = base.security_mirror.as_ref().filter(|_| suite.ends_with("-security")) {
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    Ok(mirror::choose(facts, recipe, suite).or_fail(Kind::Config)?.url)
}

fn read_local_packages(project: &Project) -> CommandResult<Vec<LocalPackage>> {
    let read = |path: PackageFile| {
        let place = project.folder.join(path.as_str());
        let bytes = fs::read(&place)
            .map_err(|source| CommandError::new(Kind::User, FileError::new(&place, source)))?;
        let files = archive::read_control(path.as_str(), bytes.as_slice()).or_fail(Kind::User)?;
        let control = files.into_iter().find(|file| file.name == "control").map(|file| file.bytes);
        let control = control.ok_or_else(|| format!("{path} has no control file")).or_fail(Kind::User)?;
        let control = String::from_utf8(control).or_fail(Kind::User)?;
        Ok(LocalPackage { path, control, size: bytes.len() as u64, digest: Digest::of(&bytes) })
    };
    let mut packages: Vec<LocalPackage> =
        project.recipe.local_packages().into_iter().map(read).collect::<CommandResult<_>>()?;
    if let Some(below) = &project.below {
        packages.extend(read_local_packages(below)?);
    }
    Ok(packages)
}

/// Adds the recipe's own packages and ours to what the archive has.
fn add_own<'a>(
    pool: &mut Pool<'a>,
    indices: &Indices,
    local: &'a [LocalPackage],
    node_control: &'a str,
) -> CommandResult {
    let beyond = u16::try_from(indices.suites.len()).or_fail(Kind::Bug)?;
    let controls = local.iter().map(|package| package.control.as_str()).chain([node_control]);
    for (source, control) in (beyond..).zip(controls) {
        for record in index::records(control) {
            let origin = PoolOrigin { source, priority: LOCAL_PRIORITY };
            pool.add(record.or_fail(Kind::User)?, origin).or_fail(Kind::User)?;
        }
    }
    Ok(())
}

fn request(recipe: &Recipe, local: &[LocalPackage]) -> CommandResult<Request> {
    let mut wanted = Vec::new();
    for package in &recipe.packages {
        wanted.push(match package {
            PackageSpec::Any(name) => Wanted { name: name.to_string(), version: None },
            PackageSpec::Exact(name, version) => {
                Wanted { name: name.to_string(), version: Some(version.to_string()) }
            }
            PackageSpec::File(path) => {
                let file = local.iter().find(|file| file.path == *path);
                let control = file.map(|file| file.control.as_str()).unwrap_or_default();
                let record = first_record(control)?;
                Wanted { name: record.name.to_owned(), version: Some(record.version.to_owned()) }
            }
        });
    }
    let implied = recipe.implied_packages().into_iter().map(|implied| implied.package.to_string());
    let named: Vec<String> = implied.chain([PACKAGE.to_owned()]).collect();
    let new = named.into_iter().filter(|name| wanted.iter().all(|wanted| wanted.name != *name));
    let new: Vec<Wanted> = new.map(|name| Wanted { name, version: None }).collect();
    wanted.extend(new);
    let deselected = recipe.deselect.iter().map(ToString::to_string).collect();
    Ok(Request { wanted, deselected, base: Base::Required, recommends: recipe.recommends })
}

fn first_record(control: &str) -> CommandResult<Record<'_>> {
    let record = index::records(control).next();
    record.ok_or("a package file describes no package").or_fail(Kind::User)?.or_fail(Kind::User)
}

fn lock(
    recipe: &Recipe,
    indices: &Indices,
    local: &[LocalPackage],
    chosen: &[Chosen<'_, '_>],
) -> CommandResult<Lock> {
    // Our own package comes with this program: it is part of the image's id, not of the lock.
    let packages = chosen.iter().filter(|chosen| chosen.record.name != PACKAGE);
    let packages = packages.map(|chosen| locked_package(recipe, indices, local, chosen));
    let mut lock = Lock {
        version: LOCK_VERSION,
        recipe_digest: recipe.resolution_digest(),
        below: None,
        architecture: recipe.architecture,
        epoch: u64::try_from(indices.epoch()).or_fail(Kind::Remote)?,
        sources: indices.suites.iter().map(locked_source).collect::<CommandResult<_>>()?,
        packages: packages.collect::<CommandResult<_>>()?,
        oci: None,
    };
    lock.sort();
    Ok(lock)
}

fn locked_source(suite: &Suite) -> CommandResult<LockedSource> {
    let Suite { source, release, release_digest, signers, indices: _ } = suite;
    let component = |name: &String| name.parse().or_fail(Kind::Bug);
    Ok(LockedSource {
        uri: source.url.parse().or_fail(Kind::Config)?,
        suite: source.suite.parse().or_fail(Kind::Config)?,
        components: source.components.iter().map(component).collect::<CommandResult<_>>()?,
        release_digest: *release_digest,
        date: u64::try_from(release.date).or_fail(Kind::Remote)?,
        signed_by: signers.iter().map(|key| key.parse().or_fail(Kind::Bug)).collect::<CommandResult<_>>()?,
    })
}

fn locked_package(
    recipe: &Recipe,
    indices: &Indices,
    local: &[LocalPackage],
    chosen: &Chosen<'_, '_>,
) -> CommandResult<LockedPackage> {
    let Chosen { record, origin, why } = chosen;
    let source = usize::from(origin.source);
    let beyond = source.checked_sub(indices.suites.len()).and_then(|beyond| local.get(beyond));
    let (size, sha256, place) = match beyond {
        Some(file) => (file.size, file.digest, Origin::File(file.path.clone())),
        None => {
            let path = record.filename.parse().or_fail(Kind::Remote)?;
            let digest = Digest::from_hex(record.sha256).or_fail(Kind::Remote)?;
            (record.size, digest, Origin::Archive { source: u32::from(origin.source), path })
        }
    };
    Ok(LockedPackage {
        name: record.name.parse().or_fail(Kind::Remote)?,
        version: record.version.parse().or_fail(Kind::Remote)?,
        architecture: record.architecture.parse().or_fail(Kind::Remote)?,
        size,
        sha256,
        origin: place,
        reason: reason(recipe, record.name, why)?,
    })
}

fn reason(recipe: &Recipe, name: &str, why: &Why) -> CommandResult<Reason> {
    let package = |name: &str| name.parse::<PackageName>().or_fail(Kind::Remote);
    Ok(match why {
        Why::Base => Reason::Base,
        Why::Needed { by, .. } if by == PACKAGE => Reason::Implied("kernel.package".to_owned()),
        Why::Needed { by, .. } => Reason::DependencyOf(package(by)?),
        Why::Recommended { by, .. } => Reason::RecommendedBy(package(by)?),
        Why::Wanted => {
            let implied = recipe.implied_packages().into_iter();
            let key =
                implied.filter(|implied| implied.package.as_str() == name).map(|implied| implied.key).next();
            key.map_or(Reason::Recipe, |key| Reason::Implied(key.to_owned()))
        }
    })
}
