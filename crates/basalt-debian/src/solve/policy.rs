//! What apt would choose, nearly: a walk that takes the first alternative that is not forbidden, unless one is there
//! already. It may be wrong about deep conflicts; the SAT solver is not, and only uses this as its order of trying.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    rc::Rc,
};

use super::{
    pool::PackageId,
    roots::Root,
    view::{Enmity, Options, View},
};

/// The packages that the solver tries first.
#[derive(Debug, Default)]
pub(super) struct Proposal {
    packages: HashSet<PackageId>,
}

impl Proposal {
    /// The candidates with the proposed ones first, otherwise in their order.
    pub(super) fn order<'c>(&'c self, candidates: &'c [PackageId]) -> impl Iterator<Item = PackageId> + 'c {
        let proposed = |id: &&PackageId| self.packages.contains(*id);
        let first = candidates.iter().filter(proposed);
        first.chain(candidates.iter().filter(move |id| !proposed(id))).copied()
    }

    /// Whether one of the candidates is proposed.
    pub(super) fn has_any(&self, candidates: &[PackageId]) -> bool {
        candidates.iter().any(|id| self.packages.contains(id))
    }
}

/// Open ends of the walk: hard relations of packages that are in. Both are stacks: last in, first out.
#[derive(Default)]
struct Tasks<'a> {
    /// To be looked at for a single candidate: what is certain comes before anything is chosen, or a choice may shut
    /// the door on it.
    certain: Vec<Rc<Options<'a>>>,
    /// To be chosen from.
    open: Vec<Rc<Options<'a>>>,
}

struct Walk<'v, 'p, 'a> {
    view: &'v View<'p, 'a>,
    marked: HashSet<PackageId>,
    /// The same in the order in which they came, so that the last ones can be taken back.
    order: Vec<PackageId>,
    names: HashSet<u32>,
    /// How many of the marked packages forbid a package.
    forbidden: HashMap<PackageId, u32>,
}

/// Walks from the roots, depth first: all that is needed, then, package by package, what is recommended, each with
/// all that it needs or not at all.
pub(super) fn propose(view: &View<'_, '_>, roots: &[Root], recommends: bool) -> Proposal {
    let mut walk = Walk {
        view,
        marked: HashSet::new(),
        order: Vec::new(),
        names: HashSet::new(),
        forbidden: HashMap::new(),
    };
    // Everything that was asked for is there before any alternative is chosen.
    for root in roots {
        if let Some(id) = root.candidates.iter().copied().find(|id| walk.is_possible(*id)) {
            walk.mark(id);
        }
    }
    for id in walk.order.clone() {
        // What fails here the solver will explain.
        let _complete: bool = walk.close(id);
    }
    let mut next = 0;
    while let Some(&id) = walk.order.get(next).filter(|_| recommends) {
        next += 1;
        for options in view.recommends(id) {
            if !options.candidates.iter().any(|id| walk.marked.contains(id)) {
                let _found = options.candidates.iter().any(|id| walk.include(*id));
            }
        }
    }
    Proposal { packages: walk.marked }
}

impl<'a> Walk<'_, '_, 'a> {
    /// Takes a package and all that it needs, or nothing.
    fn include(&mut self, id: PackageId) -> bool {
        if !self.is_possible(id) {
            return false;
        }
        let before = self.order.len();
        self.mark(id);
        if self.close(id) {
            return true;
        }
        for id in self.order.split_off(before) {
            self.unmark(id);
        }
        false
    }

    /// Takes what a package needs, directly or not. False if some of it can't be.
    fn close(&mut self, id: PackageId) -> bool {
        let mut tasks = Tasks::default();
        self.push_tasks(id, &mut tasks);
        let mut complete = true;
        loop {
            let certain = tasks.certain.pop();
            let single = certain.is_some();
            let Some(options) = certain.or_else(|| tasks.open.pop()) else { return complete };
            if options.candidates.iter().any(|id| self.marked.contains(id)) {
                continue;
            }
            let mut possible = options.candidates.iter().copied().filter(|id| self.is_possible(*id));
            let first = possible.next();
            let several = possible.next().is_some();
            match first {
                Some(id) if !single || !several => {
                    self.mark(id);
                    self.push_tasks(id, &mut tasks);
                }
                Some(_) => {}
                None => complete = false,
            }
        }
    }

    fn is_possible(&self, id: PackageId) -> bool {
        let enemy = |enmity: Enmity<'_>| enmity.packages.iter().any(|id| self.marked.contains(id));
        !self.forbidden.contains_key(&id)
            && !self.view.is_deselected(id)
            && !self.names.contains(&self.view.pool.entry(id).name)
            && !self.view.enmities(id).into_iter().any(enemy)
            && self.view.depends(id).iter().all(|options| !options.candidates.is_empty())
    }

    fn mark(&mut self, id: PackageId) {
        self.marked.insert(id);
        self.order.push(id);
        self.names.insert(self.view.pool.entry(id).name);
        for enemy in self.view.enmities(id).into_iter().flat_map(|enmity| enmity.packages) {
            *self.forbidden.entry(enemy).or_default() += 1;
        }
    }

    fn unmark(&mut self, id: PackageId) {
        self.marked.remove(&id);
        self.names.remove(&self.view.pool.entry(id).name);
        for enemy in self.view.enmities(id).into_iter().flat_map(|enmity| enmity.packages) {
            if let Entry::Occupied(mut count) = self.forbidden.entry(enemy) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    fn push_tasks(&self, id: PackageId, tasks: &mut Tasks<'a>) {
        let depends = self.view.depends(id);
        tasks.open.extend(depends.iter().rev().cloned());
        tasks.certain.extend(depends.into_iter().rev());
    }
}
