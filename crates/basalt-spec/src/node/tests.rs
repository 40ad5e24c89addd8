use super::*;
use crate::{Problem, ProblemKind};

const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n";

/// A document that says something of every key.
const FULL: &str = include_str!("../../tests/node/full.yaml");

fn spec(text: &str) -> NodeSpec {
    NodeConfig::parse("node.yaml", &format!("{HEAD}{text}")).unwrap_or_else(|error| panic!("{error:#}")).spec
}

/// The problems of a text, each with its line and its place in the line.
fn refused(text: &str) -> Vec<(ProblemKind, (usize, usize), String)> {
    let error = NodeConfig::parse("node.yaml", &format!("{HEAD}{text}")).expect_err(text);
    let found = |problem: &Problem| (problem.kind(), error.position(problem), problem.message().to_owned());
    error.problems().iter().map(found).collect()
}

#[test]
fn nothing_has_to_be_written() {
    let config = NodeConfig::parse("x", "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\n").unwrap();
    assert_eq!(config.spec, NodeSpec::default());
    assert_eq!(spec("  users:\n  network:\n"), NodeSpec::default());
}

#[test]
fn a_full_document_says_what_it_means() {
    let full = NodeConfig::parse("full.yaml", FULL).unwrap_or_else(|error| panic!("{error:#}")).spec;
    assert_eq!(
        full.image.map(|image| image.reference.to_string()).as_deref(),
        Some("registry.example/os/edge:1")
    );
    assert_eq!(full.users[0].ssh_authorized_keys.len(), 4);
    assert_eq!(full.users[1].home(), "/root");
    let kinds: Vec<_> = full.network.interfaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(kinds, ["lan0", "lan1", "bond0", "office", "br0", "wlan0"]);
    let InterfaceKind::Vlan(vlan) = &full.network.interfaces[3].kind else { panic!("not a VLAN") };
    assert_eq!((vlan.id.to_string().as_str(), vlan.link.as_str()), ("42", "bond0"));
    assert_eq!(full.files[1].content, NodeFileContent::Bytes("AAEC".parse().unwrap()));
    assert_eq!(full.sysctls.len(), 2);
    assert_eq!(full.kubernetes.map(|cluster| cluster.role), Some(Role::Worker));
}

/// What is printed is read again as the same, but for secrets, which are not printed.
#[test]
fn what_is_written_is_read_again() {
    let config = NodeConfig::parse("full.yaml", FULL).unwrap();
    let text = serde_json::to_string(&config).unwrap();
    assert!(!text.contains("hunter2") && text.contains("<redacted>"));
    let text = text.replace("<redacted>", "hunter2!");
    let again: NodeConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&config).unwrap());
}

macro_rules! refuses {
    ($($name:ident: $text:literal => $kind:ident at $line:literal:$column:literal, $message:literal;)*) => {$(
        #[test]
        fn $name() {
            let found = refused($text);
            assert_eq!(found.len(), 1, "{found:?}");
            let (kind, position, message) = &found[0];
            assert_eq!((*kind, *position), (ProblemKind::$kind, ($line, $column)), "{message}");
            assert!(message.contains($message), "{message}");
        }
    )*};
}

refuses! {
    an_unknown_key: "  hostnmae: a\n" => UnknownKey at 4:3, "unknown key `hostnmae`";
    an_unknown_key_of_an_interface: "  network:\n    interfaces:\n      - {name: eth0, dhcp4: true}\n"
        => UnknownKey at 6:22, "unknown key `dhcp4`";
    a_key_outside_of_spec: "  hostname: a\nusers: []\n" => UnknownKey at 5:1, "unknown key `users`";
    a_clear_password: "  users:\n    - {name: a, passwordHash: secret}\n" => BadValue at 5:31, "not a password hash";
    a_short_mac: "  network: {interfaces: [{name: e, mac: '52:54'}]}\n" => BadValue at 4:41, "not a MAC address";
    an_address_without_prefix: "  network: {interfaces: [{name: e, addresses: [192.0.2.1]}]}\n"
        => BadValue at 4:48, "not an address with its prefix length";
    a_vlan_that_is_reserved: "  network: {interfaces: [{name: v, vlan: {id: 4095, link: e}}]}\n"
        => BadValue at 4:47, "1 to 4094";
    two_kinds: "  network:\n    interfaces:\n      - name: x\n        vlan: {id: 1, link: e}\n        bond: {members: [e]}\n"
        => BadValue at 6:9, "in more than one way: `vlan`, `bond`";
    a_made_interface_with_a_card: "  network:\n    interfaces:\n      - name: x\n        bridge: {members: []}\n        match: {mac: '52:54:00:12:34:56'}\n"
        => BadValue at 6:9, "`match` has no card";
    two_gateways: "  network: {interfaces: [{name: x, gateways: [192.0.2.1, 192.0.2.2]}]}\n"
        => BadValue at 4:26, "two gateways of one family";
    a_large_packet: "  network: {interfaces: [{name: x, mtu: 70000}]}\n" => BadValue at 4:26, "70000";
    a_file_on_the_root: "  files:\n    - {path: /usr/bin/x, content: x}\n" => Conflict at 5:14, "verified root";
    a_file_with_two_contents: "  files:\n    - {path: /etc/x, content: x, target: y}\n"
        => BadValue at 5:7, "exactly one of `content`, `base64`, `target`, `directory`; it has `content`, `target`";
    a_file_with_a_strange_mode: "  files:\n    - {path: /etc/x, content: x, mode: rw}\n" => BadValue at 5:40, "file mode";
    a_mount_on_the_system: "  mounts:\n    - {path: /usr/lib, source: tmpfs}\n" => Conflict at 5:14, "hide a part";
    two_users_of_one_name: "  users:\n    - {name: a}\n    - {name: a}\n" => Conflict at 6:14, "`a` is in `users` twice";
    two_drop_ins_of_one_name: "  units:\n    - name: x.service\n      dropIns:\n        - {name: a, content: x}\n        - {name: a, content: y}\n"
        => Conflict at 8:18, "`a` is in `units.dropIns` twice";
    two_users_of_one_number: "  users:\n    - {name: a, uid: 7}\n    - {name: b, uid: 7}\n" => Conflict at 6:22, "number 7";
    a_unit_without_suffix: "  units: [{name: nginx}]\n" => BadValue at 4:18, "unit name";
    a_masked_unit_with_text: "  units: [{name: a.service, state: masked, content: x}]\n" => Conflict at 4:36, "is masked";
    a_check_of_nothing: "  upgrade: {health: {checks: [{name: a}]}}\n" => MissingKey at 4:31, "needs one of `unit`";
    a_window_without_hours: "  upgrade: {window: Sun}\n" => BadValue at 4:21, "window of time";
    a_url_without_digest: "  extensions: [{name: a, url: 'https://x.example/a'}]\n" => BadValue at 4:16, "needs `digest`";
    a_reference_with_two_digests: "  extensions: [{name: a, ref: 'x.example/a@sha256:0000000000000000000000000000000000000000000000000000000000000000', digest: 'sha256:1111111111111111111111111111111111111111111111111111111111111111'}]\n"
        => BadValue at 4:16, "another one in `digest`";
    a_disk_that_can_not_be: "  disks: [{name: a, match: {minSize: 2GiB, maxSize: 1GiB}}]\n" => Conflict at 4:28, "no disk";
    a_pcr_that_is_not_there: "  encryption: {data: {unlock: [tpm2], pcrs: [24]}}\n" => Conflict at 4:46, "no PCR 24";
    nothing_that_unlocks: "  encryption: {data: {unlock: []}}\n" => Conflict at 4:31, "nothing would open";
    two_tokens: "  kubernetes: {distribution: k3s, role: worker, token: a, tokenFile: /etc/t}\n"
        => Conflict at 4:70, "`token` is written too";
    a_first_that_joins: "  kubernetes: {distribution: k3s, role: init, endpoint: 'https://a.example'}\n"
        => Conflict at 4:57, "none to join";
    an_unknown_stage: "  hooks: [{name: a, stage: boot.before, script: x}]\n" => BadValue at 4:28, "unknown value `boot.before`";
    a_sysctl_without_a_dot: "  sysctls: {foo: 1}\n" => BadValue at 4:18, "`foo` is not a sysctl";
    keys_over_plain_http: "  users: [{name: a, sshAuthorizedKeys: ['http://x.example/k']}]\n"
        => BadValue at 4:41, "not a source of SSH keys";
}

/// Words that hold secrets are not quoted when they are wrong.
#[test]
fn a_wrong_secret_is_not_quoted() {
    let found = refused("  kubernetes: {distribution: k3s, role: worker, token: \"hunter2\\nx\"}\n");
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
}

#[test]
fn problems_come_all_at_once() {
    let found = refused("  hostname: -a\n  timezon: UTC\n  users: [{name: A}, {nam: b}]\n");
    let places: Vec<_> = found.iter().map(|(kind, position, _)| (*kind, *position)).collect();
    assert_eq!(
        places,
        [
            (ProblemKind::BadValue, (4, 13)),
            (ProblemKind::UnknownKey, (5, 3)),
            (ProblemKind::BadValue, (6, 18)),
            (ProblemKind::MissingKey, (6, 22)),
            (ProblemKind::UnknownKey, (6, 23)),
        ]
    );
}
