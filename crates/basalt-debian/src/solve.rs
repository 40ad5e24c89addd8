//! From what a person wants to the exact set of packages.
//!
//! `Pool` (every package of every source) + [`Request`] → check every name → *propose* (a fast walk that prefers what
//! apt would prefer) → *satisfy* (a SAT solver, `resolvo`, that tries the proposal first and is never wrong) → keep
//! what is needed and say why.
//!
//! Invariants: the result has every `Depends` and `Pre-Depends` of its members, no two members that conflict, and one
//! version of a name. The same pool and request give the same result. Not here: downloads, files, the order in which
//! dpkg configures ([`install_order`] only hints at it).

use std::fmt;

use crate::index::Record;

mod explain;
mod order;
mod policy;
mod pool;
mod provider;
mod reasons;
mod roots;
#[cfg(test)]
mod tests;
mod view;

pub use explain::{Explanation, Gap, Sentence};
pub use order::install_order;
pub use pool::{Origin, PackageId, Pool, PoolError};

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Packages by name, in the order in which the person wrote them.
    pub wanted: Vec<Wanted>,
    /// Names that must not be installed.
    pub deselected: Vec<String>,
    /// Which packages are there without being asked for.
    pub base: Base,
    /// Whether `Recommends` are installed where they can be.
    pub recommends: bool,
}

/// A package that is wanted. Written `name` or `name=version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name of a real package, or of a virtual one that exactly one package provides.
    pub name: String,
    /// This version and no other.
    pub version: Option<String>,
}

/// The packages that are there without being asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Base {
    /// None.
    Nothing,
    /// `Essential: yes` and `Priority: required`.
    #[default]
    Required,
    /// Those and `Priority: important`.
    Important,
}

/// The packages that were chosen, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution<'p, 'a> {
    /// The packages.
    pub packages: Vec<Chosen<'p, 'a>>,
}

/// A package that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<'p, 'a> {
    /// What the index says about it.
    pub record: &'p Record<'a>,
    /// The source it is from.
    pub origin: Origin,
    /// Why it is there.
    pub why: Why,
}

/// Why a package is in the solution: the first reason in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was asked for.
    Wanted,
    /// It belongs to the base.
    Base,
    /// Another package depends on it.
    Needed {
        /// The package that does.
        by: String,
        /// Its relation, such as `libc6 (>= 2.38)`.
        relation: String,
    },
    /// Another package recommends it.
    Recommended {
        /// The package that does.
        by: String,
        /// Its relation.
        relation: String,
    },
}

/// Why a request has no solution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolveError {
    /// Parts of the request are wrong by themselves: all of them.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// Each part is fine, but they can't be together.
    #[error("these packages can't be installed together:\n{0}")]
    Impossible(Explanation),
    /// A defect of this program: the solver's answer does not hold.
    #[error("the solver left `{relation}` of `{package}` open; this is a bug in Basalt")]
    Unsound {
        /// The package whose relation is open.
        package: String,
        /// The relation.
        relation: String,
    },
}

/// Why a part of a request can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No source has it.
    #[error("no source has a package `{name}`{}", did_you_mean(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// Names that are nearly it.
        nearest: Vec<String>,
    },
    /// The package is there, the version is not.
    #[error("`{name}` has no version {version}; there is {}", available.join(", "))]
    Version {
        /// The name.
        name: String,
        /// The version that was asked for.
        version: String,
        /// The versions that are there.
        available: Vec<String>,
    },
    /// A virtual package with several providers.
    #[error("`{name}` is not a package but a name that {} provide: ask for one of them", list_names(.providers))]
    Virtual {
        /// The name.
        name: String,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// Wanted and deselected.
    #[error("`{name}` is both wanted and deselected")]
    Contrary {
        /// The name.
        name: String,
    },
    /// Deselected, but every Debian system has it.
    #[error("`{name}` can't be deselected: it is essential, so other packages use it without saying so")]
    Essential {
        /// The name.
        name: String,
    },
}

impl std::str::FromStr for Wanted {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version.trim().to_owned())),
            None => (text, None),
        };
        Ok(Self { name: name.trim().to_owned(), version })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}={version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted => f.write_str("wanted"),
            Self::Base => f.write_str("part of the base"),
            Self::Needed { by, relation } => write!(f, "needed by {by} through `{relation}`"),
            Self::Recommended { by, relation } => write!(f, "recommended by {by} through `{relation}`"),
        }
    }
}

/// Solves a request. Expected flow: fill a [`Pool`] with every index and local record, then call this once.
///
/// Guarantees the module's invariants. Takes tens of milliseconds for a desktop; an impossible request may take a
/// second, because it is explained.
pub fn solve<'p, 'a>(pool: &'p Pool<'a>, request: &Request) -> Result<Solution<'p, 'a>, SolveError> {
    let roots = roots::check(pool, request).map_err(SolveError::Refused)?;
    let view = view::View::new(pool, &request.deselected);
    let proposal = policy::propose(&view, &roots, request.recommends);
    match provider::satisfy(&view, &roots, &proposal, request.recommends) {
        Some(chosen) => reasons::keep(&view, &roots, &chosen, request.recommends),
        None => Err(SolveError::Impossible(explain::explain(&view, &roots, &request.deselected))),
    }
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n")
}

fn did_you_mean(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", quoted(names, " or ")) }
}

fn list_names(names: &[String]) -> String {
    quoted(names, " and ")
}

/// `a`, `b` and `c`.
fn quoted(names: &[String], last: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((end, start)) if !start.is_empty() => format!("{}{last}{end}", start.join(", ")),
        Some((end, _)) => end.clone(),
        None => String::new(),
    }
}
