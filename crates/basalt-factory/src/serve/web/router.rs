//! From connections to calls and from answers to bytes: the only part that waits for the network.
//!
//! Handlers are plain functions that run on threads of their own; nothing that writes to a disk is a future that could be dropped
//! in the middle.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{self, Bytes},
    extract::{ConnectInfo, RawPathParams, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{
    call::{Body, Call, Outcome, Refusal, Reply},
    pages,
};
use crate::serve::{
    Site,
    event::{Event, EventLog},
    form::Fields,
};

/// The largest body of any request: a recipe twice, in the escapes of a form.
const LARGEST_BODY: usize = 1 << 20;
/// How much of a larger one is read, and thrown away, before it is refused.
const HEARD_OUT: usize = 16 << 20;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pieces of a file on their way.
const PIECE: usize = 256 * 1024;
/// How often a build's events are looked at while somebody watches.
const LOOK: Duration = Duration::from_millis(250);
/// A comment keeps a silent stream open through proxies.
const SILENCE: Duration = Duration::from_secs(15);

/// What answers a request.
pub(super) type Handler = fn(&Site, &Call) -> Outcome;

/// Who reads the answer, which decides how a refusal looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Person,
    Program,
}

/// What is where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) method: Verb,
    pub(super) path: &'static str,
    pub(super) reader: Reader,
    pub(super) handler: Handler,
}

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// All routes as one service.
pub(super) fn router(site: &Arc<Site>, routes: impl IntoIterator<Item = Route>) -> Router {
    let mut router = Router::new();
    for route in routes {
        router = router.route(route.path, method_router(site, route));
    }
    let lost = Arc::clone(site);
    router.fallback(move |request: Request| {
        let site = Arc::clone(&lost);
        async move {
            let reader = if ["/api/", "/v2/"].iter().any(|start| request.uri().path().starts_with(start)) {
                Reader::Program
            } else {
                Reader::Person
            };
            refused(&site, reader, Refusal::NotFound)
        }
    })
}

fn method_router(site: &Arc<Site>, route: Route) -> MethodRouter {
    let site = Arc::clone(site);
    on(
        route.method.filter(),
        move |ConnectInfo(peer): ConnectInfo<SocketAddr>, places: RawPathParams, request: Request| {
            let site = Arc::clone(&site);
            async move { answer(site, route, (peer, places), request).await }
        },
    )
}

async fn answer(
    site: Arc<Site>,
    route: Route,
    (peer, places): (SocketAddr, RawPathParams),
    request: Request,
) -> Response {
    let places = places.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let method = request.method().clone();
    let uri = request.uri().clone();
    let headers = request.headers().clone();
    let body = match tokio::time::timeout(PATIENCE, read(request.into_body())).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refused(&site, route.reader, refusal),
        Err(_elapsed) => {
            let refusal = Refusal::Bad("the body did not come in time".to_owned());
            return refused(&site, route.reader, refusal);
        }
    };
    let call = Call {
        method: method.clone(),
        path: uri.path().to_owned(),
        places,
        query: Fields::read(uri.query().unwrap_or_default().as_bytes()),
        headers,
        body,
        peer: peer.ip(),
    };
    let work = {
        let site = Arc::clone(&site);
        tokio::task::spawn_blocking(move || {
            let outcome = (route.handler)(&site, &call);
            outcome.map_err(|refusal| Box::new((refusal, call)))
        })
    };
    match work.await {
        Ok(Ok(reply)) => response(&site, reply).await,
        Ok(Err(refused)) => {
            let (refusal, call) = *refused;
            if let Refusal::Broken(why) = &refusal {
                crate::serve::complain(&format!("{} {}: {why}", method, route.path));
            }
            let reply = match route.reader {
                Reader::Person => pages::refusal(&site, &call, refusal),
                Reader::Program => refusal.into_json(),
            };
            response(&site, reply).await
        }
        Err(panic) => {
            let refusal = Refusal::Broken(panic.to_string());
            crate::serve::complain(&format!("{method} {}: {panic}", route.path));
            refused(&site, route.reader, refusal)
        }
    }
}

/// The bytes of a request. What is too large is heard out for a while, for whoever is still speaking would not hear the answer.
async fn read(body: body::Body) -> Result<Bytes, Refusal> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut heard) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_broken| Refusal::Bad("the body can't be read".to_owned()))?;
        heard += piece.len();
        if heard <= LARGEST_BODY {
            bytes.extend_from_slice(&piece);
        } else if heard > HEARD_OUT {
            break;
        }
    }
    if heard > LARGEST_BODY { Err(Refusal::TooLarge) } else { Ok(bytes.into()) }
}

fn refused(site: &Site, reader: Reader, refusal: Refusal) -> Response {
    let reply = match reader {
        Reader::Person => pages::bare_refusal(&refusal),
        Reader::Program => refusal.into_json(),
    };
    let Reply { status, headers, body } = reply;
    let body = match body {
        Body::Bytes(bytes) => body::Body::from(bytes),
        Body::File { .. } | Body::Events { .. } => body::Body::empty(),
    };
    finished(site, (status, headers), body)
}

async fn response(site: &Site, reply: Reply) -> Response {
    let Reply { status, mut headers, body } = reply;
    let body = match body {
        Body::Bytes(bytes) => body::Body::from(bytes),
        Body::Events { folder, seen } => match Arc::clone(&site.streams).try_acquire_owned() {
            Ok(permit) => events(EventLog::in_folder(&folder), seen, permit),
            Err(_all_taken) => {
                let refusal = Refusal::TooMany { seconds: 30, why: "too many watch already" };
                return refused(site, Reader::Program, refusal);
            }
        },
        Body::File { path, start, length } => match file(&path, start, length).await {
            Ok(body) => {
                headers.push((header::CONTENT_LENGTH, length.to_string()));
                body
            }
            Err(error) => {
                crate::serve::complain(&format!("{}: {error}", path.display()));
                let reply = Refusal::NotFound.into_json();
                return finished(site, (reply.status, reply.headers), body::Body::empty());
            }
        },
    };
    finished(site, (status, headers), body)
}

/// Every answer carries what keeps browsers from doing what no page of ours asks for.
fn finished(
    site: &Site,
    (status, headers): (StatusCode, Vec<(HeaderName, String)>),
    body: body::Body,
) -> Response {
    const ALWAYS: [(&str, &str); 6] = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let map = response.headers_mut();
    for (name, value) in ALWAYS {
        map.insert(name, HeaderValue::from_static(value));
    }
    if site.options.is_https() {
        map.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    for (name, value) in headers {
        // A value that can't be a header (a name with a line's end in it) is left out and not sent as two.
        if let Ok(value) = HeaderValue::from_str(&value) {
            map.append(name, value);
        }
    }
    response
}

/// A part of a file, piece by piece; whoever reads slowly keeps one piece in memory.
async fn file(path: &std::path::Path, start: u64, length: u64) -> io::Result<body::Body> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(io::SeekFrom::Start(start)).await?;
    let (give, take) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let mut left = length;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; size];
            let read = file.read_exact(&mut piece).await.map(|_| Bytes::from(piece));
            let failed = read.is_err();
            // Who went away needs no more.
            if give.send(read).await.is_err() || failed {
                return;
            }
            left -= size as u64;
        }
    });
    Ok(body::Body::from_stream(ReceiverStream::new(take)))
}

/// Events as they happen (HTML standard, section 9.2), each with its number: whoever comes back goes on behind the last one.
fn events(log: EventLog, seen: usize, permit: OwnedSemaphorePermit) -> body::Body {
    let (give, take) = tokio::sync::mpsc::channel::<Result<Bytes, Infallible>>(16);
    tokio::spawn(async move {
        // Given back when the stream ends.
        let _permit = permit;
        let (mut seen, mut silent) = (seen, Duration::ZERO);
        loop {
            let read = {
                let log = log.clone();
                tokio::task::spawn_blocking(move || news(&log, seen)).await
            };
            let Ok(Ok((events, has_ended))) = read else { return };
            // Whoever knows the end waits for nothing.
            if events.is_empty() && has_ended {
                return;
            }
            if events.is_empty() {
                silent += LOOK;
            } else {
                silent = Duration::ZERO;
            }
            for (number, event) in events {
                let data = serde_json::to_string(&event).unwrap_or_default();
                let text = format!("id: {number}\nevent: {}\ndata: {data}\n\n", event.word());
                seen = number;
                if give.send(Ok(Bytes::from(text))).await.is_err() || event.is_last() {
                    return;
                }
            }
            if silent >= SILENCE {
                silent = Duration::ZERO;
                if give.send(Ok(Bytes::from_static(b": still here\n\n"))).await.is_err() {
                    return;
                }
            }
            if give.is_closed() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    body::Body::from_stream(ReceiverStream::new(take))
}

/// The events after the first so many, and whether the last one of all is the end.
fn news(log: &EventLog, seen: usize) -> io::Result<(Vec<(usize, Event)>, bool)> {
    let all = log.after(0)?;
    let has_ended = all.last().is_some_and(|(_, event)| event.is_last());
    Ok((all.into_iter().skip(seen).collect(), has_ended))
}
