use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    Chosen, Solution, SolveError, Why,
    pool::PackageId,
    roots::Root,
    view::{Options, View},
};

/// Keeps what the roots need, directly or not, and says why each is there. A solver that changed its mind leaves
/// packages behind that nothing needs any more; leaving them out can't open a relation, because every relation of
/// what is kept keeps the package that satisfies it.
pub(super) fn keep<'p, 'a>(
    view: &View<'p, 'a>,
    roots: &[Root],
    chosen: &HashSet<PackageId>,
    recommends: bool,
) -> Result<Solution<'p, 'a>, SolveError> {
    let mut walk = Walk { view, chosen, why: HashMap::new(), order: Vec::new(), closed: 0 };
    for root in roots {
        let found = walk.satisfier(&root.candidates).ok_or_else(|| unsound("the request", &root.text))?;
        walk.keep(found, if root.base { Why::Base } else { Why::Wanted });
    }
    walk.close()?;
    // Only now the recommendations: a package that is needed anyway says so.
    let mut next = 0;
    while let Some(&id) = walk.order.get(next).filter(|_| recommends) {
        next += 1;
        for options in view.recommends(id) {
            if let Some(found) = walk.satisfier(&options.candidates) {
                let (by, relation) = pair(view, id, &options);
                walk.keep(found, Why::Recommended { by, relation });
                walk.close()?;
            }
        }
    }
    let chosen = |(id, why)| Chosen { record: view.record(id), origin: view.pool.entry(id).origin, why };
    let mut packages: Vec<Chosen<'p, 'a>> = walk.why.into_iter().map(chosen).collect();
    packages.sort_by(|left, right| left.record.name.cmp(right.record.name));
    Ok(Solution { packages })
}

struct Walk<'v, 'p, 'a> {
    view: &'v View<'p, 'a>,
    chosen: &'v HashSet<PackageId>,
    why: HashMap<PackageId, Why>,
    order: Vec<PackageId>,
    /// How many of `order` have all their hard relations kept.
    closed: usize,
}

impl Walk<'_, '_, '_> {
    /// What satisfies a group: a package that is kept already, or else the first that was chosen.
    fn satisfier(&self, candidates: &[PackageId]) -> Option<PackageId> {
        let kept = candidates.iter().find(|id| self.why.contains_key(id));
        kept.or_else(|| candidates.iter().find(|id| self.chosen.contains(id))).copied()
    }

    fn keep(&mut self, id: PackageId, why: Why) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.why.entry(id) {
            place.insert(why);
            self.order.push(id);
        }
    }

    /// Keeps what the kept ones need. Groups that one chosen package alone satisfies come first: those that several
    /// satisfy are often met by then, and a package that only they spoke for stays out.
    fn close(&mut self) -> Result<(), SolveError> {
        let mut several = VecDeque::new();
        loop {
            while let Some(&id) = self.order.get(self.closed) {
                self.closed += 1;
                for options in self.view.depends(id) {
                    let chosen =
                        options.candidates.iter().filter(|id| self.chosen.contains(id)).take(2).count();
                    if chosen > 1 {
                        several.push_back((id, options));
                    } else {
                        self.keep_one(id, &options)?;
                    }
                }
            }
            match several.pop_front() {
                Some((id, options)) => self.keep_one(id, &options)?,
                None => return Ok(()),
            }
        }
    }

    fn keep_one(&mut self, id: PackageId, options: &Options<'_>) -> Result<(), SolveError> {
        let (by, relation) = pair(self.view, id, options);
        let found = self.satisfier(&options.candidates).ok_or_else(|| unsound(&by, &relation))?;
        self.keep(found, Why::Needed { by, relation });
        Ok(())
    }
}

fn pair(view: &View<'_, '_>, id: PackageId, options: &Options<'_>) -> (String, String) {
    (view.record(id).name.to_owned(), options.text.to_owned())
}

fn unsound(package: &str, relation: &str) -> SolveError {
    SolveError::Unsound { package: package.to_owned(), relation: relation.to_owned() }
}
