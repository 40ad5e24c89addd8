//! Connections: how many there are at a time, and how long each may take to say what it wants.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Connections at a time. Whoever comes beyond waits in the kernel's queue, where it costs nothing.
const MOST: usize = 1024;
/// How long a request's head may take, and how long a connection may be silent between two requests.
const HEAD: Duration = Duration::from_secs(10);
/// When the kernel has nothing left to make a connection of, one of ours has to end first.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers whoever connects, until it is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MOST));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    // Whoever breaks a connection off knows it, and nobody else has to.
                    let _broken_off = converse(stream, peer, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                crate::serve::complain(&format!("a connection can't be taken: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one connection's requests until either side has enough.
async fn converse(stream: TcpStream, peer: SocketAddr, router: Router) -> Result<(), hyper::Error> {
    let service = TowerToHyperService::new(router);
    let answer = move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        service.call(request)
    };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
}
