//! Which mirror serves a suite.
//!
//! No host name is in this program, so it comes, in this order, from the recipe, from `BASALT_DEBIAN_MIRROR`, or from
//! the host's own apt sources: the first enabled `deb` source that looks like a Debian archive. It looks like one when
//! it has the component `main` and one of its suites is a Debian one by name ([`is_debian_suite`]); a source with
//! `Signed-By` must name a keyring whose file name begins with `debian-archive`, so that a third party that calls its
//! suite `stable` is not taken for it.
//!
//! Security suites (`*-security`) live in an archive of their own: an apt source that has such a suite serves it;
//! otherwise the mirror's path `…/debian` becomes `…/debian-security`, which is how mirrors lay it out.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::http::Proxies;

mod conf;
mod sources;
#[cfg(test)]
mod tests;

pub use conf::{ConfError, parse_conf};
pub use sources::{AptSource, SourcesError, parse_list, parse_sources};

/// What the environment and the host's apt say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `BASALT_DEBIAN_MIRROR`
    pub mirror: Option<String>,
    /// `BASALT_DEBIAN_SNAPSHOT`: the root of a snapshot service.
    pub snapshot: Option<String>,
    /// apt's sources, in the order in which apt reads them.
    pub sources: Vec<AptSource>,
    /// From the environment; what it leaves open from apt's configuration.
    pub proxies: Proxies,
}

/// A mirror and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The archive's root: `dists` and `pool` are below it. Without a slash at its end.
    pub url: String,
    /// Who named it.
    pub from: Provenance,
}

/// Who named a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// `base.debian.mirror`, or `base.debian.snapshot` on it.
    Recipe,
    /// `BASALT_DEBIAN_MIRROR` or `BASALT_DEBIAN_SNAPSHOT`.
    Environment,
    /// A file of the host's apt.
    Apt(PathBuf),
}

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Nobody names one.
    #[error(
        "no mirror of Debian is known for `{suite}`: set `base.debian.mirror` in the recipe, or \
         BASALT_DEBIAN_MIRROR in the environment, to the URL of a Debian archive (the folder that has `dists` in it)"
    )]
    Unknown {
        /// The suite.
        suite: String,
    },
    /// A snapshot is wanted, and no service is named.
    #[error(
        "no snapshot service is known for `snapshot: {stamp}`: set `base.debian.mirror` in the recipe, or \
         BASALT_DEBIAN_SNAPSHOT in the environment, to its root (the folder that has `archive` in it)"
    )]
    NoSnapshot {
        /// The time stamp.
        stamp: String,
    },
    /// A time stamp that is none.
    #[error("`{stamp}` is not a snapshot: expected a UTC time such as 20260912T080000Z")]
    Stamp {
        /// The text.
        stamp: String,
    },
    /// A file of apt can't be read.
    #[error("can't read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of apt is damaged.
    #[error("`{}` is not a list of apt sources", path.display())]
    Sources {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SourcesError,
    },
    /// A file of apt's configuration is damaged.
    #[error("`{}` is not apt configuration", path.display())]
    Conf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfError,
    },
}

/// Reads the environment (through `variable`) and `etc/apt` below `root` (`/` on a running system). What is absent
/// says nothing; what is damaged is an error that names the file.
pub fn observe(root: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Facts, MirrorError> {
    let apt = root.join("etc/apt");
    let mut facts = Facts {
        mirror: variable("BASALT_DEBIAN_MIRROR").filter(|text| !text.is_empty()),
        snapshot: variable("BASALT_DEBIAN_SNAPSHOT").filter(|text| !text.is_empty()),
        sources: Vec::new(),
        proxies: Proxies::from_variables(variable),
    };
    for path in std::iter::once(apt.join("sources.list")).chain(list(&apt.join("sources.list.d"))?) {
        let read = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => parse_list,
            Some("sources") => parse_sources,
            Some(_) | None => continue,
        };
        if let Some(text) = text(&path)? {
            let found = read(&text, &path).map_err(|source| MirrorError::Sources { path, source })?;
            facts.sources.extend(found);
        }
    }
    let mut options = BTreeMap::new();
    for path in list(&apt.join("apt.conf.d"))?.into_iter().chain([apt.join("apt.conf")]) {
        // apt reads names without an extension, and `.conf` (apt.conf(5)).
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extension != "conf") {
            continue;
        }
        if let Some(text) = text(&path)? {
            options.extend(parse_conf(&text).map_err(|source| MirrorError::Conf { path, source })?);
        }
    }
    facts.proxies = std::mem::take(&mut facts.proxies).or(apt_proxies(&options));
    Ok(facts)
}

/// Chooses the mirror for a suite. `recipe` is `base.debian.mirror`.
pub fn choose(facts: &Facts, recipe: Option<&str>, suite: &str) -> Result<Mirror, MirrorError> {
    let security = suite.ends_with("-security");
    let place = |url: &str| if security { security_archive(url) } else { trim(url) };
    if let Some(url) = recipe {
        return Ok(Mirror { url: place(url), from: Provenance::Recipe });
    }
    if let Some(url) = &facts.mirror {
        return Ok(Mirror { url: place(url), from: Provenance::Environment });
    }
    let debian = |security: bool| {
        let of_kind =
            move |suite: &String| is_debian_suite(suite) && suite.ends_with("-security") == security;
        facts.sources.iter().find(move |source| source.is_debian() && source.suites.iter().any(of_kind))
    };
    let found = |source: &AptSource, url: String| Mirror { url, from: Provenance::Apt(source.file.clone()) };
    if let Some(source) = debian(security) {
        return Ok(found(source, trim(&source.uri)));
    }
    match debian(false) {
        Some(source) => Ok(found(source, place(&source.uri))),
        None => Err(MirrorError::Unknown { suite: suite.to_owned() }),
    }
}

/// The archive as it was at a moment: `<service>/archive/<debian or debian-security>/<stamp>`.
pub fn snapshot(
    facts: &Facts,
    recipe: Option<&str>,
    suite: &str,
    stamp: &str,
) -> Result<Mirror, MirrorError> {
    let digit = |(place, byte): (usize, u8)| match place {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    if stamp.len() != 16 || !stamp.bytes().enumerate().all(digit) {
        return Err(MirrorError::Stamp { stamp: stamp.to_owned() });
    }
    let (service, from) = match (recipe, &facts.snapshot) {
        (Some(url), _) => (url, Provenance::Recipe),
        (None, Some(url)) => (url.as_str(), Provenance::Environment),
        (None, None) => return Err(MirrorError::NoSnapshot { stamp: stamp.to_owned() }),
    };
    let archive = if suite.ends_with("-security") { "debian-security" } else { "debian" };
    Ok(Mirror { url: format!("{}/archive/{archive}/{stamp}", trim(service)), from })
}

/// Whether a suite is Debian's by its name: a codename from buster on, or a suite's name, with an optional
/// `-updates`, `-backports`, `-proposed-updates` or `-security`. A release that is not known yet needs
/// `base.debian.mirror` on hosts that only have sources for it.
pub fn is_debian_suite(suite: &str) -> bool {
    const NAMES: [&str; 12] = [
        "buster",
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "duke",
        "sid",
        "stable",
        "oldstable",
        "oldoldstable",
        "testing",
        "unstable",
    ];
    const POCKETS: [&str; 4] = ["-proposed-updates", "-updates", "-backports", "-security"];
    let name = POCKETS.iter().find_map(|pocket| suite.strip_suffix(pocket)).unwrap_or(suite);
    NAMES.contains(&name)
}

/// Without slashes at its end; apt's `file:/path` becomes the usual `file:///path`.
fn trim(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.strip_prefix("file:/") {
        Some(path) if !path.starts_with('/') => format!("file:///{path}"),
        Some(_) | None => url.to_owned(),
    }
}

fn security_archive(url: &str) -> String {
    let url = trim(url);
    match url.strip_suffix("/debian") {
        Some(parent) => format!("{parent}/debian-security"),
        None => url,
    }
}

/// `Acquire::http::Proxy`, and hosts with a proxy of `DIRECT` (apt-transport-http(1)).
fn apt_proxies(options: &BTreeMap<String, String>) -> Proxies {
    let general = |scheme: &str| {
        let value = options.get(&format!("acquire::{scheme}::proxy"))?;
        (value != "DIRECT" && value != "false" && !value.is_empty()).then(|| value.clone())
    };
    let direct = |(key, value): (&String, &String)| {
        let host =
            key.strip_prefix("acquire::http::proxy::").or(key.strip_prefix("acquire::https::proxy::"))?;
        (value == "DIRECT").then(|| host.to_owned())
    };
    let http = general("http");
    Proxies {
        https: general("https").or_else(|| http.clone()),
        http,
        none: options.iter().filter_map(direct).collect(),
    }
}

/// The files of a folder by name; none if there is no folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, MirrorError> {
    let failed = |source| MirrorError::File { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> Result<Option<String>, MirrorError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MirrorError::File { path: path.to_owned(), source }),
    }
}
