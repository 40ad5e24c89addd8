//! QEMU's machine protocol: one JSON object a line; answers and events share the line.

use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// The monitor refused or broke.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection broke or the machine did not answer in time.
    #[error("no answer to `{command}`")]
    Io {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A line is not JSON.
    #[error("the answer to `{command}` is not JSON")]
    Json {
        /// The command.
        command: String,
        /// Why.
        source: serde_json::Error,
    },
    /// QEMU refused.
    #[error("`{command}` was refused: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's words.
        reason: String,
    },
}

/// A connected monitor.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    events: VecDeque<Value>,
    /// The beginning of a line whose end had not arrived at a deadline.
    partial: Vec<u8>,
}

const ANSWER: Duration = Duration::from_secs(60);

impl Qmp {
    /// Greets and negotiates on a fresh connection.
    ///
    /// # Errors
    /// [`QmpError::Io`] when QEMU says nothing.
    pub(crate) fn negotiate(stream: UnixStream) -> Result<Self, QmpError> {
        let mut qmp = Self { reader: BufReader::new(stream), events: VecDeque::new(), partial: Vec::new() };
        let deadline = Instant::now() + ANSWER;
        while qmp.line("greeting", deadline)?.get("QMP").is_none() {}
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command; `arguments` is an object or null. Returns what it returns.
    ///
    /// # Errors
    /// [`QmpError::Refused`] with QEMU's description, [`QmpError::Io`] after 60 seconds.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let broken = |source| QmpError::Io { command: command.to_owned(), source };
        self.reader.get_mut().write_all(format!("{request}\n").as_bytes()).map_err(broken)?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let mut answer = self.line(command, deadline)?;
            if answer.get("event").is_some() {
                self.events.push_back(answer);
            } else if let Some(error) = answer.get("error") {
                let reason = error["desc"].as_str().unwrap_or("no description").to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), reason });
            } else if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }

    /// Runs a command of the human monitor (`savevm`, `loadvm`), which answers with text that is empty on success.
    ///
    /// # Errors
    /// [`QmpError::Refused`] with that text.
    pub fn human(&mut self, line: &str) -> Result<(), QmpError> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        match answer.as_str().unwrap_or_default().trim() {
            "" => Ok(()),
            reason => Err(QmpError::Refused { command: line.to_owned(), reason: reason.to_owned() }),
        }
    }

    /// Waits for an event by name, such as `SHUTDOWN` or `RESET`; earlier events of other names are dropped.
    ///
    /// # Errors
    /// [`QmpError::Io`] after `within`.
    pub fn event(&mut self, name: &str, within: Duration) -> Result<Value, QmpError> {
        while let Some(event) = self.events.pop_front() {
            if event["event"] == name {
                return Ok(event);
            }
        }
        let deadline = Instant::now() + within;
        loop {
            let line = self.line(name, deadline)?;
            if line["event"] == name {
                return Ok(line);
            }
        }
    }

    fn line(&mut self, command: &str, deadline: Instant) -> Result<Value, QmpError> {
        let broken = |source| QmpError::Io { command: command.to_owned(), source };
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.reader.get_ref().set_read_timeout(Some(left)).map_err(broken)?;
            match self.reader.read_until(b'\n', &mut self.partial) {
                Ok(0) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_slice(&line)
                        .map_err(|source| QmpError::Json { command: command.to_owned(), source });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }
}
