//! Secrets are planted in every part, and none is in what the archive's bytes unpack to.

use basalt_exec::command::Exit;
use basalt_spec::node::NodeConfig;
use basalt_testkit::run_tool;

use super::*;

const DOCUMENT: &str = r#"apiVersion: basalt.dev/v1alpha1
kind: NodeConfig
spec:
  users: [{name: app, passwordHash: $6$salt$planted0hash}]
  network: {interfaces: [{name: wlan0, wifi: {country: DE, networks: [{ssid: a, passphrase: planted1wifi}]}}]}
  kubernetes: {distribution: k3s, role: worker, endpoint: "https://a.example", token: planted2token, environment: {A: planted3env}}
  files:
    - {path: /etc/app/key, mode: 0600, content: "planted4line\n"}
    - {path: /etc/app/public, mode: 0644, content: "everybody may read it\n"}
"#;

/// A part that says each secret, in the ways in which logs do.
const LOG: &str = r#"app[7]: connects with planted1wifi and planted2token
app[7]: read planted4line, env A is planted3env
shadow: app:$6$salt$planted0hash:19000:0:99999:7:::
shadow: other:$y$j9T$saltsalt$planted5:19000::::::
GET https://me:planted6@registry.example/v2/?token=planted7 200
Authorization: Bearer planted8
{"client_secret": "planted9", "kept": "one"}
-----BEGIN OPENSSH PRIVATE KEY-----
plantedA
-----END OPENSSH PRIVATE KEY-----
Command line: basalt.node.kubernetes.token=plantedB console=ttyS0
everybody may read it
"#;

#[test]
fn no_planted_secret_is_in_a_bundle() {
    let spec = NodeConfig::parse("node.yaml", DOCUMENT).unwrap().spec;
    let part = |name: &str, content: Result<&str, &str>| Part {
        name: name.into(),
        content: content.map(str::to_owned).map_err(str::to_owned),
    };
    let parts = [
        part("journal/boot-0.txt", Ok(LOG)),
        part("status.json", Ok("{}\n")),
        part("plan.txt", Err("it says planted2token")),
    ];
    let bytes = bundle("basalt-logs-x-7", &parts, &Redactor::new(secrets(&spec)), 7).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.tar.zst");
    fs::write(&file, bytes).unwrap();
    let words = ["--zstd", "-xf", file.to_str().unwrap(), "-C", folder.path().to_str().unwrap()];
    let done = run_tool("tar", "tar", &words);
    assert_eq!(done.exit, Exit::Code(0), "{}", done.stderr_tail);
    let unpacked = folder.path().join("basalt-logs-x-7");
    let read = |name: &str| fs::read_to_string(unpacked.join(name)).unwrap();
    let log = read("journal/boot-0.txt");
    assert!(!log.contains("planted"), "{log}");
    for kept in [
        "console=ttyS0",
        "everybody may read it",
        "\"kept\": \"one\"",
        "registry.example/v2/",
        "app:<redacted>:19000",
    ] {
        assert!(log.contains(kept), "`{kept}` is not in\n{log}");
    }
    assert_eq!(
        (read("status.json").as_str(), read("missing.txt").as_str()),
        ("{}\n", "plan.txt: it says <redacted>\n")
    );
}

#[test]
fn what_is_missing_is_told() {
    let parts = [Part { name: "time.txt".into(), content: Err("no timedatectl".into()) }];
    let text = told(Path::new("/x.tar.zst"), &parts, 2048);
    assert_eq!(
        text,
        "  without time.txt: no timedatectl\n/x.tar.zst: 1 parts, 2 KiB; look at it before you give it away\n"
    );
}
