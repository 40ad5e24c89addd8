//! A machine moves to what the factory built, straight from the factory's registry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod serve_support;

use std::time::Duration;

use basalt_testkit::{patience, root_shell, test_image};
use basalt_vm::{Machine, Network};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serve_support::Factory;

/// The example as somebody writes it who has no folder on the factory's host, and a version later.
fn recipe() -> String {
    let mut recipe = include_str!("../../../examples/edge/recipe.yaml").to_owned();
    for (from, to) in [
        ("version: 0.1.0", "version: 0.2.0"),
        ("source: files/issue", "content: \"edge\\n\""),
        ("source: files/motd", "content: \"built by a factory\\n\""),
    ] {
        assert!(recipe.contains(from), "the example has changed: it has no `{from}`");
        recipe = recipe.replace(from, to);
    }
    recipe + "\noutputs: [oci]\n"
}

#[test]
fn a_machine_upgrades_straight_from_the_factory() {
    let factory = Factory::start(&[]);
    let program = factory.first_person().token(&["read", "build"]);
    let asked = program.build(&recipe());
    let id = asked.json()["id"].as_str().unwrap_or_else(|| panic!("{}", asked.text())).to_owned();
    program.wait(&id, "succeeded");

    let (image, port) = (test_image(), factory.address.rsplit(':').next().unwrap().to_owned());
    let machine = Machine { network: Network::User { ssh_port: None }, ..Machine::uefi(image.disk()) };
    let mut machine = basalt_vm::boot(&machine).unwrap();
    let within = patience(&machine, Duration::from_secs(60));
    let mut shell = root_shell(&mut machine, &image.login());
    // The factory listens on the host's 127.0.0.1.
    let registry = format!("10.0.2.2:{port}");
    let upgrade = format!("basalt-agent upgrade {registry}/factory/edge:0.2.0 --insecure");
    let stranger = shell.run_within(&upgrade, within).unwrap();
    assert!(stranger.status == 3 && stranger.text.contains("401"), "{}", stranger.text);
    let known = BASE64_STANDARD.encode(format!("ada:{}", program.token));
    let known = format!("{{\"auths\":{{\"{registry}\":{{\"auth\":\"{known}\"}}}}}}");
    shell.check(&format!("mkdir -p /root/.docker && echo '{known}' >/root/.docker/config.json")).unwrap();
    let upgraded = shell.run_within(&upgrade, within).unwrap();
    assert!(upgraded.text.contains("done: 0.2.0 runs after the next boot"), "{}", upgraded.text);
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &image.login());
    assert_eq!(shell.check("cat /etc/motd").unwrap().trim(), "built by a factory");
    let status = shell.check("basalt-agent status").unwrap();
    assert!(status.contains("edge 0.2.0 · amd64 · healthy"), "{status}");
}
