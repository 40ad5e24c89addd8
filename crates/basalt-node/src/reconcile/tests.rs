use basalt_spec::node::NodeConfig;
use proptest::{prelude::*, sample::subsequence};

use super::{fake::*, *};

/// The document that says something of every key.
const FULL: &str = include_str!("../../../basalt-spec/tests/node/full.yaml");

fn document(keys: &str) -> NodeSpec {
    let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n  hooks: []\n{keys}");
    NodeConfig::parse("node.yaml", &text).unwrap_or_else(|error| panic!("{error:#}\n{text}")).spec
}

const DOCUMENT: &str = r#"
  hostname: edge-7
  timezone: Europe/Rome
  users:
    - {name: admin, sshAuthorizedKeys: [ssh-ed25519 AAAAC3 admin@laptop, "github:somebody"], shell: /bin/sh}
    - {name: app, sudo: true, groups: [adm]}
  network:
    interfaces: [{name: lan0, dhcp: both}]
  files:
    - {path: /etc/motd, content: "managed\n"}
    - {path: /var/lib/app, directory: true, owner: "app:app"}
  sysctls: {net.ipv4.ip_forward: 1}
  modules: [br_netfilter]
  units:
    - {name: cron.service, state: enabled}
    - {name: app.service, state: enabled, content: "[Service]\nExecStart=/usr/bin/true\n"}
    - {name: ssh.service, state: disabled}
  mounts:
    - {path: /srv/data, source: LABEL=data, type: ext4}
"#;

/// Plans and executes; then nothing is left to do.
#[track_caller]
fn settle(spec: &NodeSpec, machine: &mut Machine, record: &Record) -> Record {
    let first = plan(spec, machine, record);
    let record = machine.apply(&first);
    // Fetched keys are a file of the next plan's.
    let second = plan(spec, machine, &record);
    let fetched = first.steps.iter().any(|step| matches!(step, Step::FetchKeys { .. }));
    let record = if fetched { machine.apply(&second) } else { record };
    let last = plan(spec, machine, &record);
    assert_eq!(last.steps, [], "after\n{first}");
    assert_eq!(last.record, record);
    record
}

#[test]
fn what_a_document_makes_of_a_machine() {
    let plan = plan(&document(DOCUMENT), &image(), &Record::default());
    insta::assert_snapshot!(plan);
    insta::assert_json_snapshot!(plan.steps.iter().find(|step| matches!(step, Step::WriteFile { .. })));
}

#[test]
fn a_full_document_is_followed_or_refused_by_name() {
    let mut machine = image();
    let full = NodeConfig::parse("node.yaml", FULL).unwrap().spec;
    insta::assert_snapshot!(plan(&full, &machine, &Record::default()));
    settle(&full, &mut machine, &Record::default());
}

#[test]
fn nothing_to_do_says_so() {
    let mut machine = image();
    let record = settle(&document(DOCUMENT), &mut machine, &Record::default());
    let text = plan(&document(DOCUMENT), &machine, &record).to_string();
    assert_eq!(text, "nothing to do: the machine is as its documents say\n");
}

#[test]
fn a_document_that_is_taken_away_leaves_the_image() {
    let mut machine = image();
    let record = settle(&document(DOCUMENT), &mut machine, &Record::default());
    let undo = plan(&document(""), &machine, &record);
    insta::assert_snapshot!(undo);
    machine.apply(&undo);
    let fresh = image();
    for path in
        ["/etc/motd", "/etc/localtime", "/etc/hosts", "/etc/ssh/authorized_keys.d/admin", "/var/lib/app"]
    {
        assert_eq!(machine.entries.get(path), fresh.entries.get(path), "{path}");
    }
    assert_eq!(machine.accounts.passwd.to_string(), fresh.accounts.passwd.to_string());
    assert_eq!(machine.accounts.group.to_string(), fresh.accounts.group.to_string());
    let units = |machine: &Machine| -> Vec<(String, Enablement, Active)> {
        machine.units.iter().map(|(name, unit)| (name.clone(), unit.enablement, unit.active)).collect()
    };
    assert_eq!((units(&machine), &machine.sysctls), (units(&fresh), &fresh.sysctls));
}

/// Numbers belong to names for ever: another document, another boot, and files in `/var` have the owner that they had.
#[test]
fn an_account_keeps_its_number() {
    let mut machine = image();
    let record = settle(&document("  users: [{name: one}, {name: two}]\n"), &mut machine, &Record::default());
    assert_eq!(machine.accounts.passwd.number("two"), Some(1002));
    let record = settle(&document("  users: [{name: zero}]\n"), &mut machine, &record);
    assert_eq!(machine.accounts.passwd.find("one"), None);
    machine.reboot();
    let record =
        settle(&document("  users: [{name: zero}, {name: two}, {name: one}]\n"), &mut machine, &record);
    let numbers = ["zero", "one", "two"].map(|name| machine.accounts.passwd.number(name));
    assert_eq!(numbers, [Some(1003), Some(1001), Some(1002)]);
    assert_eq!(record.uids.len(), 3);
}

#[test]
fn a_user_of_the_image_keeps_what_the_document_does_not_say() {
    let mut machine = image();
    settle(&document("  users: [{name: admin, gecos: The operator}]\n"), &mut machine, &Record::default());
    let row = machine.accounts.passwd.find("admin").unwrap().join(":");
    assert_eq!(row, "admin:x:1000:1000:The operator:/home/admin:/bin/bash");
    assert_eq!(machine.accounts.shadow.find("admin").unwrap()[1], "$6$salt$image");
    assert_eq!(machine.accounts.group.groups_of("admin").collect::<Vec<_>>(), ["adm", "sudo"]);
}

#[test]
fn nobody_s_password_is_in_a_plan() {
    let spec = document("  users: [{name: app, passwordHash: $6$salt$hunter2hash}]\n");
    let plan = plan(&spec, &image(), &Record::default());
    assert!(!plan.steps.is_empty());
    for text in [plan.to_string(), format!("{plan:?}"), serde_json::to_string(&plan).unwrap()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn what_cannot_be_done_is_named_and_the_rest_is_done() {
    let spec = document(
        r#"
  timezone: Mars/Olympus
  users:
    - {name: app, shell: /bin/zsh}
    - {name: admin, uid: 1001, groups: [adm]}
    - {name: other, groups: [nowhere]}
  files:
    - {path: /etc/hosts, content: x}
    - {path: /etc/passwd, content: x}
    - {path: /etc/a, content: x, owner: nobody-here}
    - {path: /etc/motd, directory: true}
  hostname: edge
  sysctls: {net.nowhere.x: 1}
  units: [{name: nowhere.service, state: enabled}]
  mounts: [{path: /srv/a, source: "disk:a"}]
  disks: [{name: a, match: {path: /dev/sdb}}]
"#,
    );
    let mut machine = image();
    insta::assert_snapshot!(plan(&spec, &machine, &Record::default()));
    settle(&spec, &mut machine, &Record::default());
}

/// Power is lost after each step: the next run, in this boot or in the next one, goes on from there.
#[test]
fn a_plan_that_was_cut_anywhere_is_finished() {
    let spec = document(DOCUMENT);
    let whole = plan(&spec, &image(), &Record::default());
    for cut in 0..whole.steps.len() {
        for reboot in [false, true] {
            let mut machine = image();
            whole.steps[..cut].iter().for_each(|step| machine.step(step));
            if reboot {
                machine.reboot();
            }
            let record = settle(&spec, &mut machine, &whole.record_before);
            settle(&document(""), &mut machine, &record);
            assert!(!machine.entries.contains_key("/var/lib/app"), "cut after {cut}");
        }
    }
}

#[test]
fn early_in_a_boot_nobody_is_waited_for_and_nothing_fetched() {
    let mut machine = image();
    machine.reboot();
    let plan = plan(&document(DOCUMENT), &machine, &Record::default());
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::FetchKeys { .. })));
    let reloads = plan.steps.iter().filter(|step| matches!(step, Step::Reload { .. })).count();
    assert_eq!(reloads, 1, "{plan}");
    // The start that the boot has queued is taken out of the queue.
    assert!(plan.to_string().contains("stop ssh.service"), "{plan}");
}

#[test]
fn paths_are_escaped_as_systemd_does() {
    let names = ["/srv/data", "/mnt/my-disk", "/srv/.hidden", "/var/lib/a b"].map(mounts::escaped);
    assert_eq!(names, ["srv-data", r"mnt-my\x2ddisk", "srv-.hidden", r"var-lib-a\x20b"]);
}

const KEYS: [&str; 14] = [
    "  hostname: edge-8\n",
    "  timezone: Europe/Rome\n",
    "  locale: C.UTF-8\n",
    "  users: [{name: app, sudo: true}, {name: admin, sudo: false}]\n",
    "  modules: [br_netfilter, overlay]\n",
    "  sysctls: {net.ipv4.ip_forward: 1, vm.swappiness: 10}\n",
    "  network: {hosts: [{address: 192.0.2.1, names: [a]}], ntp: {servers: [time.example]}}\n",
    "  files: [{path: /etc/motd, content: a}, {path: /etc/d, directory: true}, {path: /etc/d/e, content: e, mode: 0600}]\n",
    "  units: [{name: cron.service, state: enabled}, {name: ssh.service, state: masked}]\n",
    "  mounts: [{path: /srv/a, source: tmpfs, type: tmpfs}]\n",
    "  users: [{name: admin, passwordHash: $6$salt$anotherone, groups: [adm]}, {name: root, sshAuthorizedKeys: [\"gitlab:x\"]}]\n",
    "  units: [{name: cron.service, state: disabled}, {name: own.service, state: enabled, content: \"[Service]\\n\", dropIns: [{name: a, content: b}]}]\n",
    "  files: [{path: /etc/motd, target: hosts}, {path: /var/x, content: x, owner: \"7:8\"}]\n",
    "  sysctls: {vm.swappiness: 20}\n",
];

/// Some of the keys, each at most once.
fn any_document() -> impl Strategy<Value = NodeSpec> {
    subsequence(KEYS.to_vec(), 0..8).prop_map(|keys| {
        let mut seen = BTreeSet::new();
        let fresh = |line: &&&str| seen.insert(line.split(':').next().unwrap().to_owned());
        document(&keys.iter().filter(fresh).copied().collect::<String>())
    })
}

/// Somebody did something by hand.
fn drift(machine: &mut Machine, choices: &[usize]) {
    for choice in choices {
        match choice % 7 {
            0 => drop(machine.entries.insert("/etc/motd".into(), file("by hand", 0o666))),
            1 => drop(machine.entries.remove("/etc/motd")),
            2 => drop(machine.sysctls.insert("vm/swappiness".into(), "99".into())),
            3 => machine.accounts.passwd.remove("app"),
            4 => machine.accounts.group.add_member("sudo", "app"),
            5 => machine.hostname = "by-hand".into(),
            _ => drop(machine.entries.remove("/etc/d/e")),
        }
    }
}

proptest! {
    #[test]
    fn applied_means_nothing_left(
        documents in prop::collection::vec(any_document(), 1..4),
        choices in prop::collection::vec(0usize..7, 0..4),
        reboot in any::<bool>(),
    ) {
        let (mut machine, mut record) = (image(), Record::default());
        for spec in &documents {
            record = settle(spec, &mut machine, &record);
            drift(&mut machine, &choices);
            record = settle(spec, &mut machine, &record);
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Record>(&text).unwrap(), &record);
            if reboot {
                machine.reboot();
                record = settle(spec, &mut machine, &record);
            }
        }
    }
}
