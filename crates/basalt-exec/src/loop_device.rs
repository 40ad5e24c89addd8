//! Loop devices: a file as a read-only block device.
//!
//! Source of the layouts and numbers: Linux `include/uapi/linux/loop.h`.
//!
//! Expected: the module `loop` is there (`/dev/loop-control` appears with it), Linux 5.8 or newer (`LOOP_CONFIGURE`).

#![allow(unsafe_code, reason = "LOOP_CONFIGURE takes a pointer to a struct")]

use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd as _, RawFd},
    path::{Path, PathBuf},
    ptr,
};

use rustix::{
    fs::{Dev, fstat, major, minor},
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, Setter, ioctl},
};

/// The device that knows which loop devices are free.
const CONTROL: &str = "/dev/loop-control";
/// Gives the number of a free device.
const LOOP_CTL_GET_FREE: Opcode = 0x4c82;
/// Gives a device its file and everything else in one step.
const LOOP_CONFIGURE: Opcode = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;
/// How often another program may take the free device before we do.
const ATTEMPTS: u32 = 16;

/// A loop device that shows a file. It lasts until somebody detaches it or the machine ends, also when the file's name
/// is gone: the kernel holds the file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopDevice {
    /// Its device file, such as `/dev/loop0`.
    pub path: PathBuf,
    /// The driver's number.
    pub major: u32,
    /// The device's number.
    pub minor: u32,
}

/// Why a file could not become a block device.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The control device is missing: the module is not loaded.
    #[error("can't open {CONTROL}")]
    Control(#[source] io::Error),
    /// There is no free device.
    #[error("there is no free loop device")]
    NoneFree(#[source] io::Error),
    /// The file or the device can't be opened.
    #[error("can't open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses.
    #[error("{} can't show {}", device.display(), file.display())]
    Refused {
        /// The device.
        device: PathBuf,
        /// The file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// `struct loop_config`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct LoopConfig {
    fd: RawFd,
    /// Bytes of a logical sector.
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// Shows `file` as a read-only block device with logical sectors of `block_size` bytes (512 to 4096).
///
/// # Errors
/// When the module is missing, the file can't be opened, or the kernel refuses.
pub fn attach_readonly(file: &Path, block_size: u32) -> Result<LoopDevice, LoopError> {
    let content = File::open(file).map_err(|source| LoopError::Open { path: file.to_owned(), source })?;
    let control = OpenOptions::new().read(true).write(true).open(CONTROL).map_err(LoopError::Control)?;
    let config = LoopConfig::new(&content, block_size);
    let mut attempts = 0..ATTEMPTS;
    loop {
        let path = free_device(&control)?;
        // Opened for reading only, so that the device itself is read-only, too.
        let device = File::open(&path).map_err(|source| LoopError::Open { path: path.clone(), source })?;
        match configure(&device, &config) {
            Ok(()) => {
                let number =
                    number_of(&device).map_err(|source| LoopError::Open { path: path.clone(), source })?;
                return Ok(LoopDevice { path, major: major(number), minor: minor(number) });
            }
            // Somebody else was quicker.
            Err(Errno::BUSY) if attempts.next().is_some() => {}
            Err(errno) => {
                return Err(LoopError::Refused { device: path, file: file.to_owned(), source: errno.into() });
            }
        }
    }
}

fn number_of(device: &File) -> io::Result<Dev> {
    Ok(fstat(device)?.st_rdev)
}

/// `LOOP_CTL_GET_FREE`: takes nothing, and its result is a device's number.
struct GetFree;

// SAFETY: the request has no argument, reads and writes no memory of ours, and its return value is no error and no pointer.
unsafe impl Ioctl for GetFree {
    type Output = u32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::null_mut()
    }

    unsafe fn output_from_ptr(number: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        u32::try_from(number).map_err(|_negative| Errno::RANGE)
    }
}

fn free_device(control: &File) -> Result<PathBuf, LoopError> {
    // SAFETY: `GetFree` says why it is safe.
    let number = unsafe { ioctl(control, GetFree) }.map_err(|errno| LoopError::NoneFree(errno.into()))?;
    Ok(PathBuf::from(format!("/dev/loop{number}")))
}

fn configure(device: &File, config: &LoopConfig) -> Result<(), Errno> {
    // SAFETY: LOOP_CONFIGURE takes a pointer to a `struct loop_config`, whose layout `LoopConfig` has. The kernel reads it
    // and does not write it; the descriptor in it is open until this returns.
    unsafe { ioctl(device, Setter::<LOOP_CONFIGURE, _>::new(*config)) }
}

impl LoopConfig {
    fn new(content: &File, block_size: u32) -> Self {
        let info = LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_READ_ONLY,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        };
        Self { fd: content.as_raw_fd(), block_size, info, reserved: [0; 8] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_have_the_kernels_sizes() {
        // Linux include/uapi/linux/loop.h on a 64-bit machine.
        assert_eq!((size_of::<LoopConfig>(), size_of::<LoopInfo>()), (304, 232));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = attach_readonly(Path::new("/nonexistent/image"), 4096).unwrap_err();
        assert_eq!(error.to_string(), "can't open /nonexistent/image");
    }
}
