//! A timer of the machine that restarts it unless somebody says in time that all is well.
//!
//! Once opened, it runs on when its file is closed, unless it was told to stop: so whoever opens it next takes it over armed.
//! Drivers and their words: Linux `Documentation/watchdog/watchdog-api.rst`.
//!
//! Not here: which driver there is (`basalt-init` loads it), and who says that all is well afterwards (systemd).

#![allow(unsafe_code, reason = "the timeout is set by an ioctl that gives back what the driver took")]

use std::{
    ffi::c_int,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use rustix::ioctl::{Opcode, Updater, ioctl};

/// `_IOWR('W', 6, int)` of Linux `include/uapi/linux/watchdog.h`: a timeout in seconds, and what the driver made of it.
const WDIOC_SETTIMEOUT: Opcode = 0xc004_5706;

/// What stops a watchdog when its file is closed after it ("magic close").
const STOP: &[u8] = b"V";

/// An armed watchdog. Dropping it leaves it armed.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    timeout: Duration,
}

impl Watchdog {
    /// Arms the watchdog of this device.
    ///
    /// # Errors
    /// When there is none, or another program has it open.
    pub fn arm(device: &Path, timeout: Duration) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(device)?;
        let mut seconds = c_int::try_from(timeout.as_secs()).unwrap_or(c_int::MAX);
        // SAFETY: WDIOC_SETTIMEOUT reads and writes one `int`, and the pointer is to one that lives as long as the call.
        let set = unsafe { ioctl(&file, Updater::<WDIOC_SETTIMEOUT, c_int>::new(&mut seconds)) };
        // A driver that takes no such time, or none at all, has one of its own, and runs already.
        let timeout = match set {
            Ok(()) => Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            Err(_own) => timeout,
        };
        Ok(Self { file, timeout })
    }

    /// How long nobody needs to say anything.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Says that all is well.
    ///
    /// # Errors
    /// When the driver does not hear it.
    pub fn ping(&mut self) -> io::Result<()> {
        self.file.write_all(b"\0")
    }

    /// Stops it, where the driver can be stopped.
    ///
    /// # Errors
    /// When the driver does not hear it.
    pub fn disarm(mut self) -> io::Result<()> {
        self.file.write_all(STOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_is_opened_and_keeps_its_own_time() {
        let seconds = Duration::from_secs(60);
        assert_eq!(
            Watchdog::arm(Path::new("/dev/no-watchdog"), seconds).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        // No driver here takes the ioctl; the words still go where they should.
        let mut watchdog = Watchdog::arm(Path::new("/dev/null"), seconds).unwrap();
        assert_eq!(watchdog.timeout(), seconds);
        watchdog.ping().unwrap();
        watchdog.disarm().unwrap();
    }
}
