//! Requests that are more than the fetching of a file: any method, headers both ways, a body.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ureq::{SendBody, http};

use super::{Client, HttpError, Try, refuse_or_repeat};

/// A request header: its name and value.
pub type Header = (&'static str, String);

/// How long a server may think before it answers an upload: registries read a blob again before they take it.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(600);

/// What is done to a resource (RFC 9110 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Get it.
    Get,
    /// Get its headers.
    Head,
    /// Give it something to work on.
    Post,
    /// Put it there.
    Put,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What to do.
    pub method: Method,
    /// To what.
    pub url: &'a str,
    /// Headers beside the usual ones.
    pub headers: &'a [Header],
    /// What is sent along.
    pub body: AskBody<'a>,
    /// The longest answer that is taken, in bytes.
    pub limit: u64,
}

/// What is sent with a request.
#[derive(Debug, Clone, Copy)]
pub enum AskBody<'a> {
    /// Bytes, perhaps none.
    Bytes(&'a [u8]),
    /// A part of a file.
    File {
        /// The file.
        file: &'a File,
        /// Where the part begins.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
}

/// What a server answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    headers: http::HeaderMap,
}

impl Answer {
    /// A header's value, the first one of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Every value of a header that may be there several times.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }
}

impl Client {
    /// Sends a request, again when the connection broke or the server was busy. Any other status is an answer.
    pub fn exchange(&self, ask: &Ask<'_>) -> Result<Answer, HttpError> {
        let mut answer = None;
        self.persist(ask.url, || {
            let (tried, given) = self.exchange_once(ask)?;
            answer = given;
            Ok((tried, 0))
        })?;
        // Done without an answer does not happen; it would read as a broken connection.
        let problem = "the server did not answer".to_owned();
        answer.ok_or_else(|| HttpError::Transport { url: ask.url.to_owned(), tries: 1, problem })
    }

    fn exchange_once(&self, ask: &Ask<'_>) -> Result<(Try, Option<Answer>), HttpError> {
        self.check_cancelled(ask.url)?;
        let agent = self.agent(ask.url)?;
        let mut response = match self.run(agent, ask) {
            Ok(response) => response,
            Err(error) => {
                self.check_cancelled(ask.url)?;
                return Ok((refuse_or_repeat(ask.url, &error)?, None));
            }
        };
        let status = response.status().as_u16();
        if let 408 | 425 | 429 | 500..=599 = status {
            return Ok((Try::Again(format!("status {status}")), None));
        }
        let headers = response.headers().clone();
        let mut body = Vec::new();
        if ask.method != Method::Head {
            let read = response.body_mut().as_reader().take(ask.limit + 1).read_to_end(&mut body);
            if let Err(error) = read {
                return Ok((Try::Again(error.to_string()), None));
            }
        }
        if body.len() as u64 > ask.limit {
            return Err(HttpError::TooLong { url: ask.url.to_owned(), limit: ask.limit });
        }
        Ok((Try::Done, Some(Answer { status, body, headers })))
    }

    fn run(&self, agent: &ureq::Agent, ask: &Ask<'_>) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let method = match ask.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
        };
        let mut request = http::Request::builder().method(method).uri(ask.url);
        for (name, value) in ask.headers {
            request = request.header(*name, value);
        }
        if matches!(ask.method, Method::Get | Method::Head) {
            return agent.run(request.header("Accept-Encoding", "identity").body(())?);
        }
        match ask.body {
            AskBody::Bytes(bytes) => agent.run(patient(agent, request.body(bytes)?)),
            AskBody::File { file, offset, length } => {
                let mut piece = Piece { file, offset, left: length, cancel: &self.cancel };
                let body = SendBody::from_reader(&mut piece);
                agent.run(patient(agent, request.header("Content-Length", length).body(body)?))
            }
        }
    }
}

fn patient<S: ureq::AsSendBody>(agent: &ureq::Agent, request: http::Request<S>) -> http::Request<S> {
    agent.configure_request(request).timeout_recv_response(Some(UPLOAD_PATIENCE)).build()
}

/// Reads a part of a file, until somebody presses ctrl-C.
struct Piece<'f> {
    file: &'f File,
    offset: u64,
    left: u64,
    cancel: &'f AtomicBool,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
