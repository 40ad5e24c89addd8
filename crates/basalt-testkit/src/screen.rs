//! What a person sees who uses a program with screens on a machine's console.

#![allow(clippy::panic, reason = "a test fails by panicking, with what is on the screen")]

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use basalt_vm::{Console, VmError};

/// How often the screen is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A terminal (VT100, as terminals are today) on a serial console, from when it was made.
pub struct Screen<'a> {
    console: &'a mut Console,
    log: File,
    terminal: vt100::Parser,
}

impl<'a> Screen<'a> {
    /// A terminal of so many lines and columns.
    ///
    /// # Errors
    /// When the console's log can't be read.
    pub fn new(console: &'a mut Console, lines: NonZero<u16>, columns: NonZero<u16>) -> io::Result<Self> {
        let mut log = File::open(console.log())?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self { console, log, terminal: vt100::Parser::new(lines, columns, 0) })
    }

    /// Presses keys.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn press(&mut self, keys: &str) -> Result<(), VmError> {
        self.console.send(keys)
    }

    /// Waits until one of these texts is on the screen, and gives all that is on it.
    ///
    /// # Panics
    /// After `within`, with the screen.
    #[track_caller]
    pub fn wait_for(&mut self, wanted: &[&str], within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let mut bytes = Vec::new();
            if let Err(error) = self.log.read_to_end(&mut bytes) {
                panic!("{}: {error}", self.console.log().display());
            }
            self.terminal.process(&bytes);
            let screen = self.terminal.screen().contents();
            if wanted.iter().any(|wanted| screen.contains(wanted)) {
                return screen;
            }
            assert!(Instant::now() < deadline, "none of {wanted:?} after {within:?} on:\n{screen}");
            thread::sleep(LOOK);
        }
    }
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("console", &self.console).finish_non_exhaustive()
    }
}
