//! Getting bytes from a URL: `http:`, `https:` and `file:`.
//!
//! A [`Client`] is shared by the threads of a run. A download goes into the store's partial file, is continued where
//! it broke off, and only gets its name when size and digest are right. Tries again what may go better the next time
//! (a broken connection, a busy server), never what won't (404, a wrong digest).

use std::{
    io::Read,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use basalt_types::Digest;

use crate::store::{Partial, Store, StoreError};

mod absolute;
mod exchange;
mod proxy;

pub use exchange::{Answer, Ask, AskBody, Header, Method};
pub use proxy::Proxies;

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a server may be silent.
    pub silence: Duration,
    /// How often a request that brought nothing new is repeated.
    pub retries: u32,
    /// The pause before the first repetition; each further one is twice as long.
    pub pause: Duration,
}

/// Fetches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    direct: ureq::Agent,
    http: Option<ureq::Agent>,
    https: Option<ureq::Agent>,
    proxies: Proxies,
    patience: Patience,
    cancel: Arc<AtomicBool>,
}

/// What a URL should give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Where it is.
    pub url: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
}

/// Why a URL gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server answered with a status that is not success.
    #[error("`{url}` answered with status {status}{}", advice(*status))]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or a broken one, after every repetition.
    #[error(
        "can't fetch `{url}` (tried {tries} times): {problem}; check the network, or set http_proxy/https_proxy"
    )]
    Transport {
        /// The URL.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// What the last try said.
        problem: String,
    },
    /// A document is longer than anything sensible.
    #[error("`{url}` is longer than {limit} bytes")]
    TooLong {
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// Neither `http:`, `https:` nor `file:`, or not a URL.
    #[error("`{url}` is not a URL that can be fetched: expected http:, https: or file:///")]
    Url {
        /// The text.
        url: String,
    },
    /// The proxy's URL is wrong.
    #[error(
        "the proxy `{0}` is not a URL: set http_proxy, https_proxy or the recipe's proxy to http://host:port"
    )]
    Proxy(String),
    /// A local file can't be read.
    #[error("can't read `{url}`")]
    File {
        /// The URL.
        url: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not those that the index promised.
    #[error(
        "`{url}` is not what the index promised; the mirror may be changing: try again, or use another mirror"
    )]
    Mismatch {
        /// The URL.
        url: String,
        /// What came instead.
        source: StoreError,
    },
    /// The store can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody pressed ctrl-C.
    #[error("the download of `{url}` was interrupted; run again to continue it")]
    Cancelled {
        /// The URL.
        url: String,
    },
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            retries: 4,
            pause: Duration::from_millis(500),
        }
    }
}

/// Takes a chunk, and the offset in the file at which the answer began if it is the answer's first.
type Sink<'s> = dyn FnMut(Option<u64>, &[u8]) -> Result<(), HttpError> + 's;

/// What one try gave.
enum Try {
    Done,
    /// It may go better the next time.
    Again(String),
}

impl Client {
    /// A client that uses these proxies and stops between two chunks when `cancel` becomes true.
    pub fn new(proxies: Proxies, patience: Patience, cancel: Arc<AtomicBool>) -> Result<Self, HttpError> {
        let tunnel = |url: &String| agent(&patience, Some(url));
        Ok(Self {
            direct: agent(&patience, None)?,
            http: proxies.http.as_ref().map(|url| plain(&patience, url)).transpose()?,
            https: proxies.https.as_ref().map(tunnel).transpose()?,
            proxies,
            patience,
            cancel,
        })
    }

    /// Fetches a small document of at most `limit` bytes into memory.
    pub fn get(&self, url: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        self.persist(url, || {
            bytes.clear();
            self.attempt(url, &[], 0, &mut |_, chunk| {
                if (bytes.len() + chunk.len()) as u64 > limit {
                    return Err(HttpError::TooLong { url: url.to_owned(), limit });
                }
                bytes.extend_from_slice(chunk);
                Ok(())
            })
            .map(|tried| (tried, 0))
        })?;
        Ok(bytes)
    }

    /// Fetches a file into the store. `progress` gets the number of new bytes, also those that an earlier run left.
    pub fn download(
        &self,
        expected: &Expected,
        store: &Store,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, HttpError> {
        self.download_as(expected, &[], store, progress)
    }

    /// As [`Client::download`], with these headers in every request.
    pub fn download_as(
        &self,
        expected: &Expected,
        headers: &[Header],
        store: &Store,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, HttpError> {
        let url = &expected.url;
        let mut partial = store.partial(&expected.digest)?;
        if partial.length() > expected.size {
            partial.restart()?;
        }
        progress(partial.length());
        if partial.length() < expected.size {
            let mut longest = partial.length();
            self.persist(url, || {
                let tried = self.extend(expected, headers, &mut partial, progress)?;
                // What a restart repeats is nothing new: a server whose file is too short would be asked for ever.
                let added = partial.length().saturating_sub(longest);
                longest = longest.max(partial.length());
                Ok((tried, added))
            })?;
        }
        partial.finish(expected.digest, expected.size).map_err(|error| match error {
            StoreError::Mismatch { .. } => HttpError::Mismatch { url: url.clone(), source: error },
            StoreError::File { .. } => HttpError::Store(error),
        })
    }

    /// One try to add to a partial file.
    fn extend(
        &self,
        expected: &Expected,
        headers: &[Header],
        partial: &mut Partial<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Try, HttpError> {
        let tried = self.attempt(&expected.url, headers, partial.length(), &mut |offset, chunk| {
            // The server ignored the wish to continue, or has less than what is here.
            if offset == Some(0) && partial.length() > 0 {
                partial.restart()?;
            }
            partial.append(chunk)?;
            progress(chunk.len() as u64);
            if partial.length() > expected.size {
                let limit = expected.size;
                return Err(HttpError::TooLong { url: expected.url.clone(), limit });
            }
            Ok(())
        })?;
        Ok(match tried {
            Try::Done if partial.length() < expected.size => {
                Try::Again(format!("it ended after {} of {} bytes", partial.length(), expected.size))
            }
            Try::Done | Try::Again(_) => tried,
        })
    }

    /// Repeats a try. One that brought something new doesn't count against the patience.
    fn persist(
        &self,
        url: &str,
        mut attempt: impl FnMut() -> Result<(Try, u64), HttpError>,
    ) -> Result<(), HttpError> {
        let (mut tries, mut fruitless) = (0, 0);
        loop {
            tries += 1;
            let (tried, added) = attempt()?;
            let Try::Again(problem) = tried else { return Ok(()) };
            fruitless = if added > 0 { 0 } else { fruitless + 1 };
            if fruitless > self.patience.retries {
                return Err(HttpError::Transport { url: url.to_owned(), tries, problem });
            }
            self.pause(url, fruitless)?;
        }
    }

    /// Waits in short slices, so that a person who presses ctrl-C doesn't.
    fn pause(&self, url: &str, fruitless: u32) -> Result<(), HttpError> {
        let mut left = self.patience.pause * 2_u32.saturating_pow(fruitless.saturating_sub(1).min(8));
        while !left.is_zero() {
            self.check_cancelled(url)?;
            let slice = left.min(Duration::from_millis(100));
            std::thread::sleep(slice);
            left -= slice;
        }
        self.check_cancelled(url)
    }

    fn check_cancelled(&self, url: &str) -> Result<(), HttpError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(HttpError::Cancelled { url: url.to_owned() });
        }
        Ok(())
    }

    /// One request.
    fn attempt(
        &self,
        url: &str,
        headers: &[Header],
        offset: u64,
        sink: &mut Sink<'_>,
    ) -> Result<Try, HttpError> {
        self.check_cancelled(url)?;
        if let Some(path) = url.strip_prefix("file://") {
            let open = |source| HttpError::File { url: url.to_owned(), source };
            return self.pump(url, 0, std::fs::File::open(path).map_err(open)?, sink);
        }
        let agent = self.agent(url)?;
        let mut request = agent.get(url).header("Accept-Encoding", "identity");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return refuse_or_repeat(url, &error),
        };
        match response.status().as_u16() {
            206 => self.pump(url, offset, response.body_mut().as_reader(), sink),
            200..=299 => self.pump(url, 0, response.body_mut().as_reader(), sink),
            // What is there is longer than the file: start at nothing.
            416 => {
                sink(Some(0), &[]).map(|()| Try::Again("the server has less than what is here".to_owned()))
            }
            status @ (408 | 425 | 429 | 500..=599) => Ok(Try::Again(format!("status {status}"))),
            status => Err(HttpError::Status { url: url.to_owned(), status }),
        }
    }

    fn pump(
        &self,
        url: &str,
        begin: u64,
        mut from: impl Read,
        sink: &mut Sink<'_>,
    ) -> Result<Try, HttpError> {
        let mut buffer = vec![0; 1 << 16];
        let mut first = Some(begin);
        loop {
            self.check_cancelled(url)?;
            match from.read(&mut buffer) {
                Ok(0) => return Ok(Try::Done),
                Ok(count) => sink(first.take(), &buffer[..count])?,
                Err(error) => return Ok(Try::Again(error.to_string())),
            }
        }
    }

    fn agent(&self, url: &str) -> Result<&ureq::Agent, HttpError> {
        let refuse = || HttpError::Url { url: url.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(refuse)?;
        let proxied = match scheme {
            "http" => &self.http,
            "https" => &self.https,
            _ => return Err(refuse()),
        };
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        Ok(proxied.as_ref().filter(|_| !self.proxies.excludes(host)).unwrap_or(&self.direct))
    }
}

/// An agent that connects directly, or through a tunnel of the proxy.
fn agent(patience: &Patience, proxy: Option<&str>) -> Result<ureq::Agent, HttpError> {
    let proxy = proxy.map(parse_proxy).transpose()?;
    Ok(config(patience, proxy).new_agent())
}

/// An agent for `http:` URLs: an HTTP proxy is asked itself, other kinds and those that want a name and password are
/// tunnelled through.
fn plain(patience: &Patience, url: &str) -> Result<ureq::Agent, HttpError> {
    let proxy = parse_proxy(url)?;
    if proxy.protocol() != ureq::ProxyProtocol::Http || proxy.username().is_some() {
        return Ok(config(patience, Some(proxy)).new_agent());
    }
    let uri = proxy.uri().clone();
    Ok(absolute::agent(config(patience, None), uri))
}

fn parse_proxy(url: &str) -> Result<ureq::Proxy, HttpError> {
    ureq::Proxy::new(url).map_err(|_names_no_url| HttpError::Proxy(url.to_owned()))
}

fn config(patience: &Patience, proxy: Option<ureq::Proxy>) -> ureq::config::Config {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(proxy)
        .user_agent(concat!("basalt/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.silence))
        .timeout_per_read(Some(patience.silence))
        .max_idle_connections_per_host(16)
        .build()
}

/// What ureq reports before there is a status.
fn refuse_or_repeat(url: &str, error: &ureq::Error) -> Result<Try, HttpError> {
    if matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_)) {
        return Err(HttpError::Url { url: url.to_owned() });
    }
    Ok(Try::Again(error.to_string()))
}

/// The next step that a status suggests.
fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; the mirror or a proxy refuses access",
        404 | 410 => {
            "; check `base.debian.mirror` and the suite, and run `basalt lock` again if a package has left the mirror"
        }
        407 => "; the proxy wants a name and password: http_proxy=http://name:password@host:port",
        _ => "",
    }
}
