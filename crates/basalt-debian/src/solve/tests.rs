use basalt_types::Architecture;

use super::*;
use crate::index::records;

/// Writes paragraphs: `name version | Field: value | …`, one a line; a line that begins with `*` is essential.
fn archive(lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split('|').map(str::trim);
        let head = parts.next().unwrap();
        let essential = head.starts_with('*');
        let (name, version) = head.trim_start_matches('*').trim().split_once(' ').unwrap();
        text += &format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n");
        text += if essential { "Essential: yes\nPriority: required\n" } else { "" };
        for field in parts {
            text += &field.replace('/', "|");
            text += "\n";
        }
        text += "\n";
    }
    text
}

fn pool(text: &str) -> Pool<'_> {
    let mut pool = Pool::new(Architecture::Amd64);
    pool.add_index(text, Origin::default()).unwrap();
    pool
}

fn request(wanted: &str) -> Request {
    Request { wanted: wanted.split_whitespace().map(|w| w.parse().unwrap()).collect(), ..Request::default() }
}

fn solved(lines: &str, request: &Request) -> Vec<String> {
    let text = archive(lines);
    let pool = pool(&text);
    let solution = solve(&pool, request).unwrap();
    solution.packages.iter().map(|c| format!("{} {}: {}", c.record.name, c.record.version, c.why)).collect()
}

fn refused(lines: &str, request: &Request) -> String {
    let text = archive(lines);
    solve(&pool(&text), request).unwrap_err().to_string()
}

#[test]
fn needs_are_followed_and_every_package_says_why_it_is_there() {
    let lines = "* base 1 | Pre-Depends: libc\n libc 2\n web 1 | Depends: libc (>= 2), data (= 1)\n data 1\n data 2\n x 1";
    assert_eq!(
        solved(lines, &request("web")),
        [
            "base 1: part of the base",
            "data 1: needed by web through `data (= 1)`",
            "libc 2: needed by web through `libc (>= 2)`",
            "web 1: wanted",
        ]
    );
}

#[test]
fn the_highest_version_of_the_best_source_wins() {
    let (main, back) = (archive("a 1"), archive("a 3\n b 3"));
    let mut pool = Pool::new(Architecture::Amd64);
    pool.add_index(&back, Origin { source: 1, priority: -1 }).unwrap();
    pool.add_index(&main, Origin { source: 0, priority: 0 }).unwrap();
    let solve = |wanted: &str| {
        let solution = solve(&pool, &request(wanted)).unwrap();
        solution.packages.iter().map(|c| (c.record.version, c.origin.source)).collect::<Vec<_>>()
    };
    assert_eq!(solve("a"), [("1", 0)]);
    assert_eq!(solve("a=3 b"), [("3", 1), ("3", 1)]);
}

#[test]
fn the_first_alternative_is_taken_unless_another_is_there_anyway() {
    let lines = "w 1 | Depends: x / y, z\n x 1\n y 1\n z 1 | Depends: y\n v 1 | Depends: x / y";
    let names =
        |wanted| solved(lines, &request(wanted)).iter().map(|l| l[..1].to_owned()).collect::<String>();
    assert_eq!(names("v"), "vx");
    assert_eq!(names("w"), "wyz");
    assert_eq!(names("v y"), "vy");
}

#[test]
fn a_provider_stands_for_a_virtual_name_and_versions_must_be_provided() {
    let lines = "w 1 | Depends: mta\n b 1 | Provides: mta | Priority: standard\n a 1 | Provides: mta\n \
        v 1 | Depends: api (>= 2)\n c 1 | Provides: api\n d 1 | Provides: api (= 3)";
    assert_eq!(solved(lines, &request("w")), ["b 1: needed by w through `mta`", "w 1: wanted"]);
    assert_eq!(solved(lines, &request("v")), ["d 1: needed by v through `api (>= 2)`", "v 1: wanted"]);
}

#[test]
fn a_local_package_can_stand_for_another() {
    let text = archive("kernel 1 | Depends: initramfs-tools / linux-initramfs-tool\n initramfs-tools 1");
    let own = "Package: basalt-node\nVersion: 1\nArchitecture: all\nProvides: linux-initramfs-tool\n";
    let mut pool = pool(&text);
    pool.add(records(own).next().unwrap().unwrap(), Origin { source: 9, priority: 100 }).unwrap();
    let solution = solve(&pool, &request("kernel basalt-node")).unwrap();
    let names: Vec<_> = solution.packages.iter().map(|c| c.record.name).collect();
    assert_eq!(names, ["basalt-node", "kernel"]);
}

#[test]
fn deep_conflicts_are_solved_by_taking_a_later_alternative() {
    let lines =
        "w 1 | Depends: a / b, c\n a 1 | Depends: d\n b 1\n c 1 | Depends: e\n d 1\n e 1 | Breaks: d (<< 2)";
    let names: String = solved(lines, &request("w")).iter().map(|line| line[..1].to_owned()).collect();
    assert_eq!(names, "bcew");
}

#[test]
fn recommendations_are_taken_when_asked_for_and_possible() {
    let lines =
        "w 1 | Recommends: a, b, c / d, gone\n a 1\n b 1 | Conflicts: a\n c 1 | Depends: nothing\n d 1";
    let with = Request { recommends: true, ..request("w") };
    assert_eq!(
        solved(lines, &with),
        ["a 1: recommended by w through `a`", "d 1: recommended by w through `c | d`", "w 1: wanted"]
    );
    assert_eq!(solved(lines, &request("w")), ["w 1: wanted"]);
}

#[test]
fn architecture_qualifiers_count() {
    let lines = "w 1 | Depends: p:any, q:amd64\n p 1 | Multi-Arch: allowed\n q 1\n v 1 | Depends: q:any\n u 1 | Depends: \
        q:arm64";
    assert_eq!(solved(lines, &request("w")).len(), 3);
    assert!(refused(lines, &request("v")).contains("nothing satisfies `q:any`"));
    assert!(refused(lines, &request("u")).contains("nothing satisfies `q:arm64`"));
}

#[test]
fn the_base_can_be_larger_or_empty() {
    let lines = "* e 1\n r 1 | Priority: required\n i 1 | Priority: important\n o 1";
    let names = |base| {
        let request = Request { base, ..request("o") };
        solved(lines, &request).iter().map(|line| line[..1].to_owned()).collect::<String>()
    };
    assert_eq!(names(Base::Nothing), "o");
    assert_eq!(names(Base::Required), "eor");
    assert_eq!(names(Base::Important), "eior");
}

#[test]
fn every_wrong_part_of_a_request_is_named() {
    let lines = "* dash 1\n nginx 1.26\n nginx 1.27\n postfix 1 | Provides: mta\n exim4 1 | Provides: mta";
    let request = Request {
        deselected: vec!["dash".into(), "postfix".into()],
        ..request("ngnix nginx=2 mta postfix qqqq")
    };
    assert_eq!(
        refused(lines, &request),
        "`dash` can't be deselected: it is essential, so other packages use it without saying so\n\
         no source has a package `ngnix`; did you mean `nginx`?\n\
         `nginx` has no version 2; there is 1.27, 1.26\n\
         `mta` is not a package but a name that `exim4` and `postfix` provide: ask for one of them\n\
         `postfix` is both wanted and deselected\n\
         no source has a package `qqqq`"
    );
}

#[test]
fn a_missing_relation_is_explained_from_the_wanted_package_on() {
    let lines = "web 1 | Depends: lib\n lib 2 | Depends: ssl (>= 3)\n ssl 1";
    assert_eq!(
        refused(lines, &request("web")),
        "these packages can't be installed together:\n  web is wanted\n  web 1 needs `lib`\n  lib 2 needs `ssl (>= 3)`\n  \
         nothing satisfies `ssl (>= 3)`: there is ssl 1"
    );
}

#[test]
fn a_deselected_package_that_is_needed_is_an_error() {
    let lines = "web 1 | Depends: lib\n lib 2";
    let request = Request { deselected: vec!["lib".into()], ..request("web") };
    assert_eq!(
        refused(lines, &request),
        "these packages can't be installed together:\n  web is wanted\n  web 1 needs `lib`\n  nothing satisfies `lib`: \
         `lib` is deselected"
    );
}

#[test]
fn a_conflict_is_explained_with_both_chains() {
    let lines = "desk 1 | Depends: sysd\n sysd 257 | Conflicts: sysv\n old 1 | Depends: sysv\n sysv 3";
    assert_eq!(
        refused(lines, &request("desk old")),
        "these packages can't be installed together:\n  old is wanted\n  old 1 needs `sysv`\n  sysv 3 can't be there: sysd \
         257 has `Conflicts: sysv`\n  desk is wanted\n  desk 1 needs `sysd`"
    );
}

#[test]
fn two_exact_versions_exclude_each_other() {
    let lines = "a 1 | Depends: x (= 1)\n b 1 | Depends: x (= 2)\n x 1\n x 2";
    assert_eq!(
        refused(lines, &request("a b")),
        "these packages can't be installed together:\n  b is wanted\n  b 1 needs `x (= 2)`\n  x 2 can't be there beside x \
         1\n  a is wanted\n  a 1 needs `x (= 1)`"
    );
}

#[test]
fn what_certainty_does_not_find_is_named_by_its_smallest_set() {
    // Each of a and b needs one of two, and every pairing of them conflicts.
    let lines = "a 1 | Depends: p / q\n b 1 | Depends: r / s\n c 1\n p 1 | Conflicts: r, s\n q 1 | Conflicts: r, s\n r 1\n \
        s 1";
    assert_eq!(
        refused(lines, &request("a b c")),
        "these packages can't be installed together:\n  `a` and `b` exclude each other"
    );
}

#[test]
fn a_malformed_relation_makes_its_package_impossible_and_is_shown() {
    assert_eq!(
        refused("w 1 | Depends: a b", &request("w")),
        "these packages can't be installed together:\n  w is wanted\n  w 1 needs `a b`\n  nothing satisfies `a b`: `a b` is \
         not a relation between packages: a bracket is not closed, or there is text behind it"
    );
}

#[test]
fn other_architectures_are_refused() {
    let record = Record { name: "a", version: "1", architecture: "arm64", ..Record::default() };
    let error = Pool::new(Architecture::Amd64).add(record, Origin::default()).unwrap_err();
    assert_eq!(error.to_string(), "the package `a` is for arm64, the image is for amd64");
}

#[test]
fn an_order_of_installation_has_needs_first_and_survives_cycles() {
    let text = archive("a 1 | Depends: b\n b 1 | Depends: c\n c 1 | Depends: a\n d 1 | Pre-Depends: a");
    let pool = pool(&text);
    let solution = solve(&pool, &request("d")).unwrap();
    assert_eq!(install_order(&pool, &solution), ["c", "b", "a", "d"]);
}

mod properties {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A few packages in two versions with random relations.
    fn random() -> impl Strategy<Value = String> {
        let relation = prop_oneof![
            4 => (0..8_u8, 0..8_u8).prop_map(|(a, b)| format!("Depends: p{a} / p{b}")),
            2 => (0..8_u8, 1..3_u8).prop_map(|(a, v)| format!("Depends: p{a} (= {v})")),
            1 => (0..8_u8, 1..3_u8).prop_map(|(a, v)| format!("Conflicts: p{a} (<< {v})")),
            1 => (0..8_u8).prop_map(|a| format!("Provides: p{a}")),
        ];
        let package = (0..8_u8, 1..3_u8, proptest::option::of(relation));
        proptest::collection::vec(package, 1..24).prop_map(|packages| {
            let unique: BTreeMap<_, _> = packages.into_iter().map(|(n, v, r)| ((n, v), r)).collect();
            let line = |((name, version), relation): ((u8, u8), Option<String>)| {
                format!("p{name} {version}{}\n", relation.map(|r| format!(" | {r}")).unwrap_or_default())
            };
            unique.into_iter().map(line).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Sound (nothing open, no conflict, one version), deterministic, and never `None` where a solution that a
        /// plain search finds exists.
        #[test]
        fn solutions_are_sound_and_complete(lines in random()) {
            let text = archive(&lines);
            let pool = pool(&text);
            let request = Request { base: Base::Nothing, ..request("p0") };
            let view = view::View::new(&pool, &[]);
            match solve(&pool, &request) {
                Err(SolveError::Refused(_)) => prop_assert!(pool.versions("p0").is_empty()),
                Err(SolveError::Impossible(_)) => prop_assert!(!search(&pool, &view)),
                Err(SolveError::Unsound { .. }) => prop_assert!(false, "unsound"),
                Ok(solution) => {
                    let id = |c: &Chosen<'_, '_>| {
                        *pool.versions(c.record.name).iter().find(|id| pool.record(**id) == c.record).unwrap()
                    };
                    let ids: Vec<PackageId> = solution.packages.iter().map(id).collect();
                    prop_assert!(sound(&pool, &view, &ids));
                    prop_assert_eq!(solve(&pool, &request).unwrap(), solution);
                }
            }
        }
    }

    fn sound(pool: &Pool<'_>, view: &view::View<'_, '_>, ids: &[PackageId]) -> bool {
        let names: std::collections::BTreeSet<_> = ids.iter().map(|id| pool.record(*id).name).collect();
        names.len() == ids.len()
            && ids.iter().all(|id| {
                let met = |o: &std::rc::Rc<view::Options<'_>>| o.candidates.iter().any(|c| ids.contains(c));
                view.depends(*id).iter().all(met)
                    && !view.enmities(*id).iter().any(|e| e.packages.iter().any(|enemy| ids.contains(enemy)))
            })
    }

    /// Tries every set: each of eight names absent or in one of its versions.
    fn search(pool: &Pool<'_>, view: &view::View<'_, '_>) -> bool {
        fn step(pool: &Pool<'_>, view: &view::View<'_, '_>, name: u8, ids: &mut Vec<PackageId>) -> bool {
            if name == 8 {
                return sound(pool, view, ids);
            }
            for &id in pool.versions(&format!("p{name}")) {
                ids.push(id);
                if step(pool, view, name + 1, ids) {
                    return true;
                }
                ids.pop();
            }
            name != 0 && step(pool, view, name + 1, ids)
        }
        step(pool, view, 0, &mut Vec::new())
    }
}
