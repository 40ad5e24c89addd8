//! The SAT solver's view of a request.
//!
//! A solvable is a package; a name has at most one of them. A group of alternatives becomes the union of one version
//! set per candidate, in the order of trying. A recommendation is such a union with one more member, a solvable that
//! stands for *not installed*, tried last. `Conflicts` and `Breaks` become constraints on the names they hit.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Display,
};

use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider, Interner,
    KnownDependencies, NameId, Problem, Requirement, SolvableId, Solver, SolverCache, StringId, VersionSetId,
    VersionSetUnionId,
};

use super::{
    policy::Proposal,
    pool::PackageId,
    roots::Root,
    view::{Options, View},
};

/// Solves; nothing when it is impossible. The result may have more than what is needed.
pub(super) fn satisfy(
    view: &View<'_, '_>,
    roots: &[Root],
    proposal: &Proposal,
    recommends: bool,
) -> Option<HashSet<PackageId>> {
    let adapter = Adapter { view, proposal, recommends, sets: RefCell::default() };
    let requirements = roots.iter().map(|root| adapter.any_of(&root.candidates, None).into()).collect();
    let mut solver = Solver::new(adapter);
    // Nothing cancels this solver, so the only error is that there is no solution.
    let chosen = solver.solve(Problem::new().requirements(requirements)).ok()?;
    let count = view.pool.len();
    let real = |id: &SolvableId| (id.into_raw() as usize) < count;
    Some(chosen.into_iter().filter(real).map(|id| PackageId(id.into_raw())).collect())
}

struct Adapter<'v, 'p, 'a> {
    view: &'v View<'p, 'a>,
    proposal: &'v Proposal,
    recommends: bool,
    sets: RefCell<Sets<'a>>,
}

#[derive(Default)]
struct Sets<'a> {
    sets: Vec<Set>,
    unions: Vec<Vec<VersionSetId>>,
    by_package: HashMap<u32, VersionSetId>,
    by_group: HashMap<(&'a str, bool), Requirement>,
    skips: u32,
}

/// Members of one name.
enum Set {
    /// This solvable alone.
    Only { name: u32, solvable: u32 },
    /// All but these.
    Except { name: u32, solvables: Vec<u32> },
    /// None: for a relation that nothing satisfies.
    Nothing { name: u32 },
}

impl Sets<'_> {
    fn add(&mut self, set: Set) -> VersionSetId {
        self.sets.push(set);
        VersionSetId(to_u32(self.sets.len() - 1))
    }
}

impl<'a> Adapter<'_, '_, 'a> {
    /// The name that has no package.
    fn nothing(&self) -> u32 {
        to_u32(self.view.pool.name_count())
    }

    fn requirement(&self, options: &Options<'a>, soft: bool) -> Requirement {
        let key = (options.text, soft);
        if let Some(known) = self.sets.borrow().by_group.get(&key) {
            return *known;
        }
        let skip = soft.then(|| {
            let mut sets = self.sets.borrow_mut();
            sets.skips += 1;
            sets.skips - 1
        });
        let requirement = self.any_of(&options.candidates, skip);
        self.sets.borrow_mut().by_group.insert(key, requirement);
        requirement
    }

    /// One of the candidates, proposed ones first, or the numbered skip.
    fn any_of(&self, candidates: &[PackageId], skip: Option<u32>) -> Requirement {
        let mut members: Vec<VersionSetId> =
            self.proposal.order(candidates).map(|id| self.only(id)).collect();
        let sets = &mut *self.sets.borrow_mut();
        if let Some(skip) = skip {
            let (name, solvable) = (self.nothing() + 1 + skip, to_u32(self.view.pool.len()) + skip);
            let skip = sets.add(Set::Only { name, solvable });
            // What the proposal found impossible is not tried first: the solver would rather change something else.
            let place = if self.proposal.has_any(candidates) { members.len() } else { 0 };
            members.insert(place, skip);
        }
        match members[..] {
            [] => sets.add(Set::Nothing { name: self.nothing() }).into(),
            [single] => single.into(),
            _ => {
                sets.unions.push(members);
                VersionSetUnionId(to_u32(sets.unions.len() - 1)).into()
            }
        }
    }

    fn only(&self, id: PackageId) -> VersionSetId {
        let sets = &mut *self.sets.borrow_mut();
        if let Some(known) = sets.by_package.get(&id.0) {
            return *known;
        }
        let set = sets.add(Set::Only { name: self.view.pool.entry(id).name, solvable: id.0 });
        sets.by_package.insert(id.0, set);
        set
    }

    fn constraints(&self, id: PackageId) -> Vec<VersionSetId> {
        let mut hit: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for enemy in self.view.enmities(id).into_iter().flat_map(|enmity| enmity.packages) {
            hit.entry(self.view.pool.entry(enemy).name).or_default().push(enemy.0);
        }
        let mut sets = self.sets.borrow_mut();
        hit.into_iter().map(|(name, solvables)| sets.add(Set::Except { name, solvables })).collect()
    }
}

impl Interner for Adapter<'_, '_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    // The texts below are seen in the solver's trace only: people read `explain`.
    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        format!("solvable {}", solvable.into_raw())
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        format!("name {}", name.into_raw())
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        format!("set {}", version_set.0)
    }

    fn display_string(&self, string: StringId) -> impl Display + '_ {
        format!("string {}", string.0)
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        match self.sets.borrow().sets[version_set.0 as usize] {
            Set::Only { name, .. } | Set::Except { name, .. } | Set::Nothing { name } => {
                NameId::from_raw(name)
            }
        }
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        let (raw, count) = (solvable.into_raw(), to_u32(self.view.pool.len()));
        NameId::from_raw(match raw.checked_sub(count) {
            Some(skip) => self.nothing() + 1 + skip,
            None => self.view.pool.entry(PackageId(raw)).name,
        })
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.sets.borrow().unions[union.0 as usize].clone().into_iter()
    }

    /// Never called with effect: no requirement here has a condition.
    fn resolve_condition(&self, _: ConditionId) -> Condition {
        Condition::Requirement(VersionSetId(0))
    }
}

impl DependencyProvider for Adapter<'_, '_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let sets = self.sets.borrow();
        let within = |id: &SolvableId| match &sets.sets[version_set.0 as usize] {
            Set::Only { solvable, .. } => *solvable == id.into_raw(),
            Set::Except { solvables, .. } => !solvables.contains(&id.into_raw()),
            Set::Nothing { .. } => false,
        };
        candidates.iter().copied().filter(|id| within(id) != inverse).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let raw = name.into_raw();
        let candidates = match raw.checked_sub(self.nothing()) {
            None => self.view.pool.packages_of(raw).iter().map(|id| SolvableId::from_raw(id.0)).collect(),
            Some(0) => return None,
            Some(skip) => vec![SolvableId::from_raw(to_u32(self.view.pool.len()) + skip - 1)],
        };
        Some(Candidates { candidates, ..Candidates::default() })
    }

    /// A version set has one member, or is a constraint: there is nothing to sort.
    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {}

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let raw = solvable.into_raw();
        if raw as usize >= self.view.pool.len() {
            return Dependencies::Known(KnownDependencies::default());
        }
        let id = PackageId(raw);
        let hard = self.view.depends(id);
        let mut requirements: Vec<ConditionalRequirement> =
            hard.iter().map(|options| self.requirement(options, false).into()).collect();
        if self.recommends {
            let soft = self.view.recommends(id);
            let possible = soft.iter().filter(|options| !options.candidates.is_empty());
            requirements.extend(possible.map(|o| ConditionalRequirement::from(self.requirement(o, true))));
        }
        Dependencies::Known(KnownDependencies { requirements, constrains: self.constraints(id) })
    }
}

/// Counts of solvables, names and sets stay far below 2^32, like those of the pool.
fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
