//! Why a request is impossible, for a person.
//!
//! Follows what is certain (a wanted package is in, the only candidate of a needed group is in, what conflicts with
//! them is out) until some group has nothing left, then tells the chain that led there. When certainty alone does not
//! find it, the smallest set of wanted packages that can't be together is told instead.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    rc::Rc,
};

use super::{
    policy::Proposal,
    pool::PackageId,
    provider,
    roots::{self, Root},
    view::{Options, View},
};
use crate::dependency;

/// The chain from what was wanted to what can't be, one sentence a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// In the order in which to read them.
    pub sentences: Vec<Sentence>,
}

/// A line of an [`Explanation`]. Packages are shown as name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sentence {
    /// The person asked for it.
    Wanted(String),
    /// The base has it.
    Base(String),
    /// A package needs a relation.
    Needs {
        /// The package.
        package: String,
        /// The relation.
        relation: String,
    },
    /// No package satisfies the relation.
    Gap {
        /// The relation.
        relation: String,
        /// What is known about the name.
        gap: Gap,
    },
    /// A candidate is out because something that is in forbids it.
    Forbidden {
        /// The candidate.
        package: String,
        /// Who declares it.
        by: String,
        /// `Conflicts` or `Breaks`.
        field: &'static str,
        /// The relation.
        relation: String,
    },
    /// A candidate is out because another version of it is in.
    OtherVersion {
        /// The candidate.
        package: String,
        /// The version that is in.
        present: String,
    },
    /// The rest would repeat or be too long.
    More,
    /// These can't be together; the reason is too deep to show.
    Together(Vec<String>),
}

/// Why nothing satisfies a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// No source has the name; names that are nearly it.
    Unknown(Vec<String>),
    /// The name is there in these versions.
    Versions(Vec<String>),
    /// The name was deselected.
    Deselected(String),
    /// The relation itself is wrong.
    Malformed(String),
}

/// Explanations stop after so many lines: the first ones are what a person acts on.
const LINES: usize = 12;

enum Cause<'a> {
    Root(usize),
    Needed(PackageId, Rc<Options<'a>>),
    Forbidden { present: PackageId, by: PackageId, field: &'static str, relation: &'a str },
    OtherVersion(PackageId),
    Hopeless(Rc<Options<'a>>),
}

enum Dead<'a> {
    Root(usize),
    Group(PackageId, Rc<Options<'a>>),
}

struct Facts<'v, 'p, 'a> {
    view: &'v View<'p, 'a>,
    roots: &'v [Root],
    known: HashMap<PackageId, (bool, Cause<'a>)>,
    reachable: Vec<PackageId>,
    enemies: HashMap<PackageId, Vec<(PackageId, &'static str, &'a str)>>,
}

pub(super) fn explain(view: &View<'_, '_>, roots: &[Root], deselected: &[String]) -> Explanation {
    let mut facts =
        Facts { view, roots, known: HashMap::new(), reachable: Vec::new(), enemies: HashMap::new() };
    facts.explore();
    let Some(dead) = facts.follow() else { return together(view, roots) };
    let mut tale = Tale { facts: &facts, deselected, told: HashSet::new(), sentences: Vec::new() };
    match dead {
        Dead::Root(root) => {
            tale.root(root);
            tale.candidates(&facts.roots[root].text, &facts.roots[root].candidates);
        }
        Dead::Group(package, options) => tale.group(package, &options),
    }
    let mut sentences = tale.sentences;
    if sentences.len() > LINES {
        sentences.truncate(LINES);
        sentences.push(Sentence::More);
    }
    Explanation { sentences }
}

impl<'a> Facts<'_, '_, 'a> {
    /// Every package that could take part, nearest to the roots first, and who forbids whom among them.
    fn explore(&mut self) {
        let mut seen = HashSet::new();
        let mut open: VecDeque<PackageId> =
            self.roots.iter().flat_map(|root| &root.candidates).copied().collect();
        while let Some(id) = open.pop_front() {
            if !seen.insert(id) {
                continue;
            }
            self.reachable.push(id);
            open.extend(self.view.depends(id).iter().flat_map(|options| &options.candidates).copied());
        }
        for &id in &self.reachable {
            for enmity in self.view.enmities(id) {
                for enemy in enmity.packages {
                    self.enemies.entry(enemy).or_default().push((id, enmity.field, enmity.text));
                }
            }
        }
    }

    /// Draws conclusions until a group has nothing left, or there are none.
    fn follow(&mut self) -> Option<Dead<'a>> {
        loop {
            let before = self.known.len();
            for (index, root) in self.roots.iter().enumerate() {
                match self.left(&root.candidates)[..] {
                    [] => return Some(Dead::Root(index)),
                    [only] => self.include(only, Cause::Root(index)),
                    _ => {}
                }
            }
            for place in 0..self.reachable.len() {
                let id = self.reachable[place];
                for options in self.view.depends(id) {
                    let present = self.known.get(&id).map(|(present, _)| *present);
                    match (present, &self.left(&options.candidates)[..]) {
                        (Some(false), _) => break,
                        (Some(true), []) => return Some(Dead::Group(id, options)),
                        (Some(true), &[only]) => self.include(only, Cause::Needed(id, options)),
                        (None, []) => self.exclude(id, Cause::Hopeless(options)),
                        (Some(true) | None, _) => {}
                    }
                }
            }
            if self.known.len() == before {
                return None;
            }
        }
    }

    /// The candidates that are not out; at most two, which is enough to tell.
    fn left(&self, candidates: &[PackageId]) -> Vec<PackageId> {
        let out = |id: &PackageId| self.known.get(id).is_some_and(|(present, _)| !present);
        candidates.iter().copied().filter(|id| !out(id)).take(2).collect()
    }

    fn include(&mut self, id: PackageId, cause: Cause<'a>) {
        if self.known.contains_key(&id) {
            return;
        }
        self.known.insert(id, (true, cause));
        let name = self.view.pool.entry(id).name;
        for &other in self.view.pool.packages_of(name) {
            self.exclude(other, Cause::OtherVersion(id));
        }
        for enmity in self.view.enmities(id) {
            let (field, relation) = (enmity.field, enmity.text);
            for enemy in enmity.packages {
                self.exclude(enemy, Cause::Forbidden { present: id, by: id, field, relation });
            }
        }
        for (by, field, relation) in self.enemies.get(&id).cloned().unwrap_or_default() {
            self.exclude(by, Cause::Forbidden { present: id, by, field, relation });
        }
    }

    fn exclude(&mut self, id: PackageId, cause: Cause<'a>) {
        self.known.entry(id).or_insert((false, cause));
    }

    fn show(&self, id: PackageId) -> String {
        let record = self.view.record(id);
        format!("{} {}", record.name, record.version)
    }
}

struct Tale<'f, 'v, 'p, 'a> {
    facts: &'f Facts<'v, 'p, 'a>,
    deselected: &'f [String],
    told: HashSet<PackageId>,
    sentences: Vec<Sentence>,
}

impl<'a> Tale<'_, '_, '_, 'a> {
    fn root(&mut self, index: usize) {
        let root = &self.facts.roots[index];
        let text = root.text.clone();
        self.sentences.push(if root.base { Sentence::Base(text) } else { Sentence::Wanted(text) });
    }

    /// A package that is in needs a group that has nothing left.
    fn group(&mut self, package: PackageId, options: &Options<'a>) {
        self.presence(package);
        self.needs(package, options);
    }

    fn needs(&mut self, package: PackageId, options: &Options<'a>) {
        let relation = options.text.to_owned();
        self.sentences.push(Sentence::Needs { package: self.facts.show(package), relation });
        self.candidates(options.text, &options.candidates);
    }

    /// Why none of the candidates can be.
    fn candidates(&mut self, relation: &str, candidates: &[PackageId]) {
        if candidates.is_empty() {
            let gap = self.gap(relation);
            self.sentences.push(Sentence::Gap { relation: relation.to_owned(), gap });
        }
        for &id in candidates {
            if self.sentences.len() <= LINES && self.told.insert(id) {
                self.absence(id);
            }
        }
    }

    fn absence(&mut self, id: PackageId) {
        let package = self.facts.show(id);
        match self.facts.known.get(&id).map(|(_, cause)| cause) {
            Some(Cause::Forbidden { present, by, field, relation }) => {
                let by = self.facts.show(*by);
                self.sentences.push(Sentence::Forbidden {
                    package,
                    by,
                    field,
                    relation: (*relation).to_owned(),
                });
                self.presence(*present);
            }
            Some(Cause::OtherVersion(present)) => {
                self.sentences.push(Sentence::OtherVersion { package, present: self.facts.show(*present) });
                self.presence(*present);
            }
            Some(Cause::Hopeless(options)) => self.needs(id, &Rc::clone(options)),
            Some(Cause::Root(_) | Cause::Needed(..)) | None => {}
        }
    }

    /// Why a package is in, from the wanted one to it.
    fn presence(&mut self, id: PackageId) {
        if !self.told.insert(id) || self.sentences.len() > LINES {
            return;
        }
        match self.facts.known.get(&id).map(|(_, cause)| cause) {
            Some(Cause::Root(index)) => self.root(*index),
            Some(Cause::Needed(by, options)) => {
                self.presence(*by);
                let relation = options.text.to_owned();
                self.sentences.push(Sentence::Needs { package: self.facts.show(*by), relation });
            }
            Some(Cause::Forbidden { .. } | Cause::OtherVersion(_) | Cause::Hopeless(_)) | None => {}
        }
    }

    fn gap(&self, relation: &str) -> Gap {
        let pool = self.facts.view.pool;
        let group = match dependency::groups(relation, pool.architecture()).next() {
            Some(Ok(group)) => group,
            Some(Err(error)) => return Gap::Malformed(error.to_string()),
            None => return Gap::Unknown(Vec::new()),
        };
        let names = || group.alternatives.iter().map(|relation| relation.name);
        if let Some(name) = names().find(|name| self.deselected.iter().any(|other| other == name)) {
            return Gap::Deselected(name.to_owned());
        }
        let versions: Vec<String> =
            names().flat_map(|name| pool.versions(name)).map(|id| self.facts.show(*id)).collect();
        if versions.is_empty() {
            return Gap::Unknown(names().flat_map(|name| roots::nearest(pool, name)).take(3).collect());
        }
        Gap::Versions(versions)
    }
}

/// Leaves out one wanted package after the other as long as it stays impossible.
fn together(view: &View<'_, '_>, roots: &[Root]) -> Explanation {
    let mut left: Vec<Root> = roots.to_vec();
    let impossible = |roots: &[Root]| provider::satisfy(view, roots, &Proposal::default(), false).is_none();
    for root in roots.iter().filter(|root| !root.base) {
        let without: Vec<Root> = left.iter().filter(|other| *other != root).cloned().collect();
        if impossible(&without) {
            left = without;
        }
    }
    let names = left.into_iter().filter(|root| !root.base).map(|root| root.text).collect();
    Explanation { sentences: vec![Sentence::Together(names)] }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, sentence) in self.sentences.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}  {sentence}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted(text) => write!(f, "{text} is wanted"),
            Self::Base(text) => write!(f, "{text} is part of the base"),
            Self::Needs { package, relation } => write!(f, "{package} needs `{relation}`"),
            Self::Gap { relation, gap } => write!(f, "nothing satisfies `{relation}`: {gap}"),
            Self::Forbidden { package, by, field, relation } => {
                write!(f, "{package} can't be there: {by} has `{field}: {relation}`")
            }
            Self::OtherVersion { package, present } => write!(f, "{package} can't be there beside {present}"),
            Self::More => f.write_str("and more of the kind"),
            Self::Together(names) => write!(f, "{} exclude each other", super::quoted(names, " and ")),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(names) if names.is_empty() => f.write_str("no source has it"),
            Self::Unknown(names) => {
                write!(f, "no source has it, the nearest is {}", super::quoted(names, " or "))
            }
            Self::Versions(versions) => write!(f, "there is {}", versions.join(", ")),
            Self::Deselected(name) => write!(f, "`{name}` is deselected"),
            Self::Malformed(problem) => f.write_str(problem),
        }
    }
}
