use std::{cmp::Ordering, collections::BTreeMap, fmt};

use basalt_types::ByteSize;
use serde::Serialize;

use super::{Lock, LockedPackage};
use crate::words::{PackageArchitecture, PackageName, PackageVersion};

/// What differs between two locks, by package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockDiff {
    /// The differences, by name and then architecture.
    pub changes: Vec<LockChange>,
    /// How many packages are the same in both.
    pub unchanged: usize,
    /// How many bytes more the `.deb` files of the new lock have.
    pub size_change: i64,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockChange {
    /// The package.
    pub name: PackageName,
    /// Its architecture.
    pub architecture: PackageArchitecture,
    /// Its version in the old lock.
    pub old: Option<PackageVersion>,
    /// Its version in the new lock.
    pub new: Option<PackageVersion>,
    /// What became of it.
    pub sort: ChangeSort,
    /// How many bytes more its `.deb` file has.
    pub size_change: i64,
}

/// What became of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeSort {
    /// Only the new lock has it.
    Added,
    /// Only the old lock has it.
    Removed,
    /// The new version is later.
    Upgraded,
    /// The new version is earlier.
    Downgraded,
    /// The version is the same and the file is not.
    Rebuilt,
}

impl LockDiff {
    /// Compares two locks. `order` is the distribution's order of versions (`basalt_debian::version::compare`).
    pub fn between(old: &Lock, new: &Lock, order: impl Fn(&str, &str) -> Ordering) -> Self {
        let mut pairs: BTreeMap<_, (Option<&LockedPackage>, Option<&LockedPackage>)> = BTreeMap::new();
        for package in &old.packages {
            pairs.entry((&package.name, &package.architecture)).or_default().0 = Some(package);
        }
        for package in &new.packages {
            pairs.entry((&package.name, &package.architecture)).or_default().1 = Some(package);
        }
        let all = pairs.len();
        let changes: Vec<LockChange> = pairs
            .into_iter()
            .filter_map(|((name, architecture), (old, new))| {
                Some(LockChange {
                    name: name.clone(),
                    architecture: architecture.clone(),
                    old: old.map(|package| package.version.clone()),
                    new: new.map(|package| package.version.clone()),
                    sort: sort(old, new, &order)?,
                    size_change: size(new) - size(old),
                })
            })
            .collect();
        let size_change = changes.iter().map(|change| change.size_change).sum();
        Self { unchanged: all - changes.len(), changes, size_change }
    }
}

fn sort(
    old: Option<&LockedPackage>,
    new: Option<&LockedPackage>,
    order: &impl Fn(&str, &str) -> Ordering,
) -> Option<ChangeSort> {
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some(ChangeSort::Added),
        (Some(_), None) => Some(ChangeSort::Removed),
        (Some(old), Some(new)) => match order(old.version.as_str(), new.version.as_str()) {
            Ordering::Less => Some(ChangeSort::Upgraded),
            Ordering::Greater => Some(ChangeSort::Downgraded),
            Ordering::Equal => (old.sha256 != new.sha256).then_some(ChangeSort::Rebuilt),
        },
    }
}

fn size(package: Option<&LockedPackage>) -> i64 {
    package.map_or(0, |package| i64::try_from(package.size).unwrap_or(i64::MAX / 4096))
}

impl fmt::Display for LockDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return write!(f, "no package differs ({} are the same)", self.unchanged);
        }
        let width = self.changes.iter().map(|change| change.name.as_str().len()).max().unwrap_or(0);
        for change in &self.changes {
            writeln!(f, "{change:width$}")?;
        }
        write!(
            f,
            "{} differ, {} are the same, {} to download",
            self.changes.len(),
            self.unchanged,
            signed(self.size_change)
        )
    }
}

impl fmt::Display for LockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or(0);
        let mark = match self.sort {
            ChangeSort::Added => '+',
            ChangeSort::Removed => '-',
            ChangeSort::Upgraded => '↑',
            ChangeSort::Downgraded => '↓',
            ChangeSort::Rebuilt => '~',
        };
        write!(f, "{mark} {:width$}  ", self.name.as_str())?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old == new => write!(f, "{new} with other content")?,
            (Some(old), Some(new)) => write!(f, "{old} → {new}")?,
            (Some(only), None) | (None, Some(only)) => write!(f, "{only}")?,
            (None, None) => {}
        }
        write!(f, "  ({})", signed(self.size_change))
    }
}

/// A difference of sizes, always with its sign.
fn signed(bytes: i64) -> String {
    let size = ByteSize::bytes(bytes.unsigned_abs()).human();
    if bytes < 0 { format!("-{size}") } else { format!("+{size}") }
}
