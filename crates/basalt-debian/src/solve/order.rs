use std::collections::HashMap;

use super::{Solution, pool::Pool, view::View};

/// The names of a solution in an order in which each comes after what it needs, `Pre-Depends` before `Depends` before
/// its own name. Cycles, of which Debian has some, are entered at their first name. A hint for whoever unpacks:
/// dpkg itself decides the order of configuration.
pub fn install_order<'a>(pool: &Pool<'a>, solution: &Solution<'_, 'a>) -> Vec<&'a str> {
    let view = View::new(pool, &[]);
    let names: Vec<&'a str> = solution.packages.iter().map(|chosen| chosen.record.name).collect();
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
    let needs = |place: usize| -> Vec<usize> {
        let record = solution.packages[place].record;
        let same = |id: &&super::PackageId| pool.record(**id) == record;
        let Some(&id) = pool.versions(record.name).iter().find(same) else { return Vec::new() };
        let satisfiers = |options: std::rc::Rc<super::view::Options<'a>>| {
            let present = options.candidates.iter().filter_map(|id| place_of(pool, &places, *id));
            present.collect::<Vec<_>>()
        };
        view.depends(id).into_iter().flat_map(satisfiers).collect()
    };
    let mut ordered = Vec::with_capacity(names.len());
    let mut seen = vec![false; names.len()];
    for start in 0..names.len() {
        let mut stack = vec![(start, None)];
        while let Some((place, children)) = stack.pop() {
            let mut children: std::vec::IntoIter<usize> = match children {
                None if seen[place] => continue,
                None => {
                    seen[place] = true;
                    needs(place).into_iter()
                }
                Some(children) => children,
            };
            match children.find(|child| !seen[*child]) {
                Some(child) => stack.extend([(place, Some(children)), (child, None)]),
                None => ordered.push(names[place]),
            }
        }
    }
    ordered
}

fn place_of(pool: &Pool<'_>, places: &HashMap<&str, usize>, id: super::PackageId) -> Option<usize> {
    places.get(pool.record(id).name).copied()
}
