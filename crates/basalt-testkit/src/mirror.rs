//! A mirror on 127.0.0.1 that keeps what it fetched: everybody who asks it a second time has a warm cache.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::http::{Find, StaticServer};

/// A caching mirror of one or several archives.
#[derive(Debug)]
pub struct CachingMirror {
    server: StaticServer,
}

/// An archive that a mirror carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The folder that it has on the mirror: `debian`.
    pub name: String,
    /// Its root: `dists` and `pool` are below it.
    pub upstream: String,
}

/// The largest package that is fetched.
const LIMIT: u64 = 1 << 30;
const TIME: Duration = Duration::from_secs(600);
/// Remembers the port: caches of those who ask (apt, mkosi) know a mirror by its address.
const PORT: &str = "port";

impl CachingMirror {
    /// Serves `folder`, and fetches what it lacks from the archives into it. Packages are kept for ever; indices
    /// (`dists`) are fetched once by each server, so they belong together and never expire in the folder. The address
    /// is the last server's, unless somebody has taken its port.
    ///
    /// # Errors
    /// When no port can be had or the folder can't be made.
    pub fn serve(folder: impl Into<PathBuf>, archives: &[Archive]) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        for Archive { name, .. } in archives {
            match fs::remove_dir_all(folder.join(name).join("dists")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let upstreams = Upstreams { folder: folder.clone(), archives: archives.to_owned() };
        let server = StaticServer::serve_found(folder.clone(), last_port(&folder)?, Box::new(upstreams))?;
        fs::write(folder.join(PORT), server.port().to_string())?;
        Ok(Self { server })
    }

    /// `http://127.0.0.1:PORT/NAME`: the root of the archive of this name.
    pub fn url(&self, archive: &str) -> String {
        format!("{}/{archive}", self.server.url())
    }

    /// The server, for its requests and faults.
    pub fn server(&self) -> &StaticServer {
        &self.server
    }
}

/// The port of the last server on `folder` if it is free, otherwise 0: any.
fn last_port(folder: &Path) -> io::Result<u16> {
    let port = match fs::read_to_string(folder.join(PORT)) {
        Ok(text) => text.parse().unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    Ok(if free { port } else { 0 })
}

#[derive(Debug)]
struct Upstreams {
    folder: PathBuf,
    archives: Vec<Archive>,
}

impl Find for Upstreams {
    /// Fetches `path` under its own name only when it is complete.
    fn find(&self, path: &str) -> io::Result<()> {
        let (name, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        let Some(archive) = self.archives.iter().find(|archive| archive.name == name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let target = self.folder.join(name).join(rest);
        let parent = target.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)?;
        let request = ureq::get(format!("{}/{rest}", archive.upstream.trim_end_matches('/')));
        let request = request.config().timeout_global(Some(TIME)).build();
        let mut response = request.call().map_err(io::Error::other)?;
        let mut partial = tempfile::NamedTempFile::new_in(parent)?;
        io::copy(&mut response.body_mut().with_config().limit(LIMIT).reader(), &mut partial)?;
        partial.persist(&target)?;
        Ok(())
    }
}
