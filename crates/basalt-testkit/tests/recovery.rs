//! The last resort: a copy of a known-good release is started when somebody asks for it, and by itself when nothing else comes up.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use basalt_testkit::{Factory, Shell, patience, root_shell, second_release, test_image};
use basalt_vm::{Disk, Machine};

/// The entries of the boot menu (systemd.io/BOOT_LOADER_INTERFACE).
const OFFERED: &str = "/sys/firmware/efi/efivars/LoaderEntries-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap().trim().to_owned()
}

/// What the recovery system says of itself, and that it leaves the data alone.
fn is_recovery(shell: &mut Shell<'_>) {
    let status = shell.run("basalt-agent status").unwrap().text;
    assert!(
        status.contains("this is the recovery system") && status.contains("  slot     recovery on"),
        "{status}"
    );
    assert_eq!(check(shell, "findmnt -no FSTYPE /var"), "tmpfs");
    assert!(check(shell, "basalt-agent provision --plan").contains("the data volume is left alone"));
    assert_eq!(check(shell, "test -e /var/kept || echo out of reach"), "out of reach");
}

#[test]
fn the_recovery_system_is_started_when_it_is_asked_for_and_when_no_slot_comes_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Machine::uefi(test_image().disk());
    machine.disks.push(Disk::raw(second_release(&Factory::of_tests(), folder.path())));
    let (mut machine, login, began) =
        (basalt_vm::boot(&machine).unwrap(), test_image().login(), Instant::now());
    let said = |what: &str| eprintln!("recovery: {what} after {:.0} s", began.elapsed().as_secs_f64());
    let within = patience(&machine, Duration::from_secs(60));

    let mut shell = root_shell(&mut machine, &login);
    said("the release runs");
    let none = shell.run("basalt-agent boot-next recovery").unwrap();
    assert!(none.status == 4 && none.text.contains("basalt-agent promote"), "{}", none.text);
    check(&mut shell, "echo kept >/var/kept");
    let promoted = shell.run_within("basalt-agent promote", within).unwrap();
    assert!(promoted.text.contains("done: 0.1.0 is the recovery system"), "{}", promoted.text);
    assert!(check(&mut shell, "basalt-agent promote").contains("nothing to do"));
    said("it is the recovery system too");
    check(&mut shell, "sync && basalt-agent boot-next recovery --reboot");

    let mut shell = root_shell(&mut machine, &login);
    said("the recovery system runs, because it was asked for");
    is_recovery(&mut shell);
    // The only release that is left is torn, though it was found good: nobody counts its tries.
    check(&mut shell, "truncate -s 1M /boot/EFI/Linux/edge_0.1.0.efi && sync");
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &login);
    said("the recovery system runs, because nothing else comes up");
    is_recovery(&mut shell);
    check(&mut shell, "mkdir -p /run/release && mount -o ro /dev/disk/by-id/virtio-basalt1 /run/release");
    let upgraded = shell.run_within("basalt-agent upgrade oci:/run/release", within).unwrap();
    assert!(upgraded.text.contains("0.1.0 in the recovery system → 0.2.0 in slot b"), "{}", upgraded.text);
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &login);
    said("the release that was written from there runs");
    assert_eq!(check(&mut shell, "cat /usr/share/second /var/kept /boot/EFI/basalt/boots"), "secondkept\n0");
    assert!(check(&mut shell, "basalt-agent history").contains("promoted    0.1.0 is the recovery system"));
    // What the boot loader offers, in its order: the recovery system comes behind what can be tried.
    let offered = check(&mut shell, &format!("tr -cd '[:print:]' <{OFFERED}"));
    let place = |entry: &str| offered.find(entry).unwrap_or_else(|| panic!("no {entry} in {offered}"));
    assert!(place("edge_0.2.0") < place("basalt-recovery.conf"), "{offered}");
}
