//! What firmware and boot loader find on an EFI system partition, beside UKIs.

use basalt_types::Architecture;

/// What the boot loader is told (loader.conf(5)). Nothing is asked at boot: an unattended machine must not wait, and a person who
/// holds space gets the menu. Editing the command line is off, for it could name another root, and nothing is offered that
/// is none of our entries.
pub const LOADER_CONF: &str = "timeout 0\neditor no\nauto-entries no\n";

/// Where an image has the boot loader (Debian's package `systemd-boot-efi`).
pub fn loader_in_image(architecture: Architecture) -> String {
    format!("/usr/lib/systemd/boot/efi/systemd-boot{}.efi", architecture.efi())
}

/// Where an image has `basalt-guard`, the program that restarts the machine when the boot loader gives up.
pub fn guard_in_image(architecture: Architecture) -> String {
    format!("/usr/lib/basalt/{}", guard_name(architecture))
}

/// The file name of `basalt-guard`.
pub fn guard_name(architecture: Architecture) -> String {
    format!("basalt-guard{}.efi", architecture.efi())
}

/// The EFI programs that come before a UKI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programs<'a> {
    /// `basalt-guard`, perhaps signed.
    pub guard: &'a [u8],
    /// systemd-boot, perhaps signed.
    pub loader: &'a [u8],
}

impl<'a> Programs<'a> {
    /// Where they are on a machine's disk: firmware starts the guard (UEFI 2.10, section 3.5.1.1), which starts the loader.
    pub fn on_disk(self, architecture: Architecture) -> Vec<(String, &'a [u8])> {
        vec![(removable(architecture), self.guard), (loader(architecture), self.loader)]
    }

    /// Where they are on a live medium: firmware starts the loader, for a medium that can't be read must let the firmware go on. The guard is
    /// there to be installed.
    pub fn on_medium(self, architecture: Architecture) -> Vec<(String, &'a [u8])> {
        vec![
            (removable(architecture), self.loader),
            (loader(architecture), self.loader),
            (guard_on_medium(architecture), self.guard),
        ]
    }
}

/// The loader's place on every ESP.
pub fn loader(architecture: Architecture) -> String {
    format!("EFI/systemd/systemd-boot{}.efi", architecture.efi())
}

/// The guard's place on a live medium.
pub fn guard_on_medium(architecture: Architecture) -> String {
    format!("EFI/basalt/{}", guard_name(architecture))
}

/// What firmware starts when nobody told it anything else.
fn removable(architecture: Architecture) -> String {
    format!("EFI/BOOT/BOOT{}.EFI", architecture.efi().to_uppercase())
}
