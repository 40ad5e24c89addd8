use serde::Deserialize;

use super::*;
use crate::diagnostic::ProblemKind;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    list: Vec<u32>,
    #[serde(default)]
    flag: Option<bool>,
}

fn kinds(text: &str) -> Vec<(ProblemKind, usize)> {
    match read::<Sample>(text) {
        Ok(document) => panic!("{text} reads as {:?}", document.value),
        Err(problems) => problems.iter().map(|problem| (problem.kind(), problem.offset())).collect(),
    }
}

#[test]
fn scalars_are_read_by_what_is_wanted() {
    let document = read::<Sample>("name: 0x10\nlist: [1, '2', \"3\"]\nflag: true\n").unwrap();
    assert_eq!(document.value, Sample { name: "0x10".into(), list: vec![1, 2, 3], flag: Some(true) });
}

#[test]
fn a_place_is_found_by_its_path() {
    let document = read::<Sample>("name: x\nlist:\n  - 7\n  - 8\n").unwrap();
    let path = [Step::Key("list".to_owned()), Step::Index(1)];
    assert_eq!(document.root.find(&path).at, At { offset: 24, length: 1 });
    assert_eq!(document.root.find_key(&path[..1]), Some(At { offset: 8, length: 4 }));
}

#[test]
fn problems_come_in_the_order_of_the_text() {
    let text = "flag: maybe\nlist: [1, x, 3, y]\nname: {}\nother: 1\n";
    assert_eq!(
        kinds(text),
        [
            (ProblemKind::WrongType, 6),
            (ProblemKind::WrongType, 22),
            (ProblemKind::WrongType, 28),
            (ProblemKind::WrongType, 31),
            (ProblemKind::UnknownKey, 40),
        ]
    );
}

#[test]
fn offsets_are_bytes_also_after_other_scripts() {
    assert_eq!(kinds("name: è日本\nföö: 1\n"), [(ProblemKind::UnknownKey, 15)]);
}

#[test]
fn deep_nesting_is_refused_before_it_hurts() {
    let text = format!("name: {}", "[".repeat(10_000));
    assert_eq!(kinds(&text).len(), 1);
    let text = format!("name: {}{}", "{a: ".repeat(10_000), "}".repeat(10_000));
    assert_eq!(kinds(&text).len(), 1);
}

#[test]
fn a_list_as_a_key_is_refused() {
    assert_eq!(kinds("[a]: b\n"), [(ProblemKind::Syntax, 0)]);
}
