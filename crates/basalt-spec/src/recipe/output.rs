use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a build can make.
///
/// Which outputs a recipe asks for is no part of the image's id: a release is the same release in every container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// A raw disk that boots: `NAME.raw`.
    Disk,
    /// The disk for QEMU and its kin: `NAME.qcow2`.
    Qcow2,
    /// The same with its clusters compressed: `NAME.compressed.qcow2`.
    Qcow2Compressed,
    /// The disk as a fixed VHD of whole MiB, which Azure takes: `NAME.vhd`.
    Vhd,
    /// The disk as a dynamic VHD, for Hyper-V: `NAME.dynamic.vhd`.
    VhdDynamic,
    /// The disk as a stream-optimized VMDK, for VMware and for OVF packages: `NAME.vmdk`.
    Vmdk,
    /// The disk in the tar archive that Google Compute Engine imports: `NAME.gce.tar.gz`.
    Gce,
    /// A medium that boots the system live, from a CD and from a USB stick: `NAME.iso`.
    Iso,
    /// The unified kernel image alone: `NAME.efi`.
    Uki,
    /// What boots the system live over the network: `NAME.vmlinuz`, `NAME.initrd` and `NAME.ipxe`.
    Netboot,
    /// The update artifact, an OCI image that machines upgrade from: `NAME.oci.tar`.
    Oci,
    /// The packages and files as a container image: `NAME.container.tar`.
    Container,
    /// The packages and files as an archive: `NAME.tar.zst`.
    Tar,
    /// The packages and files as a cpio archive: `NAME.cpio.zst`.
    Cpio,
    /// What this recipe adds below `/usr` to the one it starts from, as a system extension (UAPI.4):
    /// `NAME.sysext.raw` and its root hash, `NAME.sysext.roothash`.
    Sysext,
    /// What this recipe adds below `/etc` to the one it starts from, as a configuration extension:
    /// `NAME.confext.raw` and `NAME.confext.roothash`.
    Confext,
}

/// What an output is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputSource {
    /// The release: verified root, kernel, boot loader.
    Release,
    /// The tree as packages, files and script left it. It needs no kernel.
    Tree,
    /// What that tree has beyond the one of the recipe that it starts from.
    Difference,
}

impl Output {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Disk,
        Self::Qcow2,
        Self::Qcow2Compressed,
        Self::Vhd,
        Self::VhdDynamic,
        Self::Vmdk,
        Self::Gce,
        Self::Iso,
        Self::Uki,
        Self::Netboot,
        Self::Oci,
        Self::Container,
        Self::Tar,
        Self::Cpio,
        Self::Sysext,
        Self::Confext,
    ];

    /// The word for it in a recipe.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Qcow2 => "qcow2",
            Self::Qcow2Compressed => "qcow2-compressed",
            Self::Vhd => "vhd",
            Self::VhdDynamic => "vhd-dynamic",
            Self::Vmdk => "vmdk",
            Self::Gce => "gce",
            Self::Iso => "iso",
            Self::Uki => "uki",
            Self::Netboot => "netboot",
            Self::Oci => "oci",
            Self::Container => "container",
            Self::Tar => "tar",
            Self::Cpio => "cpio",
            Self::Sysext => "sysext",
            Self::Confext => "confext",
        }
    }

    /// What its files are called behind `NAME.`, the most important one first.
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Disk => &["raw"],
            Self::Qcow2 => &["qcow2"],
            Self::Qcow2Compressed => &["compressed.qcow2"],
            Self::Vhd => &["vhd"],
            Self::VhdDynamic => &["dynamic.vhd"],
            Self::Vmdk => &["vmdk"],
            Self::Gce => &["gce.tar.gz"],
            Self::Iso => &["iso"],
            Self::Uki => &["efi"],
            Self::Netboot => &["ipxe", "vmlinuz", "initrd"],
            Self::Oci => &["oci.tar"],
            Self::Container => &["container.tar"],
            Self::Tar => &["tar.zst"],
            Self::Cpio => &["cpio.zst"],
            Self::Sysext => &["sysext.raw", "sysext.roothash"],
            Self::Confext => &["confext.raw", "confext.roothash"],
        }
    }

    /// What it is made from.
    pub const fn source(self) -> OutputSource {
        match self {
            Self::Disk
            | Self::Qcow2
            | Self::Qcow2Compressed
            | Self::Vhd
            | Self::VhdDynamic
            | Self::Vmdk
            | Self::Gce
            | Self::Iso
            | Self::Uki
            | Self::Netboot
            | Self::Oci => OutputSource::Release,
            Self::Container | Self::Tar | Self::Cpio => OutputSource::Tree,
            Self::Sysext | Self::Confext => OutputSource::Difference,
        }
    }
}
