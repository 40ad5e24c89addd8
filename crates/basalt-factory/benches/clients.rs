//! Other people's clients before our registry and our signatures, for `cargo xtask soak clients`: oras copies what a factory
//! built, cosign verifies what `basalt push` signed, and `basalt verify` what cosign signed. Prints one line.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it fails by panicking, as a test does, and its words are its result"
)]

#[path = "../tests/build_support/mod.rs"]
mod build_support;
#[path = "../tests/serve_support/mod.rs"]
mod serve_support;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use basalt_testkit::{Door, Registry};
use build_support::{Project, assert_fails, assert_works};
use serve_support::{Factory, SMALL};

fn main() {
    let tools = std::env::var_os("BASALT_GO_TREE").expect("run this by `cargo xtask soak clients`");
    let tool = |name: &str| Command::new(Path::new(&tools).join("bin").join(name));
    let pulled = oras(&tool);
    let verified = cosign(&tool);
    println!("{pulled}; {verified}");
}

/// oras copies a container from a factory's registry into a layout; without a token it gets nothing.
fn oras(tool: &impl Fn(&str) -> Command) -> String {
    let factory = Factory::start(&[]);
    let program = factory.first_person().token(&["read", "build"]);
    let id = program.build(&SMALL.replace("[tar]", "[container]")).json()["id"].as_str().unwrap().to_owned();
    program.wait(&id, "succeeded");
    let host = factory.address.trim_start_matches("http://");
    let layout = factory.folder.path().join("layout");
    let copy = |token: &str| {
        let from = format!("{host}/container/small:0.1.0");
        let to = format!("{}:small", layout.display());
        let mut oras = tool("oras");
        oras.args(["copy", "--from-plain-http", "--from-username", "ada", "--from-password", token, &from]);
        oras.args(["--to-oci-layout", &to]).output().unwrap()
    };
    let refused = copy("basalt_0");
    assert!(!refused.status.success() && said(&refused).contains("unauthorized"), "{}", said(&refused));
    assert_works(&copy(&program.token));
    let index = fs::read_to_string(layout.join("index.json")).unwrap();
    assert!(index.contains("\"small\""), "{index}");
    let version = said(&tool("oras").arg("version").output().unwrap());
    format!("oras {} copies from the factory's registry", word_behind("Version:", &version))
}

/// cosign verifies a release that was signed by a push, and signs one that `basalt verify` takes.
fn cosign(tool: &impl Fn(&str) -> Command) -> String {
    let project = Project::with(|text| format!("{text}\noutputs: [oci]\n"));
    let path = |name: &str| project.folder.path().join(name).display().to_string();
    let basalt = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
        command.args(arguments).env("BASALT_CACHE", project.cache()).output().unwrap()
    };
    for keys in ["keys", "other"] {
        assert_works(&basalt(&["keys", "new", &path(keys)]));
    }
    assert_works(&project.run(&["build", "--locked"]));
    let registry = Registry::start(Door::Open);
    let [ours, theirs] = ["ours", "theirs"].map(|name| format!("{}/edge/{name}:0.1.0", registry.host()));
    let archive = project.out().join("edge.oci.tar").display().to_string();
    assert_works(&basalt(&["push", &archive, &ours, "--insecure", "--keys", &path("keys")]));
    assert_works(&basalt(&["push", &archive, &theirs, "--insecure"]));

    let run = |arguments: &[&str]| {
        let mut cosign = tool("cosign");
        // Keys without a passphrase.
        cosign.current_dir(project.folder.path()).env("COSIGN_PASSWORD", "").args(arguments).output().unwrap()
    };
    let verify = |reference: &str, key: &str| {
        run(&["verify", "--key", key, "--insecure-ignore-tlog", "--allow-http-registry", reference])
    };
    assert_works(&verify(&ours, &path("keys/release.pub")));
    let foreign = verify(&ours, &path("other/release.pub"));
    assert!(!foreign.status.success(), "{}", said(&foreign));
    let unsigned = verify(&theirs, &path("keys/release.pub"));
    assert!(!unsigned.status.success(), "{}", said(&unsigned));

    assert_works(&run(&["generate-key-pair"]));
    let sign = ["sign", "--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry", "--yes"];
    assert_works(&run(&[&sign[..], &[&theirs]].concat()));
    let checked = |key: &str| basalt(&["verify", &theirs, "--insecure", "--key", key]);
    assert_works(&checked(&path("cosign.pub")));
    let words = ["none of the 1 keys that may sign made it"];
    assert_fails(&checked(&path("keys/release.pub")), 4, &words);
    format!(
        "cosign {} verifies what `basalt push` signed, `basalt verify` what it signed, and both refuse another key",
        word_behind("GitVersion:", &said(&run(&["version"])))
    )
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn word_behind<'a>(first: &str, text: &'a str) -> &'a str {
    let mut words = text.split_whitespace().skip_while(|word| *word != first);
    words.nth(1).unwrap_or("of an unknown version")
}
