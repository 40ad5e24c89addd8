//! Names of OCI images: in a registry, a layout folder or an archive.
//!
//! ```text
//! [docker://][HOST[:PORT]/]REPOSITORY[:TAG][@sha256:…]   a registry
//! oci:PATH[:TAG]                                         an OCI layout folder
//! oci-archive:PATH[:TAG]                                 a tar archive of one
//! ```
//!
//! The words are those of containers-transports(5). The grammar of a registry's names is the OCI distribution
//! specification's (section "Pulling manifests"), with the defaults that every tool has: what names no host is on
//! docker.io, there a name without a slash is below `library/`, and where neither tag nor digest is said, the tag is
//! `latest`.

use std::{fmt, path::Path, str::FromStr};

use crate::Digest;

/// Where an OCI image is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageRef {
    /// In a registry.
    Registry(RegistryRef),
    /// In an OCI layout folder.
    Layout(LocalRef),
    /// In a tar archive of a layout.
    Archive(LocalRef),
}

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryRef {
    host: String,
    repository: String,
    wanted: Wanted,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Whatever has the tag now.
    Tag(Tag),
    /// This one. A tag that stood beside the digest is kept for people.
    Digest(Option<Tag>, Digest),
}

/// A tag: a name that can be moved from one image to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalRef {
    path: String,
    name: Option<String>,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no OCI image: {problem}")]
pub struct ImageRefError {
    text: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("expected [HOST[:PORT]/]NAME[:TAG][@sha256:…], oci:PATH[:TAG] or oci-archive:PATH[:TAG]")]
    Shape,
    #[error(
        "a repository's name has lower-case letters, digits, and single `.`, `_`, `__` or `-` between them"
    )]
    Repository,
    #[error("a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with a letter, digit or `_`")]
    Tag,
    #[error("a digest is `sha256:` and 64 lower-case hex digits")]
    Digest,
    #[error("the host is not one")]
    Host,
    #[error("the path is empty")]
    Path,
}

/// The registry of references that name none.
const DEFAULT_HOST: &str = "docker.io";
/// What the same registry is called in old configurations.
const DEFAULT_HOST_ALIAS: &str = "index.docker.io";
/// Where repositories of that registry are that have one word only.
const DEFAULT_FOLDER: &str = "library/";
/// The longest repository name that registries take, its host included.
const MAX_NAME: usize = 255;

impl RegistryRef {
    /// The registry: a host, perhaps with a port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host that answers the API: docker.io has another one for it.
    pub fn api_host(&self) -> &str {
        if self.host == DEFAULT_HOST { "registry-1.docker.io" } else { &self.host }
    }

    /// The repository, in full.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Which image.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The same repository, another image of it.
    #[must_use]
    pub fn with(&self, wanted: Wanted) -> Self {
        Self { wanted, ..self.clone() }
    }
}

impl ImageRef {
    /// The same image, a relative path of it seen from `folder`.
    #[must_use]
    pub fn seen_from(&self, folder: &Path) -> Self {
        let seen = |local: &LocalRef| LocalRef {
            path: folder.join(&local.path).to_string_lossy().into_owned(),
            name: local.name.clone(),
        };
        match self {
            Self::Registry(reference) => Self::Registry(reference.clone()),
            Self::Layout(local) => Self::Layout(seen(local)),
            Self::Archive(local) => Self::Archive(seen(local)),
        }
    }
}

impl Wanted {
    /// As a registry's paths have it: the digest, or else the tag.
    pub fn reference(&self) -> String {
        match self {
            Self::Tag(tag) => tag.0.clone(),
            Self::Digest(_, digest) => digest.to_string(),
        }
    }
}

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LocalRef {
    /// The folder's or archive's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The image's name inside (`org.opencontainers.image.ref.name`), when one is said.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl FromStr for Tag {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = text.bytes().next().is_some_and(word);
        if !first || text.len() > 128 || !text.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
            return Err(ImageRefError { text: text.to_owned(), problem: Problem::Tag });
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| ImageRefError { text: text.to_owned(), problem };
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            return local(rest).map(Self::Archive).map_err(refuse);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            return local(rest).map(Self::Layout).map_err(refuse);
        }
        registry(text.strip_prefix("docker://").unwrap_or(text)).map(Self::Registry).map_err(refuse)
    }
}

/// The path ends at the first colon.
fn local(text: &str) -> Result<LocalRef, Problem> {
    let (path, name) = match text.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    };
    if path.is_empty() || path.contains('\0') {
        return Err(Problem::Path);
    }
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    if name.is_some_and(|name| !plain(name)) {
        return Err(Problem::Tag);
    }
    Ok(LocalRef { path: path.to_owned(), name: name.map(str::to_owned) })
}

fn registry(text: &str) -> Result<RegistryRef, Problem> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_not_a_digest| Problem::Digest)?)),
        None => (text, None),
    };
    // A colon behind the last slash begins a tag; one before it, a port.
    let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_start..].split_once(':') {
        Some((last, tag)) => {
            (&rest[..name_start + last.len()], Some(tag.parse::<Tag>().map_err(|error| error.problem)?))
        }
        None => (rest, None),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        Some(_) | None => (DEFAULT_HOST, name),
    };
    check_host(host)?;
    let host = if host == DEFAULT_HOST_ALIAS { DEFAULT_HOST } else { host };
    let bare = host == DEFAULT_HOST && !path.contains('/');
    let repository = format!("{}{path}", if bare { DEFAULT_FOLDER } else { "" });
    if path.is_empty() {
        return Err(Problem::Shape);
    }
    if host.len() + repository.len() >= MAX_NAME || !repository.split('/').all(is_component) {
        return Err(Problem::Repository);
    }
    let wanted = match digest {
        Some(digest) => Wanted::Digest(tag, digest),
        None => Wanted::Tag(tag.unwrap_or_else(|| Tag("latest".to_owned()))),
    };
    Ok(RegistryRef { host: host.to_owned(), repository, wanted })
}

/// Whether the first part of a name is a host: it has what no repository may have, or is `localhost`.
fn is_host(part: &str) -> bool {
    part == "localhost"
        || part.contains(['.', ':'])
        || part.starts_with('[')
        || part.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_host(host: &str) -> Result<(), Problem> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let number = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0);
    let label = |label: &str| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    let address = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let fine = port.is_none_or(number) && (address(name) || name.split('.').all(label));
    if fine { Ok(()) } else { Err(Problem::Host) }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    let separators = bytes.split(word).filter(|separator| !separator.is_empty());
    ends && separators
        .into_iter()
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RegistryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, repository, wanted } = self;
        write!(f, "{host}/{repository}")?;
        match wanted {
            Wanted::Tag(tag) => write!(f, ":{tag}"),
            Wanted::Digest(None, digest) => write!(f, "@{digest}"),
            Wanted::Digest(Some(tag), digest) => write!(f, ":{tag}@{digest}"),
        }
    }
}

impl fmt::Display for LocalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => fmt::Display::fmt(reference, f),
            Self::Layout(reference) => write!(f, "oci:{reference}"),
            Self::Archive(reference) => write!(f, "oci-archive:{reference}"),
        }
    }
}

crate::serde_as_string!(ImageRef, schemars::json_schema!({ "type": "string", "minLength": 1 }));

#[cfg(test)]
mod tests;
