//! The driver against the real QEMU, OVMF and swtpm: firmware alone is guest enough, no operating system is needed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use basalt_types::ByteSize;
use basalt_vm::{Bus, Disk, Host, Machine, Vm, VmError, Write};
use std::{fs, path::Path, time::Duration};

const FIRMWARE: Duration = Duration::from_secs(120);

/// An image without anything bootable: the firmware says so on the serial console.
fn blank(folder: &Path) -> Machine {
    let image = folder.join("blank.raw");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    Machine::uefi(image)
}

#[test]
fn firmware_speaks_on_the_console_and_the_artifact_is_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let machine = blank(folder.path());
    let vm = Vm::prepare(&machine).unwrap();
    for _ in 0..2 {
        let mut running = vm.boot().unwrap();
        running.console().unwrap().expect("BdsDxe", FIRMWARE).unwrap();
        running.kill().unwrap();
    }
    assert!(fs::read(&machine.disks[0].path).unwrap().iter().all(|byte| *byte == 0));
    assert!(fs::metadata(vm.console_log()).unwrap().len() > 0);
}

#[test]
fn monitor_saves_loads_resets_and_quits() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = basalt_vm::boot(&blank(folder.path())).unwrap();
    running.console().unwrap().expect("BdsDxe", FIRMWARE).unwrap();
    running.save("after-firmware").unwrap();
    running.load("after-firmware").unwrap();
    let refused = running.load("never-saved").unwrap_err();
    assert!(refused.to_string().contains("monitor"), "{refused}");
    running.reset().unwrap();
    running.qmp().event("RESET", FIRMWARE).unwrap();
    running.console().unwrap().expect("BdsDxe", FIRMWARE).unwrap();
    running.quit().unwrap();
}

#[test]
fn every_bus_is_accepted_by_qemu() {
    let folder = tempfile::tempdir().unwrap();
    for bus in [Bus::Virtio, Bus::Nvme, Bus::Ahci, Bus::Usb, Bus::Scsi, Bus::SdCard, Bus::Ide] {
        let mut machine = blank(folder.path());
        machine.disks[0].bus = bus;
        let running = basalt_vm::boot(&machine).unwrap_or_else(|error| panic!("{bus:?}: {error}"));
        running.quit().unwrap();
    }
}

#[test]
fn silence_shows_what_was_wanted_and_the_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = basalt_vm::boot(&blank(folder.path())).unwrap();
    let console = running.console().unwrap();
    console.expect("BdsDxe", FIRMWARE).unwrap();
    let error = console.expect("no firmware says this", Duration::from_millis(50)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, VmError::Silent { .. }), "{text}");
    assert!(text.contains("no firmware says this") && text.contains("BdsDxe"), "{text}");
}

#[test]
fn processes_are_gone_after_drop() {
    let folder = tempfile::tempdir().unwrap();
    let running = basalt_vm::boot(&blank(folder.path())).unwrap();
    let process = format!("/proc/{}", running.pid());
    assert!(Path::new(&process).exists());
    drop(running);
    assert!(!Path::new(&process).exists());
}

#[test]
fn quitting_is_a_clean_exit_and_killing_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = basalt_vm::boot(&blank(folder.path())).unwrap();
    running.qmp().execute("quit", serde_json::Value::Null).unwrap();
    running.wait_exit(FIRMWARE).unwrap();
}

#[test]
fn refused_arguments_show_qemus_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = blank(folder.path());
    machine.memory = ByteSize::gib(1 << 20);
    let error = basalt_vm::boot(&machine).unwrap_err();
    assert!(matches!(error, VmError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn a_missing_image_is_named() {
    let error = Vm::prepare(&Machine::uefi("/nonexistent/edge.raw")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/edge.raw"), "{error}");
}

#[test]
fn the_overlay_grows_to_what_was_asked_and_never_below_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = blank(folder.path());
    machine.disks[0].write = Write::Overlay { at_least: ByteSize::bytes(512) };
    let small = Vm::prepare(&machine).unwrap();
    let overlay = Disk { format: basalt_vm::DiskFormat::Qcow2, ..Disk::raw(small.disk(0).unwrap()) };
    machine.disks[0] = overlay;
    let stacked = Vm::prepare(&machine).unwrap();
    let size = |path: &Path| u64::from_be_bytes(fs::read(path).unwrap()[24..32].try_into().unwrap());
    assert_eq!(size(small.disk(0).unwrap()), 1 << 20);
    assert_eq!(size(stacked.disk(0).unwrap()), 16 << 30);
}

#[test]
fn the_host_is_observed_once_and_says_why_kvm_is_unusable() {
    let host = Host::observe();
    assert!(std::ptr::eq(host, Host::observe()));
    match &host.kvm {
        basalt_vm::KvmState::Works => {}
        basalt_vm::KvmState::Unusable { reason } => assert!(!reason.is_empty() && !reason.contains('\n')),
    }
}
