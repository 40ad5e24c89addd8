//! Whole disks: positioned reads and writes with a flush, and what the kernel knows of their partitions.
//!
//! Guarantees: a disk is opened for writing only with its lock held (`flock`, as systemd's `BLOCK_DEVICE_LOCKING`
//! asks), so udev does not look at a table that is half written.
//!
//! Not here: what is written (`basalt_formats::gpt`), and whether it should be (`basalt-node`).

#![allow(unsafe_code, reason = "BLKPG takes a pointer to a struct that holds a pointer")]

use std::{
    ffi::{c_int, c_void},
    fs::{self, File, OpenOptions},
    io,
    num::NonZeroU64,
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    ptr,
};

use rustix::{
    fs::{
        Advice, FallocateFlags, FlockOperation, OFlags, SeekFrom, fadvise, fallocate, flock, ioctl_blksszget,
        seek,
    },
    io::Errno,
    ioctl::{Opcode, Setter, ioctl},
};

/// `BLKPG` of Linux `include/uapi/linux/blkpg.h`: `_IO(0x12, 105)`.
const BLKPG: Opcode = 0x1269;
const BLKPG_ADD_PARTITION: c_int = 1;
const BLKPG_RESIZE_PARTITION: c_int = 3;
const SYS_BLOCK: &str = "/sys/class/block";
/// sysfs counts in these, whatever the disk's own sectors are (Linux `include/linux/blk_types.h`).
const SYSFS_SECTOR: u64 = 512;

/// A disk, or a file that stands for one.
#[derive(Debug)]
pub struct Disk {
    file: File,
    path: PathBuf,
    size: u64,
    sector_size: u32,
}

/// A partition as the kernel knows it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionNode {
    /// Its number.
    pub number: u32,
    /// The first byte.
    pub start: u64,
    /// How many bytes it has.
    pub size: u64,
}

/// Why something could not be done with a disk.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {}", path.display())]
pub struct BlockError {
    /// What was tried, such as `open`.
    pub action: &'static str,
    /// With which device or file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlkpgArgument {
    op: c_int,
    flags: c_int,
    length: c_int,
    data: *mut c_void,
}

/// `struct blkpg_partition`.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: c_int,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

impl Disk {
    /// Opens a disk to read it.
    ///
    /// # Errors
    /// When it can't be opened or says no size.
    pub fn open(path: &Path) -> Result<Self, BlockError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Self::of(file, path)
    }

    /// Opens a disk to write it and holds its lock until the value is dropped; waits for who has it.
    ///
    /// # Errors
    /// When it can't be opened, locked, or says no size.
    pub fn open_locked(path: &Path) -> Result<Self, BlockError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from).map_err(failed("lock", path))?;
        Self::of(file, path)
    }

    /// As [`Disk::open_locked`], and only if nobody has mounted the disk or a partition of it or made another device of them
    /// (`O_EXCL` of open(2)); nobody can until the value is dropped.
    ///
    /// # Errors
    /// When somebody uses it, or as [`Disk::open_locked`].
    pub fn open_exclusive(path: &Path) -> Result<Self, BlockError> {
        let flags = i32::try_from(OFlags::EXCL.bits()).map_err(io::Error::other);
        let flags = flags.map_err(failed("open", path))?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        let file = file.map_err(failed("have for ourselves", path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from).map_err(failed("lock", path))?;
        Self::of(file, path)
    }

    fn of(file: File, path: &Path) -> Result<Self, BlockError> {
        let kind = file.metadata().map_err(failed("look at", path))?.file_type();
        let size = seek(&file, SeekFrom::End(0)).map_err(io::Error::from).map_err(failed("measure", path))?;
        let sector_size = if kind.is_block_device() {
            ioctl_blksszget(&file).map_err(io::Error::from).map_err(failed("ask for the sectors of", path))?
        } else {
            512
        };
        Ok(Self { file, path: path.to_owned(), size, sector_size })
    }

    /// Its device or file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of its logical sectors.
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When the device refuses or ends before.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Writes all of `bytes` at `offset`. They are on the medium only after [`Disk::flush`].
    ///
    /// # Errors
    /// When the device refuses.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Makes bytes zeros, by the device itself where it can; offset and length are multiples of its sectors. They are on the
    /// medium only after [`Disk::flush`].
    ///
    /// # Errors
    /// When the device or the file system refuses.
    pub fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let keep = FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, FallocateFlags::ZERO_RANGE | keep, offset, length) {
            // A file in memory knows holes only; they read as zeros too.
            Err(Errno::OPNOTSUPP) => {
                Ok(fallocate(&self.file, FallocateFlags::PUNCH_HOLE | keep, offset, length)?)
            }
            other => Ok(other?),
        }
    }

    /// Waits until everything written before is on the medium, the disk's own cache included.
    ///
    /// # Errors
    /// When something could not be written. What was written since the last flush is then unknown.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Forgets what memory holds of these bytes, so that the next read asks the device. They must be flushed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget(&self, offset: u64, length: u64) -> io::Result<()> {
        Ok(fadvise(&self.file, offset, NonZeroU64::new(length), Advice::DontNeed)?)
    }

    /// Tells the kernel about a partition; its device appears before this returns.
    ///
    /// # Errors
    /// When the kernel refuses: the number is in use, or it overlaps another one.
    pub fn add_partition(&self, partition: PartitionNode) -> Result<(), BlockError> {
        self.blkpg(BLKPG_ADD_PARTITION, partition).map_err(failed("add a partition to", &self.path))
    }

    /// Tells the kernel the new size of a partition, which may be in use.
    ///
    /// # Errors
    /// When the kernel refuses: it starts elsewhere, or would overlap another one.
    pub fn resize_partition(&self, partition: PartitionNode) -> Result<(), BlockError> {
        self.blkpg(BLKPG_RESIZE_PARTITION, partition).map_err(failed("resize a partition of", &self.path))
    }

    fn blkpg(&self, op: c_int, partition: PartitionNode) -> io::Result<()> {
        let PartitionNode { number, start, size } = partition;
        let signed = |value: u64| i64::try_from(value).map_err(io::Error::other);
        let mut data = BlkpgPartition {
            start: signed(start)?,
            length: signed(size)?,
            number: c_int::try_from(number).map_err(io::Error::other)?,
            device_name: [0; 64],
            volume_name: [0; 64],
        };
        let length = c_int::try_from(size_of::<BlkpgPartition>()).map_err(io::Error::other)?;
        let data = ptr::from_mut(&mut data).cast();
        let argument = BlkpgArgument { op, flags: 0, length, data };
        // SAFETY: BLKPG takes a pointer to a `struct blkpg_ioctl_arg`, whose layout `BlkpgArgument` has; its `data` points
        // to a `struct blkpg_partition` (`BlkpgPartition`) that lives until the end of this function. The kernel reads
        // both and writes neither.
        Ok(unsafe { ioctl(&self.file, Setter::<BLKPG, _>::new(argument)) }?)
    }

    /// The partitions of this disk that the kernel knows, by number; none for a file.
    ///
    /// # Errors
    /// When sysfs can't be read.
    pub fn partitions(&self) -> Result<Vec<PartitionNode>, BlockError> {
        let Some(name) = self.path.file_name() else { return Ok(Vec::new()) };
        let directory = Path::new(SYS_BLOCK).join(name);
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed("list", &directory))? {
            let path = entry.map_err(failed("list", &directory))?.path();
            if path.join("partition").exists() {
                found.push(PartitionNode {
                    number: u32::try_from(number_in(&path.join("partition"))?)
                        .map_err(io::Error::other)
                        .map_err(failed("understand", &path))?,
                    start: number_in(&path.join("start"))?.saturating_mul(SYSFS_SECTOR),
                    size: number_in(&path.join("size"))?.saturating_mul(SYSFS_SECTOR),
                });
            }
        }
        found.sort_by_key(|partition| partition.number);
        Ok(found)
    }
}

/// The devices of all disks of this machine that have a medium and a driver of their own: no partition, loop device,
/// memory disk or device-mapper device.
///
/// # Errors
/// When sysfs can't be read.
pub fn disks() -> Result<Vec<PathBuf>, BlockError> {
    let directory = Path::new(SYS_BLOCK);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let path = entry.map_err(failed("list", directory))?.path();
        let has_driver = path.join("device").exists() && !path.join("partition").exists();
        if let Some(name) = path.file_name()
            && has_driver
            && number_in(&path.join("size"))? > 0
        {
            found.push(Path::new("/dev").join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn number_in(path: &Path) -> Result<u64, BlockError> {
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    text.trim().parse().map_err(io::Error::other).map_err(failed("understand", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlockError {
    let path = path.to_owned();
    move |source| BlockError { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_have_the_kernels_sizes() {
        // Linux include/uapi/linux/blkpg.h on a 64-bit machine.
        assert_eq!((size_of::<BlkpgArgument>(), size_of::<BlkpgPartition>()), (24, 152));
    }

    #[test]
    fn a_file_stands_for_a_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let disk = Disk::open_locked(file.path()).unwrap();
        disk.write_at(512, b"basalt").unwrap();
        disk.flush().unwrap();
        let mut bytes = [0; 6];
        disk.read_at(512, &mut bytes).unwrap();
        assert_eq!((&bytes, disk.size(), disk.sector_size()), (b"basalt", 1 << 20, 512));
        disk.zero(512, 512).unwrap();
        disk.read_at(512, &mut bytes).unwrap();
        assert_eq!((&bytes, disk.size()), (&[0; 6], 1 << 20));
        assert!(disk.read_at((1 << 20) - 1, &mut bytes).is_err());
        assert_eq!(disk.partitions().unwrap(), []);
    }

    #[test]
    fn a_file_has_no_partitions_to_add() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let disk = Disk::open_locked(file.path()).unwrap();
        let refused = disk.add_partition(PartitionNode { number: 1, start: 0, size: 4096 }).unwrap_err();
        assert!(refused.to_string().starts_with("can't add a partition to /"), "{refused}");
        assert!(Disk::open(Path::new("/nonexistent/disk")).is_err());
    }

    #[test]
    fn this_machines_disks_are_listed() {
        for disk in disks().unwrap() {
            assert!(disk.starts_with("/dev"), "{}", disk.display());
        }
    }
}
