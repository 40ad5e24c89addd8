use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use super::pool::{PackageId, Pool};
use crate::{dependency, index::Record};

/// A pool as one request sees it: without what is deselected, with every group of alternatives looked up once.
pub(super) struct View<'p, 'a> {
    pub(super) pool: &'p Pool<'a>,
    deselected: HashSet<PackageId>,
    options: RefCell<HashMap<&'a str, Rc<Options<'a>>>>,
}

/// A group of alternatives and the packages that satisfy it.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// The group as the index has it.
    pub(super) text: &'a str,
    /// In the order in which they should be tried. Empty for a group that is not well formed, too.
    pub(super) candidates: Vec<PackageId>,
}

/// A relation that forbids packages.
#[derive(Debug)]
pub(super) struct Enmity<'a> {
    /// `Conflicts` or `Breaks`.
    pub(super) field: &'static str,
    /// The relation as the index has it.
    pub(super) text: &'a str,
    /// The packages it forbids; never the one that declares it, nor another version of it.
    pub(super) packages: Vec<PackageId>,
}

impl<'p, 'a> View<'p, 'a> {
    pub(super) fn new(pool: &'p Pool<'a>, deselected: &[String]) -> Self {
        let deselected = deselected.iter().flat_map(|name| pool.versions(name)).copied().collect();
        Self { pool, deselected, options: RefCell::default() }
    }

    pub(super) fn record(&self, id: PackageId) -> &'p Record<'a> {
        self.pool.record(id)
    }

    pub(super) fn is_deselected(&self, id: PackageId) -> bool {
        self.deselected.contains(&id)
    }

    /// What a package can't be without.
    pub(super) fn depends(&self, id: PackageId) -> Vec<Rc<Options<'a>>> {
        let record = self.record(id);
        let mut found = self.read(record.pre_depends);
        found.extend(self.read(record.depends));
        found
    }

    /// What a package would like to have.
    pub(super) fn recommends(&self, id: PackageId) -> Vec<Rc<Options<'a>>> {
        self.read(self.record(id).recommends)
    }

    /// What a package can't be with.
    pub(super) fn enmities(&self, id: PackageId) -> Vec<Enmity<'a>> {
        let entry = self.pool.entry(id);
        let fields = [("Conflicts", entry.record.conflicts), ("Breaks", entry.record.breaks)];
        let mut found = Vec::new();
        for (field, value) in fields {
            for options in self.read(value) {
                let other = |enemy: &PackageId| self.pool.entry(*enemy).name != entry.name;
                let packages: Vec<PackageId> = options.candidates.iter().copied().filter(other).collect();
                if !packages.is_empty() {
                    found.push(Enmity { field, text: options.text, packages });
                }
            }
        }
        found
    }

    fn read(&self, field: &'a str) -> Vec<Rc<Options<'a>>> {
        let groups = field.split(',').map(str::trim).filter(|text| !text.is_empty());
        groups.filter_map(|text| self.options(text)).collect()
    }

    /// Nothing when every alternative is for another architecture.
    fn options(&self, text: &'a str) -> Option<Rc<Options<'a>>> {
        if let Some(known) = self.options.borrow().get(text) {
            return Some(Rc::clone(known));
        }
        let mut candidates = Vec::new();
        // A malformed relation can't be satisfied, so whoever has it can't be chosen; the explanation names it.
        if let Some(Ok(group)) = dependency::groups(text, self.pool.architecture()).next() {
            if group.alternatives.is_empty() {
                return None;
            }
            let mut seen = BTreeSet::new();
            let found = group.alternatives.iter().flat_map(|relation| self.pool.matching(relation));
            candidates.extend(found.filter(|id| !self.is_deselected(*id) && seen.insert(*id)));
        }
        let options = Rc::new(Options { text, candidates });
        self.options.borrow_mut().insert(text, Rc::clone(&options));
        Some(options)
    }
}
