use proptest::prelude::*;

use super::*;

fn parse(lines: &str) -> Recipe {
    let text = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n{lines}");
    Recipe::parse("recipe.yaml", &text).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn the_shortest_recipe_has_a_default_for_everything() {
    insta::assert_snapshot!(parse("").to_canonical_json());
}

#[test]
fn a_value_is_what_its_key_wants() {
    // In YAML 1.1 and 1.2 these are a number, a truth value and a number in octal.
    let recipe = parse("version: 1.10\nhostname: no\nfiles:\n  - {path: /a, content: 012, mode: 0600}\n");
    assert_eq!(recipe.version.as_str(), "1.10");
    assert_eq!(recipe.hostname().as_str(), "no");
    assert_eq!(recipe.files[0].mode.bits(), 0o600);
    assert_eq!(recipe.files[0].content, FileContent::Inline("012".to_owned()));
}

#[test]
fn a_key_without_a_value_is_empty_and_not_an_error() {
    assert_eq!(parse("packages:\n#  - vim\nunits:\nkernel:\nhostname: ~\n"), parse(""));
}

#[test]
fn a_script_is_text_or_a_file() {
    assert_eq!(parse("script: echo hi\n").script, Some(Script::Inline("echo hi".to_owned())));
    assert_eq!(parse("script: {inline: echo hi}\n").script, Some(Script::Inline("echo hi".to_owned())));
    assert_eq!(parse("script: {source: a.sh}\n").script, Some(Script::Source("a.sh".parse().unwrap())));
}

#[test]
fn every_form_of_file_is_read() {
    let recipe = parse(
        "files:\n- {path: /a, content: x, owner: 'root:adm'}\n- {path: /b, source: ./b}\n- {path: /c, target: ../a}\n- {path: /d, directory: true}\n",
    );
    let modes: Vec<String> = recipe.files.iter().map(|file| file.mode.to_string()).collect();
    assert_eq!(modes, ["0644", "0644", "0777", "0755"]);
    assert_eq!(recipe.files[2].content, FileContent::Link("../a".to_owned()));
    assert_eq!(recipe.files[3].content, FileContent::Directory);
}

#[test]
fn sid_has_no_pockets() {
    assert_eq!(parse("base: {debian: {suite: sid}}\n").base.debian.pockets(), BTreeSet::new());
    assert_eq!(parse("").base.debian.pockets(), BTreeSet::from([Pocket::Updates, Pocket::Security]));
    assert_eq!(parse("base: {debian: {pockets: []}}\n").base.debian.pockets(), BTreeSet::new());
}

#[test]
fn a_snapshot_has_always_expired() {
    assert!(parse("").base.debian.checks_valid_until());
    assert!(!parse("base: {debian: {snapshot: 20260801T000000Z}}\n").base.debian.checks_valid_until());
}

#[test]
fn keys_bring_the_packages_that_they_need() {
    let names = |lines: &str| -> Vec<String> {
        parse(lines).implied_packages().into_iter().map(|implied| implied.package.to_string()).collect()
    };
    let boot = "linux-image-amd64 systemd-sysv udev dbus kmod systemd-boot-efi systemd-boot e2fsprogs";
    assert_eq!(names("").join(" "), boot);
    assert!(names("architecture: arm64\n").contains(&"linux-image-arm64".to_owned()));
    assert!(names("timezone: Europe/Rome\n").contains(&"tzdata".to_owned()));
    assert!(names("disk: {dataFileSystem: xfs}\n").contains(&"xfsprogs".to_owned()));
    assert!(names("users: [{name: a, sudo: true}]\n").contains(&"sudo".to_owned()));
    assert!(!names("deselect: [dbus]\n").contains(&"dbus".to_owned()));
    let cloud = names("kernel: {package: linux-image-cloud-amd64}\n");
    assert_eq!(cloud[0], "linux-image-cloud-amd64");
    // Names from our own table are names.
    for name in
        names("timezone: Europe/Rome\nlocale: it_IT.UTF-8\nkeymap: it\nusers: [{name: a, sudo: true}]\n")
    {
        assert!(name.parse::<PackageName>().is_ok(), "{name}");
    }
}

#[test]
fn the_edge_example_is_valid() {
    let text = include_str!("../../../../examples/edge/recipe.yaml");
    let recipe = Recipe::parse("examples/edge/recipe.yaml", text).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(recipe.name.as_str(), "edge");
    let beside: Vec<String> = recipe.local_files().iter().map(ToString::to_string).collect();
    assert_eq!(beside, ["files/issue", "files/motd"]);
}

/// The template with every line that starts with `#` and a key as if the `#` were not there.
fn uncommented(template: &str) -> String {
    let key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == ' ');
    let comment = |line: &str| line.starts_with(" ") && !line.starts_with("  ");
    let lines = template.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if key(rest) && !comment(rest) => rest,
        Some(_) | None => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_template_is_valid_and_shows_the_defaults() {
    let written = Recipe::parse("recipe.yaml", TEMPLATE).unwrap_or_else(|error| panic!("{error:#}"));
    let text = uncommented(TEMPLATE);
    let mut shown = Recipe::parse("recipe.yaml", &text).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    assert!(shown.script.take().is_some(), "the template shows a script");
    assert_eq!(shown.to_canonical_json(), written.to_canonical_json());
    let schema = crate::recipe_schema();
    let keys = schema["properties"].as_object().unwrap().keys();
    let absent: Vec<_> = keys.filter(|key| !TEMPLATE.contains(key.as_str())).collect();
    assert_eq!(absent, Vec::<&String>::new(), "keys that the template doesn't show");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        drop(Recipe::parse("recipe.yaml", &text));
    }

    #[test]
    fn no_yaml_makes_the_reader_panic(text in "([a-z]{1,4}: |- |\\{|\\}|\\[|\\]|\n|  |x|&a |\\*a|!t |'|\"|#|\\||>|,|\\?|: ){0,40}") {
        drop(Recipe::parse("recipe.yaml", &text));
        let after = format!("apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: edge\n{text}");
        drop(Recipe::parse("recipe.yaml", &after));
    }

    #[test]
    fn what_is_written_as_json_reads_the_same(recommends: bool, slot in 1u64..1 << 40, mode in 0u16..0o7777, text: String) {
        let mut recipe = parse("files: [{path: /a, content: x}]\n");
        recipe.recommends = recommends;
        recipe.disk.slot = SlotSize::Fixed(basalt_types::ByteSize::bytes(slot));
        recipe.files[0].mode = crate::words::UnixMode::from_bits(mode);
        recipe.files[0].content = FileContent::Inline(text);
        let json = serde_json::to_string(&recipe).unwrap();
        prop_assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
    }
}

#[test]
fn a_recipe_inherits_what_it_does_not_write() {
    let below = parse("locale: C\nkernelArguments: [quiet]\npackages: [vim]\ndisk: {esp: 512MiB}\n");
    let text = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: top\nfrom: below.yaml\n\
                timezone: Europe/Rome\nkernelArguments: [debug]\npackages: [nano]\n";
    let top = Written::parse("top.yaml", text).unwrap().over(&below);
    assert_eq!((top.locale.as_str(), top.timezone.as_str()), ("C", "Europe/Rome"));
    assert_eq!(top.disk, below.disk);
    assert_eq!(top.kernel_arguments.iter().map(ToString::to_string).collect::<Vec<_>>(), ["quiet", "debug"]);
    assert_eq!(top.packages, parse("packages: [nano]\n").packages, "what the tree has is not added again");
    assert_eq!(top.hostname().as_str(), "top", "the name below was a default");
}

#[test]
fn every_output_reads_back_by_its_word() {
    for output in Output::ALL {
        let text = format!("from: x.yaml\noutputs: [{}]\n", output.word());
        assert_eq!(parse(&text).outputs.into_iter().collect::<Vec<_>>(), [output]);
        assert!(!output.endings().is_empty());
    }
}
