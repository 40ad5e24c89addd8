//! systemd-networkd itself reads the interfaces of a document: what it does not know it says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use basalt_exec::command::{Command, Exit};
use basalt_node::render::{FetchedKeys, render};
use basalt_spec::node::NodeConfig;
use basalt_testkit::{Trixie, require_tool};

const FULL: &str = include_str!("../../basalt-spec/tests/node/full.yaml");
/// Where the files are, in and outside of the tree.
const FOLDER: &str = "network";

/// Starts systemd-networkd in a network of its own, in which there is nothing but a loopback, with these files and no others;
/// it is ended when it has read them. Gives its words.
fn networkd(share: &Path) -> String {
    let script = format!(
        "mkdir -p /run/systemd /run/network && mount -t tmpfs tmpfs /etc/systemd/network && \
         cp {}/{FOLDER}/* /etc/systemd/network/ && export SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=debug && \
         exec timeout -s TERM 2 /usr/lib/systemd/systemd-networkd 2>&1",
        share.display()
    );
    let trixie = Trixie::from_environment();
    let inside = trixie.command(share, "sh").args(["-c", &script]);
    // The tree's command begins with `unshare`; one more gives it a network.
    let unshare = require_tool("unshare", "util-linux");
    let line = format!("exec {}", inside.line());
    let done = Command::new(&unshare).args(["--net", "sh", "-c", &line]).finish().unwrap();
    assert!(matches!(done.exit, Exit::Code(_)), "{done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn write(share: &Path, name: &str, text: &str) {
    fs::create_dir_all(share.join(FOLDER)).unwrap();
    fs::write(share.join(FOLDER).join(name), text).unwrap();
}

/// What networkd says of a file that it does not understand whole.
fn complaints(words: &str) -> Vec<&str> {
    let ours = words.lines().filter(|line| line.contains("/etc/systemd/network/"));
    ours.filter(|line| !line.contains("Successfully loaded") && !line.contains("Loaded")).collect()
}

#[test]
fn networkd_accepts_every_interface_of_a_document() {
    let share = tempfile::tempdir().unwrap();
    let spec = NodeConfig::parse("full.yaml", FULL).unwrap().spec;
    let files = render(&spec, &FetchedKeys::new());
    let units: Vec<_> = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix("/etc/systemd/network/")?, file)))
        .collect();
    for (name, file) in &units {
        write(share.path(), name, &file.content);
    }
    assert!(units.len() > 8, "{}", units.len());
    let words = networkd(share.path());
    assert_eq!(complaints(&words), Vec::<&str>::new(), "{words}");
    for (name, _) in units {
        let loaded = words.lines().any(|line| line.contains(name) && line.contains("loaded"));
        assert!(loaded, "{name} was not read:\n{words}");
    }
}

/// The oracle is worth something: a key that networkd does not know is told.
#[test]
fn networkd_tells_of_a_key_that_it_does_not_know() {
    let share = tempfile::tempdir().unwrap();
    write(
        share.path(),
        "50-wrong.network",
        "[Match]\nName=lan0\n\n[Network]\nDHCP=perhaps\nGateways=192.0.2.1\n",
    );
    let words = networkd(share.path());
    assert_eq!(complaints(&words).len(), 2, "{words}");
}
