use basalt_image::extension::{Inspected, Sort};
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
    let mut first = plan(spec, machine, record);
    let mut record = machine.apply(&first);
    // Fetched keys are a file of the next plan's, and a fetched extension is a link.
    for _ in 0..2 {
        if first.steps.iter().any(Step::brings_news) {
            first = plan(spec, machine, &record);
            record = machine.apply(&first);
        }
    }
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

fn extension(name: &str, content: &str, more: &str) -> String {
    format!("    - {{name: {name}, path: /run/{name}.raw, digest: \"{}\"{more}}}\n", digest(content))
}

fn extensions_document(items: &[String]) -> NodeSpec {
    document(&format!("{NO_EXTENSIONS}  extensions:\n{}", items.concat()))
}

/// A machine that is as a document without extensions says.
fn settled() -> (Machine, Record) {
    let mut machine = image();
    let record = settle(&document(NO_EXTENSIONS), &mut machine, &Record::default());
    (machine, record)
}

const NO_EXTENSIONS: &str = "  hostname: edge\n";

fn states(plan: &Plan) -> Vec<(&str, ExtensionState)> {
    plan.extensions.iter().map(|one| (one.name.as_str(), one.state)).collect()
}

#[test]
fn an_extension_is_fetched_then_linked_merged_and_started_and_goes_as_it_came() {
    let ((mut machine, record), spec) =
        (settled(), extensions_document(&[extension("tools", "tools 1", "")]));
    let first = plan(&spec, &machine, &record);
    assert_eq!(first.to_string(), " 1. fetch the extension tools from /run/tools.raw\n");
    let record = machine.apply(&first);
    let second = plan(&spec, &machine, &record);
    insta::assert_snapshot!(second.to_string().replace(&digest("tools 1").hex(), "DIGEST"));
    let record = machine.apply(&second);
    assert_eq!(states(&second), [("tools", ExtensionState::Merged)]);
    assert_eq!(machine.units["tool.service"].active, Active::Active);
    // Another one takes its place: what is in both is restarted.
    let other = extensions_document(&[extension("tools", "tools 2", "")]);
    let record = settle(&other, &mut machine, &record);
    assert_eq!(machine.extensions.stored.keys().collect::<Vec<_>>(), [&digest("tools 2")]);
    let gone = plan(&document(NO_EXTENSIONS), &machine, &record);
    insta::assert_snapshot!(gone.to_string().replace(&digest("tools 2").hex(), "DIGEST"));
    let record = machine.apply(&gone);
    assert!(machine.extensions.stored.is_empty() && machine.extensions.merged[&Sort::System].is_empty());
    assert_eq!((&record.extensions, machine.units.get("tool.service")), (&Default::default(), None));
}

#[test]
fn what_was_unmerged_by_hand_is_merged_again() {
    let mut machine = image();
    let spec = extensions_document(&[extension("tools", "tools 1", ""), extension("site", "site", "")]);
    let record = settle(&spec, &mut machine, &Record::default());
    machine.extensions.merged.clear();
    let text = plan(&spec, &machine, &record).to_string();
    assert_eq!(
        text,
        " 1. merge the system extensions that are linked\n \
         2. merge the configuration extensions that are linked\n \
         3. let systemd read its units again\n"
    );
    settle(&spec, &mut machine, &record);
}

/// Early in a boot what is here is merged, before anything starts; what is not here, or was damaged, waits for the network.
#[test]
fn each_boot_merges_what_is_here_before_anything_starts() {
    let mut machine = image();
    let spec = extensions_document(&[extension("tools", "tools 1", "")]);
    let record = settle(&spec, &mut machine, &Record::default());
    machine.reboot();
    let early = plan(&spec, &machine, &record);
    assert_eq!((early.waiting.len(), early.refusals.len()), (0, 0), "{early}");
    assert!(early.to_string().contains("merge the system extensions"), "{early}");
    machine.extensions.stored.insert(digest("tools 1"), Stored::Damaged);
    let early = plan(&spec, &machine, &record);
    assert_eq!(early.steps[0], Step::ForgetExtension { digest: digest("tools 1") });
    assert!(!early.to_string().contains("merge"), "{early}");
    assert_eq!(early.waiting, [Waiting::Extension { name: "tools".into() }]);
    let record = machine.apply(&early);
    machine.phase = Phase::Running;
    settle(&spec, &mut machine, &record);
    assert_eq!(machine.units["tool.service"].active, Active::Active);
}

/// The other release has another version of the distribution: each has its own extension, there and back again.
#[test]
fn a_release_that_is_rolled_back_to_has_the_extension_that_it_had() {
    let mut machine = image();
    let first = extensions_document(&[extension("tools", "tools 1", "")]);
    let record = settle(&first, &mut machine, &Record::default());
    let boot = |machine: &mut Machine, release: &str, version: &str| {
        machine.reboot();
        machine.phase = Phase::Running;
        machine.extensions.release = Some(digest(release));
        machine.extensions.system.insert("VERSION_ID".into(), version.into());
    };
    boot(&mut machine, "release 2", "14");
    let both = plan(&first, &machine, &record);
    assert!(both.to_string().contains("is for another system: its VERSION_ID is `13`"), "{both}");
    let second = extensions_document(&[extension("tools", "tools 14", "")]);
    let record = settle(&second, &mut machine, &record);
    assert_eq!(machine.extensions.stored.len(), 2, "the other release wants its own still");

    boot(&mut machine, "release 1", "13");
    let back = plan(&second, &machine, &record);
    assert_eq!(states(&back), [("tools", ExtensionState::Earlier)]);
    assert_eq!(back.refusals.len(), 1);
    let record = machine.apply(&back);
    assert!(machine.extensions.merged[&Sort::System].contains("tools"));
    let conditions = Report::conditions(&back, &Outcome::Executed { failures: Vec::new() });
    let condition = conditions.iter().find(|one| one.kind == "Extension/tools").unwrap();
    assert_eq!((condition.status, condition.reason.as_str()), (false, "Earlier"));
    let failures = vec![format!("{}: systemd does not merge tools", Reload::Extensions)];
    let conditions = Report::conditions(&back, &Outcome::Executed { failures });
    let reasons: Vec<&str> = conditions.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["Valid", "StepFailed", "NothingWaits", "NotMerged"]);

    // Release 2 is overwritten by another one: what only it wanted is forgotten, once no document names it.
    machine.extensions.on_disk = Some([digest("release 1").hex()].into());
    settle(&first, &mut machine, &record);
    assert_eq!(machine.extensions.stored.keys().collect::<Vec<_>>(), [&digest("tools 1")]);
    // A disk that can't be looked at makes nobody forget anything.
    machine.extensions.on_disk = None;
    assert_eq!(
        plan(&document(""), &machine, &record)
            .steps
            .iter()
            .filter(|step| { matches!(step, Step::ForgetExtension { .. }) })
            .count(),
        0
    );
}

#[test]
fn extensions_that_can_not_be_merged_are_named() {
    let mut machine = image();
    let spec = document(&format!(
        "  extensions:\n    - {{name: bare, path: /var/bare.raw}}\n    - {{name: tag, ref: \"x.example/ext:1\"}}\n{}{}{}{}",
        extension("noise", "noise", ""),
        extension("newer", "tools 14", ""),
        extension("old", "tools 1", ", releases: [\"0.9\", \"0.8.*\"]"),
        extension("mine", "tools 2", ", releases: [\"1.*\"]"),
    ));
    let record = settle(&spec, &mut machine, &Record::default());
    let plan = plan(&spec, &machine, &record);
    insta::assert_snapshot!(plan);
    let absent = ExtensionState::Absent;
    let expected = [
        ("bare", absent),
        ("tag", absent),
        ("noise", absent),
        ("newer", absent),
        ("old", ExtensionState::OtherRelease),
        ("mine", ExtensionState::Merged),
    ];
    assert_eq!(states(&plan), expected);
}

#[test]
fn nobody_s_token_is_in_the_plan_of_an_extension() {
    let url = "https://me:hunter2@files.example/a.raw?token=hunter3";
    let spec =
        document(&format!("  extensions: [{{name: a, url: \"{url}\", digest: \"{}\"}}]\n", digest("a")));
    let plan = plan(&spec, &image(), &Record::default());
    for text in [plan.to_string(), serde_json::to_string(&plan).unwrap()] {
        assert!(text.contains("https://files.example/a.raw") && !text.contains("hunter"), "{text}");
    }
}

/// The rules of systemd-sysext(8), one line each: the extension's fields, the system's, and what is said.
#[test]
fn what_matches_a_system() {
    let fields = |text: &str| basalt_image::extension::fields(&text.replace(' ', "\n"));
    for (sort, release, system, expected) in [
        (Sort::System, "ID=a VERSION_ID=1", "ID=a VERSION_ID=1", ""),
        (Sort::System, "ID=_any", "ID=a VERSION_ID=1", ""),
        (
            Sort::System,
            "ID=_any ARCHITECTURE=arm64",
            "ID=a",
            "its ARCHITECTURE is `arm64`, and this system's is `x86-64`",
        ),
        (Sort::System, "ID=a VERSION_ID=1 ARCHITECTURE=_any", "ID=a VERSION_ID=1", ""),
        (Sort::System, "VERSION_ID=1", "ID=a VERSION_ID=1", "its ID is not said, and this system's is `a`"),
        (Sort::System, "ID=b VERSION_ID=1", "ID=a VERSION_ID=1", "its ID is `b`, and this system's is `a`"),
        (Sort::System, "ID=a", "ID=a VERSION_ID=1", "its VERSION_ID is not said, and this system's is `1`"),
        (Sort::System, "ID=a", "ID=a", ""),
        (Sort::System, "ID=a VERSION_ID=2 SYSEXT_LEVEL=7", "ID=a VERSION_ID=1 SYSEXT_LEVEL=7", ""),
        (
            Sort::System,
            "ID=a VERSION_ID=1 SYSEXT_LEVEL=8",
            "ID=a VERSION_ID=1 SYSEXT_LEVEL=7",
            "its SYSEXT_LEVEL is `8`, and this system's is `7`",
        ),
        (Sort::Configuration, "ID=a VERSION_ID=1 SYSEXT_LEVEL=8", "ID=a VERSION_ID=1 SYSEXT_LEVEL=7", ""),
        (Sort::Configuration, "ID=a CONFEXT_LEVEL=7", "ID=a VERSION_ID=1 CONFEXT_LEVEL=7", ""),
        (
            Sort::System,
            "ID=a VERSION_ID=1 SYSEXT_SCOPE=initrd",
            "ID=a VERSION_ID=1",
            "it is for initrd, and not for a running system",
        ),
    ] {
        let image = Inspected {
            sort,
            name: "other".into(),
            strict: false,
            release: fields(release),
            units: BTreeSet::new(),
            root_hash: None,
        };
        let facts = ExtensionFacts {
            system: fields(system),
            architecture: "x86-64".into(),
            ..ExtensionFacts::default()
        };
        let said = fits(&facts, "mine", &image).err().map(|why| why.to_string()).unwrap_or_default();
        assert_eq!(said, expected, "{release} on {system}");
        let strict = fits(&facts, "mine", &Inspected { strict: true, ..image });
        assert_eq!(strict, Err(Mismatch::Name("other".into())));
    }
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

/// Some of the keys, each at most once, and some extensions.
fn any_document() -> impl Strategy<Value = NodeSpec> {
    let items = [
        extension("tools", "tools 1", ""),
        extension("more", "tools 2", ""),
        extension("newer", "tools 14", ""),
        extension("site", "site", ""),
        extension("noise", "noise", ""),
        extension("old", "tools 1", ", releases: [\"0.*\"]"),
    ];
    let extensions = subsequence(items.to_vec(), 0..5);
    (subsequence(KEYS.to_vec(), 0..8), extensions).prop_map(|(keys, items)| {
        let mut seen = BTreeSet::new();
        let fresh = |line: &&&str| seen.insert(line.split(':').next().unwrap().to_owned());
        let keys = keys.iter().filter(fresh).copied().collect::<String>();
        document(&format!(
            "{keys}  extensions: [\n{}  ]\n",
            items.join("").replace("    - ", "    ").replace("}\n", "},\n")
        ))
    })
}

/// Somebody did something by hand.
fn drift(machine: &mut Machine, choices: &[usize]) {
    for choice in choices {
        match choice % 9 {
            0 => drop(machine.entries.insert("/etc/motd".into(), file("by hand", 0o666))),
            1 => drop(machine.entries.remove("/etc/motd")),
            2 => drop(machine.sysctls.insert("vm/swappiness".into(), "99".into())),
            3 => machine.accounts.passwd.remove("app"),
            4 => machine.accounts.group.add_member("sudo", "app"),
            5 => machine.hostname = "by-hand".into(),
            6 => machine.extensions.merged.clear(),
            7 => drop(machine.entries.remove("/run/extensions/tools.raw")),
            _ => drop(machine.entries.remove("/etc/d/e")),
        }
    }
}

proptest! {
    #[test]
    fn applied_means_nothing_left(
        documents in prop::collection::vec(any_document(), 1..4),
        choices in prop::collection::vec(0usize..9, 0..4),
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
