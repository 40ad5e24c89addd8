//! `basalt-agent config` over the documents of a root folder.

#![allow(clippy::unwrap_used, reason = "a test whose program does not start has failed")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n";

/// A root with documents by their paths; `proc/cmdline` is as it is.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let full = root.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        let text = if *path == "proc/cmdline" { (*text).to_owned() } else { format!("{HEAD}{text}") };
        fs::write(full, text).unwrap();
    }
    root
}

fn machine() -> tempfile::TempDir {
    root(&[
        (
            "usr/lib/basalt/node.d/10-base.yaml",
            "  hostname: image\n  timezone: UTC\n  users: [{name: admin, shell: /bin/bash}]\n",
        ),
        ("usr/lib/basalt/node.d/20-more.yaml", "  modules: [overlay]\n"),
        ("etc/basalt/node.d/vendor.yaml", "  hostname: vendor\n"),
        (
            "run/basalt/node.d/50-cloud.yaml",
            "  users: [{name: admin, sshAuthorizedKeys: [github:somebody]}]\n",
        ),
        ("proc/cmdline", "quiet basalt.node.hostname=edge-7 ro\n"),
    ])
}

fn config(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_basalt-agent"));
    command.arg("config").arg("--root").arg(root).args(arguments).current_dir(root).output().unwrap()
}

fn printed(root: &Path, arguments: &[&str]) -> String {
    let output = config(root, arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {err}");
    out.replace(&format!("{}/", root.display()), "/")
}

#[test]
fn show_with_the_place_of_each_value() {
    insta::assert_snapshot!(printed(machine().path(), &["show", "--provenance"]));
}

#[test]
fn show_as_json() {
    let text = printed(machine().path(), &["show", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["spec"]["hostname"], "edge-7");
    let text = printed(machine().path(), &["show", "--json", "--provenance"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["provenance"]["users.admin.shell"]["line"], 6);
    assert_eq!(value["provenance"]["hostname"]["source"], "kernel command line");
}

#[test]
fn explain_names_every_document() {
    let root = machine();
    insta::assert_snapshot!(printed(root.path(), &["explain", "hostname"]));
    assert_eq!(printed(root.path(), &["explain", "locale"]), "locale: no document says anything of it\n");
    let output = config(root.path(), &["explain", "hostnmae"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("did you mean `hostname`?"));
}

#[test]
fn diff_and_validate_a_file() {
    let root = machine();
    let file = root.path().join("new.yaml");
    fs::write(
        &file,
        format!("{HEAD}  timezone: Europe/Rome\n  modules: null\n  locale: C.UTF-8\n  hostname: edge-7\n"),
    )
    .unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(
        printed(root.path(), &["diff", path]),
        "timezone\n  - UTC\n  + Europe/Rome\nlocale\n  + C.UTF-8\nmodules\n  - - overlay\n"
    );
    assert_eq!(
        printed(root.path(), &["validate", path]),
        "/new.yaml is a valid document, also on top of this machine's 5\n"
    );
    fs::write(&file, HEAD).unwrap();
    assert_eq!(printed(root.path(), &["diff", path]), "nothing changes\n");
}

#[test]
fn wrong_documents_are_shown_with_their_lines() {
    let root = machine();
    let file = root.path().join("wrong.yaml");
    fs::write(&file, format!("{HEAD}  hostnmae: a\n")).unwrap();
    let output = config(root.path(), &["validate", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("wrong.yaml:4:3") && text.contains("did you mean `hostname`?"), "{text}");
    // Right by itself, and not on this machine.
    fs::write(
        &file,
        format!("{HEAD}  network: {{interfaces: [{{name: v, vlan: {{id: 1, link: none}}}}]}}\n"),
    )
    .unwrap();
    let output = config(root.path(), &["validate", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no document has an interface called `none`"));
}

/// Nothing that is there is left out in silence.
#[test]
fn what_can_not_be_read_is_an_error() {
    for (path, content, words) in [
        ("etc/basalt/node.d/x.yml", "", "is not called NAME.yaml"),
        ("etc/basalt/node.d/x.yaml", "  hostname: -a\n", "is not a host name"),
        ("proc/cmdline", "basalt.node.hostname", "has no `=`"),
    ] {
        let root = root(&[(path, content)]);
        let output = config(root.path(), &["show"]);
        assert_eq!(output.status.code(), Some(5), "{path}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(words), "{text}");
    }
    let root = root(&[]);
    fs::create_dir_all(root.path().join("etc/basalt/node.d")).unwrap();
    fs::write(root.path().join("etc/basalt/node.d/x.yaml"), vec![b' '; (4 << 20) + 1]).unwrap();
    let text = String::from_utf8(config(root.path(), &["show"]).stderr).unwrap();
    assert!(text.contains("has 4194305 bytes"), "{text}");
    fs::write(root.path().join("etc/basalt/node.d/x.yaml"), b"\xff").unwrap();
    let text = String::from_utf8(config(root.path(), &["show"]).stderr).unwrap();
    assert!(text.contains("is not UTF-8"), "{text}");
}

#[test]
fn a_machine_without_documents_has_an_empty_one() {
    let root = root(&[]);
    assert_eq!(
        printed(root.path(), &["show"]),
        "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec: {}\n"
    );
}
