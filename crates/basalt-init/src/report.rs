//! What a person at the console reads.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, fs, time::Duration};

use basalt_exec::{
    console::{self, Level},
    reboot::restart_machine,
};
use basalt_types::ByteSize;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    disks::Disk,
    error::InitError,
    wanted::{Wanted, reboot_delay},
    watchdog,
};

const PROGRAM: &str = "basalt-init";

/// What is known so far, for the case that it goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) wanted: Option<Wanted>,
    pub(crate) disks: BTreeMap<String, Disk>,
    pub(crate) driver_failures: Vec<String>,
}

impl Story {
    /// All of it, and what ended it.
    pub(crate) fn tell(&self, error: &InitError) -> String {
        let Self { wanted, disks, driver_failures } = self;
        let mut text = format!("the machine can't start: {}\n", chain(error));
        if let Some(wanted) = wanted {
            let (root, hash) = (wanted.root_partition(), wanted.hash_partition());
            text += &format!("wanted  root hash {}\n", wanted.root_hash.hex());
            text += &match wanted.recovery {
                true => {
                    "wanted  the recovery system: partitions `basalt-r` and `basalt-r-verity`\n".to_owned()
                }
                false => format!("wanted  partition {root} (root) and {hash} (its hash tree)\n"),
            };
            text += match wanted.live {
                true => "wanted  a live medium (basalt.live): disks of the machine do not count\n",
                false => "wanted  a disk: a live medium counts only with basalt.live\n",
            };
        }
        if disks.is_empty() {
            text += "found   no disk at all\n";
        }
        for disk in disks.values() {
            text += &tell_disk(disk, wanted.as_ref());
        }
        for failure in driver_failures {
            text += &format!("driver  {failure}\n");
        }
        text
    }
}

fn tell_disk(disk: &Disk, wanted: Option<&Wanted>) -> String {
    let Disk { name, size, external, table } = disk;
    let place = if *external { ", external" } else { "" };
    let mut text = format!("found   {name}, {}{place}", ByteSize::bytes(*size).human());
    let partitions = match table {
        Ok(partitions) => partitions,
        Err(error) => return text + &format!(": {error}\n"),
    };
    text.push('\n');
    for partition in partitions {
        let label = partition.label.as_deref().unwrap_or("(no label)");
        // A String takes every write.
        let written = write!(text, "found     {} {} {label}", partition.number, partition.guid);
        let asked = wanted.is_some_and(|wanted| {
            [wanted.root_partition(), wanted.hash_partition()].contains(&partition.guid)
        });
        let note = match (asked, &partition.place, written) {
            (true, Some(_), Ok(())) => "  <- wanted",
            (_, None, _) => "  (the kernel has no device for it)",
            (_, Some(_), _) => "",
        };
        text += note;
        text.push('\n');
    }
    text
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        text += &format!(": {inner_text}");
        cause = inner.source();
    }
    text
}

/// A phase is over.
pub(crate) fn phase(text: &str) {
    say(Level::Info, text);
}

/// Something is not as it should be, and the boot goes on.
pub(crate) fn warn(text: &str) {
    say(Level::Warning, text);
}

fn say(level: Level, text: &str) {
    if let Err(_unheard) = console::log(level, PROGRAM, text) {
        // There is no other place to say it; a boot does not fail because its log does.
    }
}

/// Says `text` on the consoles, leaves time to read it, and restarts the machine.
///
/// Comes back only when the kernel refuses to restart; then process 1 ends and the kernel panics, which a machine that
/// has `panic=` survives by a restart, too.
pub(crate) fn restart(text: &str) {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let delay = reboot_delay(line.trim_end());
    let text = format!("{}\nthe machine restarts in {} s\n", text.trim_end(), delay.as_secs());
    if let Err(_unheard) = console::announce(PROGRAM, &text) {
        // No console at all: restarting is all that is left.
    }
    let mut left = delay;
    while !left.is_zero() {
        watchdog::ping();
        let slice = left.min(watchdog::BETWEEN_PINGS);
        std::thread::sleep(slice);
        left -= slice;
    }
    if let Err(error) = restart_machine() {
        warn(&chain(&error));
    }
}

/// Microseconds since the kernel started, as it counts them (`CLOCK_BOOTTIME`).
pub(crate) fn boot_time() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let whole =
        Duration::from_secs(now.tv_sec.unsigned_abs()) + Duration::from_nanos(now.tv_nsec.unsigned_abs());
    u64::try_from(whole.as_micros()).unwrap_or(u64::MAX)
}
