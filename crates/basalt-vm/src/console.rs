//! A machine's serial port: the whole log is kept, expectations have deadlines.

use crate::{error::VmError, transcript::Transcript};
use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How many lines a failure shows.
const TAIL_LINES: usize = 40;

/// The near end of a serial line. Clones share the log; each has a cursor of its own: a text that was expected once is
/// not found again.
#[derive(Clone)]
pub struct Console {
    shared: Arc<Shared>,
    cursor: usize,
    log: PathBuf,
}

struct Shared {
    line: Mutex<Line>,
    changed: Condvar,
    writer: Mutex<UnixStream>,
}

struct Line {
    transcript: Transcript,
    closed: bool,
}

impl Console {
    /// Reads `stream` on a thread of its own until it ends; everything goes to the file `log` too, byte for byte.
    pub(crate) fn new(stream: UnixStream, log: &Path) -> Result<Self, VmError> {
        let file = File::create(log).map_err(VmError::io("create", log))?;
        let reader = stream.try_clone().map_err(VmError::io("clone the console of", log))?;
        let shared = Arc::new(Shared {
            line: Mutex::new(Line { transcript: Transcript::default(), closed: false }),
            changed: Condvar::new(),
            writer: Mutex::new(stream),
        });
        let feed = Arc::clone(&shared);
        thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || feed.read(reader, file))
            .map_err(VmError::io("read the console of", log))?;
        Ok(Self { shared, cursor: 0, log: log.to_owned() })
    }

    /// Waits until `wanted` appears after everything that was expected before; returns the text in between.
    ///
    /// # Errors
    /// [`VmError::Silent`] after `within`, [`VmError::ConsoleClosed`] when the machine ends first; both show the last
    /// 40 lines.
    pub fn expect(&mut self, wanted: &str, within: Duration) -> Result<String, VmError> {
        self.expect_any(&[wanted], within).map(|(_, before)| before)
    }

    /// As [`Console::expect`] for the first of several; returns its index too.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_any(&mut self, wanted: &[&str], within: Duration) -> Result<(usize, String), VmError> {
        let deadline = Instant::now() + within;
        let mut line = self.shared.lock();
        loop {
            if let Some((index, end)) = line.transcript.find(self.cursor, wanted) {
                let before = &line.transcript.text()[self.cursor..end - wanted[index].len()];
                let found = (index, before.to_owned());
                self.cursor = end;
                return Ok(found);
            }
            let list = || wanted.iter().map(|text| (*text).to_owned()).collect();
            if line.closed {
                return Err(VmError::ConsoleClosed {
                    wanted: list(),
                    tail: line.transcript.tail(TAIL_LINES),
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail = line.transcript.tail(TAIL_LINES);
                return Err(VmError::Silent { wanted: list(), within, tail });
            }
            line = self.shared.changed.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Types `text`. A line ends with `\n` (sent as carriage return, as a keyboard does).
    ///
    /// # Errors
    /// [`VmError::Io`] when the machine has ended.
    pub fn send(&mut self, text: &str) -> Result<(), VmError> {
        let mut writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .write_all(text.replace('\n', "\r").as_bytes())
            .map_err(VmError::io("type into the console of", &self.log))
    }

    /// Everything so far, without terminal control sequences.
    pub fn text(&self) -> String {
        self.shared.lock().transcript.text().to_owned()
    }

    /// The last `count` lines that are not empty.
    pub fn tail(&self, count: usize) -> String {
        self.shared.lock().transcript.tail(count)
    }

    /// The file that has every byte of it, as long as the [`crate::Vm`] lives.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("log", &self.log)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the far end closes. A failure to read or to log is shown in the transcript: it is what people look at.
    fn read(&self, mut stream: UnixStream, mut file: File) {
        let mut buffer = [0; 4096];
        loop {
            let end = match stream.read(&mut buffer) {
                Ok(0) => Some(String::new()),
                Ok(count) => match file.write_all(&buffer[..count]) {
                    Ok(()) => {
                        self.lock().transcript.push(&buffer[..count]);
                        None
                    }
                    Err(error) => Some(format!("\n(the console log can't be written: {error})\n")),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Some(String::new()),
                Err(error) => Some(format!("\n(the console can't be read: {error})\n")),
            };
            if let Some(last_words) = &end {
                let mut line = self.lock();
                line.transcript.push(last_words.as_bytes());
                line.closed = true;
            }
            self.changed.notify_all();
            if end.is_some() {
                return;
            }
        }
    }
}
