use super::{Output, Recipe};
use crate::words::PackageName;

/// A package that the recipe needs without naming it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implied {
    /// The package.
    pub package: PackageName,
    /// The key that needs it, as in `disk.dataFileSystem`.
    pub key: &'static str,
    /// What for, in one clause.
    pub why: &'static str,
}

impl Recipe {
    /// The packages that the recipe needs without naming them, less those it deselects, in a fixed order.
    ///
    /// They are what makes the shortest recipe boot. The lock says of each which key brought it.
    /// An OCI image has what it has: a recipe that starts from one needs nothing.
    pub fn implied_packages(&self) -> Vec<Implied> {
        if self.base.oci.is_some() {
            return Vec::new();
        }
        let boots = self.kernel_package().is_some();
        let file_system = self.disk.data_file_system.package();
        let utc = matches!(self.timezone.as_str(), "UTC" | "Etc/UTC");
        let built_in = matches!(self.locale.as_str(), "C" | "C.UTF-8" | "C.utf8" | "POSIX");
        let table = [
            (boots, "systemd-sysv", "kernel.package", "the first process"),
            (boots, "udev", "kernel.package", "device names and module loading"),
            (boots, "dbus", "kernel.package", "systemd's own services talk over it"),
            (boots, "kmod", "kernel.package", "module loading"),
            (boots, "systemd-boot-efi", "outputs", "the boot loader and the stub of the kernel image"),
            (boots, "systemd-boot", "outputs", "marks a release good that came up (boot counting)"),
            (boots, file_system, "disk.dataFileSystem", "makes the data partition at the first boot"),
            (!utc, "tzdata", "timezone", "the time zone's rules"),
            (!built_in, "locales-all", "locale", "the locale, ready made"),
            (self.keymap.is_some(), "console-setup", "keymap", "the keyboard's map"),
            (self.users.iter().any(|user| user.sudo), "sudo", "users.sudo", "a user may become root"),
        ];
        let kernel = self.kernel_package().into_iter().map(|package| Implied {
            package,
            key: "kernel.package",
            why: "the kernel",
        });
        let others = table.into_iter().filter(|(needed, ..)| *needed).map(|(_, name, key, why)| Implied {
            package: PackageName::known(name),
            key,
            why,
        });
        kernel.chain(others).filter(|implied| !self.deselect.contains(&implied.package)).collect()
    }

    /// Whether the recipe makes this output.
    pub fn makes(&self, output: Output) -> bool {
        self.outputs.contains(&output)
    }
}
