//! What a person reads when a recipe is wrong: every sort of mistake, rendered without colour, 100 columns wide.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use basalt_spec::{ProblemKind, Recipe, SpecError};
use miette::{GraphicalReportHandler, GraphicalTheme};

const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n";

fn refused(text: &str) -> SpecError {
    match Recipe::parse("recipe.yaml", text) {
        Ok(recipe) => panic!("this is a recipe: {recipe:?}"),
        Err(error) => error,
    }
}

fn rendered(error: &SpecError) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut text, error).unwrap();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

macro_rules! messages {
    ($($name:ident: $lines:literal;)*) => {$(
        #[test]
        fn $name() {
            let error = refused(&format!("{HEAD}{}", $lines));
            insta::assert_snapshot!(rendered(&error));
        }
    )*};
}

messages! {
    an_unknown_key: "pakages: [vim]\n";
    an_unknown_key_inside: "base:\n  debian:\n    sute: trixie\n";
    an_unknown_key_that_is_near_nothing: "zzzzzz: 1\n";
    a_key_written_twice: "packages: [vim]\nversion: 1.0\npackages: [nano]\n";
    text_instead_of_a_list: "packages: vim\n";
    a_list_instead_of_a_mapping: "units: [ssh.service]\n";
    a_mapping_instead_of_text: "hostname: {name: x}\n";
    yes_instead_of_true: "recommends: yes\n";
    a_word_instead_of_a_number: "users:\n  - name: admin\n    uid: one\n";
    a_number_that_is_too_large: "users:\n  - {name: admin, uid: 99999999999}\n";
    a_decimal_size: "disk:\n  esp: 1GB\n";
    a_path_that_leaves_the_image: "files:\n  - path: /etc/../../x\n    content: x\n";
    a_source_outside_of_the_folder: "files:\n  - {path: /x, source: ../secret}\n";
    a_clear_password: "users:\n  - name: admin\n    passwordHash: secret\n";
    a_password_key: "users:\n  - name: admin\n    password: secret\n";
    a_missing_name: "users:\n  - groups: [adm]\n";
    a_file_with_two_contents: "files:\n  - path: /x\n    content: a\n    source: b\n";
    a_file_with_nothing: "files:\n  - path: /x\n";
    a_kernel_argument_of_ours: "kernelArguments: [quiet, roothash=00]\n";
    an_unknown_output: "outputs: [disk, isso]\n";
    a_unit_without_a_suffix: "units:\n  enable:\n    - ssh\n";
    a_unit_enabled_and_masked: "units:\n  enable: [ssh.service]\n  mask:\n    - ssh.service\n";
    a_package_asked_for_and_deselected: "packages: [vim]\ndeselect: [vim]\n";
    a_package_asked_for_twice: "packages:\n  - vim\n  - nano\n  - vim=2:9.1\n";
    two_users_with_one_number: "users:\n  - {name: a, uid: 1000}\n  - {name: b, uid: 1000}\n";
    a_disk_without_a_kernel: "kernel:\n  package: none\n";
    an_extension_of_nothing: "outputs: [sysext]\n";
    another_base_than_the_one_below: "from: ../edge/recipe.yaml\nbase: {debian: {suite: sid}}\n";
    a_recipe_that_is_no_recipe: "from: ../edge\n";
    nothing_to_make: "outputs: []\n";
    a_script_with_two_sources: "script:\n  inline: a\n  source: b\n";
    wrong_indentation: "base:\n  debian:\n   suite: x\n  bad\n";
    an_open_quote: "hostname: \"edge\n";
    an_alias: "packages: &a [vim]\ndeselect: *a\n";
    a_tab: "units:\n\tenable: []\n";
    a_second_document: "---\nname: other\n";
    several_at_once: "pakages: [vim]\nversion: 1+2\nusers:\n  - name: Admin\n    uid: x\n    shel: /bin/sh\n  - {uid: 5}\nfiles:\n  - {path: etc}\n  - {path: /a, content: x, mode: rw}\n";
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(rendered(&refused("")));
}

#[test]
fn another_kind_of_document() {
    insta::assert_snapshot!(rendered(&refused("apiVersion: basalt.dev/v2\nkind: Deployment\nname: x\n")));
}

#[test]
fn text_that_is_no_mapping() {
    insta::assert_snapshot!(rendered(&refused("hello\n")));
}

/// What tools read: kind and position.
#[test]
fn each_problem_has_a_kind_and_a_position() {
    let error = refused(&format!("{HEAD}pakages: []\nrecommends: maybe\n"));
    let found: Vec<_> = error.problems().iter().map(|p| (p.kind(), error.position(p))).collect();
    assert_eq!(found, [(ProblemKind::UnknownKey, (4, 1)), (ProblemKind::WrongType, (5, 13))]);
    assert_eq!(
        format!("{error:#}"),
        "recipe.yaml has 2 problems\nrecipe.yaml:4:1: unknown key `pakages`\n\
         recipe.yaml:5:13: expected `true` or `false`, found `maybe`"
    );
}

/// A mistake that an earlier one causes is not reported.
#[test]
fn a_wrong_required_value_is_not_also_missing() {
    let error =
        refused("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: Edge\nusers: [{name: A}, {name: B}]\n");
    let kinds: Vec<_> = error.problems().iter().map(basalt_spec::Problem::kind).collect();
    assert_eq!(kinds, [ProblemKind::BadValue; 3]);
}

/// A file with more mistakes than anybody reads is not read to its end.
#[test]
fn problems_have_a_bound() {
    let many: String = (0..500).map(|n| format!("unknown{n}: x\n")).collect();
    assert!(refused(&format!("{HEAD}{many}")).problems().len() <= 40);
}
