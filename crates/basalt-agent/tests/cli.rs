//! What a person sees of the program itself: its help, and its words where there is no image.

#![allow(clippy::unwrap_used, reason = "a test whose program does not start has failed")]

use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_basalt-agent")).args(arguments).env("COLUMNS", "100").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help() {
    let output = agent(&["--help"]);
    assert!(output.status.success());
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn outside_of_an_image_every_command_says_so() {
    for arguments in [&["status"][..], &["status", "--json"], &["provision"], &["provision", "--plan"]] {
        let output = agent(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert_eq!(
            text(&output.stderr),
            "basalt-agent: error: can't read /usr/lib/basalt/image.json\n  \
             because: No such file or directory (os error 2)\n  \
             next: this is no Basalt image: run it in one\n"
        );
    }
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    assert_eq!(agent(&["provisoin"]).status.code(), Some(2));
}
