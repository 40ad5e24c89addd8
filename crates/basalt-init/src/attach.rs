//! Block devices for what the kernel has none for: a part of a CD through dm-linear, a file of the initramfs through a
//! loop device. Nothing here is trusted: dm-verity checks every block that is read through them.

use basalt_exec::{dm::DmDevice, loop_device::attach_readonly};

use crate::{
    disks::{BlockNode, Place},
    error::InitError,
};

/// Sectors of device-mapper have 512 bytes, whatever the disk's have.
const DM_SECTOR: u64 = 512;
/// EROFS and dm-verity read whole blocks of this size.
const BLOCK: u32 = 4096;

/// The device for `place`; `name` is what device-mapper calls it, when it has to make one.
pub(crate) fn attach(place: &Place, name: &str) -> Result<BlockNode, InitError> {
    match place {
        Place::Node(node) => Ok(node.clone()),
        Place::Slice(disk, bytes) => {
            let size = bytes.end - bytes.start;
            let device = slice(name, disk, bytes.start, size);
            let node = device.activate_readonly().map_err(InitError::Slice)?;
            let number = format!("{}:{}", node.major, node.minor);
            Ok(BlockNode { name: format!("dm-{}", node.minor), number, size })
        }
        Place::File(path) => {
            let size =
                path.metadata().map_err(|source| InitError::Read { device: path.clone(), source })?.len();
            let device = attach_readonly(path, BLOCK)?;
            let number = format!("{}:{}", device.major, device.minor);
            let name = device.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(BlockNode { name, number, size })
        }
    }
}

/// Linux `Documentation/admin-guide/device-mapper/linear.rst`: the device, and the first sector.
pub(crate) fn slice(name: &str, disk: &BlockNode, start: u64, size: u64) -> DmDevice {
    DmDevice {
        name: name.to_owned(),
        uuid: format!("BASALT-{name}"),
        target: "linear".to_owned(),
        sectors: size / DM_SECTOR,
        parameters: format!("{} {}", disk.number, start / DM_SECTOR),
    }
}
