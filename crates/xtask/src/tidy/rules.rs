//! The rules.

use super::facts::Facts;

/// What each crate may be built from: crates of ours, in the order of the walls. A crate that is not here is a mistake.
const WALLS: [(&str, &[&str]); 16] = [
    ("basalt-types", &[]),
    ("basalt-formats", &["basalt-types"]),
    ("basalt-debian", &["basalt-types", "basalt-formats"]),
    ("basalt-spec", &["basalt-types"]),
    ("basalt-trust", &["basalt-types", "basalt-formats"]),
    ("basalt-image", &["basalt-types", "basalt-formats", "basalt-debian", "basalt-spec"]),
    ("basalt-node", &["basalt-types", "basalt-formats", "basalt-spec", "basalt-image"]),
    ("basalt-exec", &["basalt-types"]),
    ("basalt-fetch", &["basalt-types", "basalt-debian", "basalt-exec"]),
    ("basalt-vm", &["basalt-types", "basalt-exec"]),
    ("basalt-guard", &[]),
    ("basalt-init", &["basalt-types", "basalt-formats", "basalt-exec"]),
    (
        "basalt-agent",
        &[
            "basalt-types",
            "basalt-formats",
            "basalt-spec",
            "basalt-image",
            "basalt-node",
            "basalt-trust",
            "basalt-exec",
            "basalt-fetch",
        ],
    ),
    (
        "basalt-factory",
        &[
            "basalt-types",
            "basalt-formats",
            "basalt-debian",
            "basalt-spec",
            "basalt-image",
            "basalt-node",
            "basalt-trust",
            "basalt-exec",
            "basalt-fetch",
            "basalt-vm",
        ],
    ),
    ("basalt-testkit", &["basalt-types", "basalt-exec", "basalt-vm"]),
    (
        "xtask",
        &[
            "basalt-types",
            "basalt-formats",
            "basalt-spec",
            "basalt-exec",
            "basalt-fetch",
            "basalt-vm",
            "basalt-testkit",
        ],
    ),
];

/// Crates without effects, and what would give them some.
const PURE: [&str; 7] = [
    "basalt-types",
    "basalt-formats",
    "basalt-debian",
    "basalt-spec",
    "basalt-trust",
    "basalt-image",
    "basalt-node",
];
const EFFECTFUL: [&str; 8] =
    ["clap", "indicatif", "rustix", "signal-hook", "tempfile", "ureq", "libc", "nix"];
/// What the clippy.toml of a pure crate forbids at least.
const FORBIDDEN: [&str; 5] =
    ["std::process::Command", "std::fs::", "std::net::", "std::env::", "std::time::SystemTime::now"];

const MAX_LINES: usize = 800;

/// No crate reaches through a wall, and no pure crate has a door.
pub(super) fn walls(facts: &Facts) -> Vec<String> {
    let mut complaints = Vec::new();
    for one in &facts.crates {
        let Some((name, allowed)) = WALLS.iter().find(|(name, _)| *name == one.name) else {
            complaints
                .push(format!("{}: give it its place in WALLS (crates/xtask/src/tidy/rules.rs)", one.name));
            continue;
        };
        let ours = |name: &str| WALLS.iter().any(|(ours, _)| *ours == name);
        for dependency in one.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            let through = ours(&dependency.name) && !allowed.contains(&dependency.name.as_str());
            let door = PURE.contains(name) && EFFECTFUL.contains(&dependency.name.as_str());
            if through || door {
                complaints.push(format!("{name}: must not depend on {}; move the code", dependency.name));
            }
        }
    }
    complaints
}

/// No crate opts out of the lints.
pub(super) fn lints(facts: &Facts) -> Vec<String> {
    facts
        .texts(|path| path.starts_with("crates/") && path.ends_with("Cargo.toml"))
        .filter(|(_, text)| !text.contains("[lints]\nworkspace = true"))
        .map(|(path, _)| format!("{path}: add `[lints]` with `workspace = true`"))
        .collect()
}

/// A crate's clippy.toml replaces the root's, so it must repeat it; a pure crate's forbids effects on top.
pub(super) fn clippy(facts: &Facts) -> Vec<String> {
    let shared: Vec<&str> = facts
        .text("clippy.toml")
        .unwrap_or_default()
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#'))
        .collect();
    let mut complaints = Vec::new();
    for (path, text) in facts.texts(|path| path.starts_with("crates/") && path.ends_with("/clippy.toml")) {
        let missing = shared.iter().filter(|line| !text.lines().any(|own| own == **line));
        complaints.extend(missing.map(|line| format!("{path}: repeat the root's `{line}`")));
    }
    for name in PURE {
        let path = format!("crates/{name}/clippy.toml");
        let text = facts.text(&path).unwrap_or_default();
        let missing = FORBIDDEN.into_iter().filter(|name| !text.contains(name));
        complaints.extend(missing.map(|name| format!("{path}: forbid `{name}`")));
    }
    complaints
}

/// No module is too long to be read.
pub(super) fn sizes(facts: &Facts) -> Vec<String> {
    facts
        .texts(|path| path.ends_with(".rs") && !is_test(path))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines; split it at {MAX_LINES}"))
        .collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs")
}

/// No crate may allow itself unsafe code but the door to the host, and the program to which everything is a raw pointer.
pub(super) fn unsafe_code(facts: &Facts) -> Vec<String> {
    let allowance = concat!("allow(", "unsafe_code");
    let allowed = |path: &str| {
        ["crates/basalt-exec/", "crates/basalt-guard/"].iter().any(|door| path.starts_with(door))
    };
    facts
        .texts(|path| path.ends_with(".rs") && !allowed(path))
        .filter(|(_, text)| text.contains(allowance))
        .map(|(path, _)| format!("{path}: move its unsafe code to basalt-exec"))
        .collect()
}

/// A test that can't run fails; it is never left out in silence.
pub(super) fn ignored_tests(facts: &Facts) -> Vec<String> {
    let attribute = concat!("#[", "ignore");
    facts
        .texts(|path| path.ends_with(".rs"))
        .filter(|(_, text)| text.lines().any(|line| line.trim_start().starts_with(attribute)))
        .map(|(path, _)| format!("{path}: let the test run or remove it"))
        .collect()
}

/// Mirrors and registries are the reader's choice: no committed file names one.
pub(super) fn hosts(facts: &Facts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in facts.texts(|_| true) {
        for (number, line) in text.lines().enumerate() {
            for host in hosts_in(line).filter(|host| names_a_mirror(host)) {
                complaints.push(format!("{path}:{}: do not name the host `{host}`", number + 1));
            }
        }
    }
    complaints
}

/// The host of every URL in a line.
fn hosts_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://")
        .filter(|(at, _)| line[..*at].ends_with("http") || line[..*at].ends_with("https"))
        .map(|(at, _)| {
            let rest = &line[at + 3..];
            let end = rest.find(|byte: char| !byte.is_ascii_alphanumeric() && byte != '.' && byte != '-');
            &rest[..end.unwrap_or(rest.len())]
        })
}

fn names_a_mirror(host: &str) -> bool {
    // RFC 2606 reserves these for documents.
    let reserved = ["example", "test", "invalid", "localhost"].iter().any(|top| host.rsplit('.').next() == Some(top))
            || host.ends_with("example.com")
            || host.ends_with("example.org")
            // What a reference without a host means, and the key that docker keeps its password under: grammar, no mirror.
            || host == "docker.io"
            || host.ends_with(".docker.io");
    let words =
        ["deb", "ftp", "mirror", "mirrors", "registry", "snapshot", "archive", "security", "ghcr", "docker"];
    !reserved && host.contains('.') && host.split('.').any(|part| words.contains(&part))
}

/// What a program can write is never edited by hand.
pub(super) fn generated(facts: &Facts) -> Vec<String> {
    let path = "docs/schema/recipe.schema.json";
    if facts.text(path) == Some(facts.schema.as_str()) {
        return Vec::new();
    }
    vec![format!("{path}: not current; run `cargo run -- schema > {path}`")]
}

/// The documents that HOUSE asks for are there; every page of the book is in its summary and every link leads somewhere.
pub(super) fn documents(facts: &Facts) -> Vec<String> {
    let mut complaints: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "docs/book/src/SUMMARY.md"]
            .iter()
            .filter(|path| !facts.files.contains_key(**path))
            .map(|path| format!("{path}: missing"))
            .collect();
    let book = "docs/book/src/";
    let summary = facts.text("docs/book/src/SUMMARY.md").unwrap_or_default();
    for (path, _) in facts.texts(|path| path.starts_with(book) && path.ends_with(".md")) {
        let page = &path[book.len()..];
        if page != "SUMMARY.md" && !summary.contains(&format!("({page})")) {
            complaints.push(format!("{path}: link it from SUMMARY.md"));
        }
    }
    for (path, text) in facts.texts(|path| path.ends_with(".md")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in links(text) {
            let resolved = resolve(folder, target);
            let exists =
                facts.files.keys().any(|file| *file == resolved || file.starts_with(&format!("{resolved}/")));
            if !exists {
                complaints.push(format!("{path}: the link to `{target}` leads nowhere"));
            }
        }
    }
    complaints
}

/// Targets of Markdown links to files of the repository, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, _)| {
        let target = text[at + 2..].split([')', ' ', '\n']).next()?;
        let file = target.split('#').next()?;
        (!file.is_empty() && !file.contains("://") && !file.starts_with("mailto:")).then_some(file)
    })
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
