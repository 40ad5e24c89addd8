use std::{fs, io, os::unix::fs::symlink, path::Path};

use basalt_exec::{
    block::{Disk, PartitionNode},
    esp::write_esp_file,
};
use basalt_formats::{ReadAt, gpt::Table};
use basalt_node::{MachineId, Place, partition_path};

use super::{ExecuteError, Machine, Medium, News, Volume, ssh::failed};

/// What `var.mount` mounts: a link to the data partition of the disk that was booted from, whatever other disks there
/// are.
pub(crate) const DATA_LINK: &str = "/run/basalt/data";

/// systemd-stub hands every `*.cred` of this directory to the initramfs (systemd-stub(7)), and `basalt-init` makes this
/// one the machine's id.
pub(crate) const MACHINE_ID_CREDENTIAL: &str = "loader/credentials/system.machine_id.cred";

/// A real disk.
#[derive(Debug)]
pub(crate) struct DiskMedium(pub(crate) Disk);

/// The machine that this program runs on.
#[derive(Debug)]
pub(crate) struct ThisMachine<'a> {
    pub(crate) disk: &'a DiskMedium,
    pub(crate) device: &'a str,
}

impl ReadAt for DiskMedium {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}

impl Medium for DiskMedium {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }

    fn forget(&self, offset: u64, length: u64) -> io::Result<()> {
        self.0.forget(offset, length)
    }

    fn sector_size(&self) -> u32 {
        self.0.sector_size()
    }
}

impl Machine for ThisMachine<'_> {
    fn tell_kernel(&self, news: News, place: Place) -> Result<(), ExecuteError> {
        let Place { number, start, size } = place;
        let node = PartitionNode { number, start, size: size.get() };
        match news {
            News::Added => self.disk.0.add_partition(node)?,
            News::Resized => self.disk.0.resize_partition(node)?,
        }
        Ok(())
    }

    fn volume(&self, number: u32, _table: &Table) -> Volume {
        Volume { path: partition_path(self.device, number).into(), part: None }
    }

    fn link_data(&self, number: u32) -> Result<(), ExecuteError> {
        let link = Path::new(DATA_LINK);
        let fresh = link.with_extension("new");
        match fs::remove_file(&fresh) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("remove", &fresh)(error)),
        }
        symlink(partition_path(self.device, number), &fresh).map_err(failed("make", &fresh))?;
        fs::rename(&fresh, link).map_err(failed("make", link))
    }

    fn keep_machine_id(&self, number: u32, id: MachineId) -> Result<(), ExecuteError> {
        let esp = partition_path(self.device, number);
        Ok(write_esp_file(Path::new(&esp), Path::new(MACHINE_ID_CREDENTIAL), id.to_string().as_bytes())?)
    }
}
