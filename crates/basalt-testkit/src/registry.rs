//! A real OCI registry on 127.0.0.1: the program of Debian's package `docker-registry`.

#![allow(clippy::panic, reason = "a test fails by panicking, with the command that provides what is missing")]

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Finished, Running};

use crate::fixtures::{require_tool, run_tool};

/// Serves over plain HTTP until dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    folder: tempfile::TempDir,
    // Killed before the folder goes.
    _process: Running,
}

/// Who may use a registry that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Anybody.
    Open,
    /// [`Registry::NAME`] with [`Registry::PASSWORD`].
    Locked,
}

/// The line of an htpasswd file (bcrypt, cost 5) for the name and password below.
const HTPASSWD: &str = "basalt:$2y$05$KBUDYDLGuOGMu3pBezv78.tpGxl1LLO9w.mFOq0ONL5.R3/FBh65S\n";
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Registry {
    /// The name that opens a locked registry.
    pub const NAME: &'static str = "basalt";
    /// Its password.
    pub const PASSWORD: &'static str = "sesame";

    /// Starts an empty registry on a free port.
    ///
    /// # Panics
    /// When `docker-registry` is not installed or does not answer.
    #[track_caller]
    pub fn start(door: Door) -> Self {
        match Self::try_start(door) {
            Ok(registry) => registry,
            Err(error) => panic!("no registry: {error}"),
        }
    }

    fn try_start(door: Door) -> io::Result<Self> {
        let program = require_tool("docker-registry", "docker-registry");
        let folder = tempfile::tempdir()?;
        // Free now; should another process take it in between, the registry ends and the error says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("config.yml");
        fs::write(folder.path().join("htpasswd"), HTPASSWD)?;
        fs::write(&config, configuration(folder.path(), address, door))?;
        let command = Command::new(&program).arg("serve").arg(&config);
        let mut process = command.start().map_err(io::Error::other)?;
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let exit = process.poll_exit().map_err(io::Error::other)?;
            if exit.is_some() || Instant::now() > end {
                return Err(io::Error::other(format!("docker-registry does not answer on {address}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { address, folder, _process: process })
    }

    /// `127.0.0.1:PORT`, as references name it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Writes a file with the credentials of the locked door, as `skopeo login` would, and returns its path.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_credentials(&self) -> io::Result<std::path::PathBuf> {
        // base64 of `basalt:sesame`
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "YmFzYWx0OnNlc2FtZQ=="}}}}}}"#, self.address);
        let path = self.folder.path().join("auth.json");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs skopeo without a policy of signatures and without TLS.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn skopeo(&self, args: &[&str]) -> Finished {
        run_tool("skopeo", "skopeo", &[&["--insecure-policy"], args].concat())
    }
}

fn configuration(folder: &Path, address: SocketAddr, door: Door) -> String {
    let folder = folder.display();
    let auth = match door {
        Door::Open => String::new(),
        Door::Locked => format!("auth: {{htpasswd: {{realm: basalt, path: {folder}/htpasswd}}}}\n"),
    };
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {folder}/storage}}}}\nhttp: {{addr: {address}}}\n{auth}"
    )
}
