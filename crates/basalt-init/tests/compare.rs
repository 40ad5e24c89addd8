//! The bars: half of the time and a quarter of the size of what initramfs-tools makes for the same kernel; and
//! kmod's opinion on what each module needs.
//!
//! Both initramfs start the same probe as the image's init, from virtio-blk, in turns; the best of each counts. The peer's root is
//! a plain ext4 file system: it has no verity to set up, which is to its advantage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking and says what it measured"
)]

mod support;

use std::{collections::BTreeSet, fs, path::Path};

use basalt_exec::command::Exit;
use basalt_formats::modules::module_name;
use basalt_testkit::{Trixie, run_tool};
use basalt_vm::{Bus, Firmware, Machine};
use support::{Ended, TestDisk, fixture, kernel_tree, machine, probe_program, root_of, run};

const ROUNDS: usize = 3;

fn peer_initrd() -> std::path::PathBuf {
    let version = &fixture().plan.kernel;
    let path = kernel_tree().join("boot").join(format!("initrd.img-{version}"));
    assert!(path.exists(), "{} is missing: install initramfs-tools in the tree", path.display());
    path
}

#[test]
fn the_file_is_at_most_a_quarter() {
    let peer = fs::metadata(peer_initrd()).unwrap().len();
    let ours = fixture().initrd_size;
    eprintln!(
        "initramfs: {ours} bytes, initramfs-tools: {peer} bytes, {:.1} times",
        peer as f64 / ours as f64
    );
    assert!(ours * 4 <= peer, "{ours} of {peer} bytes");
}

#[test]
fn the_way_to_the_images_init_takes_at_most_half() {
    let disk = &fixture().disk;
    let own = machine(&format!("quiet {}", root_of(disk)), &[(disk, Bus::Virtio)]);
    let peer = peer_machine(fixture().folder.path());
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        ours = ours.min(uptime(&run(&own)));
        theirs = theirs.min(uptime(&run(&peer)));
    }
    eprintln!("kernel to init: {ours:.2} s, initramfs-tools: {theirs:.2} s, {:.1} times", theirs / ours);
    assert!(ours * 2.0 <= theirs, "{ours} of {theirs} s");
}

/// Seconds from the kernel's start to the probe's.
fn uptime(ended: &Ended) -> f64 {
    ended.probe("uptime").split(' ').next().unwrap().parse().unwrap()
}

fn peer_machine(folder: &Path) -> Machine {
    let root = folder.join("peer-root");
    for directory in ["dev", "proc", "sys", "run", "etc", "sbin", "data"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy(probe_program(folder), root.join("sbin/init")).unwrap();
    let disk = folder.join("peer.raw");
    let [from, to] = [&root, &disk].map(|path| path.to_str().unwrap());
    run_tool("mke2fs", "e2fsprogs", &["-q", "-t", "ext4", "-d", from, to, "32M"]);
    let disk = TestDisk { path: disk, ..fixture().disk.clone() };
    let mut machine = machine("quiet root=/dev/vda rootfstype=ext4 ro", &[(&disk, Bus::Virtio)]);
    if let Firmware::DirectKernel { initrd, .. } = &mut machine.firmware {
        *initrd = Some(peer_initrd());
    }
    machine
}

#[test]
fn every_module_brings_what_modprobe_would_load_for_it() {
    let plan = &fixture().plan;
    for module in plan.modules.iter().filter(|module| module.wanted) {
        let arguments = ["--set-version", &plan.kernel, "--show-depends", &module.name];
        let said = Trixie::from_environment().run(fixture().folder.path(), "modprobe", &arguments);
        assert_eq!(said.exit, Exit::Code(0), "{}: {said:?}", module.name);
        // `insmod PATH [PARAMETER…]`, or `builtin NAME`.
        let text = String::from_utf8(said.stdout).unwrap();
        let paths = text.lines().filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next());
        let theirs: BTreeSet<String> = paths.map(module_name).collect();
        let ours = module.needs.iter().chain([&module.name]).cloned().collect();
        assert_eq!(theirs, ours, "{}", module.name);
    }
}
