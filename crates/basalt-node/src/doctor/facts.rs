use basalt_types::ByteSize;

use crate::{
    health::GateReport,
    reconcile::Report,
    status::{Fact, Warning},
};

/// Everything that was looked at. What could not be looked at says so.
#[derive(Clone, Debug)]
pub struct DoctorFacts {
    /// What `status` warns of.
    pub warnings: Vec<Warning>,
    /// How the documents are followed; none when nothing was reconciled in this boot, or it may not be read.
    pub configuration: Option<Report>,
    /// What `health` asks, and what came out; none when the configuration can't be read.
    pub gates: Option<Vec<GateReport>>,
    /// Units that must be active for the machine to be looked after, and are not.
    pub not_active: Vec<String>,
    /// Its clock.
    pub clock: Fact<Clock>,
    /// How others reach it.
    pub network: Network,
    /// Memory that programs may still take, and all of it.
    pub memory: Fact<Room>,
    /// What is left on the ESP.
    pub esp: Fact<Room>,
    /// File names that may still be made on `/var`, and all of them; nothing on file systems that count none.
    pub names: Fact<Option<Room>>,
    /// What the kernel said in this boot.
    pub kernel: Fact<KernelLog>,
    /// What crashes left, the newest last.
    pub crashes: Vec<Crash>,
    /// Whether a crash of the kernel would leave anything: where it would.
    pub crash_store: Option<String>,
    /// Whether a hardware watchdog restarts the machine when it hangs.
    pub watchdog: bool,
    /// Whether the journal of earlier boots is kept.
    pub journal_kept: bool,
}

/// A machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it says, in seconds since 1970.
    pub now: u64,
    /// When the image was made, as far as one knows: a clock before it is wrong.
    pub not_before: u64,
    /// Whether it follows a server; none when nothing here does.
    pub synchronized: Option<bool>,
}

/// How a machine is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its interfaces but `lo`, with what they have.
    pub interfaces: Vec<Interface>,
    /// Whether something leads beyond its own networks.
    pub default_route: bool,
    /// Whether a server of names is known.
    pub name_servers: bool,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether a cable or an access point is there.
    pub carrier: bool,
    /// Its addresses that others can use, with their prefix: none of its own link.
    pub addresses: Vec<String>,
}

/// What is left of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What is left.
    pub left: u64,
    /// All of it.
    pub all: u64,
}

/// What the kernel said in this boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelLog {
    /// Programs that were ended because memory ran out.
    pub out_of_memory: Vec<String>,
    /// Lines about devices that failed.
    pub device_errors: Vec<String>,
    /// Lines about file systems with errors.
    pub file_system_errors: Vec<String>,
}

/// What a crash of the kernel left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Where it is.
    pub path: String,
    /// When it was kept, in seconds since 1970.
    pub at: u64,
    /// The line that says what happened.
    pub what: Option<String>,
}

impl Room {
    /// As a size.
    pub(super) const fn left_bytes(self) -> ByteSize {
        ByteSize::bytes(self.left)
    }

    /// Whether less than this share is left.
    pub(super) const fn is_below(self, percent: u64) -> bool {
        self.left < self.all / 100 * percent
    }
}

impl KernelLog {
    /// Reads what `journalctl -k -o cat` or dmesg(1) prints.
    pub fn parse(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some(rest) = line.split_once("Out of memory: Killed process ").map(|(_, rest)| rest) {
                // `NUMBER (NAME) total-vm:…`
                let name = rest.split_once('(').and_then(|(_, name)| name.split_once(')'));
                log.out_of_memory.push(name.map_or(rest, |(name, _)| name).to_owned());
            } else if DEVICE_ERRORS.iter().any(|words| line.contains(words)) {
                log.device_errors.push(line.to_owned());
            } else if FILE_SYSTEM_ERRORS.iter().any(|words| line.contains(words)) {
                log.file_system_errors.push(line.to_owned());
            }
        }
        log
    }
}

/// What Linux says of disks that can't read or write, of processors and memory (`block/blk-core.c`, `drivers/edac`,
/// `arch/x86/kernel/cpu/mce`).
const DEVICE_ERRORS: [&str; 5] = [
    "I/O error, dev ",
    "critical medium error, dev ",
    "Hardware Error",
    "EDAC MC",
    "Buffer I/O error on dev",
];
/// What it says of file systems (ext4, XFS, btrfs, EROFS, FAT), and of a root that is not what was built (dm-verity: `data block N is
/// corrupted`).
const FILE_SYSTEM_ERRORS: [&str; 7] = [
    "EXT4-fs error",
    "): Corruption of ",
    "): Metadata corruption detected",
    "BTRFS error",
    "erofs (device dm-0): failed",
    "Filesystem has been set read-only",
    "is corrupted",
];
