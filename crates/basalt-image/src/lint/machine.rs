//! What makes one machine different from others, and what a machine needs to boot.

use basalt_formats::tree::Kind;

use super::{Image, LintError, Notes};
use crate::initramfs::{
    self, LeftOutReason,
    wanted::{ModuleClass, WANTED},
};

/// Where finished images have what fills `/var`.
const SEED: &str = "/usr/share/factory";

/// Empty is right, and so is `uninitialized` (machine-id(5)).
pub(super) fn machine_id(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id", "/usr/share/factory/var/lib/dbus/machine-id"]
    {
        let is_link =
            image.tree.lookup(path).is_some_and(|id| matches!(image.tree.node(id).kind, Kind::Symlink(_)));
        let text = if is_link { String::new() } else { image.text(path)? };
        if !["", "uninitialized"].contains(&text.trim()) {
            notes.at(path, "every machine of this image would have this id");
        }
    }
    Ok(())
}

pub(super) fn random_seed(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for path in
        ["/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/var/lib/urandom/random-seed"]
    {
        for path in [path.to_owned(), format!("{SEED}{path}")] {
            if image.tree.lookup(&path).is_some() {
                notes.at(&path, "a secret that each machine makes for itself");
            }
        }
    }
    Ok(())
}

pub(super) fn missing_modules(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (kernel, plan) in plans(image) {
        if let Err(error) = plan {
            notes.at(&format!("/usr/lib/modules/{kernel}"), error.to_string());
        }
    }
    Ok(())
}

pub(super) fn absent_drivers(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (kernel, plan) in plans(image) {
        let Ok(plan) = plan else { continue };
        let absent: Vec<&str> = plan
            .left_out
            .iter()
            .filter(|one| one.for_module.is_none() && one.reason == LeftOutReason::NotInKernel)
            .filter(|one| !other_processors(&one.name))
            .map(|one| one.name.as_str())
            .collect();
        if !absent.is_empty() {
            let absent = absent.join(", ");
            notes.at(&format!("/usr/lib/modules/{kernel}"), format!("this kernel has no module {absent}"));
        }
    }
    Ok(())
}

/// Whether it makes hashing quick on one processor: each kernel lacks those of all others.
fn other_processors(module: &str) -> bool {
    WANTED.iter().any(|(class, names)| *class == ModuleClass::Processor && names.contains(&module))
}

type Planned = Result<initramfs::ModulePlan, initramfs::InitramfsError>;

/// What the initramfs of each kernel would hold.
fn plans(image: &Image<'_>) -> Vec<(String, Planned)> {
    let Ok(id) = image.tree.resolve("/usr/lib/modules") else { return Vec::new() };
    let Kind::Directory(entries) = &image.tree.node(id).kind else { return Vec::new() };
    let kernels = entries.keys().map(|name| String::from_utf8_lossy(name).into_owned());
    kernels
        .map(|kernel| {
            let plan = initramfs::plan_modules(image.tree, image.content, &kernel);
            (kernel, plan)
        })
        .collect()
}
