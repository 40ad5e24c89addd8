//! Who is compared, and with what.

use basalt_exec::command::Command;
use basalt_testkit::{CachingMirror, Trixie};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ours::{self, Locked},
    theirs,
};
use crate::{
    dist,
    error::{Done, TaskError},
    paths, peers, tool,
};

/// What all contenders share.
#[derive(Debug)]
pub(super) struct Bench {
    /// Our programs.
    pub(super) dist: PathBuf,
    /// Where peers live.
    pub(super) tree: Trixie,
    /// The one mirror.
    pub(super) mirror: CachingMirror,
    /// A folder that everybody works in, seen under the same path inside the tree.
    pub(super) work: PathBuf,
    /// Every package of the example's lock, so that all install the same.
    pub(super) packages: Vec<Locked>,
    /// Whether every contender's caches hold these packages already.
    pub(super) warm: bool,
}

/// One line of the table, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// Our disk, every step done, downloads there.
    Full,
    /// Our disk again.
    Nothing,
    /// Our disk again, after a file of the recipe's folder changed.
    OneFile,
    /// Everything that the example can be, every step done, downloads there.
    AllOutputs,
    /// mkosi's disk, packages there.
    MkosiFull,
    /// mkosi's disk from its cached base, after an extra file changed.
    MkosiOneFile,
    /// mmdebstrap's tar.
    Tar,
}

/// One measured command.
#[derive(Debug)]
pub(super) struct Job {
    /// What it is.
    pub(super) row: Row,
    /// What must be gone before.
    pub(super) remove: Vec<PathBuf>,
    /// Files to write before; `@UNIQUE@` in them becomes something that no earlier run has written.
    pub(super) write: Vec<(PathBuf, String)>,
    /// The command.
    pub(super) command: Command,
}

/// Longer than any contender takes on two slow cores.
pub(super) const LIMIT: Duration = Duration::from_secs(3600);
/// Holds the list of packages that every cache was filled with.
const WARM: &str = "warm";

impl Row {
    /// As the table says it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Full => "basalt: whole build to a bootable disk",
            Self::Nothing => "basalt: again, nothing changed",
            Self::OneFile => "basalt: again, one added file changed",
            Self::AllOutputs => "basalt: whole build to every output",
            Self::MkosiFull => "mkosi: whole build to a bootable disk",
            Self::MkosiOneFile => "mkosi: again, one added file changed",
            Self::Tar => "mmdebstrap: only a tar",
        }
    }

    /// Whether its unmeasured run fills a cache that it or another row needs: our downloads, which pass through the mirror,
    /// and mkosi's packages and base.
    pub(super) const fn fills_a_cache(self) -> bool {
        match self {
            Self::Full | Self::MkosiOneFile => true,
            Self::Nothing | Self::OneFile | Self::AllOutputs | Self::MkosiFull | Self::Tar => false,
        }
    }

    /// Whether somebody else's program is measured.
    pub(super) const fn is_a_peers(self) -> bool {
        match self {
            Self::Full | Self::Nothing | Self::OneFile | Self::AllOutputs => false,
            Self::MkosiFull | Self::MkosiOneFile | Self::Tar => true,
        }
    }
}

/// Finds or makes everything that is shared.
pub(super) fn observe(dist: Option<PathBuf>) -> Done<Bench> {
    let dist = match dist {
        Some(folder) => std::path::absolute(&folder).map_err(TaskError::io("find", folder))?,
        None => dist::run()?,
    };
    let tree = Trixie::at(peers::tree()?);
    let mirror = peers::mirror()?;
    let work = paths::target().join("bench");
    tool::create_folder(&work)?;
    let mut bench = Bench { dist, tree, mirror, work, packages: Vec::new(), warm: false };
    bench.packages = ours::lock(&bench)?;
    bench.warm = fs::read_to_string(bench.work.join(WARM)).is_ok_and(|text| text == filling(&bench));
    Ok(bench)
}

/// Says that every cache holds what it needs.
pub(super) fn mark_warm(bench: &Bench) -> Done {
    let path = bench.work.join(WARM);
    fs::write(&path, filling(bench)).map_err(TaskError::io("write", path))
}

/// What caches are filled with: the mirror's address and every package.
pub(super) fn filling(bench: &Bench) -> String {
    let lines = bench.packages.iter().map(|package| format!("{} {}\n", package.name, package.version));
    format!("{}\n{}", bench.mirror.url("debian"), lines.collect::<String>())
}

/// All jobs in the order in which a round runs them.
pub(super) fn plan(bench: &Bench) -> Done<Vec<Job>> {
    let mut jobs = ours::jobs(bench)?;
    jobs.extend([
        theirs::mkosi(bench, Row::MkosiFull),
        theirs::mkosi(bench, Row::MkosiOneFile),
        theirs::mmdebstrap(bench),
    ]);
    Ok(jobs)
}

/// The command as a reader can type it: the tree's entry, the mirror's address, the list of packages and this
/// machine's folders become words.
pub(super) fn shown(bench: &Bench, command: &Command) -> String {
    let line = command.line();
    let inside = format!("{} ", bench.work.display());
    // Inside the tree: `unshare … sh -c SCRIPT enter TREE WORK PROGRAM …`.
    let line = line
        .rsplit_once(&format!("{} {inside}", bench.tree.path().display()))
        .map_or(line.as_str(), |(_, rest)| rest);
    line.replace(&theirs::names(bench).join(","), "$PACKAGES")
        .replace(&bench.mirror.url(""), "$MIRROR/")
        .replace(&display(&bench.work), "$WORK")
        .replace(&display(&bench.dist), "$DIST")
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
