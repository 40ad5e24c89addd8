use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use basalt_exec::block::{self, Disk, PartitionNode};
use basalt_formats::{
    ReadAt, fat,
    gpt::{Partition, Table},
};
use basalt_image::layout::{GrowthIds, ImageInfo, LIVE_ROOT, Role};
use basalt_node::{
    BootFacts, Credential, DiskFacts, KernelPartition, Link, MachineId, Observed, Rival, Signature,
    partition_path,
    reset::{ResetFacts, ResetRefusal},
};
use basalt_types::{ByteSize, Guid};

use super::{Window, text_if_present};
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::{DATA_LINK, DiskMedium, MACHINE_ID_CREDENTIAL, Medium as _},
};

/// What the disk is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenFor {
    /// To look at it.
    Reading,
    /// To change it: its lock is taken.
    Writing,
}

/// A boot that says of no disk that it came from there, and is not live either.
#[derive(Debug, thiserror::Error)]
#[error("{} names no disk", BootFacts::PATH)]
struct NoDisk;

/// Everything that provisioning is planned from, and the disk that it was read from.
pub(crate) fn provision(image: ImageInfo, boot: BootFacts, open: OpenFor) -> AgentResult<(Disk, Observed)> {
    let device = boot.disk.clone().ok_or(NoDisk).or_fail(Kind::Format)?;
    let path = Path::new(&device);
    let disk = match open {
        OpenFor::Reading => Disk::open(path),
        OpenFor::Writing => Disk::open_locked(path),
    }
    .or_fail(Kind::Host)?;
    let medium = DiskMedium(disk);
    let table = Table::parse(&medium, medium.0.sector_size()).or_fail(Kind::Host)?;
    let kernel = medium.0.partitions().or_fail(Kind::Host)?.into_iter().map(known).collect();
    let observed = Observed {
        rivals: rivals(&device, boot.root_part_uuid, &table.table).or_fail(Kind::Host)?,
        data: data(&medium, &table.table).or_fail(Kind::Host)?,
        link: link(Path::new(DATA_LINK)).or_fail(Kind::Host)?,
        credential: credential(&device, &table.table),
        machine_id: machine_id().or_fail(Kind::Host)?,
        ids: GrowthIds::from_seed(seed().or_fail(Kind::Host)?).or_fail(Kind::Host)?,
        disk: DiskFacts { device, table, kernel },
        boot,
        image,
    };
    Ok((medium.0, observed))
}

/// What a reset is planned from, and the disk.
pub(crate) fn reset(open: OpenFor) -> AgentResult<(DiskMedium, ResetFacts)> {
    let (_, boot) = super::start()?;
    let Some(device) = boot.disk.clone().filter(|_| !boot.is_live()) else {
        return Err(AgentError::new(Kind::Refused, ResetRefusal::Live).hint(ResetRefusal::Live.hint()));
    };
    let disk = match open {
        OpenFor::Reading => Disk::open(Path::new(&device)),
        OpenFor::Writing => Disk::open_locked(Path::new(&device)),
    };
    let disk = DiskMedium(disk.or_fail(Kind::Host)?);
    let table = Table::parse(&disk, disk.0.sector_size()).or_fail(Kind::Host)?;
    let credential = credential(&device, &table.table);
    Ok((disk, ResetFacts { disk: Some(device), table, credential }))
}

fn known(node: PartitionNode) -> KernelPartition {
    let PartitionNode { number, start, size } = node;
    KernelPartition { number, start, size: ByteSize::bytes(size) }
}

/// Disks that carry an id of the one that was booted from. A disk that can't be read or has no table carries none. A
/// live medium of the same release is no rival: it has the same root, and no data volume that could be mistaken.
fn rivals(disk: &str, root: Guid, table: &Table) -> Result<Vec<Rival>, block::BlockError> {
    let mut rivals = Vec::new();
    for path in block::disks()? {
        if path == Path::new(disk) {
            continue;
        }
        let Ok(other) = Disk::open(&path).map(DiskMedium) else { continue };
        let Ok(other) = Table::parse(&other, other.0.sector_size()) else { continue };
        let mutable = |partition: &&Partition| partition.label.as_ref() != Some(&LIVE_ROOT);
        let parts = other.table.partitions.iter().filter(mutable).map(|partition| partition.guid);
        let ids = [other.table.disk_guid].into_iter().chain(parts);
        let same = ids.into_iter().find(|id| [table.disk_guid, root].contains(id));
        rivals.extend(same.map(|id| Rival { device: path.display().to_string(), id }));
    }
    Ok(rivals)
}

/// The part of the disk that a partition covers.
fn window<'a>(disk: &'a dyn ReadAt, table: &Table, role: Role) -> Option<Window<'a>> {
    let ours = |partition: &&_| Role::of_partition(partition).is_some_and(|(own, _)| own == role);
    let bytes = table.partitions.iter().find(ours)?.bytes(table.sector_size);
    Some(Window { whole: disk, start: bytes.start, size: bytes.end - bytes.start })
}

fn data(disk: &DiskMedium, table: &Table) -> io::Result<Option<Signature>> {
    let Some(window) = window(disk, table, Role::Data) else { return Ok(None) };
    let mut start = vec![0; Signature::BYTES];
    // Whoever made the file system wrote through the partition's own device: what the whole disk's remembers is from before.
    disk.forget(window.start, start.len() as u64)?;
    window.read_at(0, &mut start)?;
    Ok(Some(Signature::of(&start)))
}

fn link(path: &Path) -> io::Result<Link> {
    match fs::read_link(path) {
        Ok(target) => Ok(Link::To(target.display().to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Link::Absent),
        Err(error) => Err(error),
    }
}

/// Reads the ESP without mounting it: through its own device, for a file system that is mounted from there keeps what it
/// wrote where that device is read, and not where the whole disk is.
fn credential(disk: &str, table: &Table) -> Credential {
    let is_esp = |partition: &&_| Role::of_partition(partition).is_some_and(|(role, _)| role == Role::Esp);
    let Some(esp) = table.partitions.iter().find(is_esp) else { return Credential::Unreadable };
    let Ok(esp) = Disk::open(Path::new(&partition_path(disk, esp.number))) else {
        return Credential::Unreadable;
    };
    let esp = DiskMedium(esp);
    let Ok(listing) = fat::read(&esp, 0) else { return Credential::Unreadable };
    if listing.get(MACHINE_ID_CREDENTIAL).is_none() {
        return Credential::Absent;
    }
    let Ok(bytes) = listing.read_file(MACHINE_ID_CREDENTIAL) else { return Credential::Malformed };
    match String::from_utf8_lossy(&bytes).parse() {
        Ok(id) => Credential::Present(id),
        Err(basalt_node::MachineIdError { .. }) => Credential::Malformed,
    }
}

/// The id of this boot; none while systemd has not made one.
fn machine_id() -> io::Result<Option<MachineId>> {
    let text = text_if_present(Path::new("/etc/machine-id"))?;
    // Empty, or `uninitialized`: there is none to keep.
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Waits until the kernel has enough entropy, which at the first boot is not said.
fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/random")?.read_exact(&mut seed)?;
    Ok(seed)
}
