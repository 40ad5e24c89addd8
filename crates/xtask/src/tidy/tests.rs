//! Every rule bites.

use super::{
    facts::{Crate, Dependency, Facts},
    rules,
};

fn with_file(path: &str, text: &str) -> Facts {
    Facts { files: [(path.to_owned(), Some(text.to_owned()))].into(), ..Facts::default() }
}

fn with_dependency(name: &str, dependency: &str, kind: Option<&str>) -> Facts {
    let dependency = Dependency { name: dependency.to_owned(), kind: kind.map(str::to_owned) };
    Facts {
        crates: vec![Crate { name: name.to_owned(), dependencies: vec![dependency] }],
        ..Facts::default()
    }
}

#[test]
fn walls_hold_in_both_directions() {
    assert!(rules::walls(&with_dependency("basalt-formats", "basalt-types", None)).is_empty());
    assert!(rules::walls(&with_dependency("basalt-formats", "tempfile", Some("dev"))).is_empty());
    for (name, dependency) in
        [("basalt-types", "basalt-formats"), ("basalt-image", "rustix"), ("basalt-fetch", "basalt-testkit")]
    {
        let complaints = rules::walls(&with_dependency(name, dependency, None));
        assert_eq!(complaints, [format!("{name}: must not depend on {dependency}; move the code")]);
    }
    assert_eq!(rules::walls(&with_dependency("basalt-misc", "serde", None)).len(), 1);
}

#[test]
fn lints_can_not_be_left_out() {
    let path = "crates/basalt-x/Cargo.toml";
    assert!(rules::lints(&with_file(path, "[lints]\nworkspace = true\n")).is_empty());
    assert_eq!(rules::lints(&with_file(path, "[package]\n")).len(), 1);
}

#[test]
fn a_clippy_file_repeats_the_roots_keys() {
    let mut facts = with_file("clippy.toml", "# shared\na = 1\nb = 2\n");
    facts.files.insert("crates/basalt-x/clippy.toml".to_owned(), Some("b = 2\na = 3\n".to_owned()));
    let complaints = rules::clippy(&facts);
    assert!(complaints.contains(&"crates/basalt-x/clippy.toml: repeat the root's `a = 1`".to_owned()));
    assert!(!complaints.iter().any(|complaint| complaint.contains("`b = 2`")));
    assert!(complaints.contains(&"crates/basalt-types/clippy.toml: forbid `std::fs::`".to_owned()));
}

#[test]
fn long_modules_are_named_and_long_tests_are_not() {
    let long = "//\n".repeat(801);
    assert_eq!(
        rules::sizes(&with_file("crates/x/src/a.rs", &long)),
        ["crates/x/src/a.rs: 801 lines; split it at 800"]
    );
    assert!(rules::sizes(&with_file("crates/x/src/tests.rs", &long)).is_empty());
    assert!(rules::sizes(&with_file("crates/x/tests/a.rs", &long)).is_empty());
}

#[test]
fn unsafe_code_and_ignored_tests_are_found() {
    let text = concat!("#![allow(", "unsafe_code)]\n    #[", "ignore]\n");
    assert_eq!(rules::unsafe_code(&with_file("crates/basalt-vm/src/a.rs", text)).len(), 1);
    assert!(rules::unsafe_code(&with_file("crates/basalt-exec/src/a.rs", text)).is_empty());
    assert_eq!(rules::ignored_tests(&with_file("crates/basalt-vm/src/a.rs", text)).len(), 1);
}

#[test]
fn mirrors_are_not_named() {
    let found = |text: &str| !rules::hosts(&with_file("a", text)).is_empty();
    assert!(found(concat!("see https", "://deb.debian.org/debian for")));
    assert!(found(concat!("http", "://ftp.de.debian.org")));
    for fine in [
        "http://mirror.example/debian",
        "https://github.com/a/b",
        "http://127.0.0.1:1",
        "deb.rs",
        "http://apt",
    ] {
        assert!(!found(fine), "{fine}");
    }
}

#[test]
fn the_schema_must_be_current() {
    let mut facts = with_file("docs/schema/recipe.schema.json", "{}");
    assert_eq!(rules::generated(&facts).len(), 1);
    facts.schema = "{}".to_owned();
    assert!(rules::generated(&facts).is_empty());
}

#[test]
fn pages_are_linked_and_links_lead_somewhere() {
    let mut facts = with_file("docs/book/src/SUMMARY.md", "[a](a.md)");
    facts.files.insert("docs/book/src/a.md".to_owned(), Some("[x](../../formats) [y](b.md#z)".to_owned()));
    facts
        .files
        .insert("docs/book/src/c.md".to_owned(), Some("[up](a.md) [site](https://example.org)".to_owned()));
    facts.files.insert("docs/formats/gpt.md".to_owned(), Some(String::new()));
    let complaints = rules::documents(&facts);
    assert!(complaints.contains(&"docs/book/src/c.md: link it from SUMMARY.md".to_owned()));
    assert!(complaints.contains(&"docs/book/src/a.md: the link to `b.md` leads nowhere".to_owned()));
    assert!(complaints.contains(&"README.md: missing".to_owned()));
    assert!(!complaints.iter().any(|complaint| complaint.contains("formats")));
}
