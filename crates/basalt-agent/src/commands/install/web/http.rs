//! As much of HTTP/1.1 (RFC 9112) as a page with forms needs: one request a connection, small, and answered whole.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read as _},
};

/// The longest line of a request's head.
const LINE: u64 = 8 << 10;
/// The most lines.
const LINES: usize = 64;
/// The longest form.
const BODY: usize = 64 << 10;
/// The cookie's name.
const COOKIE: &str = "basalt-install";

/// What a browser asks for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    /// The value of our cookie.
    pub(super) cookie: Option<String>,
    /// The fields of a form.
    form: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// What it gets.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: Status,
    /// A cookie to remember.
    pub(super) cookie: Option<String>,
    pub(super) body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// Look at `/` instead, with GET: a reload must not send a form again.
    SeeOther,
    BadRequest,
    Forbidden,
    NotFound,
    TooMany,
}

impl Request {
    /// Reads one request; none when it is none that we answer.
    ///
    /// # Errors
    /// When the connection fails, or ends before the request does.
    pub(super) fn read(stream: &mut dyn BufRead) -> io::Result<Option<Self>> {
        let Some(first) = line(stream)? else { return Ok(None) };
        let (method, rest) = match first.split_once(' ') {
            Some(("GET", rest)) => (Method::Get, rest),
            Some(("POST", rest)) => (Method::Post, rest),
            Some(_) | None => return Ok(None),
        };
        let Some((path, "HTTP/1.1" | "HTTP/1.0")) = rest.split_once(' ') else { return Ok(None) };
        let (mut cookie, mut length) = (None, 0);
        for _ in 0..LINES {
            let Some(header) = line(stream)? else { return Ok(None) };
            if header.is_empty() {
                let mut body = vec![0; length];
                stream.read_exact(&mut body)?;
                let form = form(&String::from_utf8_lossy(&body));
                return Ok(Some(Self { method, path: path.to_owned(), cookie, form }));
            }
            let Some((name, value)) = header.split_once(':') else { return Ok(None) };
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("cookie", pairs) => cookie = ours(pairs).or(cookie),
                ("content-length", digits) => match digits.parse() {
                    Ok(found) if found <= BODY => length = found,
                    Ok(_) | Err(_) => return Ok(None),
                },
                ("transfer-encoding", _) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }

    /// A field of the form, without the space around it.
    pub(super) fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", |text| text.trim())
    }
}

/// A line without its end; none when it is too long or the stream ends before.
fn line(stream: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    stream.take(LINE).read_until(b'\n', &mut bytes)?;
    let Some(bytes) = bytes.strip_suffix(b"\n") else { return Ok(None) };
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

/// The value of our cookie among others (RFC 6265, section 4.2).
fn ours(cookies: &str) -> Option<String> {
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// `application/x-www-form-urlencoded` (WHATWG URL standard, section 5.1).
fn form(body: &str) -> BTreeMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail.get(..2).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte that two digits are.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

impl Response {
    pub(super) const fn page(status: Status, body: String) -> Self {
        Self { status, cookie: None, body }
    }

    pub(super) const fn see_other() -> Self {
        Self::page(Status::SeeOther, String::new())
    }

    /// The bytes for the connection.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { status, cookie, body } = self;
        let status = match status {
            Status::Ok => "200 OK",
            Status::SeeOther => "303 See Other\r\nLocation: /",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::TooMany => "429 Too Many Requests",
        };
        let cookie = cookie.as_ref().map_or(String::new(), |cookie| {
            format!("Set-Cookie: {COOKIE}={cookie}; HttpOnly; SameSite=Strict; Path=/\r\n")
        });
        // No script, no frame, no other host: whatever a disk calls itself, it is text.
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\nCache-Control: no-store\r\nConnection: close\r\n{cookie}\r\n{body}",
            body.len()
        );
        text.into_bytes()
    }
}
