//! The TPM of this machine: one command, one answer.
//!
//! Source: Linux `Documentation/security/tpm/` and `drivers/char/tpm/tpmrm-dev.c`: a command is one `write`, its answer one `read`;
//! the device with `rm` in its name gives each who opens it a context of its own. Not here: what commands say (`basalt_formats::tpm`).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

/// The first TPM, shared.
const DEVICE: &str = "/dev/tpmrm0";
/// The longest answer (Linux, `TPM_BUFSIZE`).
const ANSWER: usize = 4096;

/// The TPM, opened.
#[derive(Debug)]
pub struct Tpm(File);

impl Tpm {
    /// Opens it; `None` when the machine has none that the kernel knows.
    ///
    /// # Errors
    /// When it is there and can't be opened.
    pub fn open() -> io::Result<Option<Self>> {
        match OpenOptions::new().read(true).write(true).open(Path::new(DEVICE)) {
            Ok(file) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a command and gives the answer.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn send(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut answer = vec![0; ANSWER];
        let length = self.0.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}
