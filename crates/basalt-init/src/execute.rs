//! Executes the steps of the plan.

use std::{
    convert::Infallible,
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use basalt_exec::{
    dm::DmDevice,
    mount::{move_mount, switch_root},
    reboot::become_program,
};
use basalt_formats::verity::BLOCK_SIZE;

use crate::{
    error::InitError,
    measure,
    plan::{BootRecord, ROOT_DEVICE, SYSTEMD, Step},
    report::{self, boot_time},
    watchdog,
};

/// Executes `steps` in order; does not come back when the last one becomes the image's init.
pub(crate) fn execute(steps: &[Step]) -> Result<Infallible, InitError> {
    for step in steps {
        match step {
            Step::Activate(device) => activate(device)?,
            Step::CheckRoot(device) => check(device)?,
            Step::MakeDirectory(path) => make_directory(path).map_err(InitError::file(path))?,
            Step::Mount(mount) => mount.execute()?,
            Step::WriteFile { path, content } => fs::write(path, content).map_err(InitError::file(path))?,
            Step::MoveMount { from, to } => move_mount(from, to)?,
            Step::WriteRecord { path, record } => write_record(path, record)?,
            Step::Measure(phase) => measure::phase(*phase),
            Step::SwitchRoot(path) => {
                // Files that stay cost memory and nothing else.
                if let Err(error) = switch_root(path)?.remove_files() {
                    report::warn(&report::chain(&error));
                }
            }
            Step::Become { programs, arguments } => return Err(start(programs, arguments)),
        }
    }
    Err(InitError::NoInit(Vec::new()))
}

/// Makes the device and the name that udev will give it again later.
fn activate(device: &DmDevice) -> Result<(), InitError> {
    let node = device.activate_readonly()?;
    let path = Path::new(ROOT_DEVICE);
    symlink(format!("../dm-{}", node.minor), path).map_err(InitError::file(path))
}

/// The kernel checks a block when it is read; this makes it read one before anything trusts the device.
fn check(device: &DmDevice) -> Result<(), InitError> {
    let mut block = [0; BLOCK_SIZE];
    let read = File::open(ROOT_DEVICE).and_then(|mut root| root.read_exact(&mut block));
    read.map_err(InitError::FirstBlock)?;
    let status = device.status()?;
    // Newer kernels (7.2 does) say behind it what forward error correction did, `-` without it.
    match status.split_ascii_whitespace().next() {
        Some("V") => Ok(()),
        Some(_) | None => Err(InitError::NotVerified(status)),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn write_record(path: &Path, record: &BootRecord) -> Result<(), InitError> {
    let record = BootRecord { init_end_usec: boot_time(), ..record.clone() };
    let text = serde_json::to_string(&record).map_err(io::Error::other);
    text.and_then(|text| fs::write(path, text + "\n")).map_err(InitError::file(path))
}

/// Comes back only with an error.
fn start(programs: &[OsString], arguments: &[OsString]) -> InitError {
    for program in programs {
        if program != SYSTEMD {
            watchdog::disarm();
        }
        match become_program(program, arguments) {
            Ok(never) => match never {},
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return InitError::Start { program: program.clone(), source },
        }
    }
    InitError::NoInit(programs.to_vec())
}
