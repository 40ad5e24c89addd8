//! A static HTTP/1.1 server on 127.0.0.1 for tests: files of a folder, byte ranges, and faults on demand.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Serves until dropped.
#[derive(Debug)]
pub struct StaticServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<thread::JoinHandle<()>>,
}

/// What goes wrong with one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 404, whatever is on the disk.
    Absent,
    /// 500.
    Broken,
    /// The connection ends after so many bytes of a body that was promised whole.
    CutAfter(u64),
    /// As [`Fault::CutAfter`], but only the first time: a client that resumes gets the rest.
    CutOnceAfter(u64),
    /// Every byte of the body is inverted.
    Corrupt,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    finder: Option<Box<dyn Find>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<String, Fault>,
    requests: Vec<String>,
    stopping: bool,
}

/// Asked for a path (with its leading slash) that the folder lacks; puts the file there or says no (see `mirror`).
pub(crate) trait Find: fmt::Debug + Send + Sync {
    fn find(&self, path: &str) -> io::Result<()>;
}

impl StaticServer {
    /// Serves the files below `root`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn serve(root: impl Into<PathBuf>) -> io::Result<Self> {
        Self::start(Shared { root: root.into(), finder: None, state: Mutex::default() }, 0)
    }

    pub(crate) fn serve_found(root: PathBuf, port: u16, finder: Box<dyn Find>) -> io::Result<Self> {
        Self::start(Shared { root, finder: Some(finder), state: Mutex::default() }, port)
    }

    fn start(shared: Shared, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(shared);
        let served = Arc::clone(&shared);
        let listening = thread::Builder::new().name("http".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if served.lock().stopping {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&served)) else { continue };
                // A client that goes away in the middle is part of the game.
                thread::spawn(move || drop(shared.converse(stream)));
            }
        })?;
        Ok(Self { address, shared, listening: Some(listening) })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets what goes wrong with `path` (with its leading slash) from now on; `None` heals it.
    pub fn fault(&self, path: &str, fault: Option<Fault>) {
        let mut state = self.shared.lock();
        match fault {
            Some(fault) => state.faults.insert(path.to_owned(), fault),
            None => state.faults.remove(path),
        };
    }

    /// Every request so far: `GET /path` or `GET /path bytes=10-`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.lock().requests.clear();
    }
}

impl Drop for StaticServer {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        // Wakes the accepting thread; if that fails it was not waiting.
        drop(TcpStream::connect(self.address));
        // Its port is free when this returns. A panic of that thread has been printed.
        drop(self.listening.take().map(thread::JoinHandle::join));
    }
}

/// A request's head.
struct Request {
    method: String,
    path: String,
    range: Option<String>,
    close: bool,
}

/// The bytes to send: from, to (exclusive), of a file of this length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) length: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader)? {
            self.note(&request);
            if !self.answer(&request, &mut writer)? || request.close {
                return Ok(());
            }
        }
        Ok(())
    }

    fn note(&self, request: &Request) {
        let range = request.range.as_deref().map(|range| format!(" {range}")).unwrap_or_default();
        self.lock().requests.push(format!("{} {}{range}", request.method, request.path));
    }

    /// Whether the connection may be used again.
    fn answer(&self, request: &Request, writer: &mut TcpStream) -> io::Result<bool> {
        let fault = self.lock().faults.get(&request.path).copied();
        match fault {
            Some(Fault::Absent) => return refuse(writer, "404 Not Found"),
            Some(Fault::Broken) => return refuse(writer, "500 Internal Server Error"),
            Some(Fault::CutOnceAfter(_)) => {
                self.lock().faults.remove(&request.path);
            }
            Some(Fault::CutAfter(_) | Fault::Corrupt) | None => {}
        }
        if request.method != "GET" && request.method != "HEAD" {
            return refuse(writer, "405 Method Not Allowed");
        }
        let Some(path) = self.locate(&request.path) else {
            return refuse(writer, "404 Not Found");
        };
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let Some(span) = span(request.range.as_deref(), length) else {
            return refuse(writer, "416 Range Not Satisfiable");
        };
        head(writer, request.range.is_some(), &span)?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        file.seek(SeekFrom::Start(span.from))?;
        send_body(&mut file, writer, span.to - span.from, fault)
    }

    fn locate(&self, path: &str) -> Option<PathBuf> {
        let relative = Path::new(path.strip_prefix('/')?);
        if relative.components().any(|component| !matches!(component, Component::Normal(_))) {
            return None;
        }
        let file = self.root.join(relative);
        if !file.is_file() {
            self.finder.as_ref()?.find(path).ok()?;
        }
        file.is_file().then_some(file)
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let path = percent_decoded(target.split('?').next().unwrap_or_default());
    let mut request = Request { method, path, range: None, close: false };
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            return Ok(Some(request));
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.trim().to_owned()),
            "connection" => request.close = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

/// RFC 3986 section 2.1; what is not a valid escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(value) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(value);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 9110 section 14.1.2, single ranges; `None` when it can't be satisfied.
pub(crate) fn span(range: Option<&str>, length: u64) -> Option<Span> {
    let Some(range) = range else { return Some(Span { from: 0, to: length, length }) };
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from, to) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), length),
        (from, "") => (from.parse().ok()?, length),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.saturating_add(1).min(length)),
    };
    (from < to).then_some(Span { from, to, length })
}

fn head(writer: &mut TcpStream, partial: bool, span: &Span) -> io::Result<()> {
    let Span { from, to, length } = span;
    let status = if partial {
        format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}", to - 1)
    } else {
        "200 OK".to_owned()
    };
    let size = to - from;
    writer.write_all(
        format!("HTTP/1.1 {status}\r\nContent-Length: {size}\r\nAccept-Ranges: bytes\r\n\r\n").as_bytes(),
    )
}

fn send_body(file: &mut File, writer: &mut TcpStream, size: u64, fault: Option<Fault>) -> io::Result<bool> {
    let limit = match fault {
        Some(Fault::CutAfter(limit) | Fault::CutOnceAfter(limit)) => limit.min(size),
        Some(Fault::Absent | Fault::Broken | Fault::Corrupt) | None => size,
    };
    let mut body = file.take(limit);
    if fault == Some(Fault::Corrupt) {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        writer.write_all(&bytes)?;
    } else {
        io::copy(&mut body, writer)?;
    }
    Ok(limit == size)
}

fn refuse(writer: &mut TcpStream, status: &str) -> io::Result<bool> {
    writer.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    Ok(true)
}
