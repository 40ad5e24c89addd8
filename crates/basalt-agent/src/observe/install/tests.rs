use std::{fs, os::unix::fs::symlink, path::Path};

use basalt_node::install::{BlockDisk, Content, DiskUse};
use basalt_spec::node::DiskBus;

use super::*;

/// A folder that looks like `/` to whoever looks for disks.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.put("proc/self/mountinfo", "");
        host.put("proc/swaps", "Filename Type Size Used Priority\n");
        fs::create_dir_all(host.path("sys/class/block")).unwrap();
        host
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A device below `above`, with a file of 8 MiB for its bytes.
    fn disk(&self, name: &str, above: &str, attributes: &[(&str, &str)]) -> String {
        let directory = format!("sys/devices/{above}/block/{name}");
        for (file, text) in [("size", "16384"), ("queue/logical_block_size", "512"), ("device/x", "")] {
            self.put(&format!("{directory}/{file}"), text);
        }
        for (file, text) in attributes {
            self.put(&format!("{directory}/{file}"), &format!("{text}\n"));
        }
        symlink(self.path(&directory), self.path(&format!("sys/class/block/{name}"))).unwrap();
        self.put(&format!("dev/{name}"), "");
        fs::File::options()
            .write(true)
            .open(self.path(&format!("dev/{name}")))
            .unwrap()
            .set_len(8 << 20)
            .unwrap();
        directory
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt as _;
        let file = fs::File::options().write(true).open(self.path(&format!("dev/{name}"))).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    fn disks(&self, booted: &str) -> Vec<BlockDisk> {
        disks(self.0.path(), Some(booted)).unwrap()
    }
}

#[test]
fn a_disk_says_what_it_is() {
    let host = Host::new();
    host.disk(
        "sdb",
        "pci0/ata1/host0",
        &[("device/model", "Samsung SSD 870 "), ("dev", "8:16"), ("removable", "0")],
    );
    host.put(
        "run/udev/data/b8:16",
        "S:disk/by-id/ata-x\nS:disk/by-path/y\nE:ID_SERIAL_SHORT=S5Y1\nE:ID_WWN=0x5002538\n",
    );
    host.disk(
        "nvme0n1",
        "pci0/nvme/nvme0",
        &[("serial", "N1"), ("wwid", "eui.1"), ("queue/rotational", "1")],
    );
    host.disk("vda", "pci0/virtio3", &[("ro", "1")]);
    let [nvme, sata, virtio] = &host.disks("/dev/vda")[..] else { panic!("three disks") };
    assert_eq!(sata.described(), "/dev/sdb (Samsung SSD 870, S5Y1, sata, 8 MiB)");
    assert_eq!(sata.links, ["/dev/disk/by-id/ata-x", "/dev/disk/by-path/y"]);
    assert_eq!((sata.wwn.as_deref(), sata.content, sata.removable), (Some("0x5002538"), None, false));
    assert_eq!((nvme.bus, nvme.serial.as_deref(), nvme.rotational), (Some(DiskBus::Nvme), Some("N1"), true));
    assert_eq!((virtio.bus, virtio.read_only), (Some(DiskBus::Virtio), true));
    assert_eq!(virtio.uses, [DiskUse::Booted]);
}

#[test]
fn what_is_no_disk_is_not_among_them() {
    let host = Host::new();
    host.disk("sr0", "pci0/ata2/host1", &[("device/type", "5")]);
    host.disk("nvme0c0n1", "pci0/nvme0", &[("hidden", "1")]);
    host.disk("empty", "pci0/usb1", &[("size", "0")]);
    let directory = host.disk("loop0", "virtual", &[]);
    fs::remove_dir_all(host.path(&format!("{directory}/device"))).unwrap();
    assert_eq!(host.disks("/dev/sr0"), []);
}

#[test]
fn who_uses_a_disk_is_named() {
    let host = Host::new();
    let directory = host.disk("sda", "pci0/usb1/1-1/host2", &[("dev", "8:0")]);
    for (number, attributes) in [(1, "8:1"), (2, "8:2")] {
        let part = format!("{directory}/sda{number}");
        host.put(&format!("{part}/partition"), &format!("{number}\n"));
        host.put(&format!("{part}/dev"), attributes);
        host.put(&format!("{part}/start"), &format!("{}\n", number * 2048));
        host.put(&format!("{part}/size"), "2048\n");
    }
    host.put(&format!("{directory}/sda2/holders/dm-7/x"), "");
    host.put("sys/class/block/dm-7/dm/name", "vg0-data\n");
    host.put(
        "proc/self/mountinfo",
        "30 1 8:1 / /mnt rw - ext4 /dev/sda1 rw\n31 1 0:5 / /b rw - btrfs /dev/sda2 rw\n",
    );
    host.put("proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 -2\n");
    host.write("sda", (1 << 20) + 0x438, &[0x53, 0xef]);
    host.write("sda", (2 << 20) + 512, b"LABELONE");
    host.write("sda", (2 << 20) + 512 + 24, b"LVM2 001");
    let [disk] = &host.disks("/dev/sr0")[..] else { panic!("one disk") };
    let uses: Vec<_> = disk.uses.iter().map(ToString::to_string).collect();
    assert_eq!(
        uses,
        [
            "/dev/sda1 is mounted at /mnt",
            "/dev/sda2 is mounted at /b",
            "the kernel swaps to /dev/sda2",
            "/dev/sda2 is in use by vg0-data",
        ]
    );
    assert_eq!(disk.bus, Some(DiskBus::Usb));
    let contents: Vec<_> = disk.partitions.iter().map(|partition| partition.content).collect();
    assert_eq!(contents, [Some(Content::Ext), Some(Content::Lvm)]);
    assert_eq!(disk.members(), [("/dev/sda2".to_owned(), Content::Lvm)]);
}

#[test]
fn this_machines_disks_can_be_looked_at() {
    // As root or not: what can't be opened is an error with its name, and nothing else may happen.
    match disks(Path::new("/"), None) {
        Ok(found) => assert!(found.iter().all(|disk| disk.device.starts_with("/dev/"))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
