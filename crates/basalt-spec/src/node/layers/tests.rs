use proptest::prelude::*;

use super::*;
use crate::ProblemKind;

const HEAD: &str = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n";

/// Documents called `a`, `b`, … by rising precedence, each the text below `spec:`.
fn layers(texts: &[&str]) -> Layers {
    let mut layers = Layers::default();
    for (name, text) in ["a", "b", "c", "d"].iter().zip(texts) {
        layers.push(name, &format!("{HEAD}{text}")).unwrap_or_else(|error| panic!("{error:#}"));
    }
    layers
}

fn merged(texts: &[&str]) -> Merged {
    layers(texts).merge().unwrap_or_else(|error| panic!("{error:#}"))
}

/// What is below `spec:` in the end, as YAML.
fn check(texts: &[&str], expected: &str) {
    let text = merged(texts).text(Provenance::Hidden);
    assert_eq!(
        text.split_once("spec:").map(|(_, spec)| spec.trim_start_matches('\n')),
        Some(expected),
        "{texts:?}"
    );
}

#[test]
fn scalars_are_replaced() {
    check(&["  hostname: a\n", "  hostname: b\n"], "  hostname: b\n");
    check(&["  hostname: a\n", "  timezone: UTC\n"], "  hostname: a\n  timezone: UTC\n");
}

#[test]
fn mappings_merge_by_key() {
    check(
        &["  sysctls: {vm.a: 1, vm.b: 2}\n", "  sysctls: {vm.b: 3, vm.c: 4}\n"],
        "  sysctls:\n    vm.a: 1\n    vm.b: 3\n    vm.c: 4\n",
    );
}

#[test]
fn named_things_merge_by_name_and_keep_their_order() {
    check(
        &["  users: [{name: x, shell: /bin/a}, {name: y}]\n", "  users: [{name: z}, {name: x, uid: 7}]\n"],
        "  users:\n    - name: x\n      shell: /bin/a\n      uid: 7\n    - name: y\n    - name: z\n",
    );
}

#[test]
fn named_things_inside_of_others_merge_too() {
    check(
        &[
            "  units: [{name: x.service, dropIns: [{name: a, content: A}]}]\n",
            "  units: [{name: x.service, dropIns: [{name: b, content: B}, {name: a, content: C}]}]\n",
        ],
        "  units:\n    - name: x.service\n      dropIns:\n        - name: a\n          content: C\n        - name: b\n          content: B\n",
    );
}

#[test]
fn other_lists_are_replaced() {
    check(&["  modules: [a, b]\n", "  modules: [c]\n"], "  modules:\n    - c\n");
    check(&["  modules: [a, b]\n", "  modules: []\n"], "  modules: []\n");
}

#[test]
fn null_takes_away_and_nothing_says_nothing() {
    check(&["  hostname: a\n  timezone: UTC\n", "  hostname: null\n"], "  timezone: UTC\n");
    check(&["  hostname: a\n", "  hostname:\n"], "  hostname: a\n");
    check(&["  users: [{name: x, uid: 5}]\n", "  users: [{name: x, uid: ~}]\n"], "  users:\n    - name: x\n");
    check(
        &["  users: [{name: x}]\n", "  users: null\n", "  users: [{name: y}]\n"],
        "  users:\n    - name: y\n",
    );
    check(&["  users: [{name: x}]\n", "  users: []\n"], "  users:\n    - name: x\n");
}

#[test]
fn named_things_are_removed_by_name() {
    let texts = ["  users: [{name: x, uid: 5}, {name: y}]\n", "  users: [{name: x, remove: true}]\n"];
    check(&texts, "  users:\n    - name: y\n");
    // What comes back later is a new thing: nothing of the old one is left.
    check(&[texts[0], texts[1], "  users: [{name: x}]\n"], "  users:\n    - name: x\n    - name: y\n");
}

#[test]
fn a_removal_is_only_that() {
    let error =
        layers(&[]).push("a", &format!("{HEAD}  users: [{{name: x, uid: 1, remove: true}}]\n")).unwrap_err();
    assert_eq!(
        error.problems().iter().map(crate::Problem::kind).collect::<Vec<_>>(),
        [ProblemKind::UnknownKey]
    );
    let error = layers(&[])
        .push("a", &format!("{HEAD}  users: [{{name: x}}, {{name: x, remove: true}}]\n"))
        .unwrap_err();
    assert_eq!(
        error.problems().iter().map(crate::Problem::kind).collect::<Vec<_>>(),
        [ProblemKind::Conflict]
    );
}

#[test]
fn a_key_is_explained() {
    let merged = merged(&[
        "  hostname: a\n  users:\n    - name: admin\n      shell: /bin/a\n",
        "  users: [{name: admin, shell: /bin/b}]\n",
        "  hostname: null\n",
    ]);
    let explained = merged.explain(&"users[admin].shell".parse().unwrap()).unwrap();
    assert_eq!(explained.value.as_deref(), Some("/bin/b"));
    let mentions: Vec<_> =
        explained.mentions.iter().map(|one| (one.place.to_string(), one.value.clone())).collect();
    assert_eq!(
        mentions,
        [("a:7".to_owned(), Some("/bin/a".to_owned())), ("b:4".to_owned(), Some("/bin/b".to_owned()))]
    );
    let explained = merged.explain(&"spec.hostname".parse().unwrap()).unwrap();
    assert_eq!((explained.value, explained.mentions.len()), (None, 2));
    assert_eq!(explained.mentions[1].value, None);
    assert_eq!(merged.explain(&"users.nobody".parse().unwrap()), None);
    assert_eq!(merged.explain(&"timezone".parse().unwrap()), None);
}

#[test]
fn provenance_stands_behind_each_value() {
    let text = merged(&["  hostname: a\n  modules: [x]\n", "  sysctls: {vm.a: 1}\n  hostname: b\n"])
        .text(Provenance::Shown);
    assert_eq!(
        text,
        "apiVersion: basalt.dev/v1alpha1  # b:1\nkind: NodeConfig  # b:2\nspec:\n  hostname: b  # b:5\n  modules:\n    - x  # a:5\n  sysctls:\n    vm.a: 1  # b:4\n"
    );
}

#[test]
fn secrets_are_not_shown_and_their_changes_are() {
    let one = "  kubernetes: {distribution: k3s, role: init, token: hunter2, environment: {A: hunter3}}\n  users: [{name: x, passwordHash: $6$salt$hunter4444}]\n  network: {interfaces: [{name: w, wifi: {networks: [{ssid: s, passphrase: hunter5}]}}]}\n";
    let before = merged(&[one]);
    let text = before.text(Provenance::Shown);
    assert!(!text.contains("hunter"), "{text}");
    assert_eq!(text.matches("<redacted>").count(), 4);
    for (_, mention) in before.leaves() {
        assert!(!mention.value.unwrap_or_default().contains("hunter"));
    }
    let explained = before.explain(&"kubernetes".parse().unwrap()).unwrap();
    assert!(!format!("{explained:?}").contains("hunter"));
    let after = merged(&[one, "  kubernetes: {token: other}\n"]);
    let keys: Vec<_> = before.differences(&after).iter().map(|one| one.key.to_string()).collect();
    assert_eq!(keys, ["kubernetes.token"]);
}

/// What is required may be in another document; what is wrong is wrong in its own.
#[test]
fn a_document_may_lack_what_another_has() {
    let cluster = "  kubernetes: {distribution: k3s, role: init}\n";
    merged(&[cluster, "  kubernetes: {token: secret}\n"]);
    merged(&["  files: [{path: /etc/x, content: a}]\n", "  files: [{path: /etc/x, mode: 0600}]\n"]);
    let error = layers(&["  kubernetes: {token: secret}\n", "  files: [{path: /etc/x, mode: 0600}]\n"])
        .merge()
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("a:4:3: the key `distribution` is missing"), "{text}");
    assert!(text.contains("b:4:11: `/etc/x` needs one of `content`"), "{text}");
    assert!(Layers::default().push("a", "spec: {}\n").is_err(), "the head is every document's own");
}

#[test]
fn differences_say_both_sides() {
    let (a, b) = ("  hostname: a\n  modules: [x]\n", "  hostname: b\n  modules: null\n  timezone: UTC\n");
    let found = merged(&[a]).differences(&merged(&[a, b]));
    let shown = |mention: &Option<Mention>| mention.as_ref().and_then(|mention| mention.value.clone());
    let found: Vec<_> =
        found.iter().map(|one| (one.key.to_string(), shown(&one.before), shown(&one.after))).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            ("hostname".to_owned(), text("a"), text("b")),
            ("timezone".to_owned(), None, text("UTC")),
            ("modules".to_owned(), text("- x\n"), None),
        ]
    );
}

/// Documents that are right one by one, and not together.
#[test]
fn contradictions_between_documents_name_both() {
    let error =
        layers(&["  files: [{path: /etc/x, content: a}]\n", "  files: [{path: /etc/x, target: b}]\n"])
            .merge()
            .unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("it has `content`, `target`"), "{text}");
    let error =
        layers(&["  users: [{name: a, uid: 7}]\n", "  users: [{name: b, uid: 7}]\n"]).merge().unwrap_err();
    assert_eq!(format!("{error:#}"), "the documents contradict each other\nb:4:26: `a` has the number 7 too");
}

#[test]
fn what_is_made_of_others_needs_them() {
    let vlan = "  network: {interfaces: [{name: v, vlan: {id: 2, link: e}}]}\n";
    let error = layers(&[vlan]).merge().unwrap_err();
    assert!(format!("{error:#}").contains("a:4:56: no document has an interface called `e`"), "{error:#}");
    merged(&["  network: {interfaces: [{name: e}]}\n", vlan]);
    let shared = "  network: {interfaces: [{name: e}, {name: b, bond: {members: [e]}}, {name: r, bridge: {members: [e]}}]}\n";
    assert!(format!("{:#}", layers(&[shared]).merge().unwrap_err()).contains("`e` is a part of `b` already"));
    let error = layers(&["  mounts: [{path: /srv/x, source: 'disk:y'}]\n"]).merge().unwrap_err();
    assert!(format!("{error:#}").contains("no document has a disk called `y`"));
    let error = layers(&["  kubernetes: {distribution: k0s, role: worker}\n"]).merge().unwrap_err();
    assert!(format!("{error:#}").contains("joining a cluster takes `endpoint`"));
}

#[test]
fn a_command_line_is_a_document() {
    let mut layers = layers(&["  hostname: a\n  users: [{name: admin}]\n"]);
    let line = "quiet basalt.node.hostname=b basalt.node.users[admin].shell=/bin/sh \"basalt.node.users[admin].gecos=The Boss\" \
                basalt.node.network.dns.servers=[192.0.2.1,192.0.2.2] basalt.node.sysctls[vm.a]=1 ro";
    assert!(layers.push_command_line("kernel command line", line).is_ok());
    // Quotes around the whole word are somebody else's: the name would begin with one.
    let spec = layers.merge().unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(spec.config.spec.hostname.map(|name| name.to_string()).as_deref(), Some("b"));
    assert_eq!(spec.config.spec.users[0].shell.as_ref().map(ToString::to_string).as_deref(), Some("/bin/sh"));
    assert_eq!(spec.config.spec.network.dns.map(|dns| dns.servers.len()), Some(2));
    assert_eq!(spec.config.spec.sysctls.len(), 1);
    assert_eq!(spec.root.keys().count(), 3);
    let explained =
        Layers::clone(&spec.layers).merge().unwrap().explain(&"hostname".parse().unwrap()).unwrap();
    assert_eq!(explained.mentions[1].place.to_string(), "kernel command line:1");
    assert_eq!(explained.mentions[1].place.column, 7);
}

#[test]
fn a_command_line_without_our_words_is_none() {
    let mut layers = Layers::default();
    assert!(!layers.push_command_line("cmdline", "quiet ro root=x").unwrap_or(true));
    assert_eq!(layers.names().count(), 0);
}

#[test]
fn wrong_assignments_are_refused_with_their_place() {
    for (line, message) in [
        ("x basalt.node.hostname", "has no `=`"),
        ("x basalt.node.hostnmae=a", "unknown key `hostnmae`"),
        ("x basalt.node.hostname=-a", "`-a` is not a host name"),
        ("x basalt.node.=a", "empty key"),
        ("x basalt.node.a..b=a", "empty key"),
        ("x basalt.node.users[a=b", "has no `=`"),
        ("x basalt.node.modules=[a", ""),
        ("x basalt.node.hostname=a basalt.node.hostname.b=c", "a value already"),
    ] {
        let error = Layers::default().push_command_line("cmdline", line).unwrap_err();
        let problem = &error.problems()[0];
        assert!(problem.message().contains(message), "{line}: {error:#}");
        assert!(error.position(problem).1 >= 3, "{line}: {error:#}");
    }
}

#[test]
fn key_paths() {
    for text in
        ["hostname", "users[admin].shell", "sysctls[net.ipv4.ip_forward]", "files[/etc/x].mode", "a[b[c]].d"]
    {
        let path: KeyPath = text.parse().unwrap();
        let again: KeyPath = path.to_string().parse().unwrap();
        assert_eq!(path, again, "{path}");
    }
    assert_eq!("users[admin].shell".parse::<KeyPath>(), "spec.users.admin.shell".parse());
    assert_eq!(
        "files[/etc/x].mode".parse::<KeyPath>().map(|path| path.to_string()).as_deref(),
        Ok("files[/etc/x].mode")
    );
    for text in ["", ".", "a.", ".a", "a..b", "a[", "a[b", "a[]", "a[b]c"] {
        assert!(text.parse::<KeyPath>().is_err(), "{text}");
    }
}

#[test]
fn a_key_is_known_or_not() {
    let known = |text: &str| text.parse::<KeyPath>().unwrap().known().map_err(|error| error.to_string());
    for text in ["hostname", "users[a b].shell", "network.interfaces[x].vlan.id", "sysctls[vm.x]", "network"]
    {
        assert_eq!(known(text), Ok(()), "{text}");
    }
    let near = known("hostnmae").unwrap_err();
    assert_eq!(near, "no document may have a key `hostnmae`: did you mean `hostname`?");
    assert!(known("users[x].shel").is_err());
}

#[test]
fn json_has_what_is_written_and_no_secret() {
    let merged = merged(&[
        "  hostname: a\n  users: [{name: x, uid: 7, passwordHash: $6$salt$hunter4444}]\n  kubernetes: {distribution: k3s, role: init, token: hunter2}\n",
    ]);
    assert_eq!(
        merged.json().unwrap()["spec"],
        serde_json::json!({
            "hostname": "a", "users": [{"name": "x", "uid": 7, "passwordHash": "<redacted>"}],
            "kubernetes": {"distribution": "k3s", "role": "init", "token": "<redacted>"},
        })
    );
}

#[test]
fn texts_of_any_sort_are_read_again() {
    let script = "#!/bin/sh\n\techo \"a: b\" # c\n\n  indented\n";
    for text in [
        script,
        " leading",
        "\n",
        "a\n\n",
        "key: value",
        "# no comment",
        "null",
        "yes",
        "- x",
        "a #b",
        "trailing ",
        "tab\there",
        "é日本",
        "'",
        "%x",
        "@x",
        "a\r\nb",
    ] {
        let document = serde_json::json!({"apiVersion": "basalt.dev/v1alpha1", "kind": "NodeConfig", "spec": {"files": [{"path": "/etc/x", "content": text}]}});
        // JSON is YAML.
        let mut layers = Layers::default();
        layers.push("a", &document.to_string()).unwrap_or_else(|error| panic!("{text:?}: {error:#}"));
        let shown = layers.merge().unwrap().text(Provenance::Shown);
        let read = NodeConfig::parse("again", &shown).unwrap_or_else(|error| panic!("{shown}\n{error:#}"));
        let content = crate::node::NodeFileContent::Text(text.to_owned());
        assert_eq!(read.spec.files[0].content, content, "{shown}");
    }
}

/// What is never shown is exactly what the schema says is only written, and the hash of a password.
#[test]
fn every_secret_of_the_schema_is_known() {
    let schema = crate::node_config_schema();
    let mut found = Vec::new();
    for keys in
        schema["$defs"].as_object().unwrap().values().filter_map(|value| value["properties"].as_object())
    {
        let secret = |value: &serde_json::Value| value.to_string().contains("#/$defs/Secret");
        found.extend(keys.iter().filter(|(_, value)| secret(value)).map(|(key, _)| key.clone()));
    }
    found.sort();
    assert_eq!(found, ["environment", "passphrase", "token"], "add the new one to SECRETS");
}

/// Texts of documents over few keys, so that they meet.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![Just(None), Just(Some("null")), Just(Some("a")), Just(Some("b"))];
    let sysctls = prop_oneof![
        Just(String::new()),
        Just("  sysctls: null\n".to_owned()),
        proptest::collection::btree_map("[xyz]", prop_oneof![Just("1"), Just("2"), Just("null")], 0..3)
            .prop_map(|map| {
                let entries: Vec<_> = map.iter().map(|(key, value)| format!("vm.{key}: {value}")).collect();
                format!("  sysctls: {{{}}}\n", entries.join(", "))
            }),
    ];
    let user = prop_oneof![
        Just(", remove: true".to_owned()),
        Just(String::new()),
        prop_oneof![Just("/bin/a"), Just("/bin/b"), Just("null")]
            .prop_map(|shell| format!(", shell: {shell}")),
        prop_oneof![Just("[g]"), Just("[h, i]"), Just("[]"), Just("null")]
            .prop_map(|groups| format!(", groups: {groups}")),
    ];
    let users = prop_oneof![
        Just(String::new()),
        Just("  users: null\n".to_owned()),
        proptest::collection::btree_map("[xyz]", user, 0..3).prop_map(|map| {
            let items: Vec<_> = map.iter().map(|(name, rest)| format!("{{name: {name}{rest}}}")).collect();
            format!("  users: [{}]\n", items.join(", "))
        }),
    ];
    (scalar, sysctls, users).prop_map(|(scalar, sysctls, users)| {
        let hostname = scalar.map(|value| format!("  hostname: {value}\n")).unwrap_or_default();
        format!("{HEAD}{hostname}{sysctls}{users}")
    })
}

/// The layers of documents, with places that differ between documents.
fn trees(texts: &[String]) -> Vec<Layer> {
    let mut layers = Layers::default();
    for text in texts {
        layers.push("x", text).unwrap_or_else(|error| panic!("{text}{error:#}"));
    }
    layers.sources.iter().map(|source| Layer::of(&source.root)).collect()
}

/// A tree without its places.
fn values(layer: Layer) -> String {
    layer.settle().map(|node| text::raw(&node)).unwrap_or_default()
}

proptest! {
    /// Also in the places: provenance doesn't depend on which two documents are merged first.
    #[test]
    fn the_merge_is_associative(texts in proptest::collection::vec(document(), 3)) {
        let [a, b, c] = <[Layer; 3]>::try_from(trees(&texts)).unwrap();
        let left = a.clone().under(b.clone()).under(c.clone());
        let right = a.under(b.under(c));
        prop_assert_eq!(left.settle(), right.settle());
    }

    #[test]
    fn the_merge_is_idempotent(text in document(), below in document()) {
        let [below, one, again] = <[Layer; 3]>::try_from(trees(&[below, text.clone(), text])).unwrap();
        prop_assert_eq!(values(one.clone()), values(one.clone().under(again.clone())));
        let once = below.under(one);
        prop_assert_eq!(values(once.clone()), values(once.under(again)));
    }

    /// Nothing that the last document says is overruled, and its values come from it.
    #[test]
    fn the_last_one_wins(texts in proptest::collection::vec(document(), 1..4)) {
        let mut layers = Layers::default();
        for (index, text) in texts.iter().enumerate() {
            layers.push(&index.to_string(), text).unwrap_or_else(|error| panic!("{error:#}"));
        }
        let last = (texts.len() - 1).to_string();
        let mut alone = Layers::default();
        alone.push(&last, texts.last().unwrap()).unwrap();
        let (alone, merged) = (alone.merge().unwrap(), layers.merge().unwrap());
        let all = merged.leaves();
        for (key, mention) in alone.leaves() {
            let empty = matches!(mention.value.as_deref(), Some("" | "{}" | "[]"));
            let found = all.iter().find(|(own, _)| *own == key);
            // An empty mapping or list of named things says that nothing is added.
            prop_assert!(empty || found.is_some_and(|(_, own)| *own == mention), "{} {:?} {:?}", key, mention, found);
        }
    }
}
