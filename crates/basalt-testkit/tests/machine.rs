//! What a machine promises, seen on one that boots the example image: UEFI, TPM, first boot and second boot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{path::Path, time::Duration};

use basalt_exec::command::{Command, Program};
use basalt_testkit::{Shell, basalt_program, root_shell, test_image};
use basalt_vm::{Machine, Vm};
use base64::{Engine as _, prelude::BASE64_STANDARD};

fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap().trim().to_owned()
}

/// What must be the same after a reboot.
fn identity(shell: &mut Shell<'_>) -> [String; 3] {
    let key = "ssh-keygen -lf /var/lib/basalt/ssh/ssh_host_ed25519_key.pub";
    ["cat /etc/machine-id", key, "findmnt -no SOURCE /var"].map(|command| check(shell, command))
}

fn assert_read_only(shell: &mut Shell<'_>) {
    for attempt in [
        "touch /new",
        "touch /usr/bin/new",
        "mount -o remount,rw /",
        "mount -o bind,remount,rw / && touch /new",
    ] {
        assert_ne!(shell.run(attempt).unwrap().status, 0, "`{attempt}` must fail");
    }
    let root = check(shell, "findmnt -no SOURCE,FSTYPE,OPTIONS /");
    assert!(root.starts_with("/dev/mapper/root erofs ro,"), "{root}");
}

fn assert_status(shell: &mut Shell<'_>) {
    let status = check(shell, "basalt-agent status");
    for line in [
        "edge 0.1.0 · amd64 · healthy",
        "verified: every block that was read is what was built",
        "slot     a on ",
    ] {
        assert!(status.contains(line), "`{line}` is not in:\n{status}");
    }
    let json = check(shell, "basalt-agent status --json");
    for part in ["\"health\"", "\"verification\"", "\"machineId\""] {
        assert!(json.contains(part), "{part} is not in {json}");
    }
}

/// The whole disk is divided as planned, and there is nothing left to do.
fn assert_provisioned(shell: &mut Shell<'_>) {
    let labels = check(shell, "lsblk -nro PARTLABEL $(findmnt -no SOURCE /var | sed 's/[0-9]*$//') | grep .");
    let wanted = [
        "esp",
        "basalt-a",
        "basalt-a-verity",
        "PRT#basalt-b",
        "PRT#basalt-b-verity",
        "PRT#basalt-r",
        "PRT#basalt-r-verity",
        "basalt-data",
    ];
    assert_eq!(labels.lines().collect::<Vec<_>>(), wanted);
    let again = check(shell, "basalt-agent provision --plan");
    assert!(again.contains("nothing to do"), "{again}");
}

/// The TPM holds what was predicted from the image alone: the stub measured it and our initramfs two words. The example has not
/// the libraries by which systemd measures the others.
fn assert_measured(shell: &mut Shell<'_>, disk: &Path) {
    let basalt = Program::at(basalt_program("basalt")).unwrap();
    let predicted = Command::new(&basalt).args(["measure", "--json"]).arg(disk).run().unwrap();
    let predicted: serde_json::Value = serde_json::from_slice(&predicted).unwrap();
    let started = &predicted[0]["phases"][1];
    assert_eq!(started["path"], "enter-initrd:leave-initrd");
    let register = check(shell, "cat /sys/class/tpm/tpm0/pcr-sha256/11").to_lowercase();
    assert_eq!(started["sha256"].as_str().unwrap(), register);
    // And the firmware's log tells the same of the parts.
    let log = check(shell, "base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), BASE64_STANDARD.decode(log).unwrap()).unwrap();
    let explain = Command::new(&basalt).args(["measure", "--event-log"]).arg(file.path()).arg(disk);
    let explained = String::from_utf8(explain.run().unwrap()).unwrap();
    assert!(explained.contains("edge_0.1.0+3-0.efi: its boot was measured"), "{explained}");
}

#[test]
fn a_machine_stays_what_was_built_and_keeps_only_what_is_its_own() {
    let image = test_image();
    let vm = Vm::prepare(&Machine::uefi(image.disk())).unwrap();

    let mut machine = vm.boot().unwrap();
    let mut shell = root_shell(&mut machine, &image.login());
    assert_read_only(&mut shell);
    assert_status(&mut shell);
    assert_provisioned(&mut shell);
    assert_measured(&mut shell, image.disk());
    let before = identity(&mut shell);
    // A release that came up is found good: its file has no counter any more.
    let entry = check(&mut shell, "systemctl start systemd-bless-boot.service; ls /boot/EFI/Linux");
    assert_eq!(entry, "edge_0.1.0.efi");
    check(&mut shell, "echo drift > /etc/drift && echo kept > /var/kept && sync");
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &image.login());
    assert_eq!(shell.run("cat /etc/drift").unwrap().status, 1, "an edit of /etc outlived the reboot");
    assert_eq!(check(&mut shell, "cat /var/kept"), "kept");
    assert_eq!(identity(&mut shell), before);
    assert_status(&mut shell);
    assert_provisioned(&mut shell);
    shell.type_line("systemctl poweroff").unwrap();
    machine.wait_exit(Duration::from_secs(300)).unwrap();
}
