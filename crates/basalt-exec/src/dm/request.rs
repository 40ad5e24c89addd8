#![allow(
    unsafe_code,
    reason = "an ioctl takes a pointer to a buffer whose layout only the kernel's header tells"
)]

use std::fs::File;

use rustix::ioctl::{Opcode, Updater, ioctl};

use super::{DmDevice, DmError, DmNode};

/// The device can't be written.
pub(super) const DM_READONLY: u32 = 1 << 0;
/// Asks [`Command::Status`] for the table instead of the state.
pub(super) const DM_STATUS_TABLE: u32 = 1 << 4;
/// The kernel's answer did not fit.
const DM_BUFFER_FULL: u32 = 1 << 8;

/// Bytes of a request and of its answer: a verity table with the longest salt has about 800.
const CAPACITY: usize = 4096;
/// `sizeof(struct dm_ioctl)`; the first target begins here.
const HEADER: usize = 312;
/// `sizeof(struct dm_target_spec)`.
const TARGET: usize = 40;

// Offsets in `struct dm_ioctl`.
const VERSION: usize = 0;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEV: usize = 40;
const NAME: usize = 48;
const NAME_LENGTH: usize = 128;
const UUID: usize = 176;
const UUID_LENGTH: usize = 129;

// Offsets in `struct dm_target_spec`.
const LENGTH: usize = 8;
const NEXT: usize = 20;
const TARGET_TYPE: usize = 24;
const TARGET_TYPE_LENGTH: usize = 16;

/// `_IOWR(0xfd, number, struct dm_ioctl)`.
const fn opcode(number: u32) -> Opcode {
    (3 << 30 | (HEADER as u32) << 16 | 0xfd << 8 | number) as Opcode
}
const DEV_CREATE: Opcode = opcode(3);
const DEV_REMOVE: Opcode = opcode(4);
const DEV_SUSPEND: Opcode = opcode(6);
const TABLE_LOAD: Opcode = opcode(9);
const TABLE_STATUS: Opcode = opcode(12);

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Create,
    LoadTable,
    Resume,
    Status,
    Remove,
}

/// A `struct dm_ioctl` and what follows it; the kernel writes its answer over it.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Request {
    bytes: [u8; CAPACITY],
}

impl Request {
    /// A request about the device of this name. The kernel takes the name or the identity, never both, except when
    /// it makes the device.
    pub(super) fn new(device: &DmDevice, flags: u32) -> Result<Self, DmError> {
        let mut request = Self { bytes: [0; CAPACITY] };
        request.put_u32(VERSION, 4);
        request.put_u32(DATA_SIZE, CAPACITY as u32);
        request.put_u32(DATA_START, HEADER as u32);
        request.put_u32(FLAGS, flags);
        request.put_text(NAME, NAME_LENGTH, &device.name)?;
        Ok(request)
    }

    /// The same request with the identity that the new device gets.
    pub(super) fn with_identity(mut self, device: &DmDevice) -> Result<Self, DmError> {
        self.put_text(UUID, UUID_LENGTH, &device.uuid)?;
        Ok(self)
    }

    /// The same request with the device's one target.
    pub(super) fn with_target(mut self, device: &DmDevice) -> Result<Self, DmError> {
        let text = HEADER + TARGET;
        self.put_u32(TARGET_COUNT, 1);
        self.bytes[HEADER + LENGTH..HEADER + LENGTH + 8].copy_from_slice(&device.sectors.to_ne_bytes());
        self.put_u32(HEADER + NEXT, (CAPACITY - HEADER) as u32);
        self.put_text(HEADER + TARGET_TYPE, TARGET_TYPE_LENGTH, &device.target)?;
        self.put_text(text, CAPACITY - text, &device.parameters)?;
        Ok(self)
    }

    /// Asks the kernel; the request becomes the answer.
    pub(super) fn send(mut self, control: &File, command: Command, name: &str) -> Result<Self, DmError> {
        let answered = match command {
            // SAFETY: each opcode is one of device-mapper's; all of them take a `struct dm_ioctl` that says in
            // `data_size` how long the whole buffer is, and write nothing beyond it. `Request` is that buffer,
            // 8-byte aligned as the struct, and lives until the call returns.
            Command::Create => unsafe { ioctl(control, Updater::<DEV_CREATE, _>::new(&mut self)) },
            // SAFETY: as above.
            Command::LoadTable => unsafe { ioctl(control, Updater::<TABLE_LOAD, _>::new(&mut self)) },
            // SAFETY: as above. Without DM_SUSPEND_FLAG this command resumes.
            Command::Resume => unsafe { ioctl(control, Updater::<DEV_SUSPEND, _>::new(&mut self)) },
            // SAFETY: as above.
            Command::Status => unsafe { ioctl(control, Updater::<TABLE_STATUS, _>::new(&mut self)) },
            // SAFETY: as above.
            Command::Remove => unsafe { ioctl(control, Updater::<DEV_REMOVE, _>::new(&mut self)) },
        };
        answered.map_err(|errno| DmError::Refused {
            step: command.step(),
            name: name.to_owned(),
            source: errno.into(),
        })?;
        Ok(self)
    }

    /// The device's number in an answer: Linux's `huge_encode_dev`.
    pub(super) fn node(&self) -> DmNode {
        let dev = self.u32(DEV);
        DmNode { major: dev >> 8 & 0xfff, minor: dev & 0xff | dev >> 12 & 0xf_ff00 }
    }

    /// The text of the first target in an answer to [`Command::Status`].
    pub(super) fn status(&self) -> Option<String> {
        if self.u32(FLAGS) & DM_BUFFER_FULL != 0 || self.u32(TARGET_COUNT) == 0 {
            return None;
        }
        let start = usize::try_from(self.u32(DATA_START)).ok()?.checked_add(TARGET)?;
        let text = self.bytes.get(start..)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        String::from_utf8(text[..end].to_vec()).ok()
    }

    fn u32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.bytes[offset..offset + 4]);
        u32::from_ne_bytes(bytes)
    }

    fn put_u32(&mut self, offset: usize, value: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }

    /// Puts a text and the NUL that ends it.
    fn put_text(&mut self, offset: usize, room: usize, text: &str) -> Result<(), DmError> {
        if text.len() >= room || text.contains('\0') {
            return Err(DmError::TooLong(text.to_owned()));
        }
        self.bytes[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[cfg(test)]
    pub(super) fn answer(bytes: [u8; CAPACITY]) -> Self {
        Self { bytes }
    }
}

impl Command {
    fn step(self) -> &'static str {
        match self {
            Self::Create => "make",
            Self::LoadTable => "load the table of",
            Self::Resume => "start",
            Self::Status => "tell the state of",
            Self::Remove => "remove",
        }
    }
}
