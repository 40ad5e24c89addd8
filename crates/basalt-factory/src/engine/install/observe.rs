use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use basalt_exec::block::{BlockError, Disk};
use basalt_formats::{ReadAt, gpt::Table};
use basalt_node::install::DiskUse;
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use super::{ImageFacts, Span, TargetFacts, TargetKind};

/// The sectors that images count in.
const SECTOR: u32 = 512;

/// Why image or target can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    Unread {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A disk can't be opened.
    #[error(transparent)]
    Disk(#[from] BlockError),
}

/// A disk or a file, as bytes.
pub(super) struct Bytes<'a>(pub(super) &'a Disk);

impl ReadAt for Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}

/// Looks at an image.
///
/// # Errors
/// When it can't be read.
pub fn image(path: &Path) -> Result<ImageFacts, ObserveError> {
    let disk = Disk::open(path)?;
    let has_table = Table::parse(&Bytes(&disk), SECTOR).is_ok();
    let file = File::open(path).map_err(unread(path))?;
    let data = data(&file, disk.size()).map_err(unread(path))?;
    Ok(ImageFacts { path: path.to_owned(), size: disk.size(), has_table, data })
}

/// Where a file has bytes (lseek(2), `SEEK_DATA`).
fn data(file: &File, size: u64) -> io::Result<Vec<Span>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(file, SeekFrom::Hole(start))?.min(size);
        found.push(Span { start, end: at });
    }
    Ok(found)
}

/// Looks at what is to be written.
///
/// # Errors
/// When it can't be looked at.
pub fn target(path: &Path) -> Result<TargetFacts, ObserveError> {
    let found = |kind| Ok(TargetFacts { path: path.to_owned(), kind });
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return found(TargetKind::File { exists: false });
        }
        Err(error) => return Err(unread(path)(error)),
    };
    if kind.is_file() {
        return found(TargetKind::File { exists: true });
    }
    if !kind.is_block_device() {
        return found(TargetKind::Other);
    }
    // A link such as /dev/disk/by-id/… leads to the kernel's name.
    let device = fs::canonicalize(path).map_err(unread(path))?;
    let name = device.file_name().unwrap_or_default();
    let directory = Path::new("/sys/class/block").join(name);
    if directory.join("partition").exists() {
        return found(TargetKind::Partition);
    }
    let disk = Disk::open(&device)?;
    found(TargetKind::Disk { size: disk.size(), sector_size: disk.sector_size(), uses: uses(&directory)? })
}

/// Who has mounted a disk or its partitions, or made something of them.
fn uses(directory: &Path) -> Result<Vec<DiskUse>, ObserveError> {
    let mountinfo = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(mountinfo).map_err(unread(mountinfo))?;
    let mut devices = vec![directory.to_owned()];
    devices.extend(names(directory)?.into_iter().filter(|path| path.join("partition").exists()));
    let mut uses = Vec::new();
    for directory in devices {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let device = format!("/dev/{name}");
        let number = fs::read_to_string(directory.join("dev")).map_err(unread(&directory))?;
        for line in mounts.lines() {
            // proc_pid_mountinfo(5): the third word is the device's number, the fifth the place.
            let mut words = line.split(' ');
            let (found, at) = (words.nth(2).unwrap_or_default(), words.nth(1).unwrap_or_default());
            if found == number.trim() || line.contains(&format!(" {device} ")) {
                uses.push(DiskUse::Mounted { device: device.clone(), at: at.to_owned() });
            }
        }
        for holder in names(&directory.join("holders"))? {
            let holder = holder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            uses.push(DiskUse::Held { device: device.clone(), holder });
        }
    }
    Ok(uses)
}

fn names(directory: &Path) -> Result<Vec<PathBuf>, ObserveError> {
    let entries = fs::read_dir(directory).map_err(unread(directory))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<io::Result<_>>().map_err(unread(directory))?;
    paths.sort();
    Ok(paths)
}

fn unread(path: &Path) -> impl FnOnce(io::Error) -> ObserveError {
    let path = path.to_owned();
    move |source| ObserveError::Unread { path, source }
}
