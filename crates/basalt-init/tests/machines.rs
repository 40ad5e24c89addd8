//! The initramfs in virtual machines: every kind of disk leads to the root, and every way to go wrong is told.

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

use basalt_vm::{Bus, Firmware};
use support::{damaged, fixture, machine, root_of, run, test_data};

fn starts_from(bus: Bus, device: &str) {
    let disk = &fixture().disk;
    let ended = run(&machine(&root_of(disk), &[(disk, bus)]));
    let record: serde_json::Value = serde_json::from_str(ended.probe("record")).unwrap();
    eprintln!("{bus:?}: {:.1} s in all, record {record}", ended.seconds);
    assert_eq!(record["rootHash"], disk.root_hash.hex());
    assert_eq!(record["disk"], device);
    assert_eq!(record["slot"], "a");
    assert!(record["initStartUsec"].as_u64() < record["initEndUsec"].as_u64());
    assert_eq!(ended.probe("write-root"), "Err(ReadOnlyFilesystem)");
    assert_eq!(ended.probe("write-etc"), "Ok(())");
    assert_eq!(ended.probe("old-root"), "false");
    assert_eq!(ended.probe("read"), format!("{} bytes", test_data().len()));
    let mounted = |target: &str, kind: &str| {
        let line =
            ended.text.lines().filter(|line| line.contains("PROBE mounts: ")).find(|line| {
                line.contains(&format!(" / {target} ")) && line.contains(&format!(" - {kind} "))
            });
        assert!(line.is_some(), "no {kind} on {target}:\n{}", ended.text);
    };
    mounted("/", "erofs");
    mounted("/etc", "overlay");
    mounted("/proc", "proc");
    mounted("/sys", "sysfs");
    mounted("/dev", "devtmpfs");
    mounted("/run", "tmpfs");
}

#[test]
fn starts_from_virtio_blk() {
    starts_from(Bus::Virtio, "/dev/vda");
}

#[test]
fn starts_from_nvme() {
    starts_from(Bus::Nvme, "/dev/nvme0n1");
}

#[test]
fn starts_from_ahci() {
    starts_from(Bus::Ahci, "/dev/sda");
}

#[test]
fn starts_from_virtio_scsi() {
    starts_from(Bus::Scsi, "/dev/sda");
}

#[test]
fn starts_from_usb_storage() {
    starts_from(Bus::Usb, "/dev/sda");
}

#[test]
fn starts_from_an_sd_card() {
    starts_from(Bus::SdCard, "/dev/mmcblk0");
}

#[test]
fn starts_from_ide() {
    starts_from(Bus::Ide, "/dev/sda");
}

/// A machine that starts from this root as from a live medium, and has its data in memory.
fn starts_live(machine: &basalt_vm::Machine, root: &str, disk: Option<&str>) {
    let ended = run(machine);
    let record: serde_json::Value = serde_json::from_str(ended.probe("record")).unwrap();
    eprintln!("live: {:.1} s in all, record {record}", ended.seconds);
    assert_eq!(record["slot"], "live");
    assert_eq!(record["rootDevice"], root);
    assert_eq!(record["disk"].as_str(), disk);
    assert_eq!(ended.probe("read"), format!("{} bytes", test_data().len()));
    assert_eq!(ended.probe("old-root"), "false");
    let data = |line: &str| line.contains(" / /var ") && line.contains(" - tmpfs ");
    assert!(ended.text.lines().any(data), "no tmpfs on /var:\n{}", ended.text);
}

#[test]
fn starts_live_from_a_cd_whose_table_the_kernel_does_not_read() {
    let (disk, live) = (&fixture().disk, &fixture().live);
    let arguments = format!("{} basalt.live", root_of(live));
    // The machine has the same release on its disk.
    starts_live(&machine(&arguments, &[(disk, Bus::Virtio), (live, Bus::Cd)]), "/dev/dm-0", Some("/dev/sr0"));
}

#[test]
fn starts_live_from_a_stick_at_once() {
    let live = &fixture().live;
    let arguments = format!("{} basalt.live", root_of(live));
    starts_live(&machine(&arguments, &[(live, Bus::Usb)]), "/dev/sda2", Some("/dev/sda"));
}

#[test]
fn starts_live_from_files_of_the_initramfs() {
    let mut machine = machine(&root_of(&fixture().live), &[]);
    let Firmware::DirectKernel { initrd, .. } = &mut machine.firmware else { panic!("{machine:?}") };
    *initrd = Some(fixture().netboot_initrd.clone());
    starts_live(&machine, "/dev/loop0", None);
}

#[test]
fn a_live_medium_is_no_disk_to_start_a_machine_from() {
    let live = &fixture().live;
    let arguments = format!("{} basalt.device_timeout=2 basalt.reboot_delay=1", root_of(live));
    let ended = run(&machine(&arguments, &[(live, Bus::Virtio)]));
    ended.assert_says("no disk brought both partitions within 2 s");
    ended.assert_says("basalt-live-verity  <- wanted");
    ended.assert_says("a live medium counts only with basalt.live");
}

#[test]
fn a_changed_byte_of_a_file_is_an_error_when_it_is_read() {
    let disk = damaged(&fixture().disk, fixture().disk.data_offset + 1_000_000, "changed-data");
    let ended = run(&machine(&root_of(&disk), &[(&disk, Bus::Virtio)]));
    assert!(ended.probe("read").starts_with("failed: "), "{}", ended.probe("read"));
}

#[test]
fn a_changed_first_block_is_refused_before_anything_is_mounted() {
    let disk = damaged(&fixture().disk, (1 << 20) + 1030, "changed-root");
    let ended = run(&machine(&format!("{} basalt.reboot_delay=1", root_of(&disk)), &[(&disk, Bus::Virtio)]));
    ended.assert_says("the first block of the root does not match the root hash");
    ended.assert_says("the machine restarts in 1 s");
    assert!(!ended.text.contains("PROBE"));
}

#[test]
fn a_changed_hash_tree_is_refused() {
    // The first digest of the top level: block 1 of the tree.
    let disk = damaged(&fixture().disk, fixture().disk.hash_offset + 4096, "changed-tree");
    let ended = run(&machine(&format!("{} basalt.reboot_delay=1", root_of(&disk)), &[(&disk, Bus::Virtio)]));
    ended.assert_says("the first block of the root does not match the root hash");
}

#[test]
fn a_root_hash_that_no_disk_has_is_told_beside_what_was_found() {
    let disk = &fixture().disk;
    let other = "0123456789abcdef".repeat(4);
    let arguments = format!("quiet roothash={other} basalt.device_timeout=2 basalt.reboot_delay=1");
    let ended = run(&machine(&arguments, &[(disk, Bus::Virtio)]));
    ended.assert_says("no disk brought both partitions within 2 s");
    ended.assert_says(&format!("wanted  root hash {other}"));
    ended.assert_says("wanted  partition 01234567-89ab-cdef-0123-456789abcdef (root)");
    ended.assert_says("found   vda, 64 MiB");
    ended.assert_says("basalt-a-verity");
    ended.assert_says("the machine restarts in 1 s");
}

#[test]
fn a_machine_without_a_disk_says_so() {
    let arguments = format!("{} basalt.device_timeout=1 basalt.reboot_delay=1", root_of(&fixture().disk));
    let ended = run(&machine(&arguments, &[]));
    ended.assert_says("no disk brought both partitions within 1 s");
    ended.assert_says("found   no disk at all");
}

#[test]
fn a_command_line_without_a_root_hash_is_refused_at_once() {
    let disk = &fixture().disk;
    let ended = run(&machine("basalt.reboot_delay=1", &[(disk, Bus::Virtio)]));
    ended.assert_says("the kernel command line has no roothash=");
}

#[test]
fn the_same_root_on_two_disks_is_refused_by_name_and_a_stick_is_passed_over() {
    let disk = &fixture().disk;
    let arguments = format!("{} basalt.reboot_delay=1", root_of(disk));
    let ended = run(&machine(&arguments, &[(disk, Bus::Virtio), (disk, Bus::Virtio)]));
    ended.assert_says("several disks hold this root, and their data may differ: vda, vdb");

    let ended = run(&machine(&arguments, &[(disk, Bus::Usb), (disk, Bus::Nvme)]));
    assert!(ended.probe("record").contains("/dev/nvme0n1p2"), "{}", ended.probe("record"));
}
