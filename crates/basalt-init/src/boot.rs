//! The way from the kernel to the image's init, on one screen.

use std::{
    convert::Infallible,
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use basalt_exec::{
    mount::{Mount, MountError, MountOptions},
    uevent::{Heard, Uevent, UeventSocket},
};
use basalt_formats::{uki::Phase, verity::Superblock};
use basalt_types::Guid;

use crate::{
    attach::attach,
    choose::{Choice, FoundRoot, choose},
    disks::{self, BlockNode, Medium, loader_partition},
    drivers::{self, Drivers},
    error::InitError,
    execute::execute,
    live, measure,
    plan::{Facts, MachineId, plan},
    report::{Story, boot_time, phase, warn},
    wanted::Wanted,
    watchdog,
};

const SYS: &str = "/sys";
const EFI: &str = "/sys/firmware/efi";
const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";
const LOADER_VARIABLE: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// systemd-stub puts what `loader/credentials/` of the ESP holds there (systemd-stub(7)).
const MACHINE_ID: &str = "/.extra/global_credentials/system.machine_id.cred";

/// systemd-stub puts the credentials beside the UKI that it is part of there (systemd-stub(7), `foo.efi.extra.d/`).
const RECOVERY_MARK: &str = "/.extra/credentials/basalt.recovery.cred";

/// How long no disk must appear before an external or foreign one is taken.
const SETTLE: Duration = Duration::from_secs(3);

/// Starts the image. Only an error comes back.
pub(crate) fn boot(story: &mut Story) -> Result<Infallible, InitError> {
    let started = boot_time();
    mount_kernel_file_systems()?;
    let line = fs::read_to_string("/proc/cmdline").map_err(InitError::file(Path::new("/proc/cmdline")))?;
    let mut wanted = Wanted::parse(&line)?;
    wanted.live |= live::is_marked();
    wanted.recovery = Path::new(RECOVERY_MARK).exists();
    story.wanted = Some(wanted.clone());

    // Before the first look at the devices, so that none can appear unheard in between.
    let uevents = UeventSocket::open().map_err(InitError::Uevents)?;
    let index = drivers::read_index()?;
    let mut drivers = Drivers::new(&index, &wanted);
    let loader = observe_loader(&wanted, &mut drivers)?;
    let measured = measure::is_measured();
    if measured {
        measure::phase(Phase::EnterInitrd);
    }
    drivers.coldplug(Path::new(SYS))?;
    drivers.load_first()?;
    arm_watchdog(&wanted, &mut drivers)?;
    phase(&format!("loaded {} kernel modules, looking for root {}", drivers.loaded, wanted.root_hash.hex()));

    let found = find_root(&mut Search { wanted: &wanted, uevents, drivers, loader, story })?;
    let (root, hash) = (attach(&found.root, "live-root")?, attach(&found.hash, "live-verity")?);
    phase(&describe(&found, &root, &hash));
    let superblock = read_superblock(&hash)?;
    let machine_id = observe_machine_id();
    let arguments = env::args_os().skip(1).collect();

    watchdog::ping();
    let facts = Facts { found, root, hash, superblock, machine_id, started, arguments, measured };
    let steps = plan(&wanted, &facts)?;
    phase("the root is known; verifying, mounting and starting it");
    execute(&steps)
}

fn mount_kernel_file_systems() -> Result<(), MountError> {
    let safe = MountOptions::NOSUID | MountOptions::NODEV;
    let inert = safe | MountOptions::NOEXEC;
    // The limits of /run are systemd's, which leaves what is mounted as it is.
    let run = "mode=0755,size=20%,nr_inodes=800k";
    for (kind, target, options, data) in [
        ("proc", "/proc", inert, ""),
        ("sysfs", SYS, inert, ""),
        ("devtmpfs", "/dev", MountOptions::NOSUID, "mode=0755"),
        ("tmpfs", "/run", safe, run),
    ] {
        let (source, target, data) = (kind.to_owned(), target.into(), data.to_owned());
        Mount { source, target, kind, options, data }.execute()?;
    }
    Ok(())
}

/// The machine's own watchdog, or the kernel's, which restarts a machine whose programs hang but not one whose kernel does.
fn arm_watchdog(wanted: &Wanted, drivers: &mut Drivers<'_>) -> Result<(), InitError> {
    let Some(timeout) = wanted.watchdog else { return Ok(()) };
    if !watchdog::is_there() {
        // Chipsets have theirs behind a device that the first round made.
        drivers.coldplug(Path::new(SYS))?;
    }
    if !watchdog::is_there() {
        drivers.load_optional("softdog")?;
    }
    watchdog::arm(timeout);
    Ok(())
}

/// The search for the disk and all it changes.
struct Search<'a> {
    wanted: &'a Wanted,
    uevents: UeventSocket,
    drivers: Drivers<'a>,
    loader: Option<Guid>,
    story: &'a mut Story,
}

/// Takes the root that came with the initramfs, or waits until a disk holds it, loading drivers for what appears.
fn find_root(search: &mut Search<'_>) -> Result<FoundRoot, InitError> {
    let found = match live::root_of_initramfs() {
        Some(found) => search.drivers.load_optional("loop").map(|()| found).map_err(InitError::from),
        None => look_until_found(search),
    };
    search.story.driver_failures.clone_from(&search.drivers.failures);
    found
}

fn look_until_found(search: &mut Search<'_>) -> Result<FoundRoot, InitError> {
    if search.wanted.live {
        live::watch_drives();
    }
    let deadline = Instant::now() + search.wanted.device_timeout;
    let sys = Path::new(SYS);
    search.story.disks = disks::observe(sys).map_err(InitError::Disks)?;
    let mut settled = false;
    loop {
        // What was announced up to now, without waiting: the choice should know all of it.
        while let Some(heard) = hear(search, Duration::ZERO)? {
            learn(search, &heard)?;
            settled = false;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // At the end of patience the best that is there counts as settled, however lively the machine is.
        let settled_now = settled || left.is_zero();
        let better = match choose(search.wanted, &search.story.disks, search.loader, settled_now) {
            Choice::Use(found) => return Ok(found),
            Choice::Ambiguous(names) => return Err(InitError::Ambiguous(names)),
            Choice::WaitForRoot => None,
            Choice::WaitForBetter => Some(SETTLE),
        };
        if search.drivers.allow_late()? {
            continue;
        }
        if left.is_zero() {
            return Err(InitError::NotFound(search.wanted.device_timeout));
        }
        watchdog::ping();
        match hear(search, better.unwrap_or(left).min(left).min(watchdog::BETWEEN_PINGS))? {
            Some(heard) => learn(search, &heard)?,
            None => settled = true,
        }
    }
}

fn hear(search: &Search<'_>, patience: Duration) -> Result<Option<Heard>, InitError> {
    match search.uevents.wait(patience).map_err(InitError::Uevents)? {
        Heard::Silence => Ok(None),
        heard @ (Heard::Device(_) | Heard::Overrun) => Ok(Some(heard)),
    }
}

/// Loads the driver of a new device and looks at a disk that changed.
fn learn(search: &mut Search<'_>, heard: &Heard) -> Result<(), InitError> {
    let sys = Path::new(SYS);
    let Heard::Device(event) = heard else {
        search.drivers.coldplug(sys)?;
        search.story.disks = disks::observe(sys).map_err(InitError::Disks)?;
        return Ok(());
    };
    if let (Some("add"), Some(modalias)) = (event.get("ACTION"), event.get("MODALIAS")) {
        search.drivers.device(modalias)?;
    }
    if event.get("SUBSYSTEM") == Some("block") {
        let name = disk_of(event);
        match disks::observe_one(sys, &name) {
            Some(disk) => search.story.disks.insert(name, disk),
            None => search.story.disks.remove(&name),
        };
    }
    Ok(())
}

/// The disk that an announcement is about: the device itself, or the one that a partition is in.
fn disk_of(event: &Uevent) -> String {
    let mut path = Path::new(event.get("DEVPATH").unwrap_or_default());
    if event.get("DEVTYPE") == Some("partition") {
        path = path.parent().unwrap_or(path);
    }
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The partition that the boot loader came from, if the firmware is UEFI and has it. Without it the choice goes by
/// where disks are, so a failure is told and no more.
fn observe_loader(wanted: &Wanted, drivers: &mut Drivers<'_>) -> Result<Option<Guid>, InitError> {
    if !Path::new(EFI).exists() {
        return Ok(None);
    }
    drivers.load_optional("efivarfs")?;
    let mount = Mount {
        source: "efivarfs".to_owned(),
        target: EFI_VARIABLES.into(),
        kind: "efivarfs",
        options: MountOptions::NOSUID | MountOptions::NODEV | MountOptions::NOEXEC,
        data: String::new(),
    };
    if let Err(error) = mount.execute() {
        warn(&crate::report::chain(&error));
        return Ok(None);
    }
    match fs::read(Path::new(EFI_VARIABLES).join(LOADER_VARIABLE)) {
        Ok(variable) => Ok(loader_partition(&variable)),
        // From a CD: its partition is none of a GPT.
        Err(_) if wanted.live => Ok(None),
        Err(error) => {
            warn(&format!("the boot loader does not say where it came from: {error}"));
            Ok(None)
        }
    }
}

fn observe_machine_id() -> Option<MachineId> {
    let text = fs::read_to_string(MACHINE_ID).ok()?;
    let id = MachineId::parse(&text);
    if id.is_none() {
        warn(&format!("{MACHINE_ID} is no machine id"));
    }
    id
}

fn read_superblock(hash: &BlockNode) -> Result<Superblock, InitError> {
    let device = hash.path();
    let medium = Medium::open(&device, hash.size)
        .map_err(|source| InitError::Read { device: device.clone(), source })?;
    Superblock::parse(&medium).map_err(|source| InitError::Superblock { device, source })
}

fn describe(found: &FoundRoot, root: &BlockNode, hash: &BlockNode) -> String {
    let FoundRoot { disk, external, root: _, hash: _, partition: _, slot, passed_over } = found;
    let mut text = format!("root {}, hash tree {}", root.name, hash.name);
    if let Some(slot) = slot {
        text += &format!(", slot {slot}");
    }
    if let Some(disk) = disk.as_ref().filter(|_| *external) {
        text += &format!(", on the external disk {disk}");
    }
    if !passed_over.is_empty() {
        text += &format!("; passed over the same root on {}", passed_over.join(", "));
    }
    text
}
