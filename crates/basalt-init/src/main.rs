//! The initramfs program: process 1 from the kernel's start until the image's own init takes over.
//!
//! ```text
//! observe   command line, module index, devices, partition tables, boot loader's variable   (drivers, disks)
//! validate  Wanted: one root hash, or a refusal                                             (wanted)
//! plan      choose(): which disk; plan(): the steps to its root                             (choose, plan)
//! attach    devices for what the kernel has none for: parts of a CD, files of the initramfs   (attach)
//! measure   words for the TPM: the search begins, the root's init starts                    (measure)
//! execute   one match over the steps: device-mapper, mounts, files, exec                    (execute)
//! report    a line for each phase to the kernel's log; what was wanted and found on failure (report)
//! ```
//!
//! Invariants: nothing is mounted that dm-verity does not check; no shell, no network, no file of configuration; every
//! failure is told on the console and ends in a reboot, and so does a hang once the drivers are loaded, so that the boot loader's
//! counters can fall back.
//!
//! Not here: unlocking data, growing the disk, rendering `/etc`: the image's own `basalt-agent` does it, verified.

mod attach;
mod boot;
mod choose;
mod disks;
mod drivers;
mod error;
mod execute;
mod live;
mod measure;
mod plan;
mod report;
mod wanted;
mod watchdog;

#[cfg(test)]
mod tests;

use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    if std::process::id() != 1 {
        let refusal = b"basalt-init is the first program of an initramfs and runs as process 1 only\n";
        return match std::io::stderr().write_all(refusal) {
            Ok(()) => ExitCode::from(2),
            Err(_closed) => ExitCode::from(3),
        };
    }
    std::panic::set_hook(Box::new(|panic| report::restart(&format!("basalt-init is broken: {panic}"))));
    let mut story = report::Story::default();
    match boot::boot(&mut story) {
        Ok(never) => match never {},
        Err(error) => report::restart(&story.tell(&error)),
    }
    ExitCode::FAILURE
}
