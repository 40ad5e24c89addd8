//! How the machine is, as far as its documents say something of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use basalt_exec::files::{self, FileError, Root};
use basalt_node::reconcile::{self, Entry, EntryKind, Machine, Phase, Record};
use basalt_spec::{node::NodeSpec, words::UnixMode};
use basalt_types::Digest;

use super::{Keys, System, accounts, extensions, systemd};
use crate::error::{AgentResult, Kind, OrFail as _};

/// The largest file of a document is far below: its document has 4 MiB. What somebody put there instead may be larger.
const MOST_BYTES: u64 = 256 << 20;

pub(super) fn machine(
    system: &System,
    spec: &NodeSpec,
    record: &Record,
    phase: Phase,
) -> AgentResult<Machine> {
    let keys = Keys::read(system)?.of(spec);
    let boot_id = proc("sys/kernel/random/boot_id")?;
    let record = record.clone().in_boot(&boot_id);
    let interest = reconcile::interest(spec, &keys, &record);
    let hash = match phase {
        Phase::Early => extensions::Hash::Yes,
        Phase::Running => extensions::Hash::No,
    };
    let in_etc: BTreeSet<String> =
        interest.paths.iter().filter(|path| path.starts_with("/etc/")).cloned().collect();
    Ok(Machine {
        phase,
        boot_id,
        hostname: proc("sys/kernel/hostname")?,
        entries: entries(&system.root, &interest.paths).or_fail(Kind::Host)?,
        image: entries(&system.image, &in_etc).or_fail(Kind::Host)?,
        accounts: accounts::read(&system.root).or_fail(Kind::Host)?,
        image_accounts: accounts::read(&system.image).or_fail(Kind::Host)?,
        sysctls: sysctls(&interest.sysctls),
        modules: modules(&interest.modules),
        units: systemd::units(&interest.units).or_fail(Kind::Host)?,
        present: present(&system.root, interest.present).or_fail(Kind::Host)?,
        keys,
        extensions: extensions::facts(Path::new(reconcile::STORE), &record, hash).or_fail(Kind::Host)?,
    })
}

fn proc(path: &str) -> AgentResult<String> {
    Ok(fs::read_to_string(format!("/proc/{path}")).or_fail(Kind::Host)?.trim_end().to_owned())
}

pub(super) fn entries(root: &Root, paths: &BTreeSet<String>) -> Result<BTreeMap<String, Entry>, FileError> {
    let mut found = BTreeMap::new();
    for path in paths {
        if let Some(entry) = root.entry(path.trim_start_matches('/'), MOST_BYTES)? {
            found.insert(path.clone(), fact(entry));
        }
    }
    Ok(found)
}

fn fact(entry: files::Entry) -> Entry {
    let files::Attributes { mode, uid, gid } = entry.attributes;
    let kind = match entry.kind {
        files::EntryKind::File(bytes) => EntryKind::File(Digest::of(&bytes)),
        files::EntryKind::Link(target) => EntryKind::Link(target.to_string_lossy().into_owned()),
        files::EntryKind::Directory(empty) => EntryKind::Directory { empty },
        files::EntryKind::Special => EntryKind::Special,
    };
    // The low twelve bits fit.
    let mode = UnixMode::from_bits(u16::try_from(mode & 0o7777).unwrap_or(0));
    Entry { kind, mode, uid, gid }
}

fn present(root: &Root, paths: BTreeSet<String>) -> Result<BTreeSet<String>, FileError> {
    let mut found = BTreeSet::new();
    for path in paths {
        if root.exists(path.trim_start_matches('/'))? {
            found.insert(path);
        }
    }
    Ok(found)
}

/// A setting that can't be read is one that the kernel has not, as far as a document is concerned.
fn sysctls(paths: &BTreeSet<String>) -> BTreeMap<String, String> {
    let read = |path: &String| match fs::read_to_string(format!("/proc/sys/{path}")) {
        Ok(text) => Some((path.clone(), text.trim_end().to_owned())),
        Err(_missing) => None,
    };
    paths.iter().filter_map(read).collect()
}

/// Modules that are loaded have a folder in `/sys/module`; those that are built in are listed beside the loadable ones.
fn modules(names: &BTreeSet<String>) -> BTreeSet<String> {
    if names.is_empty() {
        return BTreeSet::new();
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let built_in = fs::read_to_string(format!("/usr/lib/modules/{}/modules.builtin", release.trim()))
        .unwrap_or_default();
    let built_in: BTreeSet<String> = built_in
        .lines()
        .filter_map(|line| Some(line.rsplit('/').next()?.strip_suffix(".ko")?.replace('-', "_")))
        .collect();
    let there = |name: &&String| {
        built_in.contains(*name) || fs::exists(format!("/sys/module/{name}")).is_ok_and(|there| there)
    };
    names.iter().filter(there).cloned().collect()
}
