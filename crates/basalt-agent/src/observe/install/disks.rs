use std::{
    fs, io,
    path::{Path, PathBuf},
};

use basalt_exec::block::{BlockError, Disk};
use basalt_formats::{ReadAt, gpt::Table};
use basalt_node::{
    install::{BlockDisk, BlockPartition, Content, DiskUse, HEAD, TAIL},
    partition_path,
};
use basalt_spec::node::DiskBus;
use basalt_types::ByteSize;

use super::super::{Window, text_if_present};
use crate::execute::DiskMedium;

/// sysfs counts in these, whatever the disk's own sectors are (Linux `include/linux/blk_types.h`).
const SYSFS_SECTOR: u64 = 512;
/// The SCSI type of CD drives, in sysfs (SPC-4, "PERIPHERAL DEVICE TYPE").
const CD_DRIVE: &str = "5";
/// Partition tables of media that are made for every machine count in these.
const PORTABLE_SECTOR: u32 = 512;

/// Why the disks can't be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DisksError {
    #[error("can't read {}", path.display())]
    Unread { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Disk(#[from] BlockError),
    #[error("can't read {device}")]
    Content { device: String, source: io::Error },
}

/// Every disk that could be written: with a driver of its own and a medium, and no CD drive. `root` is `/`, or in tests a
/// folder that looks like it; `booted` is the disk that this system was started from.
pub(crate) fn disks(root: &Path, booted: Option<&str>) -> Result<Vec<BlockDisk>, DisksError> {
    let tables = Tables::read(root)?;
    let mut found = Vec::new();
    let class = root.join("sys/class/block");
    for name in names(&class)? {
        let directory = class.join(&name);
        let is = |file: &str, value: &str| {
            attribute(&directory, file).map(|found| found.as_deref() == Some(value))
        };
        let is_disk = directory.join("device").exists() && !directory.join("partition").exists();
        if !is_disk || is("hidden", "1")? || is("device/type", CD_DRIVE)? || name.starts_with("fd") {
            continue;
        }
        if number(&directory, "size")?.unwrap_or(0) > 0 {
            found.push(Observed { root, directory, name, tables: &tables }.disk(booted)?);
        }
    }
    found.sort_by(|one, other| one.device.cmp(&other.device));
    Ok(found)
}

/// What the kernel says of who uses what.
struct Tables {
    /// `MAJOR:MINOR` or the device, and where it is mounted.
    mounts: Vec<(String, String, String)>,
    swaps: Vec<String>,
}

impl Tables {
    fn read(root: &Path) -> Result<Self, DisksError> {
        let mounts = text(&root.join("proc/self/mountinfo"))?;
        // proc_pid_mountinfo(5): the third word is the device's number, the fifth the place; behind `-`, the source.
        let mount = |line: &str| {
            let (front, back) = line.split_once(" - ")?;
            let mut front = front.split(' ');
            let (number, at) = (front.nth(2)?, front.nth(1)?);
            Some((number.to_owned(), back.split(' ').nth(1)?.to_owned(), at.to_owned()))
        };
        let swaps = text(&root.join("proc/swaps"))?;
        let swap = |line: &str| Some(line.split_whitespace().next()?.to_owned());
        Ok(Self {
            mounts: mounts.lines().filter_map(mount).collect(),
            swaps: swaps.lines().skip(1).filter_map(swap).collect(),
        })
    }
}

/// One disk in sysfs.
struct Observed<'a> {
    root: &'a Path,
    directory: PathBuf,
    name: String,
    tables: &'a Tables,
}

impl Observed<'_> {
    fn disk(&self, booted: Option<&str>) -> Result<BlockDisk, DisksError> {
        let device = format!("/dev/{}", self.name);
        let medium = DiskMedium(Disk::open(&self.root.join(format!("dev/{}", self.name)))?);
        let sector_size = number(&self.directory, "queue/logical_block_size")?;
        let sector_size = sector_size.and_then(|size| u32::try_from(size).ok()).unwrap_or(PORTABLE_SECTOR);
        let partitions = self.partitions(&medium, sector_size, &device)?;
        let content = content(&medium, 0, medium.size(), &device)?;
        // Where there are partitions, what is around them is their table.
        let content = content.filter(|content| partitions.is_empty() || *content != Content::Unknown);
        let udev = self.udev()?;
        let said = |key: &str| {
            let prefix = format!("E:{key}=");
            udev.iter().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
        };
        let links = udev.iter().filter_map(|line| line.strip_prefix("S:"));
        let flag = |file| number(&self.directory, file).map(|found| found == Some(1));
        let attribute = |file| attribute(&self.directory, file);
        Ok(BlockDisk {
            links: links.map(|link| format!("/dev/{link}")).collect(),
            size: ByteSize::bytes(medium.size()),
            sector_size,
            model: attribute("device/model")?.or_else(|| said("ID_MODEL")),
            serial: match said("ID_SERIAL_SHORT") {
                Some(serial) => Some(serial),
                None => attribute("serial")?.or(attribute("device/serial")?),
            },
            wwn: match said("ID_WWN") {
                Some(wwn) => Some(wwn),
                None => attribute("wwid")?.or(attribute("device/wwid")?),
            },
            bus: self.bus()?,
            rotational: flag("queue/rotational")?,
            removable: flag("removable")?,
            read_only: flag("ro")?,
            uses: self.uses(booted == Some(device.as_str()))?,
            content,
            partitions,
            device,
        })
    }

    /// What udev wrote down of it (`/run/udev/data`, systemd's `sd-device`); nothing where there is no udev.
    fn udev(&self) -> Result<Vec<String>, DisksError> {
        let Some(number) = attribute(&self.directory, "dev")? else { return Ok(Vec::new()) };
        let text = text(&self.root.join(format!("run/udev/data/b{number}")))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// How it is attached, by the devices that stand above it in sysfs.
    fn bus(&self) -> Result<Option<DiskBus>, DisksError> {
        let place = fs::canonicalize(&self.directory).map_err(unread(&self.directory))?;
        let parts: Vec<_> = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let above = |prefix: &str| {
            let numbered = |part: &String| {
                part.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            };
            parts.iter().any(numbered)
        };
        // A disk of virtio-scsi stands below both; an emulated SATA disk below `ata` and `host`.
        let known = [
            ("usb", DiskBus::Usb),
            ("ata", DiskBus::Sata),
            ("host", DiskBus::Scsi),
            ("nvme", DiskBus::Nvme),
            ("mmc", DiskBus::Mmc),
            ("virtio", DiskBus::Virtio),
        ];
        Ok(known.into_iter().find(|(prefix, _)| above(prefix)).map(|(_, bus)| bus))
    }

    /// Who uses it or a partition of it.
    fn uses(&self, booted: bool) -> Result<Vec<DiskUse>, DisksError> {
        let mut uses: Vec<_> = booted.then_some(DiskUse::Booted).into_iter().collect();
        let parts = names(&self.directory)?.into_iter();
        let parts = parts.map(|name| (self.directory.join(&name), name));
        let parts = parts.filter(|(directory, _)| directory.join("partition").exists());
        for (directory, name) in std::iter::once((self.directory.clone(), self.name.clone())).chain(parts) {
            let device = format!("/dev/{name}");
            let number = attribute(&directory, "dev")?;
            for (mounted, source, at) in &self.tables.mounts {
                if number.as_ref() == Some(mounted) || *source == device {
                    uses.push(DiskUse::Mounted { device: device.clone(), at: at.clone() });
                }
            }
            if self.tables.swaps.contains(&device) {
                uses.push(DiskUse::Swap { device: device.clone() });
            }
            for holder in names(&directory.join("holders"))? {
                // A mapping's own name says more than its number.
                let mapping = self.root.join("sys/class/block").join(&holder);
                let holder = attribute(&mapping, "dm/name")?.unwrap_or(holder);
                uses.push(DiskUse::Held { device: device.clone(), holder });
            }
        }
        Ok(uses)
    }

    /// The partitions that the kernel knows, with what a GPT says of them.
    fn partitions(
        &self,
        medium: &DiskMedium,
        sector_size: u32,
        device: &str,
    ) -> Result<Vec<BlockPartition>, DisksError> {
        // A disk without a table of that sort has no ids and no names.
        let table =
            Table::parse(medium, sector_size).map(|parsed| parsed.table.partitions).unwrap_or_default();
        let mut found = Vec::new();
        for name in names(&self.directory)? {
            let directory = self.directory.join(&name);
            let Some(partition) = number(&directory, "partition")? else { continue };
            let partition = u32::try_from(partition).unwrap_or(u32::MAX);
            let start = number(&directory, "start")?.unwrap_or(0).saturating_mul(SYSFS_SECTOR);
            let size = number(&directory, "size")?.unwrap_or(0).saturating_mul(SYSFS_SECTOR);
            let entry = table.iter().find(|entry| entry.number == partition);
            found.push(BlockPartition {
                number: partition,
                start,
                size: ByteSize::bytes(size),
                guid: entry.map(|entry| entry.guid),
                label: entry.and_then(|entry| entry.label.as_ref()).map(ToString::to_string),
                content: content(medium, start, size, &partition_path(device, partition))?,
            });
        }
        found.sort_by_key(|partition| partition.number);
        Ok(found)
    }
}

/// What a part of a disk holds.
fn content(disk: &dyn ReadAt, start: u64, size: u64, device: &str) -> Result<Option<Content>, DisksError> {
    let part = Window { whole: disk, start, size };
    let length = |most: usize| usize::try_from(size).unwrap_or(most).min(most);
    let (mut head, mut tail) = (vec![0; length(HEAD)], vec![0; length(TAIL)]);
    let read = part.read_at(0, &mut head).and_then(|()| part.read_at(size - tail.len() as u64, &mut tail));
    read.map_err(|source| DisksError::Content { device: device.to_owned(), source })?;
    Ok(Content::of(&head, &tail, size))
}

/// The names in a directory, in order; none when it is not there.
fn names(directory: &Path) -> Result<Vec<String>, DisksError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unread(directory)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<_> = names.collect::<io::Result<_>>().map_err(unread(directory))?;
    names.sort();
    Ok(names)
}

/// An attribute of sysfs; none when it is not there, not readable for this device, or empty.
fn attribute(directory: &Path, file: &str) -> Result<Option<String>, DisksError> {
    let path = directory.join(file);
    match fs::read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        // A driver without an answer gives ENXIO, EINVAL or EIO for attributes that other drivers have.
        Err(error) if path.exists() && error.kind() != io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(unread(&path)(error)),
    }
}

fn number(directory: &Path, file: &str) -> Result<Option<u64>, DisksError> {
    let text = attribute(directory, file)?;
    let parse = |text: String| text.parse().map_err(io::Error::other).map_err(unread(&directory.join(file)));
    text.map(parse).transpose()
}

fn text(path: &Path) -> Result<String, DisksError> {
    Ok(text_if_present(path).map_err(unread(path))?.unwrap_or_default())
}

fn unread(path: &Path) -> impl FnOnce(io::Error) -> DisksError {
    let path = path.to_owned();
    move |source| DisksError::Unread { path, source }
}
