//! Names and passwords for registries, where other tools leave them (containers-auth.json(5), Docker's `config.json`).
//!
//! The first file that knows the registry wins: `$REGISTRY_AUTH_FILE` (alone, when it is set),
//! `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json`, `$DOCKER_CONFIG/config.json`. In a
//! file, the entry of the longest prefix of `HOST/REPOSITORY` counts; one of a whole host may be written as a URL.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_exec::command::{Command, Program};
use basalt_types::RegistryRef;
use base64::Engine as _;
use serde::Deserialize;

use super::OciError;

/// The variables that say where credentials are, and those that a helper needs, as they were observed.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<&'static str, String>);

/// What is known of registries' credentials.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Vec<(PathBuf, AuthFile)>,
    variables: Variables,
}

/// What to show a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// A name and its password.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A token that the token service takes in exchange for others.
    Refresh(String),
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthEntry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<String>,
}

/// What a helper prints (docker-credential-helpers, command `get`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The name that a helper gives when the secret is an identity token.
const TOKEN_NAME: &str = "<token>";
/// What helpers say when they know nothing of a host.
const NOT_FOUND: &str = "credentials not found";
/// A helper may ask a person.
const HELPER_PATIENCE: Duration = Duration::from_secs(120);
/// What a helper may need to find its own store.
const VARIABLES: [&str; 9] = [
    "REGISTRY_AUTH_FILE",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DOCKER_CONFIG",
    "HOME",
    "PATH",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
];

impl Variables {
    /// Reads the variables.
    pub fn observe(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &&'static str| variable(name).filter(|value| !value.is_empty()).map(|v| (*name, v));
        Self(VARIABLES.iter().filter_map(set).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The files that may hold credentials.
    fn files(&self) -> Vec<PathBuf> {
        if let Some(only) = self.get("REGISTRY_AUTH_FILE") {
            return vec![PathBuf::from(only)];
        }
        let below = |name: &str, path: &str| self.get(name).map(|folder| Path::new(folder).join(path));
        [
            below("XDG_RUNTIME_DIR", "containers/auth.json"),
            below("XDG_CONFIG_HOME", "containers/auth.json")
                .or_else(|| below("HOME", ".config/containers/auth.json")),
            below("DOCKER_CONFIG", "config.json").or_else(|| below("HOME", ".docker/config.json")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Credentials {
    /// Reads the files that are there. One that was named and is missing is an error.
    ///
    /// # Errors
    /// When a file can't be read or is not one of credentials.
    pub fn observe(variables: Variables) -> Result<Self, OciError> {
        let named = variables.get("REGISTRY_AUTH_FILE").is_some();
        let mut files = Vec::new();
        for path in variables.files() {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !named => continue,
                Err(source) => {
                    return Err(OciError::File { action: "read the credentials in", path, source });
                }
            };
            match serde_json::from_slice(&bytes) {
                Ok(file) => files.push((path, file)),
                // The message has a place in it, and no text of the file.
                Err(error) => {
                    let problem =
                        format!("not JSON of that kind at line {}, column {}", error.line(), error.column());
                    return Err(OciError::Credentials { path, problem });
                }
            }
        }
        Ok(Self { files, variables })
    }

    /// What to show the registry of `image`.
    pub(super) fn find(&self, image: &RegistryRef) -> Result<Option<Credential>, OciError> {
        for (path, file) in &self.files {
            if let Some(program) = file.helper(image.host()) {
                if let Some(found) = self.ask_helper(program, image)? {
                    return Ok(Some(found));
                }
                continue;
            }
            let Some(entry) = file.entry(image) else { continue };
            if let Some(token) = entry.identity_token.as_ref().filter(|token| !token.is_empty()) {
                return Ok(Some(Credential::Refresh(token.clone())));
            }
            if let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) {
                let problem = || OciError::Credentials {
                    path: path.clone(),
                    problem: format!("the entry for `{}` is not NAME:PASSWORD in base64", image.host()),
                };
                return decode(auth).map(Some).ok_or_else(problem);
            }
        }
        Ok(None)
    }

    fn ask_helper(&self, name: &str, image: &RegistryRef) -> Result<Option<Credential>, OciError> {
        let program = format!("docker-credential-{name}");
        let host = server_name(image.host());
        let refuse = |source| OciError::Helper {
            program: program.clone(),
            host: host.to_owned(),
            source: Box::new(source),
        };
        let folders = self.variables.get("PATH").unwrap_or_default().split(':');
        let found = folders.filter_map(|folder| Program::at(Path::new(folder).join(&program)).ok()).next();
        let helper = match found {
            Some(helper) => helper,
            None => Program::find(&program, "golang-docker-credential-helpers").map_err(refuse)?,
        };
        let mut command = Command::new(&helper).arg("get").input(host.as_bytes()).timeout(HELPER_PATIENCE);
        for (name, value) in &self.variables.0 {
            command = command.env(name, value);
        }
        let finished = command.clone().finish().map_err(refuse)?;
        let said = String::from_utf8_lossy(&finished.stdout).into_owned();
        if said.trim_start().starts_with(NOT_FOUND) {
            return Ok(None);
        }
        match serde_json::from_slice::<HelperAnswer>(&finished.stdout) {
            Ok(HelperAnswer { username, secret }) if username == TOKEN_NAME => {
                Ok(Some(Credential::Refresh(secret)))
            }
            Ok(HelperAnswer { username, secret }) => {
                Ok(Some(Credential::Password { name: username, password: secret }))
            }
            Err(_) => {
                let problem = "it did not print a name and a secret".to_owned();
                Err(OciError::Credentials { path: helper.path().to_owned(), problem })
            }
        }
    }
}

impl AuthFile {
    fn helper(&self, host: &str) -> Option<&str> {
        let named = self.cred_helpers.get(host).or_else(|| self.cred_helpers.get(server_name(host)));
        // A host with an entry of its own is not in the store of all others.
        let stored = || self.creds_store.as_ref().filter(|_| !self.holds(host));
        named.or_else(stored).map(String::as_str).filter(|name| !name.is_empty() && !name.contains('/'))
    }

    fn holds(&self, host: &str) -> bool {
        self.auths.iter().any(|(key, entry)| host_of(key) == host && entry.auth.is_some())
    }

    fn entry(&self, image: &RegistryRef) -> Option<&AuthEntry> {
        let full = format!("{}/{}", image.host(), image.repository());
        let mut key = full.as_str();
        loop {
            if let Some(entry) = self.auths.get(key) {
                return Some(entry);
            }
            match key.rsplit_once('/') {
                Some((shorter, _)) => key = shorter,
                None => break,
            }
        }
        self.auths.iter().find(|(key, _)| key.contains("://") && host_of(key) == image.host()).map(|(_, e)| e)
    }
}

/// The host in a key such as `https://index.docker.io/v1/`.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

/// What helpers call a registry.
fn server_name(host: &str) -> &str {
    if host == "docker.io" { concat!("https://", "index.docker.io", "/v1/") } else { host }
}

fn decode(auth: &str) -> Option<Credential> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.trim_end_matches('\0').split_once(':')?;
    Some(Credential::Password { name: name.to_owned(), password: password.to_owned() })
}

impl Credential {
    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Self::Password { name, password } => {
                let text = format!("{name}:{password}");
                Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
            }
            Self::Refresh(_) => None,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl fmt::Debug for AuthFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.auths.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
