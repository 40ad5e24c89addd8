//! One changed byte of the example image's root, wherever it is, is refused: by the initramfs if it is read there,
//! otherwise by the kernel at the first read.
//!
//! The machines start the image's own kernel, initramfs and command line without firmware, to save its time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod build_support;

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    time::Duration,
};

use basalt_formats::uki;
use basalt_testkit::{Shell, Trixie, patience, run_tool, test_image};
use basalt_vm::{Disk, Machine, OnReboot};
use build_support::copy;

const BLOCK: u64 = 4096;

/// A copy of the test image's disk and what boots from it.
struct Copy {
    folder: tempfile::TempDir,
    /// Where the root begins on the disk.
    root: u64,
}

impl Copy {
    fn new() -> Self {
        let image = test_image();
        let folder = tempfile::tempdir().unwrap();
        copy(image.disk(), &folder.path().join("edge.raw"), &["--sparse=always", "--reflink=auto"]);
        let manifest = fs::read(image.folder().join("edge.manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let partitions = manifest["partitions"].as_array().unwrap();
        let offset =
            |label: &str| partitions.iter().find(|one| one["label"] == label).unwrap()["offset"].as_u64();
        let copy = Self { root: offset("basalt-a").unwrap(), folder };
        copy.extract_uki(offset("esp").unwrap());
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn extract_uki(&self, esp: u64) {
        let disk = format!("{}@@{esp}", self.path("edge.raw").display());
        let uki_path = self.path("uki");
        let arguments = ["-i", &disk, "::/EFI/Linux/*.efi", uki_path.to_str().unwrap()];
        run_tool("mcopy", "mtools", &arguments);
        let bytes = fs::read(uki_path).unwrap();
        let uki = uki::read(&bytes).unwrap();
        fs::write(self.path("kernel"), &bytes[uki.linux]).unwrap();
        fs::write(self.path("initrd"), &bytes[uki.initrd]).unwrap();
        fs::write(self.path("arguments"), uki.cmdline).unwrap();
    }

    /// Inverts a byte of the root.
    fn flip(&self, offset: u64) {
        let disk = OpenOptions::new().read(true).write(true).open(self.path("edge.raw")).unwrap();
        let mut byte = [0];
        disk.read_exact_at(&mut byte, self.root + offset).unwrap();
        disk.write_all_at(&[!byte[0]], self.root + offset).unwrap();
    }

    fn machine(&self, more: &str) -> Machine {
        let arguments = fs::read_to_string(self.path("arguments")).unwrap();
        let initrd = self.path("initrd");
        let mut machine = Machine::kernel(self.path("kernel"), Some(&initrd), format!("{arguments} {more}"));
        machine.disks.push(Disk::raw(self.path("edge.raw")));
        machine.on_reboot = OnReboot::Exit;
        machine
    }

    /// What `dump.erofs` says of a path in the root.
    fn dump(&self, arguments: &[&str]) -> String {
        let offset = format!("--offset={}", self.root);
        let disk = self.path("edge.raw").display().to_string();
        let arguments: Vec<&str> =
            [offset.as_str()].into_iter().chain(arguments.iter().copied()).chain([disk.as_str()]).collect();
        let said = Trixie::from_environment().run(self.folder.path(), "dump.erofs", &arguments);
        String::from_utf8(said.stdout).unwrap()
    }

    /// The middle of the first extent of a file, from the root's begin: `0: 0.. 8192 | 8192 : 12288.. 20480 | 8192`.
    fn data_of(&self, path: &str) -> u64 {
        let text = self.dump(&["-e", &format!("--path={path}")]);
        let extent = text.lines().find_map(|line| line.trim().strip_prefix("0:")).expect(&text);
        let physical = extent.split(" : ").nth(1).unwrap();
        let (from, length) = physical.split_once("..").unwrap();
        let length: u64 = length.split('|').nth(1).unwrap().trim().parse().unwrap();
        from.trim().parse::<u64>().unwrap() + length / 2
    }

    /// The inode of a path, from the root's begin: slots of 32 bytes from the first metadata block on.
    fn inode_of(&self, path: &str) -> u64 {
        let number = |text: &str, before: &str| -> u64 {
            let after = text.split(before).nth(1).unwrap_or_else(|| panic!("no `{before}` in {text}"));
            after.split_whitespace().next().unwrap().parse().unwrap()
        };
        let start = number(&self.dump(&["-s"]), "inode metadata start block:");
        start * BLOCK + 32 * number(&self.dump(&[&format!("--path={path}")]), "NID:")
    }
}

#[test]
fn changed_bytes_are_errors_when_they_are_read_and_nothing_else_is() {
    let copy = Copy::new();
    // What no boot reads.
    let places = [
        ("cat /usr/bin/vim.tiny", copy.data_of("/usr/bin/vim.tiny")),
        ("cat /usr/bin/perl", copy.data_of("/usr/bin/perl")),
        ("ls /usr/share/doc/less", copy.inode_of("/usr/share/doc/less")),
    ];
    for (_, offset) in places {
        copy.flip(offset);
    }
    let login = test_image().login();
    let mut machine = basalt_vm::boot(&copy.machine("")).unwrap();
    let mut shell = Shell::login(&mut machine, &login).unwrap();
    shell.become_root(&login).unwrap();
    shell.check("cat /usr/bin/less /usr/bin/ssh >/dev/null").unwrap();
    for (command, offset) in places {
        let read = shell.run(&format!("{command} >/dev/null")).unwrap();
        assert_ne!(read.status, 0, "`{command}` read a changed byte");
        assert!(read.text.contains("Input/output error"), "{}", read.text);
        let kernel = shell.check("dmesg | grep 'device-mapper: verity'").unwrap();
        let block = format!("data block {} is corrupted", offset / BLOCK);
        assert!(kernel.contains(&block), "`{block}` is not in:\n{kernel}");
    }
    let status = shell.run("basalt-agent status").unwrap();
    assert!(
        status.text.contains("CORRUPTED: a block that was read is not what was built"),
        "{}",
        status.text
    );
}

#[test]
fn a_changed_byte_that_the_mount_reads_is_refused_by_the_initramfs() {
    let copy = Copy::new();
    copy.flip(1024 + 40);
    let mut machine = basalt_vm::boot(&copy.machine("basalt.reboot_delay=1")).unwrap();
    let within = patience(&machine, Duration::from_secs(20));
    let ended = machine.wait_exit(within);
    let console = machine.console().unwrap().text();
    ended.unwrap_or_else(|error| panic!("{error}\n{console}"));
    for words in ["the first block of the root does not match the root hash", "the machine restarts in 1 s"] {
        assert!(console.contains(words), "`{words}` is not in:\n{console}");
    }
    // Its words; the name is on the command line, too.
    assert!(!console.contains("systemd["), "{console}");
}
