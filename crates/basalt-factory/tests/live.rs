//! The example recipe as a live system: from a CD and from a stick by real firmware. (`serve_machines.rs` starts it over the
//! network.) Each machine has the same release on its disk, which must stay as it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod build_support;

use std::{
    path::PathBuf,
    sync::OnceLock,
    time::{Duration, Instant},
};

use basalt_testkit::{Shell, root_shell, run_tool, test_image};
use basalt_types::ByteSize;
use basalt_vm::{Bus, Disk, Machine, Write};
use build_support::{Project, assert_works};

/// The live outputs of the release that the shared image was built from; only the outputs are new.
fn live(file: &str) -> PathBuf {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    let project = PROJECT.get_or_init(|| {
        let project = Project::with(|recipe| format!("{recipe}\noutputs: [iso]\n"));
        assert_works(&project.run(&["build", "--locked"]));
        project
    });
    project.out().join(file)
}

fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap().trim().to_owned()
}

/// What every live system is, whatever it was started from.
fn assert_live(shell: &mut Shell<'_>, root: &str) {
    assert_eq!(check(shell, "findmnt -no FSTYPE /var"), "tmpfs");
    let mounted = check(shell, "findmnt -no SOURCE,FSTYPE,OPTIONS /");
    assert!(mounted.starts_with("/dev/mapper/root erofs ro,"), "{mounted}");
    let status = check(shell, "basalt-agent status");
    let slot = format!("slot     live on {root}");
    for line in ["edge 0.1.0 · amd64 · healthy", "verified: every block", &slot] {
        assert!(status.contains(line), "`{line}` is not in:\n{status}");
    }
    let plan = check(shell, "basalt-agent provision --plan");
    assert!(plan.contains("a live system"), "{plan}");
    assert_eq!(check(shell, "grep -cxE '[0-9a-f]{32}' /etc/machine-id"), "1");
}

/// The disk with the same release is as the builder made it, and nothing of it is in use.
fn assert_disk_untouched(shell: &mut Shell<'_>) {
    let labels = check(shell, "lsblk -nro PARTLABEL /dev/vda | grep .");
    assert_eq!(labels.lines().collect::<Vec<_>>(), ["esp", "basalt-a", "basalt-a-verity"]);
    assert_eq!(check(shell, "lsblk -nro MOUNTPOINTS /dev/vda | grep . | cat"), "");
}

/// Runs `machine` until a person would log in and sees what `inspect` wants to see.
fn on_machine(machine: &Machine, inspect: impl Fn(&mut Shell<'_>)) {
    let began = Instant::now();
    let image = test_image();
    let mut running = basalt_vm::boot(machine).unwrap();
    let mut shell = root_shell(&mut running, &image.login());
    eprintln!("live: {:.0} s until everything was started", began.elapsed().as_secs_f64());
    inspect(&mut shell);
    shell.type_line("systemctl poweroff").unwrap();
    running.wait_exit(Duration::from_secs(300)).unwrap();
}

/// A machine that starts from the first of these, with the same release on its disk.
fn beside_the_disk(first: Disk) -> Machine {
    let disk = Disk::raw(test_image().disk());
    // On a host under load an emulated timer may miss the kernel's check of it, which is a panic.
    let argument = "io.systemd.stub.kernel-cmdline-extra=no_timer_check".to_owned();
    Machine { disks: vec![first, disk], oem_strings: vec![argument], ..Machine::uefi("") }
}

#[test]
fn a_cd_boots_live_by_firmware() {
    on_machine(&beside_the_disk(Disk::cd(live("edge.iso"))), |shell| {
        assert_live(shell, "/dev/dm-");
        assert_eq!(check(shell, "ls -1 /sys/block/sr0/holders"), "dm-0\ndm-1");
        assert_disk_untouched(shell);
    });
}

#[test]
fn a_stick_boots_live_by_firmware() {
    let write = Write::Overlay { at_least: ByteSize::gib(4) };
    let stick = Disk { bus: Bus::Usb, write, ..Disk::raw(live("edge.iso")) };
    on_machine(&beside_the_disk(stick), |shell| {
        assert_live(shell, "/dev/sda2");
        assert_disk_untouched(shell);
        // Nothing of this machine stays on the stick.
        assert_eq!(
            check(shell, "ls /boot/loader /boot/loader/credentials | grep -v :"),
            "credentials\nloader.conf\n\nbasalt.live.cred"
        );
    });
}

#[test]
fn xorriso_reads_the_cd() {
    let iso = live("edge.iso");
    let device = format!("stdio:{}", iso.display());
    let arguments =
        ["-indev", &device, "-report_el_torito", "plain", "-find", "/basalt", "-exec", "lsdl", "--"];
    let read = run_tool("xorriso", "xorriso", &arguments);
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    assert_eq!(read.exit, basalt_exec::command::Exit::Code(0), "{:?}", read.stderr_tail);
    for part in ["UEFI", "'/basalt/esp.img'", "'/basalt/root.erofs'", "'/basalt/root.verity'"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}
