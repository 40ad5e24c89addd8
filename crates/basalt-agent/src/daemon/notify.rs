//! Words for systemd (sd_notify(3)): nothing where nobody listens.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// Says something.
pub(super) fn send(words: &str) {
    let Ok(path) = env::var("NOTIFY_SOCKET") else { return };
    // systemd's watchdog ends a daemon that it does not hear: that is the answer to words that are lost.
    match send_to(&path, words) {
        Ok(()) | Err(_) => {}
    }
}

fn send_to(path: &str, words: &str) -> io::Result<()> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
}

/// How often the watchdog wants to hear something: half of its time, as sd_watchdog_enabled(3) advises.
pub(super) fn watchdog() -> Option<Duration> {
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(micros / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        send_to(path.to_str().unwrap(), "READY=1").unwrap();
        let mut buffer = [0; 20];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        assert!(send_to("/nowhere/notify", "READY=1").is_err());
    }
}
