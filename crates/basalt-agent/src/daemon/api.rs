//! The local API: a request and its answer are one line of JSON each, on a socket that only root may use. `GET /metrics` in
//! HTTP is understood there too.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Duration,
};

use basalt_node::reconcile::{Phase, Report};
use serde::{Deserialize, Serialize};

use super::{SOCKET, Shared, count, metrics};
use crate::{
    commands::{self, journal},
    error::{AgentError, AgentResult, Kind, OrFail as _},
    reconcile::{self, Wish},
};

/// A document has at most 4 MiB, and JSON writes some bytes as six.
const MOST_BYTES: u64 = 32 << 20;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Applying a document starts units and fetches keys.
const CLIENT_PATIENCE: Duration = Duration::from_secs(900);

/// What is asked.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, tag = "request")]
pub(crate) enum Request {
    /// What differs between the machine and its documents?
    Plan,
    /// Keep this document, and follow all of them.
    Apply {
        /// Its text; the documents that are there if there is none.
        document: Option<String>,
    },
    /// Forget the document that was applied before.
    Forget,
    /// How did the last reconciliation go?
    Status,
}

/// What is answered.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub(crate) enum Answer {
    /// A plan.
    Plan {
        /// For programs.
        plan: serde_json::Value,
        /// For people.
        text: String,
        /// Whether there is nothing to do.
        empty: bool,
    },
    /// What was done.
    Applied {
        /// How it went.
        report: Report,
    },
    /// The last reconciliation.
    Status {
        /// How it went.
        report: Report,
    },
    /// Nothing was done.
    Failed {
        /// Whose turn it is.
        kind: Kind,
        /// Why.
        message: String,
        /// What to do next.
        hints: Vec<String>,
    },
}

impl Answer {
    /// The error in an answer, or that it answers something else.
    pub(crate) fn unexpected(self) -> AgentError {
        match self {
            Self::Failed { kind, message, hints } => {
                hints.into_iter().fold(AgentError::new(kind, message), AgentError::hint)
            }
            Self::Plan { .. } | Self::Applied { .. } | Self::Status { .. } => {
                AgentError::new(Kind::Host, "the daemon answers something else than what was asked")
                    .hint("`systemctl restart basalt-agent.service`: another release of it runs")
            }
        }
    }
}

/// Asks the daemon; nothing if none runs.
pub(crate) fn ask(request: &Request) -> AgentResult<Option<Answer>> {
    let mut stream = match UnixStream::connect(SOCKET) {
        Ok(stream) => stream,
        // None runs, or one was killed.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(
                AgentError::new(Kind::Host, error).hint(format!("only root may use {SOCKET}: try `sudo`"))
            );
        }
    };
    stream.set_read_timeout(Some(CLIENT_PATIENCE)).or_fail(Kind::Host)?;
    let mut line = serde_json::to_vec(request).or_fail(Kind::Host)?;
    line.push(b'\n');
    stream.write_all(&line).or_fail(Kind::Host)?;
    let mut text = String::new();
    BufReader::new(stream.take(MOST_BYTES)).read_line(&mut text).or_fail(Kind::Host)?;
    serde_json::from_str(&text).map(Some).or_fail(Kind::Format)
}

/// Answers whoever asks, one after another. Who plans or applies waits for the machine's lock anyway.
pub(super) fn serve(listener: UnixListener, counters: Shared) {
    let spawned = thread::Builder::new().name("api".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever went away before the answer has none.
            match connection(&stream, &counters) {
                Ok(()) | Err(_) => {}
            }
        }
    });
    if let Err(error) = spawned {
        crate::report::failure(&AgentError::new(Kind::Host, error));
    }
}

fn connection(mut stream: &UnixStream, counters: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MOST_BYTES)).read_line(&mut line)?;
    if line.starts_with("GET ") {
        return metrics::respond(&line, counters, &mut stream);
    }
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => answer(&request, counters).unwrap_or_else(|error| failed(&error)),
        Err(error) => failed(&AgentError::new(Kind::Format, error)),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text)
}

fn answer(request: &Request, counters: &Shared) -> AgentResult<Answer> {
    match request {
        Request::Plan => {
            let plan = reconcile::plan(&Wish::observe()?, Phase::Running)?;
            let text = plan.to_string();
            let empty = plan.steps.is_empty();
            Ok(Answer::Plan { plan: serde_json::to_value(plan).or_fail(Kind::Host)?, text, empty })
        }
        Request::Apply { .. } | Request::Forget => {
            let report = commands::execute(request, &mut journal);
            count(counters, report.as_ref());
            report.map(|report| Answer::Applied { report })
        }
        Request::Status => Ok(Answer::Status { report: reconcile::read_report()?.unwrap_or_default() }),
    }
}

fn failed(error: &AgentError) -> Answer {
    let AgentError { kind, error, hints } = error;
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}\n  because: {cause}");
        source = cause.source();
    }
    Answer::Failed { kind: *kind, message, hints: hints.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client says, and the line that it is answered.
    fn asked(line: &str) -> String {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(line.as_bytes()).unwrap();
        connection(&server, &Shared::default()).unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_request_that_nobody_understands_is_answered_so() {
        let answer: Answer = serde_json::from_str(&asked("{\"request\":\"reboot\"}\n")).unwrap();
        let Answer::Failed { kind: Kind::Format, message, .. } = answer else { panic!("{answer:?}") };
        assert!(message.contains("unknown variant `reboot`"), "{message}");
        assert!(asked("{\"request\":\"apply\",\"file\":1}\n").contains("failed"));
    }

    #[test]
    fn metrics_are_given_to_http_clients() {
        let text = asked("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.contains("basalt_reconcile_runs_total 0"), "{text}");
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        for request in [
            Request::Plan,
            Request::Apply { document: Some("a\nb".into()) },
            Request::Forget,
            Request::Status,
        ] {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
            assert!(!text.contains('\n'));
        }
    }
}
