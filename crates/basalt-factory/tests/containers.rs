//! The example's disk in the formats of virtual machines: QEMU finds the same disk in each, and each boots by firmware.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod build_support;

use std::{path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use basalt_testkit::{Shell, test_image};
use basalt_vm::{Disk, DiskFormat, Machine};
use build_support::{Project, assert_works};

/// The outputs of the release that the shared image was built from; only the containers are new.
fn made(file: &str) -> PathBuf {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    let project = PROJECT.get_or_init(|| {
        let outputs = "[disk, qcow2, qcow2-compressed, vhd, vhd-dynamic, vmdk, gce]";
        let project = Project::with(|recipe| format!("{recipe}\noutputs: {outputs}\n"));
        assert_works(&project.run(&["build", "--locked"]));
        project
    });
    project.out().join(file)
}

fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().expect("apt install qemu-utils");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "qemu-img {arguments:?}: {}{}", text[0], text[1]);
    text.concat()
}

/// The file, and QEMU's name of its format.
const CONTAINERS: [(&str, &str); 5] = [
    ("edge.qcow2", "qcow2"),
    ("edge.compressed.qcow2", "qcow2"),
    ("edge.vhd", "vpc"),
    ("edge.dynamic.vhd", "vpc"),
    ("edge.vmdk", "vmdk"),
];

#[test]
fn qemu_finds_the_same_disk_in_every_container() {
    let raw = made("edge.raw");
    for (file, format) in CONTAINERS {
        let file = made(file);
        let [raw, file] = [&raw, &file].map(|path| path.to_str().unwrap());
        let said = qemu_img(&["compare", "-f", "raw", "-F", format, raw, file]);
        assert!(said.contains("Images are identical."), "{file}: {said}");
        if format != "vpc" {
            assert!(qemu_img(&["check", "-f", format, file]).contains("No errors were found"), "{file}");
        }
    }
}

#[test]
fn tar_finds_the_disk_that_compute_engine_imports() {
    let folder = tempfile::tempdir().unwrap();
    let archive = made("edge.gce.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).current_dir(folder.path()).status();
    assert!(unpacked.unwrap().success());
    let disk = folder.path().join("disk.raw");
    assert_eq!(disk.metadata().unwrap().len() % (1 << 30), 0, "whole GiB");
    let [raw, disk] = [&made("edge.raw"), &disk].map(|path| path.to_str().unwrap().to_owned());
    let said = qemu_img(&["compare", "-f", "raw", "-F", "raw", &raw, &disk]);
    assert!(said.contains("Images are identical."), "{said}");
}

fn boots(file: &str, format: DiskFormat) {
    let login = test_image().login();
    let disk = Disk { format, ..Disk::raw(made(file)) };
    let mut running = basalt_vm::boot(&Machine { disks: vec![disk], ..Machine::uefi("") }).unwrap();
    let mut shell = Shell::login(&mut running, &login).unwrap();
    let status = shell.check("basalt-agent status").unwrap();
    assert!(status.contains("edge 0.1.0 · amd64"), "{status}");
    shell.become_root(&login).unwrap();
    shell.type_line("systemctl poweroff").unwrap();
    running.wait_exit(Duration::from_secs(300)).unwrap();
}

#[test]
fn a_compressed_qcow2_boots() {
    boots("edge.compressed.qcow2", DiskFormat::Qcow2);
}

#[test]
fn a_dynamic_vhd_boots() {
    boots("edge.dynamic.vhd", DiskFormat::Vhd);
}

#[test]
fn a_vmdk_boots() {
    boots("edge.vmdk", DiskFormat::Vmdk);
}
