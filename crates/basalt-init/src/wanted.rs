//! What the kernel command line asks for.

use std::{num::ParseIntError, time::Duration};

use basalt_formats::cmdline::{CommandLine, CommandLineError};
use basalt_types::{Digest, DigestError, Guid};

use crate::watchdog;

const DEVICE_TIMEOUT: Duration = Duration::from_secs(60);
const REBOOT_DELAY: Duration = Duration::from_secs(10);

/// The root that was asked for, and how patient to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `roothash=`: the root of the verity tree.
    pub(crate) root_hash: Digest,
    /// `basalt.live`, or a live medium's word for it: start from a live medium, and from no disk.
    pub(crate) live: bool,
    /// The word of the boot entry that it is the recovery system's: start from its partitions, whatever their ids.
    pub(crate) recovery: bool,
    /// `basalt.device_timeout=`: how long to wait for its partitions.
    pub(crate) device_timeout: Duration,
    /// `systemd.watchdog_sec=`: how long the machine may hang before it restarts; none when that is off.
    pub(crate) watchdog: Option<Duration>,
    /// `init=`: what to run instead of the image's init.
    pub(crate) init: Option<String>,
    /// `NAME.PARAMETER=VALUE`: what to tell modules, each word as the module takes it.
    pub(crate) module_parameters: Vec<(String, String)>,
    /// `modprobe.blacklist=`: modules not to load for a device.
    pub(crate) blacklist: Vec<String>,
}

/// Why the command line can't be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WantedError {
    #[error("the kernel command line can't be read")]
    Line(#[from] CommandLineError),
    #[error("the kernel command line has no roothash=")]
    NoRootHash,
    #[error("the kernel command line has several roothash=, and they differ")]
    SeveralRootHashes,
    #[error("roothash= is not 64 hex digits")]
    RootHash(#[source] DigestError),
    #[error("{name}={value} is not a number of seconds")]
    Seconds { name: &'static str, value: String, source: ParseIntError },
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Result<Self, WantedError> {
        let line: CommandLine = text.parse()?;
        let mut hashes: Vec<&str> = line.values("roothash").flatten().collect();
        hashes.dedup();
        let root_hash = match hashes[..] {
            [] => return Err(WantedError::NoRootHash),
            [one] => Digest::from_hex(one).map_err(WantedError::RootHash)?,
            [_, _, ..] => return Err(WantedError::SeveralRootHashes),
        };
        let blacklist = line.values("modprobe.blacklist").flatten().flat_map(|names| names.split(','));
        Ok(Self {
            root_hash,
            live: line.has("basalt.live"),
            recovery: false,
            device_timeout: seconds(&line, "basalt.device_timeout")?.unwrap_or(DEVICE_TIMEOUT),
            watchdog: watchdog_timeout(line.get("systemd.watchdog_sec")),
            init: line.get("init").map(str::to_owned),
            module_parameters: line.args().iter().filter_map(|arg| module_parameter(arg.as_str())).collect(),
            blacklist: blacklist.map(|name| name.replace('-', "_")).collect(),
        })
    }

    /// The PARTUUID of the root partition: the first half of the root hash (UAPI.2).
    pub(crate) fn root_partition(&self) -> Guid {
        half(&self.root_hash, 0)
    }

    /// The PARTUUID of the partition with the hash tree: the second half.
    pub(crate) fn hash_partition(&self) -> Guid {
        half(&self.root_hash, 16)
    }
}

/// `basalt.reboot_delay=`: how long a failure stays readable. Anything that is not a number counts as the default: this
/// is asked when something is wrong already.
pub(crate) fn reboot_delay(text: &str) -> Duration {
    let asked = text.parse().ok().and_then(|line| seconds(&line, "basalt.reboot_delay").ok().flatten());
    asked.unwrap_or(REBOOT_DELAY)
}

/// systemd's own word (systemd(1)), so that one says it for both. What it writes as a time span with a unit is left to it.
fn watchdog_timeout(value: Option<&str>) -> Option<Duration> {
    match value {
        Some("off" | "0") => None,
        Some(seconds) => Some(seconds.parse().map_or(watchdog::TIMEOUT, Duration::from_secs)),
        None => Some(watchdog::TIMEOUT),
    }
}

fn half(digest: &Digest, from: usize) -> Guid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[from..from + 16]);
    Guid::from_bytes(bytes)
}

fn seconds(line: &CommandLine, name: &'static str) -> Result<Option<Duration>, WantedError> {
    let Some(value) = line.get(name) else { return Ok(None) };
    match value.parse() {
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(source) => Err(WantedError::Seconds { name, value: value.to_owned(), source }),
    }
}

/// `usb-storage.quirks=…` gives `usb_storage` and `quirks=…`; the kernel itself tells only what is built in.
fn module_parameter(word: &str) -> Option<(String, String)> {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    let (module, _) = name.split_once('.')?;
    Some((module.replace('-', "_"), word[module.len() + 1..].to_owned()))
}
