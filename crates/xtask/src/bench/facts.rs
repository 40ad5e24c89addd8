//! What a reader must know of the machine, the commit and the peers to judge the numbers.

use basalt_exec::command::{Command, Program};
use basalt_testkit::Trixie;
use basalt_vm::{Host, KvmState};
use std::{fs, path::Path, thread, time::SystemTime};

use crate::{
    error::{Done, TaskError},
    paths,
};

/// The machine and the tree, before anything is measured.
#[derive(Debug)]
pub(super) struct Machine {
    /// UTC.
    pub(super) date: String,
    /// The commit, and whether the tree differs from it.
    pub(super) commit: String,
    /// `2 × model`.
    pub(super) processors: String,
    /// MiB.
    pub(super) memory: u64,
    /// `uname -r`.
    pub(super) kernel: String,
    /// Of the last minute: what else ran.
    pub(super) load: String,
    /// Whether guests run on the processor or are emulated.
    pub(super) kvm: &'static str,
    /// Who is compared, with versions.
    pub(super) peers: String,
}

/// The peers' packages.
const PEERS: [&str; 5] = ["mkosi", "mmdebstrap", "apt", "dpkg", "systemd-repart"];

/// Reads them.
pub(super) fn observe(tree: &Trixie) -> Done<Machine> {
    let cpuinfo = read("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg")?;
    Ok(Machine {
        date: run("date", "coreutils", &["-u", "+%F %H:%M UTC"])?,
        commit: commit()?,
        processors: format!("{count} × {}", model.map_or("unknown", |(_, model)| model.trim())),
        memory: meminfo("MemTotal:")? >> 20,
        kernel: run("uname", "coreutils", &["-r"])?,
        load: load.split(' ').next().unwrap_or_default().to_owned(),
        kvm: match Host::observe().kvm {
            KvmState::Works => "KVM",
            KvmState::Unusable { .. } => "emulated, without KVM",
        },
        peers: versions(tree, &PEERS)?,
    })
}

/// The commit, with a note when tracked files differ from it.
pub(crate) fn commit() -> Done<String> {
    let git = Command::new(&Program::find("git", "git")?).directory(paths::root());
    let commit = text(git.clone().args(["rev-parse", "--short", "HEAD"]).run()?);
    let changed = git.args(["status", "--porcelain", "--untracked-files=no"]).run()?;
    Ok(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}

/// `mkosi 25.3-7, mmdebstrap 1.5.7-1, …` of the tree.
fn versions(tree: &Trixie, packages: &[&str]) -> Done<String> {
    let query = ["--show", "--showformat=${Package} ${Version}, "];
    let said = tree.command(Path::new("/var/tmp"), "dpkg-query").args(query).args(packages).run()?;
    Ok(text(said).trim_end_matches([',', ' ']).to_owned())
}

/// A value of /proc/meminfo in bytes.
pub(super) fn meminfo(name: &str) -> Done<u64> {
    let text = read("/proc/meminfo")?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    value.map(|kib| kib << 10).ok_or_else(|| TaskError::Broken(format!("/proc/meminfo has no {name}")))
}

/// Seconds since 1970, for names that were never used before.
pub(super) fn seconds_now() -> Done<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map(|since| since.as_secs())
        .map_err(|error| TaskError::Broken(format!("the clock is before 1970 by {:?}", error.duration())))
}

fn read(path: &str) -> Done<String> {
    fs::read_to_string(path).map_err(TaskError::io("read", path))
}

fn run(program: &str, package: &'static str, args: &[&str]) -> Done<String> {
    Ok(text(Command::new(&Program::find(program, package)?).args(args).run()?))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).trim().to_owned()
}
