//! A node's configuration as files below `/etc`: what a boot writes into the overlay.
//!
//! `NodeSpec + fetched keys → render → Vec<RenderedFile>`, sorted by path, the same for the same document.
//!
//! Only what is a file of somebody else's format is here. Accounts, keys that are fetched, units that are enabled, mounts and
//! scripts are steps of a plan ([`crate::reconcile`]).

mod network;
mod resolve;
mod system;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use basalt_spec::{
    node::{NodeSpec, NodeUser, words::KeySource},
    words::{SshKey, UnixMode},
};
use serde::Serialize;

/// A file that a boot writes.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderedFile {
    /// Where, from the root.
    pub path: String,
    /// Its permissions.
    pub mode: UnixMode,
    /// What is in it. It may hold secrets, so it is in no message.
    #[serde(skip)]
    pub content: String,
}

impl std::fmt::Debug for RenderedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, mode, content } = self;
        write!(f, "{path} {mode:?} ({} bytes)", content.len())
    }
}

impl RenderedFile {
    fn new(path: impl Into<String>, content: String) -> Self {
        Self { path: path.into(), mode: UnixMode::from_bits(0o644), content }
    }

    /// A file that only root reads.
    fn secret(path: impl Into<String>, content: String) -> Self {
        Self { mode: UnixMode::from_bits(0o600), ..Self::new(path, content) }
    }
}

/// Where sshd looks for a user's keys: the document's, and those that the user keeps at home.
const SSHD: &str = "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u .ssh/authorized_keys\n";

/// Keys that were fetched from where a document says they are.
pub type FetchedKeys = BTreeMap<KeySource, Vec<SshKey>>;

/// Everything of a document that is a file of another program's.
pub fn render(spec: &NodeSpec, fetched: &FetchedKeys) -> Vec<RenderedFile> {
    let mut files = network::interfaces(&spec.network.interfaces);
    files.extend(resolve::files(&spec.network));
    files.extend(system::files(spec));
    let keys: Vec<_> = spec.users.iter().filter_map(|user| authorized_keys(user, fetched)).collect();
    if !keys.is_empty() {
        files.push(RenderedFile::new("/etc/ssh/sshd_config.d/50-basalt-keys.conf", SSHD.to_owned()));
    }
    files.extend(keys);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The keys that are written in the document, and those that were fetched.
///
/// They are below `/etc`, not in home directories: those are on the data partition, where a key that was taken out of the
/// document would stay. sshd has to be told to look there too (sshd_config(5), `AuthorizedKeysFile`); a drop-in does.
fn authorized_keys(user: &NodeUser, fetched: &FetchedKeys) -> Option<RenderedFile> {
    let keys = user.ssh_authorized_keys.iter().flat_map(|source| match source {
        KeySource::Key(key) => std::slice::from_ref(key),
        KeySource::GitHub(_) | KeySource::GitLab(_) | KeySource::Url(_) => {
            fetched.get(source).map_or(&[][..], Vec::as_slice)
        }
    });
    let lines: String = keys.map(|key| format!("{key}\n")).collect();
    let path = format!("/etc/ssh/authorized_keys.d/{}", user.name);
    (!lines.is_empty()).then(|| RenderedFile::new(path, lines))
}

/// A text of systemd's form: sections with their lines, those without lines left out.
fn sections(sections: &[(&str, Vec<String>)]) -> String {
    let written = sections.iter().filter(|(_, lines)| !lines.is_empty());
    let text = |(name, lines): &(&str, Vec<String>)| {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        format!("[{name}]\n{lines}")
    };
    written.map(text).collect::<Vec<_>>().join("\n")
}

/// `Key=` and words with spaces between them; nothing if there are none.
fn joined<T: ToString>(key: &str, words: &[T]) -> Option<String> {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| format!("{key}={}", words.join(" ")))
}

/// `yes` or `no`.
const fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
