//! A mirror on 127.0.0.1 that keeps what it fetched: everybody who asks it a second time has a warm cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::http::StaticServer;

/// A caching mirror of one upstream.
#[derive(Debug)]
pub struct CachingMirror {
    server: StaticServer,
}

/// The largest package that is fetched.
const LIMIT: u64 = 1 << 30;

impl CachingMirror {
    /// Serves `folder`, and fetches what it lacks from `upstream` (an URL without a slash at the end) into it. Nothing is
    /// ever fetched again: an index in the folder stays what it is, and so does every later run.
    ///
    /// # Errors
    /// When no port can be had or the folder can't be made.
    pub fn serve(folder: impl Into<PathBuf>, upstream: &str) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        let server = StaticServer::serve_found(folder, upstream.trim_end_matches('/').to_owned(), fetch)?;
        Ok(Self { server })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The server, for its requests and faults.
    pub fn server(&self) -> &StaticServer {
        &self.server
    }
}

/// Fetches `path` of `upstream` under its own name only when it is complete.
fn fetch(folder: &Path, upstream: &str, path: &str) -> io::Result<()> {
    let target = folder.join(path.trim_start_matches('/'));
    let parent = target.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let mut response = ureq::get(format!("{upstream}{path}"))
        .config()
        .timeout_global(Some(Duration::from_secs(600)))
        .build()
        .call()
        .map_err(io::Error::other)?;
    let mut partial = tempfile::NamedTempFile::new_in(parent)?;
    io::copy(&mut response.body_mut().with_config().limit(LIMIT).reader(), &mut partial)?;
    partial.persist(&target)?;
    Ok(())
}
