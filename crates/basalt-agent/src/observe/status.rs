use std::{fs, io, path::Path, time::Duration};

use basalt_exec::{
    block::Disk,
    command::{Command, Program},
    dm::{DmDevice, DmError},
};
use basalt_formats::{bootentry::EntryName, fat, gpt::Table};
use basalt_image::layout::Role;
use basalt_node::{
    BootFacts, MachineId, partition_path,
    status::{Data, Fact, Facts, SystemFacts, Unknown, Verification},
};
use basalt_types::ByteSize;

use super::{boot, efi, image};
use crate::{error::AgentResult, execute::DiskMedium};

/// Where UKIs are on the ESP (UAPI.1, "Type #2").
const ENTRIES: &str = "EFI/Linux/";
const VAR: &str = "/var";

/// Everything that the status is made of. Only a missing image is an error; the rest says what is not known.
pub(crate) fn status() -> AgentResult<Facts> {
    let image = image()?;
    let boot = match boot() {
        Ok(boot) => Fact::Known(boot),
        Err(_) => Fact::unknown(Unknown::Absent),
    };
    Ok(Facts {
        image,
        verification: boot.and_then(verification),
        entries: boot.and_then(entries),
        // What nobody can read is no reason to say nothing of the rest.
        history: super::history().map(super::records).unwrap_or_default(),
        data: data(),
        system: system(),
        loader: efi::loader_times(),
        machine_id: machine_id(),
        boot,
    })
}

fn verification(boot: &BootFacts) -> Fact<Verification> {
    let root = DmDevice {
        name: "root".to_owned(),
        uuid: String::new(),
        target: String::new(),
        sectors: 0,
        parameters: String::new(),
    };
    let asked = root.status().and_then(|status| Ok((status, root.table()?)));
    match asked {
        Ok((status, table)) => Fact::Known(Verification::from_dm(&status, &table, &boot.root_hash)),
        Err(DmError::Control(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Fact::unknown(Unknown::NeedsRoot)
        }
        Err(DmError::Refused { source, .. }) if source.raw_os_error() == Some(NO_SUCH_DEVICE) => {
            Fact::Known(Verification::NotVerified)
        }
        Err(DmError::Control(_) | DmError::TooLong(_) | DmError::Refused { .. } | DmError::Answer(_)) => {
            Fact::unknown(Unknown::Unreadable)
        }
    }
}

/// What device-mapper says of a device that it does not have.
const NO_SUCH_DEVICE: i32 = rustix::io::Errno::NXIO.raw_os_error();

/// The names in `EFI/Linux` of the disk. A live system's entry is never counted, and on a CD it is out of reach; the recovery system
/// has none there. Read from the ESP's own device, so that a mounted ESP's latest state is seen.
fn entries(boot: &BootFacts) -> Fact<Vec<EntryName>> {
    let Some(device) = boot.disk.as_deref().filter(|_| !boot.is_volatile()) else {
        return Fact::unknown(Unknown::Absent);
    };
    let disk = match Disk::open(Path::new(device)) {
        Ok(disk) => DiskMedium(disk),
        Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
            return Fact::unknown(Unknown::NeedsRoot);
        }
        Err(_) => return Fact::unknown(Unknown::Unreadable),
    };
    match read_entries(device, &disk) {
        Some(names) => Fact::Known(names),
        None => Fact::unknown(Unknown::Unreadable),
    }
}

fn read_entries(device: &str, disk: &DiskMedium) -> Option<Vec<EntryName>> {
    let Ok(parsed) = Table::parse(disk, disk.0.sector_size()) else { return None };
    let is_esp = |partition: &&_| Role::of_partition(partition).is_some_and(|(role, _)| role == Role::Esp);
    let number = parsed.table.partitions.iter().find(is_esp)?.number;
    let Ok(esp) = Disk::open(Path::new(&partition_path(device, number))) else { return None };
    let esp = DiskMedium(esp);
    let Ok(listing) = fat::read(&esp, 0) else { return None };
    let names = listing.items().filter_map(|item| {
        let (directory, name) = item.path.split_at_checked(ENTRIES.len())?;
        directory.eq_ignore_ascii_case(ENTRIES).then_some(name)
    });
    // What is no boot entry's name is not ours, and the boot loader passes it over too.
    Some(names.filter_map(|name| name.parse().ok()).collect())
}

fn data() -> Fact<Data> {
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else {
        return Fact::unknown(Unknown::Unreadable);
    };
    let Some((device, file_system)) = mounted_on(&mounts, VAR) else {
        return Fact::unknown(Unknown::Absent);
    };
    let Ok(space) = rustix::fs::statvfs(VAR) else { return Fact::unknown(Unknown::Unreadable) };
    let bytes = |blocks: u64| ByteSize::bytes(blocks.saturating_mul(space.f_frsize));
    let (device, file_system) = (device.to_owned(), file_system.to_owned());
    let used = space.f_blocks.saturating_sub(space.f_bfree);
    Fact::Known(Data { device, file_system, size: bytes(space.f_blocks), used: bytes(used) })
}

/// Device and type of what is mounted on `point` (proc(5), `mountinfo`: six fields and options, `-`, type, source); the
/// last one wins, for it lies on top.
fn mounted_on<'a>(mounts: &'a str, point: &str) -> Option<(&'a str, &'a str)> {
    mounts.lines().rev().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        if mount.split(' ').nth(4)? != point {
            return None;
        }
        let mut fields = file_system.split(' ');
        let (kind, source) = (fields.next()?, fields.next()?);
        Some((source, kind))
    })
}

fn system() -> Fact<SystemFacts> {
    let asked = "--property=SystemState,FinishTimestampMonotonic,NFailedUnits";
    let Some(text) = systemctl(&["show", asked]) else {
        return Fact::unknown(Unknown::Unreadable);
    };
    let property = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let Some(state) = property("SystemState") else { return Fact::unknown(Unknown::Unreadable) };
    let finished = match property("FinishTimestampMonotonic").map(str::parse) {
        Some(Ok(usec)) if usec > 0 => Some(usec),
        Some(Ok(_) | Err(_)) | None => None,
    };
    // Most of the time there is none, and then nobody has to be asked again.
    let failed = match property("NFailedUnits") {
        Some("0") => String::new(),
        Some(_) | None => {
            systemctl(&["list-units", "--failed", "--plain", "--no-legend"]).unwrap_or_default()
        }
    };
    let failed_units = failed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    Fact::Known(SystemFacts { state: state.to_owned(), failed_units: failed_units.collect(), finished })
}

/// None where there is no systemd, or this user has no way to it.
fn systemctl(arguments: &[&str]) -> Option<String> {
    let Ok(program) = Program::find("systemctl", "systemd") else { return None };
    match Command::new(&program).args(arguments).timeout(Duration::from_secs(10)).run() {
        Ok(output) => Some(String::from_utf8_lossy(&output).into_owned()),
        Err(_) => None,
    }
}

fn machine_id() -> Fact<MachineId> {
    match fs::read_to_string("/etc/machine-id") {
        Ok(text) => text.parse().map_or(Fact::unknown(Unknown::NotYet), Fact::Known),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Fact::unknown(Unknown::Absent),
        Err(_) => Fact::unknown(Unknown::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_on_top_counts() {
        let mounts = "22 1 254:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro\n\
                      30 22 0:25 / /var rw shared:2 - tmpfs tmpfs rw\n\
                      31 22 254:8 / /var rw,nosuid shared:3 master:1 - ext4 /dev/vda8 rw\n\
                      32 31 254:9 / /var/lib rw shared:4 - xfs /dev/vdb rw\n";
        assert_eq!(mounted_on(mounts, "/var"), Some(("/dev/vda8", "ext4")));
        assert_eq!(mounted_on(mounts, "/"), Some(("/dev/mapper/root", "erofs")));
        assert_eq!(mounted_on(mounts, "/home"), None);
        assert_eq!(mounted_on("nonsense\n - \n", "/"), None);
    }
}
