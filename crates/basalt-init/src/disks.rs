//! Observes disks: what the kernel shows in `/sys/class/block`, and what their partition tables say.
//!
//! The tables are read here and not taken from the kernel: it tells a partition's id only since Linux 6.12, and
//! its label never.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use basalt_formats::{
    ReadAt,
    gpt::{Parsed, Table},
};
use basalt_types::Guid;
use rustix::io::Errno;

/// Sectors in sysfs have 512 bytes, whatever the disk's have.
const SYSFS_SECTOR: u64 = 512;

/// Drivers whose devices are no disks of a machine.
const NO_DISKS: [&str; 7] = ["dm-", "fd", "loop", "md", "nbd", "ram", "zram"];

/// The sectors that a table counts in which was made for every medium.
const PORTABLE_SECTOR: u32 = 512;

/// One disk as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, such as `nvme0n1`.
    pub(crate) name: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// On USB, or with a medium that can be taken out.
    pub(crate) external: bool,
    /// Its partitions, or why there are none.
    pub(crate) table: Result<Vec<DiskPartition>, String>,
}

/// One partition of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskPartition {
    pub(crate) number: u32,
    pub(crate) guid: Guid,
    pub(crate) label: Option<String>,
    /// Where its bytes are; none when the kernel has no device for these sectors and should have one.
    pub(crate) place: Option<Place>,
}

/// Where bytes are that a block device is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The kernel has a device for exactly them.
    Node(BlockNode),
    /// These bytes of a disk that the kernel does not divide: its sectors are larger than the ones its table counts in.
    Slice(BlockNode, Range<u64>),
    /// A file of the initramfs.
    File(PathBuf),
}

/// A block device of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockNode {
    /// Such as `nvme0n1p2`.
    pub(crate) name: String,
    /// `MAJOR:MINOR`.
    pub(crate) number: String,
    /// Its size in bytes.
    pub(crate) size: u64,
}

impl BlockNode {
    /// Where its device file is.
    pub(crate) fn path(&self) -> PathBuf {
        device_path(&self.name)
    }
}

/// The disks that the kernel has now, by name.
pub(crate) fn observe(sys: &Path) -> io::Result<BTreeMap<String, Disk>> {
    let mut disks = BTreeMap::new();
    for entry in fs::read_dir(sys.join("class/block"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(disk) = observe_one(sys, &name) {
            disks.insert(name, disk);
        }
    }
    Ok(disks)
}

/// The disk with this name; none if it is no disk, or gone, or has no medium.
pub(crate) fn observe_one(sys: &Path, name: &str) -> Option<Disk> {
    let directory = sys.join("class/block").join(name);
    if NO_DISKS.iter().any(|prefix| name.starts_with(prefix)) || directory.join("partition").exists() {
        return None;
    }
    // A drive looks what is in it when it is opened, and its size is a guess before.
    let opened = File::open(device_path(name));
    if opened.as_ref().is_err_and(|error| error.raw_os_error() == Some(Errno::NOMEDIUM.raw_os_error())) {
        return None;
    }
    let size = number(&directory, "size").filter(|sectors| *sectors > 0)? * SYSFS_SECTOR;
    let place = fs::canonicalize(&directory).ok()?;
    let on_usb = place.iter().any(|part| part.to_string_lossy().starts_with("usb"));
    let external = on_usb || number(&directory, "removable") == Some(1);
    let table = opened
        .map_err(|error| format!("can't be read: {error}"))
        .and_then(|file| read_table(&Medium { file, size }, &directory, name));
    Some(Disk { name: name.to_owned(), size, external, table })
}

/// The partitions of a disk: the kernel's devices for them, or, where its sectors are too large for the table of a
/// portable medium (2048 bytes on a CD), their places on it.
fn read_table(disk: &Medium, directory: &Path, name: &str) -> Result<Vec<DiskPartition>, String> {
    let sector = number(directory, "queue/logical_block_size").and_then(|size| u32::try_from(size).ok());
    let sector = sector.unwrap_or(PORTABLE_SECTOR);
    let parse = |sector| Table::parse(disk, sector).map_err(|error| error.to_string());
    match parse(sector) {
        Ok(parsed) => Ok(partitions(&parsed, &kernel_partitions(directory, name))),
        Err(_) if sector > PORTABLE_SECTOR => {
            let number = device_number(directory).ok_or("it is gone")?;
            let node = BlockNode { name: name.to_owned(), number, size: disk.size };
            Ok(slices(&parse(PORTABLE_SECTOR)?, &node))
        }
        Err(error) => Err(error),
    }
}

fn device_path(name: &str) -> PathBuf {
    // The kernel writes `!` for a `/` in a device's name (`cciss!c0d0`).
    Path::new("/dev").join(name.replace('!', "/"))
}

/// What the kernel made of one entry of the partition table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KernelPartition {
    /// Its first byte.
    pub(crate) start: u64,
    pub(crate) node: BlockNode,
}

/// The kernel's partitions of the disk whose sysfs directory this is, by number.
pub(crate) fn kernel_partitions(directory: &Path, disk: &str) -> BTreeMap<u64, KernelPartition> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let found = names.filter(|name| name.starts_with(disk)).filter_map(|name| {
        let partition = directory.join(&name);
        let start = number(&partition, "start")? * SYSFS_SECTOR;
        let size = number(&partition, "size")? * SYSFS_SECTOR;
        let node = BlockNode { name, number: device_number(&partition)?, size };
        Some((number(&partition, "partition")?, KernelPartition { start, node }))
    });
    found.collect()
}

fn partitions(parsed: &Parsed, kernel: &BTreeMap<u64, KernelPartition>) -> Vec<DiskPartition> {
    let table = &parsed.table;
    let each = table.partitions.iter().map(|partition| {
        let bytes = partition.bytes(table.sector_size);
        let same = |known: &&KernelPartition| {
            known.start == bytes.start && known.node.size == bytes.end - bytes.start
        };
        let known = kernel.get(&u64::from(partition.number)).filter(same);
        DiskPartition {
            number: partition.number,
            guid: partition.guid,
            label: partition.label.as_ref().map(ToString::to_string),
            place: known.map(|known| Place::Node(known.node.clone())),
        }
    });
    each.collect()
}

/// The partitions of a table that the kernel does not read.
pub(crate) fn slices(parsed: &Parsed, disk: &BlockNode) -> Vec<DiskPartition> {
    let each = parsed.table.partitions.iter().map(|partition| DiskPartition {
        number: partition.number,
        guid: partition.guid,
        label: partition.label.as_ref().map(ToString::to_string),
        place: Some(Place::Slice(disk.clone(), partition.bytes(parsed.table.sector_size))),
    });
    each.collect()
}

/// `MAJOR:MINOR` of the device whose sysfs directory this is.
fn device_number(directory: &Path) -> Option<String> {
    Some(fs::read_to_string(directory.join("dev")).ok()?.trim().to_owned())
}

fn number(directory: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok()
}

/// An open block device.
pub(crate) struct Medium {
    file: File,
    size: u64,
}

impl Medium {
    pub(crate) fn open(path: &Path, size: u64) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, size })
    }
}

impl ReadAt for Medium {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// The partition that the boot loader was started from, by its variable `LoaderDevicePartUUID` (systemd.io, Boot Loader
/// Interface): 4 bytes of attributes, then UTF-16 text.
pub(crate) fn loader_partition(variable: &[u8]) -> Option<Guid> {
    let units = variable.get(4..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16(&text).ok()?.parse().ok()
}
