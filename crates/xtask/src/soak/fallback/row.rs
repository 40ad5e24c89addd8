//! One row: a machine, its fault, and what must come of it.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, time::Duration};

use basalt_testkit::{Shell, patience};
use basalt_vm::{Clock, Disk, Machine, Running, Vm, Write};

use super::{
    base::Base,
    damage::{self, SECTOR, partition},
    hang,
    rows::{End, Row, Special},
};
use crate::error::{Done, TaskError};

/// What basalt-init says on the console when it has found the old release's root.
const OLD: &str = ", slot a";
const NEW: &str = ", slot b";
/// Shows the boot entries. Without the firmware's variables nothing mounts the ESP by itself.
const ENTRIES: &str =
    "mkdir -p /run/esp && mount /dev/disk/by-partlabel/esp /run/esp && ls -1 /run/esp/EFI/Linux";
const OLD_ENTRY: &str = "edge_0.1.0.efi";

/// Runs a row on a copy of the base, and gives what the history says.
pub(super) fn run(base: &Base, row: &Row) -> Done<String> {
    let disk = base.copy(row.name)?;
    let outcome = damage::apply(&disk, row.damage, row.left).and_then(|()| on(&disk, base, row));
    Base::forget(&disk)?;
    outcome
}

fn on(disk: &Path, base: &Base, row: &Row) -> Done<String> {
    let before = data_sample(base, disk)?;
    let vm = Vm::prepare(&machine(disk, row))?;
    let mut running = vm.boot()?;
    let ended = end(&mut running, disk, base, row);
    let kept = running.console().map(|console| console.text());
    running.kill()?;
    // What it said is the only way to find out why.
    let said = |error: TaskError| match kept {
        Ok(text) => {
            let log = disk.with_extension("console");
            match std::fs::write(&log, text) {
                Ok(()) => TaskError::Broken(format!("{error}\nits console: {}", log.display())),
                Err(_unwritten) => error,
            }
        }
        Err(_none) => error,
    };
    let told = ended.map_err(said)?;
    if row.end == End::Waits && data_sample(base, disk)? != before {
        return Err(TaskError::Broken("the data volume was written".to_owned()));
    }
    Ok(told)
}

fn machine(disk: &Path, row: &Row) -> Machine {
    let mut machine = Machine::uefi(disk);
    machine.disks = vec![Disk { write: Write::Direct, ..Disk::raw(disk) }];
    if !row.words.is_empty() {
        machine.oem_strings = vec![format!("io.systemd.stub.kernel-cmdline-extra={}", row.words)];
    }
    match row.machine {
        Special::None => {}
        Special::HangWithWatchdog => machine.watchdog = true,
        Special::Clock1970 => machine.clock = Clock::Epoch,
    }
    machine
}

fn end(running: &mut Running, disk: &Path, base: &Base, row: &Row) -> Done<String> {
    let within = patience(running, Duration::from_secs(60));
    if row.machine == Special::HangWithWatchdog {
        running.console()?.expect("fault: hang here", within)?;
        hang::hang(running, &disk.with_extension("gdb"))?;
    }
    match row.end {
        End::Kept => {
            running.console()?.expect(NEW, within)?;
            kept(running, base, within)
        }
        End::FellBack(why) => {
            running.console()?.expect(OLD, within)?;
            fell_back(running, base, within, why)
        }
        End::Waits => {
            running.console()?.expect(OLD, within)?;
            running.console()?.expect("mergency", within)?;
            Ok("its console says what is missing".to_owned())
        }
    }
}

fn kept(running: &mut Running, base: &Base, within: Duration) -> Done<String> {
    let mut shell = root_shell(running, base, within)?;
    let entries = shell.check(ENTRIES)?;
    must(entries.trim() == format!("{OLD_ENTRY}\nedge_0.2.0.efi"), "the entries are", &entries)?;
    let history = shell.check("basalt-agent history")?;
    let last = history.lines().rev().find(|line| line.contains(" found good  0.2.0 after "));
    match last.and_then(|line| line.split_once(' ')) {
        Some((_, event)) => Ok(event.to_owned()),
        None => Err(TaskError::Broken(format!("nothing was found good:\n{history}"))),
    }
}

fn fell_back(running: &mut Running, base: &Base, within: Duration, why: &str) -> Done<String> {
    let mut shell = root_shell(running, base, within)?;
    let entries = shell.check(ENTRIES)?;
    must(entries.trim() == format!("{OLD_ENTRY}\nedge_0.2.0+0-3.efi"), "the entries are", &entries)?;
    let data = shell.check("cat /var/kept")?;
    must(data.trim() == "kept", "/var/kept says", &data)?;
    let status = shell.run("basalt-agent status")?;
    must(status.status == 1 && status.text.contains("0.2.0 was given up"), "the status says", &status.text)?;
    let history = shell.check("basalt-agent history")?;
    let fell = history.lines().find_map(|line| line.split_once(" fell back   0.2.0 → 0.1.0: "));
    let (_, reason) = fell.ok_or_else(|| TaskError::Broken(format!("nothing fell back:\n{history}")))?;
    must(reason.contains(why), "the reason is", reason)?;
    Ok(reason.split_once("): ").map_or(reason, |(_, why)| why).to_owned())
}

fn root_shell<'r>(running: &'r mut Running, base: &Base, within: Duration) -> Done<Shell<'r>> {
    let mut shell = Shell::login(running, &base.login)?;
    shell.become_root(&base.login)?;
    shell.run_within("systemctl is-system-running --wait", within)?;
    Ok(shell)
}

fn must(holds: bool, what: &str, found: &str) -> Done {
    if holds { Ok(()) } else { Err(TaskError::Broken(format!("{what} {found}"))) }
}

/// Bytes of the data volume behind what a row may have damaged: its second block group, which every file system that is made
/// there writes to.
fn data_sample(base: &Base, disk: &Path) -> Done<Vec<u8>> {
    const GROUP: u64 = 128 << 20;
    // Where it was, whatever the table of the row's disk says.
    let start = partition(base.disk(), "basalt-data")?.start * SECTOR;
    let mut bytes = vec![0; 1 << 20];
    let file = File::open(disk).map_err(TaskError::io("open", disk))?;
    file.read_exact_at(&mut bytes, start + GROUP).map_err(TaskError::io("read", disk))?;
    Ok(bytes)
}
