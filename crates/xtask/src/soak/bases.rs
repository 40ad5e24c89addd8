//! Trees of other suites and another init system, as OCI images in a real registry: each is the base of an image that boots.

use basalt_exec::command::{Command, Exit, Program};
use basalt_fetch::oci::{ImageConfig, LayoutWriter, Manifest, RootFs, media};
use basalt_testkit::{Door, Registry, Shell, TestImage};
use basalt_types::Digest;
use basalt_vm::Machine;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    dist,
    error::{Done, TaskError},
    paths, peers,
    report::say,
    setup, tool,
};

/// A tree that somebody else makes.
struct Base {
    name: &'static str,
    suite: &'static str,
    /// What makes a container's tree into one that boots.
    packages: &'static [&'static str],
    /// Tells that everything was started, on its last line.
    health: &'static str,
    healthy: &'static str,
}

const WITH_SYSTEMD: &[&str] = &[
    "dbus",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "linux-image-amd64",
    "systemd-boot-efi",
    "systemd-sysv",
    "udev",
];
const RUNNING: &str = "systemctl is-system-running --wait";

const BASES: [Base; 4] = [
    Base {
        name: "bookworm",
        suite: "bookworm",
        // With the libraries for the TPM: without them systemd 252 can't measure its phases, and its units for it fail.
        packages: &[
            "dbus",
            "e2fsprogs",
            "iproute2",
            "kmod",
            "libtss2-esys-3.0.2-0",
            "libtss2-mu0",
            "libtss2-rc0",
            "linux-image-amd64",
            "systemd-boot-efi",
            "systemd-sysv",
            "udev",
        ],
        health: RUNNING,
        healthy: "running",
    },
    Base { name: "trixie", suite: "trixie", packages: WITH_SYSTEMD, health: RUNNING, healthy: "running" },
    Base { name: "sid", suite: "sid", packages: WITH_SYSTEMD, health: RUNNING, healthy: "running" },
    Base {
        name: "trixie-openrc",
        suite: "trixie",
        packages: &[
            "e2fsprogs",
            "initscripts",
            "kmod",
            "linux-image-amd64",
            "openrc",
            "systemd-boot-efi",
            "systemd-standalone-sysusers",
            "systemd-standalone-tmpfiles",
            "sysvinit-core",
            "udev",
        ],
        health: "PATH=$PATH:/sbin:/usr/sbin rc-status --all | grep -q 'basalt-identity.*started' && echo started",
        healthy: "started",
    },
];

/// The example's user, whose password [`TestImage::login`] knows.
const RECIPE: &str = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nkernelArguments: [console=tty0, console=ttyS0]\n\
    users:\n  - name: admin\n    passwordHash: $6$basaltexample$WNAH6FDfockFvblAUxA0PUxS8V7SJD67ViDO0AK5RGlVHCmNmPTlg9WEfZZZIz\
    JV146ISy.p/HIfDyApaIlNU0\n";
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes, builds and boots all of them.
pub(super) fn run(given: Option<PathBuf>) -> Done<String> {
    setup::run()?;
    let dist = given.map_or_else(dist::run, Ok)?;
    let work = paths::root().join("target/soak/bases");
    tool::create_folder(&work)?;
    let registry = Registry::start(Door::Open);
    let mut told = Vec::new();
    for base in &BASES {
        let tar = work.join(format!("{}.tar", base.name));
        say(format!("soak: {}: the tree by mmdebstrap", base.name));
        make_tree(base, &tar)?;
        push(base, &tar, &work, &registry)?;
        let out = build(base, &dist, &work, &registry)?;
        told.push(boot(base, &out)?);
        tool::remove_folder(&out)?;
        fs::remove_file(&tar).map_err(TaskError::io("remove", &tar))?;
    }
    Ok(format!("{} bases from a registry booted to a login: {}", told.len(), told.join("; ")))
}

fn make_tree(base: &Base, tar: &Path) -> Done {
    // The archive leaves the Release file of a moving suite past its date.
    let command = tool::plan("mmdebstrap", "mmdebstrap")?
        .args(["--quiet", "--mode=root", "--variant=minbase"])
        .args(["--aptopt=Acquire::Check-Valid-Until \"false\"", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--include={}", base.packages.join(",")))
        .arg("--customize-hook=rm -rf \"$1\"/boot/initrd*")
        .arg(base.suite)
        .arg(tar)
        .arg(format!("deb {} {} main", peers::upstream(base.suite)?, base.suite));
    tool::watch(command)
}

/// Makes the image with one layer and pushes it with skopeo, which compresses it.
fn push(base: &Base, tar: &Path, work: &Path, registry: &Registry) -> Done {
    let layout = work.join(format!("{}.oci", base.name));
    tool::remove_folder(&layout)?;
    let layer = fs::read(tar).map_err(TaskError::io("read", tar))?;
    write_layout(&layout, &layer)?;
    let from = format!("oci:{}:1", layout.display());
    let to = format!("docker://{}/base/{}:1", registry.host(), base.name);
    let done = registry.skopeo(&["copy", "--dest-tls-verify=false", &from, &to]);
    match done.exit {
        Exit::Code(0) => tool::remove_folder(&layout),
        exit @ (Exit::Code(_) | Exit::Signal(_)) => {
            Err(TaskError::Failed { command: format!("skopeo copy {from} {to}: {}", done.stderr_tail), exit })
        }
    }
}

fn write_layout(folder: &Path, layer: &[u8]) -> Done {
    let config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: None,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![Digest::of(layer)] },
    };
    let mut writer = LayoutWriter::create(folder)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: None,
        config: writer.insert(media::CONFIG, &json(&config)?)?,
        layers: vec![writer.insert(media::LAYER, layer)?],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let root = writer.insert(media::MANIFEST, &json(&manifest)?)?;
    Ok(writer.name(&root, Some("1"))?)
}

fn json(document: &impl serde::Serialize) -> Done<Vec<u8>> {
    let what = "the image's description".to_owned();
    serde_json::to_vec(document).map_err(|source| TaskError::Json { what, source })
}

fn build(base: &Base, dist: &Path, work: &Path, registry: &Registry) -> Done<PathBuf> {
    let recipe = work.join(format!("{}.yaml", base.name));
    let reference = format!("{}/base/{}:1", registry.host(), base.name);
    let text =
        format!("{RECIPE}name: {}\nbase: {{oci: {{ref: '{reference}', insecure: true}}}}\n", base.name);
    fs::write(&recipe, text).map_err(TaskError::io("write", &recipe))?;
    let lock = recipe.with_extension("lock");
    if lock.exists() {
        fs::remove_file(&lock).map_err(TaskError::io("remove", &lock))?;
    }
    let out = work.join(format!("{}.out", base.name));
    tool::remove_folder(&out)?;
    let basalt = Program::at(dist.join("bin/basalt"))?;
    let command = Command::new(&basalt).timeout(Duration::from_secs(3600)).arg("build").arg(&recipe);
    let inherited = std::env::vars_os().fold(command, |command, (name, value)| command.env(name, value));
    tool::watch(inherited.env("BASALT_CACHE", work.join("cache")).arg("-o").arg(&out))?;
    Ok(out)
}

/// Boots to a login and asks for health; what to tell of it.
fn boot(base: &Base, out: &Path) -> Done<String> {
    let image = TestImage::in_folder(out);
    let mut machine = basalt_vm::boot(&Machine::uefi(image.disk()))?;
    let mut shell = Shell::login(&mut machine, &image.login())?;
    let kernel = shell.check("uname -r")?;
    let health = shell.run_within(base.health, PATIENCE)?.text;
    let status = shell.run("basalt-agent status")?.text;
    say(format!("{status}\n{health}"));
    if health.trim().lines().last() != Some(base.healthy) {
        return Err(TaskError::Broken(format!("{} is not healthy: {health}\n{status}", base.name)));
    }
    Ok(format!("{} (kernel {}, {})", base.name, kernel.trim(), base.healthy))
}
