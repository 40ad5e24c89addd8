use basalt_spec::node::NodeConfig;

use super::*;

/// The document that says something of every key.
const FULL: &str = include_str!("../../../basalt-spec/tests/node/full.yaml");

fn rendered(text: &str) -> Vec<RenderedFile> {
    render(
        &NodeConfig::parse("node.yaml", text).unwrap_or_else(|error| panic!("{error:#}")).spec,
        &FetchedKeys::new(),
    )
}

fn shown(files: &[RenderedFile]) -> String {
    files.iter().map(|file| format!("=== {} {}\n{}", file.path, file.mode, file.content)).collect()
}

fn spec(text: &str) -> String {
    format!("apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n{text}")
}

#[test]
fn a_full_document() {
    insta::assert_snapshot!(shown(&rendered(FULL)));
}

#[test]
fn nothing_written_is_dhcp_and_nothing_else() {
    let files = rendered(&spec("  modules: []\n"));
    assert_eq!(
        shown(&files),
        "=== /etc/systemd/network/90-basalt-default.network 0644\n[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n"
    );
}

/// A secret is only in files that nobody else reads, and in no message.
#[test]
fn secrets_are_root_s() {
    let files = rendered(FULL);
    for file in files.iter().filter(|file| file.content.contains("hunter2")) {
        assert_eq!(file.mode.to_string(), "0600", "{file:?}");
    }
    assert!(files.iter().any(|file| file.content.contains("hunter2")));
    assert!(!format!("{files:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&files).unwrap().contains("hunter2"));
}

#[test]
fn every_file_is_below_etc_and_there_once() {
    let files = rendered(FULL);
    let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.iter().all(|path| path.starts_with("/etc/")));
    let count = paths.len();
    paths.dedup();
    assert_eq!(paths.len(), count);
}

#[test]
fn a_short_name_has_no_second_one() {
    let hosts = |name: &str| {
        let files = rendered(&spec(&format!("  hostname: {name}\n")));
        files.into_iter().find(|file| file.path == "/etc/hosts").map(|file| file.content)
    };
    assert!(hosts("edge").is_some_and(|text| text.ends_with("127.0.1.1 edge\n")));
    assert!(
        hosts("edge.example.org").is_some_and(|text| text.ends_with("127.0.1.1 edge.example.org edge\n"))
    );
}
