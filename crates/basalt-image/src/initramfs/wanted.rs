//! The one table of modules that an initramfs begins with.
//!
//! A module is here when a machine's disk can't be found or verified without it, or a hang on the way not be noticed. Network, graphics, keyboards, file
//! systems of data volumes and everything else is loaded by the image's own udev after the root is there.

use std::fmt;

use serde::Serialize;

/// What a module is for; decides whether it may be missing, and when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ModuleClass {
    /// Without it there is no verified root. Loaded before any device is looked at.
    Root,
    /// Makes hashing quick on some processors. Loaded where the processor has what it needs.
    Processor,
    /// Reads the boot loader's variables. Loaded when the firmware is UEFI.
    Firmware,
    /// Restarts a machine that hangs, from here on. The kernel's own timer when the machine has none.
    Watchdog,
    /// Disks that a hypervisor offers.
    Virtual,
    /// NVMe, also behind Intel's volume management.
    Nvme,
    /// SATA and what is older.
    Ata,
    /// SCSI disks and the controllers that servers have them on.
    Scsi,
    /// USB sticks and disks. Loaded when the others did not bring the root: starting a USB controller takes long.
    Usb,
    /// SD cards and eMMC. Loaded late, too.
    Mmc,
    /// What a live system is on: a CD, or files of the initramfs. Loaded late, too.
    Live,
}

/// The modules by class, in the order in which they are loaded.
pub const WANTED: [(ModuleClass, &[&str]); 11] = [
    (ModuleClass::Root, &["dm_verity", "erofs", "overlay"]),
    (ModuleClass::Processor, &["sha256_ssse3", "sha256_arm64", "sha2_ce"]),
    (ModuleClass::Firmware, &["efivarfs"]),
    (
        ModuleClass::Watchdog,
        &[
            // Intel's chipsets have iTCO behind the LPC bridge or, since Skylake, behind the SMBus controller.
            "lpc_ich",
            "i2c_i801",
            "iTCO_wdt",
            "sp5100_tco",
            "wdat_wdt",
            "hpwdt",
            "i6300esb",
            "softdog",
        ],
    ),
    (
        ModuleClass::Virtual,
        &[
            "virtio_pci",
            "virtio_mmio",
            "virtio_blk",
            "virtio_scsi",
            "vmw_pvscsi",
            "hv_vmbus",
            "hv_storvsc",
            // Azure passes NVMe disks through as PCI devices of its own bus.
            "pci_hyperv",
            "xen_blkfront",
        ],
    ),
    (ModuleClass::Nvme, &["nvme", "vmd"]),
    (ModuleClass::Ata, &["ahci", "ata_piix", "ata_generic"]),
    (
        ModuleClass::Scsi,
        &[
            "sd_mod",
            "megaraid_sas",
            "mpt3sas",
            "mpi3mr",
            "mptspi",
            "mptsas",
            "aacraid",
            "hpsa",
            "smartpqi",
            "sym53c8xx",
        ],
    ),
    (ModuleClass::Usb, &["xhci_pci", "ehci_pci", "ohci_pci", "uhci_hcd", "usb_storage", "uas"]),
    (ModuleClass::Mmc, &["mmc_block", "sdhci_pci", "sdhci_acpi"]),
    (ModuleClass::Live, &["sr_mod", "loop"]),
];

impl ModuleClass {
    /// The kernel must have it, built in or as a module.
    pub fn is_required(self) -> bool {
        match self {
            Self::Root => true,
            Self::Processor
            | Self::Firmware
            | Self::Watchdog
            | Self::Virtual
            | Self::Nvme
            | Self::Ata
            | Self::Scsi
            | Self::Usb
            | Self::Mmc
            | Self::Live => false,
        }
    }

    /// Loaded only when what was loaded before did not bring the root.
    pub fn is_late(self) -> bool {
        match self {
            Self::Usb | Self::Mmc | Self::Live => true,
            Self::Root
            | Self::Processor
            | Self::Firmware
            | Self::Watchdog
            | Self::Virtual
            | Self::Nvme
            | Self::Ata
            | Self::Scsi => false,
        }
    }
}

impl fmt::Display for ModuleClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the verified root",
            Self::Processor => "quick hashing",
            Self::Firmware => "the boot loader's variables",
            Self::Watchdog => "the watchdog",
            Self::Virtual => "disks of virtual machines",
            Self::Nvme => "NVMe disks",
            Self::Ata => "SATA disks",
            Self::Scsi => "SCSI disks",
            Self::Usb => "USB disks",
            Self::Mmc => "SD cards and eMMC",
            Self::Live => "live media",
        })
    }
}
