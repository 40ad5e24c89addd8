//! Plain requests through a proxy: `GET http://host/path HTTP/1.1` (RFC 9112 section 3.2.2). ureq only tunnels
//! (`CONNECT`), which caching proxies and most firewalls forbid for anything but TLS; so the connection is made to the
//! proxy, and the request line is completed on its way out.

use std::fmt;

use ureq::{
    Agent, Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport},
    },
};

/// An agent that sends every request to the proxy at `proxy`, such as `http://host:3128`.
pub(super) fn agent(config: Config, proxy: Uri) -> Agent {
    let connector = ().chain(TcpConnector::default()).chain(AbsoluteForm);
    Agent::with_parts(config, connector, ToProxy { proxy, inner: DefaultResolver::default() })
}

/// Gives the proxy's addresses, whatever is asked for: the target's name may not be known on this side of it.
#[derive(Debug)]
struct ToProxy {
    proxy: Uri,
    inner: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(&self, _: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.inner.resolve(&self.proxy, config, timeout)
    }
}

#[derive(Debug)]
struct AbsoluteForm;

impl<In: Transport> Connector<In> for AbsoluteForm {
    type Out = Completing<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let authority = details.uri.authority().map(ToString::to_string).unwrap_or_default();
        let origin = format!("http://{authority}").into_bytes();
        Ok(chained.map(|inner| Completing { inner, origin }))
    }
}

/// A connection that puts the origin before the path of each request.
struct Completing<T> {
    inner: T,
    origin: Vec<u8>,
}

impl<T> fmt::Debug for Completing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completing").finish_non_exhaustive()
    }
}

impl<T: Transport> Transport for Completing<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    /// A request's head leaves in one piece, which begins with a request line.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let longer = amount + self.origin.len();
        let Some(path) = path_of_request(&output[..amount]).filter(|_| longer <= output.len()) else {
            return self.inner.transmit_output(amount, timeout);
        };
        output.copy_within(path..amount, path + self.origin.len());
        output[path..path + self.origin.len()].copy_from_slice(&self.origin);
        self.inner.transmit_output(longer, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Where the path begins in a piece of output that begins with a request line. A piece of a body that looks like one
/// would be changed on its way; what is uploaded is checked by its digest, so that is seen.
fn path_of_request(piece: &[u8]) -> Option<usize> {
    let line = &piece[..piece.windows(2).position(|pair| pair == b"\r\n")?];
    let path = line.iter().position(|byte| *byte == b' ')? + 1;
    let method = [&b"GET "[..], b"HEAD ", b"POST ", b"PUT ", b"PATCH "].contains(&&line[..path]);
    (method && line[path..].starts_with(b"/") && line.ends_with(b" HTTP/1.1")).then_some(path)
}
