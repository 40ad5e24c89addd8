//! Words for the person at the console, before anything else runs that could carry them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
};

/// How loud a line is: the kernel's levels (`include/linux/kern_levels.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Shown whatever the command line asks, short of `loglevel=` below 3.
    Critical = 2,
    /// Shown unless the command line says `quiet`.
    Warning = 4,
    /// In the log, and on the console of a machine that was asked to be talkative.
    Info = 6,
}

/// The longest line that the kernel's log takes, with room for its own prefix (`LOG_LINE_MAX`).
const LINE_LIMIT: usize = 900;

/// Writes `text` to the kernel's log, line by line; the kernel shows it on every console its log level allows.
///
/// The log is opened for each line: the kernel counts its rate limit (10 lines in 5 s) for each opening.
///
/// # Errors
/// When `/dev/kmsg` can't be opened or written.
pub fn log(level: Level, program: &str, text: &str) -> io::Result<()> {
    for line in text.lines() {
        let end = line.floor_char_boundary(LINE_LIMIT);
        let record = format!("<{}>{program}: {}\n", level as u8, &line[..end]);
        OpenOptions::new().write(true).open("/dev/kmsg")?.write_all(record.as_bytes())?;
    }
    Ok(())
}

/// Says `text` on every console, however quiet the machine was asked to be.
///
/// # Errors
/// When neither the kernel's log nor `/dev/console` can be written.
pub fn announce(program: &str, text: &str) -> io::Result<()> {
    let logged = log(Level::Critical, program, text);
    // Where the level can't be read nobody knows whether the kernel showed it: say it twice rather than never.
    let shown = console_level().is_ok_and(|level| level > Level::Critical as u8);
    if logged.is_ok() && shown {
        return Ok(());
    }
    let mut console = OpenOptions::new().write(true).open("/dev/console")?;
    text.lines().try_for_each(|line| writeln!(console, "{program}: {line}\r"))
}

/// The level below which the kernel shows its log on the consoles: the first number of `kernel.printk`.
fn console_level() -> io::Result<u8> {
    let text = fs::read_to_string("/proc/sys/kernel/printk")?;
    text.split_ascii_whitespace().next().unwrap_or_default().parse().map_err(io::Error::other)
}
