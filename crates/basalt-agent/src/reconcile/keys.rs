//! SSH keys that are fetched from where a document says they are, and kept on the data volume: a machine that starts without
//! its network lets in whom it let in before.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use basalt_fetch::http::{Client, HttpError, Patience, Proxies};
use basalt_node::render::FetchedKeys;
use basalt_spec::{
    node::{NodeSpec, words::KeySource},
    words::SshKey,
};
use serde::{Deserialize, Serialize};

use super::{System, state};
use crate::{
    error::{AgentError, AgentResult},
    observe::now,
};

const PATH: &str = "/var/lib/basalt/keys.json";
/// A person has a handful of keys of some hundred bytes.
const MOST_BYTES: u64 = 256 << 10;
/// Keys are asked for again after a day: who took one away wants it gone.
const FRESH_SECONDS: u64 = 24 * 3600;

/// Keys by where they came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys(BTreeMap<String, Fetched>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fetched {
    /// When, in seconds since 1970.
    at: u64,
    keys: Vec<SshKey>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{url} has no SSH key")]
    NoKey { url: String },
    #[error("line {line} of {url} is no SSH key")]
    NotAKey { url: String, line: usize },
    #[error("{0}")]
    State(String),
}

impl Keys {
    pub(crate) fn read(system: &System) -> AgentResult<Self> {
        state::read(system, PATH)
    }

    /// Those of the sources of a document.
    pub(crate) fn of(&self, spec: &NodeSpec) -> FetchedKeys {
        let sources = spec.users.iter().flat_map(|user| &user.ssh_authorized_keys);
        let kept = sources.filter_map(|source| Some((source.clone(), self.0.get(&source.to_string())?)));
        kept.map(|(source, fetched)| (source, fetched.keys.clone())).collect()
    }

    /// The sources of a document whose keys are from yesterday.
    pub(crate) fn stale(&self, spec: &NodeSpec) -> Vec<KeySource> {
        let sources = spec.users.iter().flat_map(|user| &user.ssh_authorized_keys);
        let old = |source: &&KeySource| {
            self.0.get(&source.to_string()).is_some_and(|fetched| now().abs_diff(fetched.at) > FRESH_SECONDS)
        };
        sources.filter(old).cloned().collect()
    }
}

/// Fetches the keys of a source, and keeps them.
pub(super) fn fetch(system: &System, source: &KeySource) -> Result<(), KeysError> {
    let url = match source {
        KeySource::Key(_) => return Ok(()),
        KeySource::GitHub(name) => format!("https://github.com/{name}.keys"),
        KeySource::GitLab(name) => format!("https://gitlab.com/{name}.keys"),
        KeySource::Url(url) => url.to_string(),
    };
    let keys = parse(&url, &client()?.get(&url, MOST_BYTES)?)?;
    let kept = |error: AgentError| KeysError::State(error.error.to_string());
    let mut all = Keys::read(system).map_err(kept)?;
    all.0.insert(source.to_string(), Fetched { at: now(), keys });
    state::write(system, PATH, &all).map_err(kept)
}

/// Asks hosts of the internet, by the proxy that the machine has.
pub(crate) fn client() -> Result<Client, HttpError> {
    let (short, pause) = (Duration::from_secs(10), Duration::from_secs(1));
    let patience = Patience { connect: short, silence: short, retries: 1, pause };
    // systemd gives services the document's proxy.
    let proxies = Proxies::from_variables(&|name| env::var(name).ok());
    Client::new(proxies, patience, Arc::new(AtomicBool::new(false)))
}

/// The keys of a text of `authorized_keys`. One line that is none makes the whole text none: it is some page that says no.
fn parse(url: &str, bytes: &[u8]) -> Result<Vec<SshKey>, KeysError> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys = lines
        .map(|(line, text)| text.parse().map_err(|_no_key| KeysError::NotAKey { url: url.to_owned(), line }));
    let keys: Vec<SshKey> = keys.collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(KeysError::NoKey { url: url.to_owned() }) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_page_that_is_no_list_of_keys_is_none() {
        let keys = parse("u", b"# mine\nssh-ed25519 AAAAC3 a\n\nssh-rsa AAAAB3\n").unwrap();
        assert_eq!(keys.len(), 2);
        let error = parse("u", b"ssh-rsa AAAAB3\n<html>").unwrap_err();
        assert_eq!(error.to_string(), "line 2 of u is no SSH key");
        assert_eq!(parse("u", b"\n").unwrap_err().to_string(), "u has no SSH key");
    }
}
