use std::collections::HashSet;

use super::{
    Base, Refusal, Request, Wanted,
    pool::{PackageId, Pool},
};
use crate::{
    dependency::{Qualifier, Relation},
    index::Priority,
    version,
};

/// A package that must be in the solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// What was asked for, as text.
    pub(super) text: String,
    /// Whether the base asks for it and not the person.
    pub(super) base: bool,
    /// What satisfies it, best first. Never empty.
    pub(super) candidates: Vec<PackageId>,
}

/// Turns a request into roots: the wanted ones first, then the base in the order of the pool.
pub(super) fn check(pool: &Pool<'_>, request: &Request) -> Result<Vec<Root>, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut roots = Vec::new();
    let deselected: HashSet<&str> = request.deselected.iter().map(String::as_str).collect();
    for name in &request.deselected {
        let essential = |id: &PackageId| pool.record(*id).essential;
        if request.base != Base::Nothing && pool.versions(name).first().is_some_and(essential) {
            refusals.push(Refusal::Essential { name: name.clone() });
        }
    }
    for wanted in &request.wanted {
        if deselected.contains(wanted.name.as_str()) {
            refusals.push(Refusal::Contrary { name: wanted.name.clone() });
            continue;
        }
        match find(pool, wanted) {
            Ok(candidates) => roots.push(Root { text: wanted.to_string(), base: false, candidates }),
            Err(refusal) => refusals.push(refusal),
        }
    }
    roots.extend(base(pool, request.base, &deselected));
    if refusals.is_empty() { Ok(roots) } else { Err(refusals) }
}

fn base(pool: &Pool<'_>, base: Base, deselected: &HashSet<&str>) -> Vec<Root> {
    let least = match base {
        Base::Nothing => return Vec::new(),
        Base::Required => Priority::Required,
        Base::Important => Priority::Important,
    };
    let belongs = |(name, packages): &(&str, &[PackageId])| {
        let best = packages.first().map(|id| pool.record(*id));
        !deselected.contains(name) && best.is_some_and(|best| best.essential || best.priority <= least)
    };
    let root = |(name, packages): (&str, &[PackageId])| Root {
        text: name.to_owned(),
        base: true,
        candidates: packages.to_vec(),
    };
    pool.real_names().filter(belongs).map(root).collect()
}

fn find(pool: &Pool<'_>, wanted: &Wanted) -> Result<Vec<PackageId>, Refusal> {
    let name = wanted.name.clone();
    let versions = pool.versions(&name);
    let version_of = |id: &PackageId| pool.record(*id).version;
    if versions.is_empty() {
        return find_virtual(pool, wanted);
    }
    let Some(version) = &wanted.version else { return Ok(versions.to_vec()) };
    let same = |id: &PackageId| version::compare(version_of(id), version).is_eq();
    let exact: Vec<PackageId> = versions.iter().copied().filter(same).collect();
    if exact.is_empty() {
        let available = versions.iter().map(|id| version_of(id).to_owned()).collect();
        return Err(Refusal::Version { name, version: version.clone(), available });
    }
    Ok(exact)
}

/// Like apt, a virtual name is accepted when there is nothing to choose.
fn find_virtual(pool: &Pool<'_>, wanted: &Wanted) -> Result<Vec<PackageId>, Refusal> {
    let name = wanted.name.clone();
    let relation = Relation { name: &name, qualifier: Qualifier::Same, version: None };
    let found = pool.matching(&relation);
    let mut providers: Vec<String> = found.iter().map(|id| pool.record(*id).name.to_owned()).collect();
    providers.dedup();
    match providers.len() {
        0 => Err(Refusal::Unknown { nearest: nearest(pool, &name), name }),
        1 => Ok(found),
        _ => Err(Refusal::Virtual { name, providers }),
    }
}

/// At most three real names that a person may have meant, nearest first.
pub(super) fn nearest(pool: &Pool<'_>, name: &str) -> Vec<String> {
    let near = |text: &str| text.len().abs_diff(name.len()) <= 3;
    let mut scored: Vec<(f64, &str)> = pool
        .real_names()
        .filter(|(text, _)| near(text))
        .map(|(text, _)| (strsim::jaro_winkler(text, name), text))
        .filter(|(score, _)| *score > 0.88)
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1)));
    scored.into_iter().take(3).map(|(_, text)| text.to_owned()).collect()
}
