use proptest::prelude::*;

use super::*;

fn read(field: &str) -> Vec<Group<'_>> {
    groups(field, "amd64").map(|group| group.unwrap()).collect()
}

#[test]
fn a_field_is_read_into_groups() {
    let field = "libc6 (>= 2.38), init-system-helpers (>= 1.54~) | systemd:any,\n foo [arm64], bar [!arm64] <!nocheck>,";
    let groups = read(field);
    let shown: Vec<Vec<String>> =
        groups.iter().map(|g| g.alternatives.iter().map(|r| r.to_string()).collect()).collect();
    assert_eq!(
        shown,
        vec![
            vec!["libc6 (>= 2.38)"],
            vec!["init-system-helpers (>= 1.54~)", "systemd:any"],
            vec![],
            vec!["bar"]
        ]
    );
    assert_eq!(groups[1].alternatives[1].qualifier, Qualifier::Any);
}

#[test]
fn ranges_are_compared_as_versions() {
    let relation = |text| Relation::parse(text).unwrap();
    assert!(relation("a (>= 1.9)").allows("1.10"));
    assert!(!relation("a (<< 1.10~)").allows("1.10"));
    assert!(relation("a(<1)").allows("1"));
    assert!(relation("a (= 1.0)").allows("1.0-0"));
    assert!(relation("a").allows("anything"));
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |text| Relation::parse(text).unwrap_err().problem;
    assert_eq!(problem(""), DependencyProblem::Name);
    assert_eq!(problem("a_b"), DependencyProblem::Name);
    assert_eq!(problem("a (~ 1)"), DependencyProblem::Operator);
    assert_eq!(problem("a (>= 1"), DependencyProblem::Form);
    assert_eq!(problem("a b"), DependencyProblem::Form);
    assert_eq!(
        Relation::parse("a b").unwrap_err().to_string(),
        "`a b` is not a relation between packages: a bracket is not closed, or there is text behind it"
    );
}

proptest! {
    #[test]
    fn printing_is_the_inverse_of_parsing(
        name in "[a-z][a-z0-9+.-]{0,8}", any: bool,
        version in proptest::option::of(("(<<|<=|=|>=|>>)", "[0-9][0-9a-z.~+-]{0,6}")),
    ) {
        let mut text = name;
        if any { text.push_str(":any"); }
        if let Some((operator, version)) = version { text.push_str(&format!(" ({operator} {version})")); }
        prop_assert_eq!(Relation::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "[a-c ()<>=!|,:\\[\\]]{0,40}") {
        prop_assert!(groups(&text, "amd64").count() <= text.len());
    }
}
