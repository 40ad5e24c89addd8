//! Device-mapper: making one block device out of others.
//!
//! Source of the layouts and numbers: Linux `include/uapi/linux/dm-ioctl.h`, interface version 4.
//!
//! Not here: what a table should say; it comes as text, as `dmsetup table` prints it.

mod request;

#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions},
    io,
};

use request::{Command, DM_READONLY, DM_STATUS_TABLE, Request};

/// The device that takes the commands; it appears with the module `dm_mod`.
const CONTROL: &str = "/dev/mapper/control";

/// A block device to make: one target over its whole length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmDevice {
    /// The name below `/dev/mapper`, at most 127 bytes.
    pub name: String,
    /// The identity that other tools know it by, such as `CRYPT-VERITY-…`, at most 128 bytes.
    pub uuid: String,
    /// The kind of target, such as `verity`, at most 15 bytes.
    pub target: String,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// What the target is told.
    pub parameters: String,
}

/// A device-mapper device that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmNode {
    /// The driver's number.
    pub major: u32,
    /// The device's number; its node is `/dev/dm-<minor>`.
    pub minor: u32,
}

/// Why device-mapper did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DmError {
    /// The control device is missing: the module is not loaded.
    #[error("can't open {CONTROL}")]
    Control(#[source] io::Error),
    /// A text is too long for the request.
    #[error("`{0}` is too long for device-mapper")]
    TooLong(String),
    /// The kernel refused a step.
    #[error("device-mapper refuses to {step} `{name}`")]
    Refused {
        /// What it should do.
        step: &'static str,
        /// With which device.
        name: String,
        /// What the kernel said; its log says more.
        source: io::Error,
    },
    /// The kernel's answer is not a text.
    #[error("device-mapper's answer about `{0}` can't be read")]
    Answer(String),
}

impl DmDevice {
    /// Makes the device, read-only, and lets it work.
    ///
    /// # Errors
    /// When the module is missing or the kernel refuses; what was made before the refusal is taken away again.
    pub fn activate_readonly(&self) -> Result<DmNode, DmError> {
        let control = open_control()?;
        let identity = Request::new(self, DM_READONLY)?.with_identity(self)?;
        identity.send(&control, Command::Create, &self.name)?;
        let table = Request::new(self, DM_READONLY)?.with_target(self)?;
        let loaded = table
            .send(&control, Command::LoadTable, &self.name)
            .and_then(|_| Request::new(self, 0)?.send(&control, Command::Resume, &self.name));
        match loaded {
            Ok(answer) => Ok(answer.node()),
            Err(refusal) => {
                Request::new(self, 0)?.send(&control, Command::Remove, &self.name)?;
                Err(refusal)
            }
        }
    }

    /// What the target says of itself; for `verity`, `V` while every block read was good and `C` after a bad one.
    ///
    /// # Errors
    /// When the device is not there.
    pub fn status(&self) -> Result<String, DmError> {
        let answer = Request::new(self, 0)?.send(&open_control()?, Command::Status, &self.name)?;
        answer.status().ok_or_else(|| DmError::Answer(self.name.clone()))
    }

    /// The table that the kernel works by, to compare with what was asked.
    ///
    /// # Errors
    /// When the device is not there.
    pub fn table(&self) -> Result<String, DmError> {
        let request = Request::new(self, DM_STATUS_TABLE)?;
        let answer = request.send(&open_control()?, Command::Status, &self.name)?;
        answer.status().ok_or_else(|| DmError::Answer(self.name.clone()))
    }
}

fn open_control() -> Result<File, DmError> {
    OpenOptions::new().read(true).write(true).open(CONTROL).map_err(DmError::Control)
}
