//! What a machine is: a value that can be compared, printed and planned, and that touches nothing.

use basalt_types::ByteSize;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A virtual machine before it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// What runs first.
    pub firmware: Firmware,
    /// Main memory.
    pub memory: ByteSize,
    /// Virtual processors.
    pub cpus: u32,
    /// Disks in boot order.
    pub disks: Vec<Disk>,
    /// The one network card, or none.
    pub network: Network,
    /// A TPM 2.0 (swtpm), with its state kept as long as the [`crate::Vm`].
    pub tpm: bool,
    /// Where the first serial port goes.
    pub serial: SerialPort,
    /// A window, or none.
    pub display: Display,
    /// What executes guest code.
    pub accel: Accel,
    /// What a reboot of the guest does.
    pub on_reboot: OnReboot,
    /// SMBIOS type 11 strings: systemd reads credentials (`io.systemd.credential:NAME=VALUE`) and the UKI stub extra kernel
    /// arguments (`io.systemd.stub.kernel-cmdline-extra=…`, without Secure Boot) from them.
    pub oem_strings: Vec<String>,
    /// An Intel 6300ESB on the PCI bus, which resets the machine when nobody says in time that all is well.
    pub watchdog: bool,
    /// What the battery-backed clock says at power-on.
    pub clock: Clock,
}

impl Machine {
    /// A machine that boots `disk` (a raw image) as a person's server would: UEFI, TPM, virtio, grown to 16 GiB, serial
    /// console on a socket, no network.
    pub fn uefi(disk: impl AsRef<Path>) -> Self {
        Self { disks: vec![Disk::raw(disk)], ..Self::bare(Firmware::Ovmf { secure_boot: false }) }
    }

    /// A machine that boots a kernel directly, without firmware of the UEFI kind, disks or TPM.
    pub fn kernel(kernel: impl AsRef<Path>, initrd: Option<&Path>, append: impl Into<String>) -> Self {
        let firmware = Firmware::DirectKernel {
            kernel: kernel.as_ref().to_owned(),
            initrd: initrd.map(Path::to_owned),
            append: append.into(),
        };
        Self { tpm: false, ..Self::bare(firmware) }
    }

    fn bare(firmware: Firmware) -> Self {
        Self {
            firmware,
            memory: ByteSize::mib(1536),
            cpus: 1,
            disks: Vec::new(),
            network: Network::None,
            tpm: true,
            serial: SerialPort::Socket,
            display: Display::None,
            accel: Accel::Best,
            on_reboot: OnReboot::Restart,
            oem_strings: Vec::new(),
            watchdog: false,
            clock: Clock::Host,
        }
    }
}

/// What runs first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Firmware {
    /// UEFI with a private, writable copy of the empty variable store.
    #[serde(rename_all = "camelCase")]
    Ovmf {
        /// Enforce signatures once keys are enrolled. The variable store is empty, so the machine starts in setup mode.
        secure_boot: bool,
    },
    /// QEMU's own loader of a Linux kernel.
    DirectKernel {
        /// A bzImage.
        kernel: PathBuf,
        /// Its initramfs.
        initrd: Option<PathBuf>,
        /// The kernel's command line.
        append: String,
    },
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The image file.
    pub path: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// The bus that the guest sees it on.
    pub bus: Bus,
    /// Where the guest's writes go.
    pub write: Write,
}

impl Disk {
    /// A raw image on virtio, its writes in an overlay of at least 16 GiB.
    pub fn raw(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            format: DiskFormat::Raw,
            bus: Bus::Virtio,
            write: Write::Overlay { at_least: ByteSize::gib(16) },
        }
    }

    /// A CD with this image.
    pub fn cd(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), format: DiskFormat::Raw, bus: Bus::Cd, write: Write::Never }
    }
}

/// How a disk's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DiskFormat {
    /// The bytes themselves.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
    /// Virtual PC's and Hyper-V's format, which QEMU calls `vpc`.
    Vhd,
    /// VMware's format.
    Vmdk,
}

/// The bus that the guest sees a disk on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// An NVMe controller of its own.
    Nvme,
    /// SATA on an ICH9 AHCI controller (at most 6 disks).
    Ahci,
    /// USB mass storage on an xHCI controller.
    Usb,
    /// virtio-scsi.
    Scsi,
    /// An SD card on an SDHCI controller; its overlay is grown to a power of two, as QEMU demands.
    SdCard,
    /// Parallel ATA (PIIX); the machine is then an i440fx (at most 4 disks).
    Ide,
    /// A CD in a drive on the ICH9 AHCI controller (with its disks at most 6): raw, read-only, sectors of 2048 bytes.
    Cd,
}

/// Where the guest's writes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Write {
    /// Into a private qcow2 overlay that dies with the [`crate::Vm`]; the guest sees a disk of at least this size.
    #[serde(rename_all = "camelCase")]
    Overlay {
        /// The smallest virtual size; the image's own size when that is larger.
        at_least: ByteSize,
    },
    /// Into the file itself.
    Direct,
    /// Nowhere: the medium can't be written.
    Never,
}

/// The network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    /// No card.
    None,
    /// QEMU's user-mode network with DHCP.
    #[serde(rename_all = "camelCase")]
    User {
        /// The port of 127.0.0.1 that leads to the guest's port 22.
        ssh_port: Option<u16>,
    },
    /// The same, and DHCP tells what to boot. The host's 127.0.0.1 is 10.0.2.2 there.
    #[serde(rename_all = "camelCase")]
    Boot {
        /// A file for TFTP, or what iPXE takes for one: a URL.
        file: String,
    },
}

/// Where the first serial port goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SerialPort {
    /// To this process's terminal, together with QEMU's monitor (ctrl-A x ends it).
    Stdio,
    /// To a [`crate::Console`].
    Socket,
}

/// A window, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Display {
    /// No graphics card at all.
    None,
    /// A GTK window.
    Gtk,
}

/// What executes guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Accel {
    /// KVM when it really works here, emulation otherwise.
    Best,
    /// KVM, or a refusal that says why not.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What a reboot of the guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OnReboot {
    /// The machine starts again, as a real one.
    Restart,
    /// The machine's process ends.
    Exit,
}

/// What the battery-backed clock says at power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Clock {
    /// The host's time.
    Host,
    /// 1 January 1970: the battery is empty.
    Epoch,
}
