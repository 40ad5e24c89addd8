//! The parts of a bundle, and where each comes from.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_exec::command::{Command, Program};
use basalt_node::{
    doctor,
    reconcile::{Phase, Report},
    status::Status,
    upgrade::HISTORY,
};
use basalt_spec::node::Provenance;

use super::Part;
use crate::{
    commands::doctor::findings,
    documents::{self, merged},
    error::{AgentError, AgentResult},
    observe::{self, CRASHES, OpenFor, crash_files},
    reconcile::{self, Wish},
};

/// Makes a part.
type Make = fn() -> AgentResult<String>;

/// What a program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest file that is taken along whole.
const MOST_BYTES: u64 = 4 << 20;
/// Lines of a boot's journal: some MB.
const JOURNAL_LINES: &str = "--lines=20000";

/// What programs of the machine print, by the names of their parts.
const PROGRAMS: [(&str, &[&str]); 17] = [
    (
        "journal/boot-0.txt",
        &["journalctl", "--no-pager", "-o", "short-iso-precise", JOURNAL_LINES, "-b", "0"],
    ),
    (
        "journal/boot-1.txt",
        &["journalctl", "--no-pager", "-o", "short-iso-precise", JOURNAL_LINES, "-b", "-1"],
    ),
    (
        "journal/boot-2.txt",
        &["journalctl", "--no-pager", "-o", "short-iso-precise", JOURNAL_LINES, "-b", "-2"],
    ),
    ("journal/boots.txt", &["journalctl", "--no-pager", "--list-boots"]),
    ("journal/kernel.txt", &["journalctl", "--no-pager", "-o", "short-monotonic", "-k", "-b", "0"]),
    ("units/failed.txt", &["systemctl", "--no-pager", "--full", "--failed"]),
    ("units/all.txt", &["systemctl", "--no-pager", "--full", "--all", "list-units"]),
    ("units/files.txt", &["systemctl", "--no-pager", "list-unit-files"]),
    ("units/jobs.txt", &["systemctl", "--no-pager", "list-jobs"]),
    ("units/blame.txt", &["systemd-analyze", "--no-pager", "blame"]),
    ("network/links.txt", &["networkctl", "--no-pager", "status", "--all"]),
    ("network/names.txt", &["resolvectl", "--no-pager", "status"]),
    ("network/addresses.txt", &["ip", "address"]),
    ("network/routes.txt", &["ip", "route", "show", "table", "all"]),
    ("time.txt", &["timedatectl", "--no-pager"]),
    ("storage/devices.txt", &["lsblk", "-o", "NAME,SIZE,TYPE,FSTYPE,LABEL,PARTLABEL,PARTUUID,MOUNTPOINTS"]),
    ("extensions.txt", &["systemd-sysext", "--no-pager", "status"]),
];

/// Files, by the names of their parts.
const FILES: [(&str, &str); 11] = [
    ("history.jsonl", HISTORY),
    ("reconcile.json", Report::PATH),
    ("boot/boot.json", basalt_node::BootFacts::PATH),
    ("boot/image.json", basalt_image::layout::ImageInfo::PATH),
    ("boot/command-line.txt", "/proc/cmdline"),
    ("boot/os-release", "/usr/lib/os-release"),
    ("memory.txt", "/proc/meminfo"),
    ("modules.txt", "/proc/modules"),
    ("storage/mounts.txt", "/proc/self/mountinfo"),
    ("storage/partitions.txt", "/proc/partitions"),
    ("network/resolv.conf", "/etc/resolv.conf"),
];

/// All of them; each by itself, so that one that can't be had is missed alone.
pub(super) fn collect() -> Vec<Part> {
    let own: [(&str, Make); 7] = [
        ("status.json", status),
        ("configuration.yaml", configuration),
        ("plan.txt", plan),
        ("doctor.txt", || Ok(doctor::text(&findings()))),
        ("health.txt", health),
        ("boot/entries.txt", entries),
        ("storage/table.txt", table),
    ];
    let own = own.into_iter().map(|(name, make)| part(name, make().map_err(|error| told(&error))));
    let programs = PROGRAMS.iter().map(|(name, words)| part(name, said(words)));
    let files = FILES.iter().map(|(name, path)| part(name, read(Path::new(path))));
    own.chain(programs).chain(files).chain(crashes()).collect()
}

fn part(name: &str, content: Result<String, String>) -> Part {
    Part { name: name.to_owned(), content }
}

/// An error and its causes on one line.
fn told(error: &AgentError) -> String {
    error.to_string().replace('\n', ";")
}

fn said(words: &[&str]) -> Result<String, String> {
    let Some((name, arguments)) = words.split_first() else { return Err("nothing is asked".to_owned()) };
    let program = Program::find(name, "systemd").map_err(|error| error.to_string())?;
    let finished = Command::new(&program).args(arguments).timeout(PATIENCE).finish();
    let finished = finished.map_err(|error| error.to_string())?;
    // Some end badly for what they say, such as `systemctl --failed` of units that failed.
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    let complaint = finished.stderr_tail.trim();
    if text.is_empty() && !complaint.is_empty() { Err(complaint.to_owned()) } else { Ok(text) }
}

fn read(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("it has {length} bytes, more than {MOST_BYTES}"));
    }
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| error.to_string())
}

fn status() -> AgentResult<String> {
    let status = Status::new(observe::status()?);
    Ok(serde_json::to_string_pretty(&status).unwrap_or_default() + "\n")
}

fn configuration() -> AgentResult<String> {
    Ok(merged(&documents::observe(None)?, None)?.text(Provenance::Shown))
}

fn plan() -> AgentResult<String> {
    Ok(reconcile::plan(&Wish::observe()?, Phase::Running)?.to_string())
}

fn health() -> AgentResult<String> {
    let spec = crate::commands::config::node_spec()?;
    let reports = observe::health::gates(&basalt_node::health::gates(&spec.upgrade.health));
    Ok(reports.iter().map(|report| format!("{report}\n")).collect())
}

fn entries() -> AgentResult<String> {
    let node = observe::upgrade::node(OpenFor::Reading)?;
    Ok(format!("{:#?}\n", node.facts.esp))
}

fn table() -> AgentResult<String> {
    let node = observe::upgrade::node(OpenFor::Reading)?;
    Ok(format!("{:#?}\n", node.facts.table))
}

/// What crashes left.
fn crashes() -> Vec<Part> {
    let files = crash_files(Path::new(CRASHES));
    let name = |file: &PathBuf| {
        let below = file.strip_prefix(CRASHES).unwrap_or(file);
        format!("crashes/{}", below.display())
    };
    files.iter().filter(|file| file.is_file()).map(|file| part(&name(file), read(file))).collect()
}
