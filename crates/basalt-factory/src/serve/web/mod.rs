//! HTTP: pages for people, an API for programs, files for both.

mod api;
mod assets;
mod boot;
mod call;
mod connections;
mod download;
mod openapi;
mod pages;
mod registry;
mod router;

use std::{io, net::TcpListener, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

use super::Site;

pub(super) use boot::is_for_machines;
pub(super) use call::Refusal;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the runtime can't be made or the listener can't be used.
pub(super) fn serve(listener: TcpListener, site: Arc<Site>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(64).build()?;
    let served = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let routes = [pages::routes(), api::routes(), registry::routes(), boot::routes()].concat();
        tokio::select! {
            () = connections::serve(listener, router::router(&site, routes)) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    });
    // Streams of events have no end of their own.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}
