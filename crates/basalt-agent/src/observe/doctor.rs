//! What `doctor` looks at. What can't be seen, by this user or on this machine, is not known; it is never an error.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use basalt_exec::{
    block::Disk,
    command::{Command, Program},
    esp::Esp,
};
use basalt_formats::gpt::Table;
use basalt_image::layout::Role;
use basalt_node::{
    doctor::{Clock, Crash, DoctorFacts, KernelLog, Network, Room},
    health::{self, Ask, Gate, GateReport},
    partition_path,
    status::{Fact, Status, Unknown},
};
use basalt_spec::node::NodeSpec;

use super::network;
use crate::{execute::DiskMedium, reconcile};

/// Where systemd-pstore(8) keeps what the firmware or the memory kept of a crash.
pub(crate) const CRASHES: &str = "/var/lib/systemd/pstore";
/// The store that the kernel writes to when it crashes.
const CRASH_STORE: &str = "/sys/module/pstore/parameters/backend";
/// The largest text of a crash that is read.
const MOST_CRASH: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at everything. `spec` is what the documents say, if they can be read.
pub(crate) fn doctor(spec: Option<&NodeSpec>) -> DoctorFacts {
    DoctorFacts {
        warnings: super::status().map(|facts| Status::new(facts).warnings).unwrap_or_default(),
        configuration: reconcile::read_report().unwrap_or_default(),
        gates: spec.map(gates),
        not_active: not_active(),
        clock: clock(),
        network: network().unwrap_or_else(|_unseen| Network::default()),
        memory: memory(),
        esp: esp().map_or(Fact::unknown(Unknown::Unreadable), Fact::Known),
        names: names(),
        kernel: said(&["journalctl", "-k", "-b", "-o", "cat", "--no-pager", "-p", "warning"])
            .map_or(Fact::unknown(Unknown::Unreadable), |text| Fact::Known(KernelLog::parse(&text))),
        crashes: crashes(Path::new(CRASHES)),
        crash_store: crash_store(),
        watchdog: has_watchdog(),
        journal_kept: journal_is_kept(),
    }
}

/// The checks of the configuration; what systemd says is among the warnings.
fn gates(spec: &NodeSpec) -> Vec<GateReport> {
    let asks_system = |gate: &Gate| matches!(gate.ask, Ask::System { .. });
    let gates: Vec<Gate> =
        health::gates(&spec.upgrade.health).into_iter().filter(|gate| !asks_system(gate)).collect();
    super::health::gates(&gates)
}

/// What a program of the machine says; nothing where it is missing or fails.
fn said(words: &[&str]) -> Option<String> {
    let (name, arguments) = words.split_first()?;
    let Ok(program) = Program::find(name, "systemd") else { return None };
    match Command::new(&program).args(arguments).timeout(PATIENCE).run() {
        Ok(output) => Some(String::from_utf8_lossy(&output).into_owned()),
        Err(_) => None,
    }
}

/// The daemon keeps the machine as its documents say; without it nobody repairs anything.
fn not_active() -> Vec<String> {
    const UNIT: &str = "basalt-agent.service";
    let text = said(&["systemctl", "show", "--property=LoadState,ActiveState", UNIT]).unwrap_or_default();
    let stopped = ["ActiveState=inactive", "ActiveState=failed", "ActiveState=deactivating"];
    let is_there = text.lines().any(|line| line == "LoadState=loaded");
    let missing = is_there && text.lines().any(|line| stopped.contains(&line));
    if missing { vec![UNIT.to_owned()] } else { Vec::new() }
}

fn clock() -> Fact<Clock> {
    let Ok(passed) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return Fact::unknown(Unknown::Unreadable);
    };
    // Every file of an image has the time of its lock.
    let made = fs::metadata("/usr/lib/os-release").map_or(0, |found| found.mtime());
    let text = said(&["timedatectl", "show", "--property=NTP,NTPSynchronized"]).unwrap_or_default();
    let follows = text.lines().any(|line| line == "NTP=yes");
    let synchronized = text.lines().any(|line| line == "NTPSynchronized=yes");
    Fact::Known(Clock {
        now: passed.as_secs(),
        not_before: made.unsigned_abs(),
        synchronized: follows.then_some(synchronized),
    })
}

fn memory() -> Fact<Room> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    match (kib("MemAvailable"), kib("MemTotal")) {
        (Some(left), Some(all)) => Fact::Known(Room { left: left << 10, all: all << 10 }),
        (_, _) => Fact::unknown(Unknown::Unreadable),
    }
}

/// The ESP of the disk that was booted from.
fn esp() -> Option<Room> {
    let Ok(boot) = super::boot() else { return None };
    let device = boot.disk.filter(|_| boot.slot.and_then(basalt_node::BootSlot::system).is_some())?;
    let Ok(disk) = Disk::open(Path::new(&device)) else { return None };
    let disk = DiskMedium(disk);
    let Ok(parsed) = Table::parse(&disk, disk.0.sector_size()) else { return None };
    let is_esp = |partition: &&_| Role::of_partition(partition).is_some_and(|(role, _)| role == Role::Esp);
    let partition = parsed.table.partitions.iter().find(is_esp)?;
    let Ok(mounted) = Esp::mount(Path::new(&partition_path(&device, partition.number))) else { return None };
    let Ok(space) = mounted.space() else { return None };
    let bytes = partition.bytes(parsed.table.sector_size);
    Some(Room { left: space.free, all: bytes.end - bytes.start })
}

/// btrfs and XFS without limit count none.
fn names() -> Fact<Option<Room>> {
    match rustix::fs::statvfs("/var") {
        Ok(stat) => {
            Fact::Known((stat.f_files > 0).then_some(Room { left: stat.f_favail, all: stat.f_files }))
        }
        Err(_) => Fact::unknown(Unknown::Unreadable),
    }
}

/// Each folder of the archive is one crash.
pub(crate) fn crashes(folder: &Path) -> Vec<Crash> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Crash> = entries
        .filter_map(|entry| match entry {
            Ok(entry) => Some(crash(&entry.path())),
            Err(_) => None,
        })
        .collect();
    found.sort_by(|one, other| (one.at, &one.path).cmp(&(other.at, &other.path)));
    found
}

fn crash(path: &Path) -> Crash {
    let at = fs::metadata(path).map_or(0, |found| found.mtime().unsigned_abs());
    let mut what = None;
    for file in crash_files(path) {
        if what.is_none() && fs::metadata(&file).is_ok_and(|found| found.len() <= MOST_CRASH) {
            let text = fs::read(&file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            what = last_words(&text.unwrap_or_default());
        }
    }
    Crash { path: path.display().to_string(), at, what }
}

/// The files of a crash, at most two folders deep; the whole text comes before its parts.
pub(crate) fn crash_files(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            files.push(folder);
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() && depth < 2 {
                folders.push((path, depth + 1));
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort_by_key(|file| (file.file_name().is_none_or(|name| name != "dmesg.txt"), file.clone()));
    files
}

/// The line in which the kernel says why it stops.
fn last_words(text: &str) -> Option<String> {
    const WORDS: [&str; 4] = ["Kernel panic - not syncing", "BUG: ", "Oops: ", "watchdog: "];
    let found = WORDS.iter().find_map(|words| text.lines().find(|line| line.contains(words)));
    // `<0>[   12.345678] ` stands before it.
    found.map(|line| line.rsplit_once("] ").map_or(line, |(_, said)| said).trim().to_owned())
}

fn crash_store() -> Option<String> {
    let text = fs::read_to_string(CRASH_STORE).unwrap_or_default();
    let name = text.trim();
    (!name.is_empty() && name != "(null)").then(|| name.to_owned())
}

/// The kernel's own (`softdog`) ends with the kernel.
fn has_watchdog() -> bool {
    let Ok(devices) = fs::read_dir("/sys/class/watchdog") else { return false };
    devices.flatten().any(|device| {
        let identity = fs::read_to_string(device.path().join("identity")).unwrap_or_default();
        !identity.trim().is_empty() && identity.trim() != "Software Watchdog"
    })
}

fn journal_is_kept() -> bool {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    Path::new("/var/log/journal").join(id.trim()).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let crash = folder.path().join("1700000000/001");
        fs::create_dir_all(&crash).unwrap();
        let text = "<6>[    1.000000] usb 1-1: new\n<0>[  12.345678] Kernel panic - not syncing: sysrq triggered crash\n";
        fs::write(crash.join("dmesg.txt"), text).unwrap();
        fs::write(crash.join("dmesg-efi_pstore-1"), "a part").unwrap();
        let found = crashes(folder.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what.as_deref(), Some("Kernel panic - not syncing: sysrq triggered crash"));
        assert_eq!(crash_files(&folder.path().join("1700000000")).len(), 2);
        assert_eq!(crashes(&folder.path().join("none")), []);
        assert_eq!(last_words("nothing"), None);
    }
}
