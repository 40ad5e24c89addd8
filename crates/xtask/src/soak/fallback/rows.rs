//! The rows of the table.

use std::fmt;

use super::damage::{Damage, Left};

/// One way to fail.
#[derive(Debug)]
pub(super) struct Row {
    /// Short, for the command line and for files.
    pub(super) name: &'static str,
    /// For people.
    pub(super) what: &'static str,
    /// What was done to the disk.
    pub(super) damage: Damage,
    /// How many tries the new release has left.
    pub(super) left: Left,
    /// Words for the kernel command line of both releases; `basalt.fault=` means something to the new one only.
    pub(super) words: &'static str,
    /// What is special about the machine.
    pub(super) machine: Special,
    /// How it must end.
    pub(super) end: End,
}

/// What is special about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// Nothing: its firmware has forgotten every variable, as it does in each row.
    None,
    /// It has a watchdog of its own, and its kernel is made to hang where the fault says.
    HangWithWatchdog,
    /// Its clock says 1970.
    Clock1970,
}

/// How a row must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The new release runs and is kept.
    Kept,
    /// The old release runs, and its history gives this reason.
    FellBack(&'static str),
    /// The old release was tried last and waits for somebody at its console: its data volume is missing, and nothing of it was
    /// written.
    Waits,
}

const SILENT: &str = "ended before it could say anything";

const PLAIN: Row = Row {
    name: "",
    what: "",
    damage: Damage::None,
    left: Left::One,
    words: "",
    machine: Special::None,
    end: End::Kept,
};

/// All of them, those first that take longest.
pub(super) const ROWS: [Row; 17] = [
    Row {
        name: "failing-unit",
        what: "a unit fails, in each of three tries",
        left: Left::Three,
        words: "basalt.fault=unit",
        end: End::FellBack("failed: fault-unit.service"),
        ..PLAIN
    },
    Row {
        name: "user-probe",
        what: "a check of the configuration finds nothing at its port",
        damage: Damage::UserProbe,
        end: End::FellBack("web: 127.0.0.1:9 takes no connection"),
        ..PLAIN
    },
    Row {
        name: "deadline",
        what: "a unit is never done with starting, and nothing is found good before the deadline",
        words: "basalt.fault=slow basalt.node.upgrade.health.deadline=3m",
        end: End::FellBack("fault-slow.service is still starting"),
        ..PLAIN
    },
    Row {
        name: "torn-uki",
        what: "the UKI ends in the middle",
        damage: Damage::TornUki,
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "initramfs",
        what: "the initramfs can't be unpacked",
        damage: Damage::Initramfs,
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "root-byte",
        what: "a byte of the root is another",
        damage: Damage::RootByte,
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "kernel-panic",
        what: "the kernel panics",
        words: "basalt.fault=panic",
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "kernel-hang",
        what: "the kernel hangs with its interrupts off; the machine has a watchdog",
        words: "basalt.fault=hang",
        machine: Special::HangWithWatchdog,
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "systemd-crash",
        what: "systemd crashes",
        words: "basalt.fault=freeze",
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "systemd-hang",
        what: "systemd hangs; the machine has no watchdog, the kernel has one",
        words: "basalt.fault=freeze systemd.crash_reboot=no systemd.crash_action=freeze modprobe.blacklist=iTCO_wdt",
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "agent",
        what: "the agent fails whatever it is asked",
        words: "basalt.fault=agent",
        end: End::FellBack(SILENT),
        ..PLAIN
    },
    Row {
        name: "data-content",
        what: "the data volume holds no file system",
        damage: Damage::DataContent,
        end: End::Waits,
        ..PLAIN
    },
    Row {
        name: "data-partition",
        what: "the data volume is not in the partition table",
        damage: Damage::DataPartition,
        end: End::Waits,
        ..PLAIN
    },
    Row {
        name: "data-full",
        what: "the data volume is full",
        words: "basalt.fault=full",
        end: End::Kept,
        ..PLAIN
    },
    Row { name: "variables-wiped", what: "the firmware has forgotten its variables", ..PLAIN },
    Row {
        name: "variables-refused",
        what: "the firmware's variables can't be read or written by the system",
        words: "efi=noruntime",
        ..PLAIN
    },
    Row { name: "clock-1970", what: "the clock says 1970", machine: Special::Clock1970, ..PLAIN },
];

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "the new release, kept",
            Self::FellBack(_) => "the old release",
            Self::Waits => "the old release, which waits for a person",
        })
    }
}
