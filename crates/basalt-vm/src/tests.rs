//! The argument vectors as whole values, refusals, and the transcript.

use crate::{
    Accel, Bus, Disk, DiskFormat, Display, Firmware, Host, HostError, KvmState, Machine, Network, OnReboot,
    PlanError, Tool, Transcript, Write, plain_text, plan,
};
use basalt_types::ByteSize;
use std::path::{Path, PathBuf};

fn host() -> Host {
    Host {
        qemu: Some("/usr/bin/qemu-system-x86_64".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        swtpm: Some("/usr/bin/swtpm".into()),
        setpriv: Some("/usr/bin/setpriv".into()),
        ovmf: Some(("/fw/CODE.fd".into(), "/fw/VARS.fd".into())),
        ovmf_secure: Some(("/fw/CODE.secboot.fd".into(), "/fw/VARS.fd".into())),
        kvm: KvmState::Unusable { reason: "a test guest did not run within 5 s".to_owned() },
    }
}

/// The printed plan is the golden form: it holds every argument in order.
fn check(name: &str, machine: &Machine, host: &Host) {
    let sizes = vec![ByteSize::gib(2); machine.disks.len()];
    let plan = plan(machine, host, &sizes, Path::new("/s")).unwrap();
    insta::assert_snapshot!(name, plan);
}

#[test]
fn uefi_with_tpm() {
    check("uefi", &Machine::uefi("/img/edge.raw"), &host());
}

#[test]
fn every_bus_in_one_machine_but_ide() {
    let mut machine = Machine::uefi("/img/a,b.raw");
    machine.tpm = false;
    machine.network = Network::User { ssh_port: Some(2222) };
    machine.disks = [Bus::Nvme, Bus::Ahci, Bus::Ahci, Bus::Usb, Bus::Scsi, Bus::SdCard]
        .map(|bus| Disk { bus, ..Disk::raw("/img/a,b.raw") })
        .to_vec();
    machine.disks[0].write = Write::Direct;
    machine.disks[5].write = Write::Overlay { at_least: ByteSize::gib(17) };
    machine.disks[4].format = DiskFormat::Qcow2;
    machine.disks.push(Disk::cd("/img/live.iso"));
    check("buses", &machine, &host());
}

#[test]
fn direct_kernel_with_kvm_and_a_window() {
    let mut machine = Machine::kernel("/b/vmlinuz", Some(Path::new("/b/initrd")), "console=ttyS0 a=b,c");
    machine.display = Display::Gtk;
    machine.on_reboot = OnReboot::Exit;
    machine.oem_strings = vec!["io.systemd.credential:a=b,c".to_owned()];
    machine.disks = vec![Disk { bus: Bus::Ide, ..Disk::raw("/img/edge.raw") }];
    let host = Host { kvm: KvmState::Works, ..host() };
    check("kernel", &machine, &host);
}

#[test]
fn everything_missing_is_named_with_its_packages() {
    let host = Host { qemu: None, swtpm: None, ovmf: None, ..host() };
    let error =
        plan(&Machine::uefi("/img/edge.raw"), &host, &[ByteSize::gib(2)], Path::new("/s")).unwrap_err();
    assert_eq!(error, PlanError::Host(HostError::Missing(vec![Tool::Qemu, Tool::Ovmf, Tool::Swtpm])));
    assert_eq!(
        error.to_string(),
        "qemu-system-x86_64, OVMF firmware, swtpm not found on this host; \
         Debian: `apt install ovmf qemu-system-x86 swtpm`, \
         Fedora: `dnf install edk2-ovmf qemu-system-x86-core swtpm`, \
         Arch: `pacman -S edk2-ovmf qemu-system-x86 swtpm`"
    );
}

#[test]
fn a_machine_without_tpm_needs_no_swtpm() {
    let host = Host { swtpm: None, ovmf: None, ..host() };
    let machine = Machine::kernel("/b/vmlinuz", None, "");
    assert!(plan(&machine, &host, &[], Path::new("/s")).unwrap().tpm.is_none());
}

#[test]
fn all_contradictions_are_listed_at_once() {
    let mut machine = Machine::uefi("/img/edge.raw");
    machine.firmware = Firmware::Ovmf { secure_boot: true };
    machine.cpus = 0;
    machine.memory = ByteSize::mib(1);
    machine.disks = vec![Disk { bus: Bus::SdCard, ..Disk::raw("/img/edge.raw") }; 2];
    machine.disks.push(Disk { bus: Bus::Cd, ..Disk::raw("/img/edge.raw") });
    machine.disks.push(Disk { bus: Bus::Ide, ..Disk::raw("/img/edge.raw") });
    let error = plan(&machine, &host(), &[], Path::new("/s")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this machine can't be made: Secure Boot and disks on IDE, whose board lacks what it needs; 4 disks but 0 sizes; no processor; \
         1MiB of memory is less than any guest needs; /img/edge.raw as a CD that is written or not raw; \
         2 SD cards in one slot"
    );
}

#[test]
fn secure_boot_takes_the_firmware_that_enforces_it() {
    let machine =
        Machine { firmware: Firmware::Ovmf { secure_boot: true }, ..Machine::uefi("/img/edge.raw") };
    let plan_on = |host: &Host| plan(&machine, host, &[ByteSize::gib(2)], Path::new("/s"));
    let argv = plan_on(&host()).unwrap().argv.join(" ");
    assert!(
        argv.contains("-machine q35,smm=on,vmport=off -global driver=cfi.pflash01,property=secure,value=on"),
        "{argv}"
    );
    assert!(argv.contains("file=/fw/CODE.secboot.fd"), "{argv}");
    let error = plan_on(&Host { ovmf_secure: None, ..host() }).unwrap_err().to_string();
    assert!(error.starts_with("OVMF firmware with Secure Boot not found on this host"), "{error}");
}

#[test]
fn kvm_demanded_where_it_does_not_work_says_why() {
    let machine = Machine { accel: Accel::Kvm, ..Machine::uefi("/img/edge.raw") };
    let error = plan(&machine, &host(), &[ByteSize::gib(2)], Path::new("/s")).unwrap_err();
    assert_eq!(error.to_string(), "KVM does not work on this host: a test guest did not run within 5 s");
}

#[test]
fn emulation_on_demand_where_kvm_works() {
    let host = Host { kvm: KvmState::Works, ..host() };
    let plan_with = |accel| {
        let machine = Machine { accel, ..Machine::uefi("/img/edge.raw") };
        plan(&machine, &host, &[ByteSize::gib(2)], Path::new("/s")).unwrap().kvm
    };
    assert!(plan_with(Accel::Best));
    assert!(!plan_with(Accel::Tcg));
}

#[test]
fn the_probe_runs_guest_code_under_emulation() {
    let qemu: PathBuf =
        Host::observe().qemu.clone().expect("qemu-system-x86_64 (apt install qemu-system-x86)");
    assert_eq!(crate::probe::run_guest(&qemu, "tcg", "qemu64"), Ok(()));
    let refused = crate::probe::run_guest(&qemu, "no-such-accelerator", "qemu64").unwrap_err();
    assert!(refused.contains("no-such-accelerator"), "{refused}");
}

#[test]
fn control_sequences_are_dropped_wherever_they_are_split() {
    let bytes = "a\x1b[1;31mrot\x1b[0m\r\n\x1b]0;title\x07b\x1b(Bc\x1bPdcs\x1b\\ü\n".as_bytes();
    assert_eq!(plain_text(bytes), "arot\nbcü\n");
    for cut in 0..bytes.len() {
        let mut transcript = Transcript::default();
        transcript.push(&bytes[..cut]);
        transcript.push(&bytes[cut..]);
        assert_eq!(transcript.text(), "arot\nbcü\n", "cut at {cut}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_shown_and_not_fatal() {
    assert_eq!(plain_text(b"a\xffb\xc3"), "a\u{fffd}b");
}

#[test]
fn the_earliest_of_several_texts_wins_and_a_cursor_skips_what_was_seen() {
    let mut transcript = Transcript::default();
    transcript.push(b"login: root\nlogin: ");
    assert_eq!(transcript.find(0, &["root", "login:"]), Some((1, 6)));
    assert_eq!(transcript.find(6, &["root", "login:"]), Some((0, 11)));
    assert_eq!(transcript.find(11, &["root", "login:"]), Some((1, 18)));
    assert_eq!(transcript.find(18, &["root", "login:"]), None);
}

#[test]
fn the_tail_skips_blank_lines() {
    let mut transcript = Transcript::default();
    transcript.push(b"1\n2\n\n\n3\n");
    assert_eq!(transcript.tail(2), "2\n3");
}
