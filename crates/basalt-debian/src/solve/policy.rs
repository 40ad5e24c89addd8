//! What apt would choose, nearly: a walk that takes the first alternative that is not forbidden, unless one is there
//! already. It may be wrong about deep conflicts; the SAT solver is not, and only uses this as its order of trying.

use std::{collections::HashSet, rc::Rc};

use super::{
    pool::PackageId,
    roots::Root,
    view::{Options, View},
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
}

enum Task<'a> {
    /// Take the only candidate, if there is one only: what is certain comes before what is chosen.
    Single(Rc<Options<'a>>),
    /// Take the first candidate that can be.
    Choose(Rc<Options<'a>>),
}

struct Walk<'v, 'p, 'a> {
    view: &'v View<'p, 'a>,
    recommends: bool,
    marked: HashSet<PackageId>,
    names: HashSet<u32>,
    forbidden: HashSet<PackageId>,
    tasks: Vec<Task<'a>>,
}

/// Walks from the roots, depth first; hard relations before recommendations.
pub(super) fn propose(view: &View<'_, '_>, roots: &[Root], recommends: bool) -> Proposal {
    let mut walk = Walk {
        view,
        recommends,
        marked: HashSet::new(),
        names: HashSet::new(),
        forbidden: HashSet::new(),
        tasks: Vec::new(),
    };
    // Everything that was asked for is there before any alternative is chosen.
    let mut asked = Vec::new();
    for root in roots {
        if let Some(id) = root.candidates.iter().copied().find(|id| walk.is_possible(*id)) {
            walk.mark(id);
            asked.push(id);
        }
    }
    for id in asked.into_iter().rev() {
        walk.push_tasks(id);
    }
    while let Some(task) = walk.tasks.pop() {
        walk.step(&task);
    }
    Proposal { packages: walk.marked }
}

impl<'a> Walk<'_, '_, 'a> {
    fn step(&mut self, task: &Task<'a>) {
        let (options, single) = match task {
            Task::Single(options) => (options, true),
            Task::Choose(options) => (options, false),
        };
        if options.candidates.iter().any(|id| self.marked.contains(id)) {
            return;
        }
        let mut possible = options.candidates.iter().copied().filter(|id| self.is_possible(*id));
        let first = possible.next();
        let several = possible.next().is_some();
        if let Some(id) = first.filter(|_| !single || !several) {
            self.mark(id);
            self.push_tasks(id);
        }
    }

    fn is_possible(&self, id: PackageId) -> bool {
        let enemy =
            |enmity: super::view::Enmity<'_>| enmity.packages.iter().any(|id| self.marked.contains(id));
        !self.forbidden.contains(&id)
            && !self.view.is_deselected(id)
            && !self.names.contains(&self.view.pool.entry(id).name)
            && !self.view.enmities(id).into_iter().any(enemy)
            && self.view.depends(id).iter().all(|options| !options.candidates.is_empty())
    }

    fn mark(&mut self, id: PackageId) {
        self.marked.insert(id);
        self.names.insert(self.view.pool.entry(id).name);
        self.forbidden.extend(self.view.enmities(id).into_iter().flat_map(|enmity| enmity.packages));
    }

    /// The stack is last in, first out, so what should come first is pushed last.
    fn push_tasks(&mut self, id: PackageId) {
        if self.recommends {
            self.tasks.extend(self.view.recommends(id).into_iter().rev().map(Task::Choose));
        }
        let depends = self.view.depends(id);
        self.tasks.extend(depends.iter().rev().cloned().map(Task::Choose));
        self.tasks.extend(depends.into_iter().rev().map(Task::Single));
    }
}
