//! `cargo xtask setup`: the host's tools. On Debian as root it installs them; otherwise it says what to type.

use basalt_exec::command::{Command, Program};

use crate::{
    error::{Done, TaskError},
    report::say,
    tool,
};

/// The Debian packages, and what each is for.
const PACKAGES: [(&str, &str); 33] = [
    ("ca-certificates", "mirrors over HTTPS"),
    ("chromium", "looks at the installer's page"),
    ("cpio", "reads our initramfs"),
    ("cryptsetup-bin", "veritysetup judges our verity trees"),
    ("curl", "tests of the local mirror"),
    ("docker-registry", "a registry for images that are pushed and pulled"),
    ("dosfstools", "fsck.fat judges our ESP"),
    ("dpkg-dev", "makes packages for tests"),
    ("e2fsprogs", "makes data volumes in tests"),
    ("efitools", "writes the variables that ours are compared with"),
    ("erofs-utils", "fsck.erofs judges our root"),
    ("fdisk", "sfdisk judges our partition tables"),
    ("gcc", "links static programs"),
    ("gdisk", "sgdisk judges our partition tables"),
    ("ipxe", "boots machines over the network"),
    ("libarchive-tools", "bsdtar reads what we write"),
    ("libc6-dev", "links static programs"),
    ("mmdebstrap", "the tree that ours is compared with"),
    ("mtools", "reads our ESP"),
    ("npm", "fetches what judges our pages"),
    ("openssl", "judges our keys and certificates"),
    ("osslsigncode", "judges our signatures"),
    ("ovmf", "UEFI firmware"),
    ("python3-venv", "validators of bills of materials"),
    ("qemu-system-x86", "boots what we build"),
    ("qemu-utils", "disk overlays"),
    ("rsync", "sends updates in the bench"),
    ("sbsigntool", "reads our UKI, judges our signatures"),
    ("skopeo", "judges our OCI images"),
    ("squashfs-tools", "mksquashfs packs trees in the bench"),
    ("swtpm", "a TPM for machines"),
    ("uidmap", "builds by ordinary users"),
    ("xorriso", "reads our ISO images"),
];

/// What to do.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Install(Vec<&'static str>),
    Refuse(String),
}

/// Runs the task.
pub(crate) fn run() -> Done {
    let apt = Program::find("apt-get", "apt");
    let missing = observe_missing()?;
    match plan(missing, tool::is_root() && apt.is_ok()) {
        Plan::Nothing => say("setup: every tool is installed"),
        Plan::Refuse(command) => return Err(TaskError::NotInstalled(command)),
        Plan::Install(packages) => execute(&Command::new(&apt?), &packages)?,
    }
    say(format!(
        "setup: KVM: {}",
        match &basalt_vm::Host::observe().kvm {
            basalt_vm::KvmState::Works => "works".to_owned(),
            basalt_vm::KvmState::Unusable { reason } => format!("not used, machines are emulated: {reason}"),
        }
    ));
    Ok(())
}

/// Asks dpkg; a host without dpkg is taken to lack everything, and is told the names.
fn observe_missing() -> Done<Vec<&'static str>> {
    let names = PACKAGES.map(|(name, _)| name);
    let Ok(query) = Program::find("dpkg-query", "dpkg") else { return Ok(names.to_vec()) };
    let found = Command::new(&query)
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\n"])
        .args(names)
        .finish()?;
    let installed = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut missing = not_installed(&names, &installed);
    // Node's own packages bring npm along, and Debian's can't be installed beside them.
    missing.retain(|name| *name != "npm" || Program::find("npm", "npm").is_err());
    Ok(missing)
}

fn not_installed(names: &[&'static str], query: &str) -> Vec<&'static str> {
    let installed: Vec<&str> = query.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    names.iter().filter(|name| !installed.contains(name)).copied().collect()
}

fn plan(missing: Vec<&'static str>, may_install: bool) -> Plan {
    if missing.is_empty() {
        Plan::Nothing
    } else if may_install {
        Plan::Install(missing)
    } else {
        Plan::Refuse(format!("sudo apt-get install --no-install-recommends {}", missing.join(" ")))
    }
}

fn execute(apt: &Command, packages: &[&str]) -> Done {
    for (name, purpose) in PACKAGES.iter().filter(|(name, _)| packages.contains(name)) {
        say(format!("setup: {name} ({purpose})"));
    }
    let apt =
        apt.clone().env("DEBIAN_FRONTEND", "noninteractive").timeout(std::time::Duration::from_secs(1800));
    tool::watch(apt.clone().args(["-q", "update"]))?;
    let install = ["-q", "install", "--yes", "--no-install-recommends"];
    tool::watch(apt.args(install).args(packages))
}

#[cfg(test)]
mod tests {
    use super::{Plan, not_installed, plan};

    #[test]
    fn only_what_dpkg_calls_installed_counts() {
        let query = "installed ovmf\nconfig-files swtpm\nnot-installed mtools\n";
        assert_eq!(not_installed(&["ovmf", "swtpm", "mtools", "cpio"], query), ["swtpm", "mtools", "cpio"]);
    }

    #[test]
    fn an_ordinary_user_is_told_the_command() {
        let command = "sudo apt-get install --no-install-recommends ovmf swtpm".to_owned();
        assert_eq!(plan(vec!["ovmf", "swtpm"], false), Plan::Refuse(command));
        assert_eq!(plan(vec!["ovmf"], true), Plan::Install(vec!["ovmf"]));
        assert_eq!(plan(Vec::new(), false), Plan::Nothing);
    }
}
