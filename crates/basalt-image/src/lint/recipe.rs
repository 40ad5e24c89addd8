//! What a recipe asks for that does not fit together, or that nobody should ship without thinking.

use basalt_spec::{Lock, Recipe};

use super::Notes;

/// Kernel arguments by how they begin, and what they do.
const DEBUG_ARGUMENTS: [(&str, &str); 11] = [
    ("init=", "starts another program than systemd"),
    ("rd.break", "stops in a shell before the root is there"),
    ("rdinit=", "starts another program than basalt-init"),
    ("systemd.debug-shell", "opens a root shell without a password"),
    ("systemd.debug_shell", "opens a root shell without a password"),
    ("mitigations=off", "switches protections of the processor off"),
    ("nokaslr", "puts the kernel where attackers expect it"),
    ("apparmor=0", "switches AppArmor off"),
    ("selinux=0", "switches SELinux off"),
    ("module.sig_enforce=0", "lets unsigned modules load"),
    ("iomem=relaxed", "opens the memory of devices to programs"),
];

pub(super) fn lock_misfit(recipe: &Recipe, lock: Option<&Lock>, notes: &mut Notes) {
    if let Some(Err(misfit)) = lock.map(|lock| lock.fits(recipe)) {
        notes.whole(misfit.to_string());
    }
}

pub(super) fn no_way_in(recipe: &Recipe, _: Option<&Lock>, notes: &mut Notes) {
    let opens =
        recipe.users.iter().any(|user| user.password_hash.is_some() || !user.ssh_authorized_keys.is_empty());
    if !opens && recipe.kernel_package().is_some() {
        notes.whole("no user of the recipe has a password or a key");
    }
}

pub(super) fn no_ssh_server(recipe: &Recipe, lock: Option<&Lock>, notes: &mut Notes) {
    let served = has(lock, &["openssh-server", "dropbear-bin", "dropbear"]);
    for user in recipe.users.iter().filter(|user| !user.ssh_authorized_keys.is_empty()) {
        if served == Some(false) {
            notes.whole(format!(
                "the user {} has SSH keys, and no package of the lock is an SSH server",
                user.name
            ));
        }
    }
}

pub(super) fn no_sudo(recipe: &Recipe, lock: Option<&Lock>, notes: &mut Notes) {
    for user in recipe.users.iter().filter(|user| user.sudo) {
        if has(lock, &["sudo", "sudo-ldap", "sudo-rs"]) == Some(false) {
            notes.whole(format!("the user {} may use sudo, and the lock has no sudo", user.name));
        }
    }
}

pub(super) fn password_free_root(recipe: &Recipe, _: Option<&Lock>, notes: &mut Notes) {
    for user in recipe.users.iter().filter(|user| user.sudo && user.password_hash.is_none()) {
        notes.whole(format!("the user {} may become root through sudo and has no password", user.name));
    }
}

pub(super) fn debug_arguments(recipe: &Recipe, _: Option<&Lock>, notes: &mut Notes) {
    for argument in recipe.kernel_arguments.iter().map(ToString::to_string) {
        if let Some((_, what)) = DEBUG_ARGUMENTS.iter().find(|(start, _)| argument.starts_with(start)) {
            notes.whole(format!("the kernel argument `{argument}` {what}"));
        }
    }
}

pub(super) fn unit_twice(recipe: &Recipe, _: Option<&Lock>, notes: &mut Notes) {
    let units = &recipe.units;
    for unit in &units.enable {
        let against = [("disable", &units.disable), ("mask", &units.mask)];
        for (list, _) in against.iter().filter(|(_, names)| names.contains(unit)) {
            notes.whole(format!("the unit {unit} is in `enable` and in `{list}`"));
        }
    }
}

/// Whether the lock has one of these packages; `None` without a lock.
fn has(lock: Option<&Lock>, names: &[&str]) -> Option<bool> {
    lock.map(|lock| lock.packages.iter().any(|package| names.contains(&package.name.as_str())))
}
