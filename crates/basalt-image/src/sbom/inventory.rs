//! The facts that both formats tell.

use std::{collections::HashMap, fmt};

use basalt_formats::tree::{Kind, ReadContent, Tree};
use basalt_spec::{Lock, LockedPackage, Origin};
use basalt_types::Digest;

use super::{
    About, FileDigest, FileDigests, SbomError,
    copyright::{self, Licence},
    database::{Database, InstalledPackage, text},
};

/// An image, and what is known of it beside its tree.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The image as a whole.
    pub about: &'a About,
    /// The packages that were chosen.
    pub lock: &'a Lock,
    /// The finished tree.
    pub tree: &'a Tree,
    /// The bytes of its files.
    pub content: &'a dyn ReadContent,
    /// Their digests.
    pub digests: &'a FileDigests,
}

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The image as a whole.
    pub about: About,
    /// Which distribution its packages are of.
    pub distribution: Distribution,
    /// The packages, by name and then architecture.
    pub packages: Vec<Package>,
    /// The regular files, by path. A file with several names is there once for each.
    pub files: Vec<File>,
}

/// A distribution as os-release(5) names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `NAME`, such as `Debian GNU/Linux`.
    pub name: String,
    /// `VERSION_ID`, or else `VERSION_CODENAME`; empty when it has neither.
    pub version: String,
}

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What dpkg knows of it.
    pub installed: InstalledPackage,
    /// The digest of its `.deb`; `None` for a package that is not in the lock, such as our own.
    pub sha256: Option<Digest>,
    /// Where its `.deb` was fetched from; `None` when it came with the recipe or with Basalt.
    pub address: Option<String>,
    /// Its licences; `None` when it has no copyright file.
    pub licence: Option<Licence>,
    /// The bytes of its files in the image.
    pub size: u64,
    /// The purl (package URL, type `deb`).
    pub purl: String,
}

/// A regular file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The path, from `/`; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its digests.
    pub digest: FileDigest,
    /// The package that it belongs to, by its place in [`Inventory::packages`]; `None` for nobody's.
    pub owner: Option<usize>,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("about", self.about).finish_non_exhaustive()
    }
}

impl Inventory {
    /// Reads dpkg's database and the copyright files of a tree, and walks it.
    ///
    /// # Errors
    /// When a file of the tree can't be read.
    pub fn observe(subject: Subject<'_>) -> Result<Self, SbomError> {
        let Subject { about, lock, tree, content, digests } = subject;
        let distribution = Distribution::observe(tree, content)?;
        let database = Database::read(tree, content)?;
        let files = files(tree, digests, &database);
        let mut sizes = vec![0_u64; database.packages.len()];
        for file in &files {
            if let Some(size) = file.owner.and_then(|owner| sizes.get_mut(owner)) {
                *size += file.size;
            }
        }
        let locked: HashMap<(&str, &str), &LockedPackage> =
            lock.packages.iter().map(|one| ((one.name.as_str(), one.architecture.as_str()), one)).collect();
        let mut packages = Vec::with_capacity(database.packages.len());
        for (installed, size) in database.packages.into_iter().zip(sizes) {
            let locked = locked.get(&(installed.name.as_str(), installed.architecture.as_str())).copied();
            let locked = locked.filter(|locked| locked.version.as_str() == installed.version);
            let copyright = text(tree, content, &format!("/usr/share/doc/{}/copyright", installed.name))?;
            let address = locked.and_then(|locked| address(lock, locked));
            packages.push(Package {
                sha256: locked.map(|locked| locked.sha256),
                licence: copyright.map(|text| copyright::read(&installed.name, &text)),
                size,
                purl: purl(&installed, &distribution, address.is_some()),
                address,
                installed,
            });
        }
        Ok(Self { about: about.clone(), distribution, packages, files })
    }

    /// The files of one package, or nobody's.
    pub fn files_of(&self, owner: Option<usize>) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.owner == owner)
    }

    /// The packages that take the most room in the image, largest first.
    pub fn largest(&self, count: usize) -> Vec<&Package> {
        let mut packages: Vec<&Package> = self.packages.iter().collect();
        packages.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.installed.name.cmp(&b.installed.name)));
        packages.truncate(count);
        packages
    }
}

impl Distribution {
    fn observe(tree: &Tree, content: &dyn ReadContent) -> Result<Self, SbomError> {
        let text = text(tree, content, "/etc/os-release")?.unwrap_or_default();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
        };
        let version = Some(value("VERSION_ID")).filter(|id| !id.is_empty());
        Ok(Self {
            id: value("ID"),
            name: value("NAME"),
            version: version.unwrap_or_else(|| value("VERSION_CODENAME")),
        })
    }
}

fn files(tree: &Tree, digests: &FileDigests, database: &Database) -> Vec<File> {
    let mut files = Vec::new();
    database.walk(tree, &mut |path, id, owner| {
        if let (Kind::File(content), Some(digest)) = (&tree.node(id).kind, digests.get(id)) {
            let path = String::from_utf8_lossy(path).into_owned();
            files.push(File { path, size: content.size, digest, owner });
        }
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn address(lock: &Lock, locked: &LockedPackage) -> Option<String> {
    match &locked.origin {
        Origin::Archive { source, path } => {
            let source = lock.sources.get(usize::try_from(*source).ok()?)?;
            Some(format!("{}/{path}", source.uri.as_str().trim_end_matches('/')))
        }
        Origin::File(_) => None,
    }
}

/// `pkg:deb/debian/NAME@VERSION?arch=ARCH&distro=debian-13` (purl specification, type `deb`). A package that came from no
/// archive is of no distribution: its namespace is `local`.
fn purl(package: &InstalledPackage, distribution: &Distribution, archived: bool) -> String {
    let InstalledPackage { name, version, architecture, .. } = package;
    let Distribution { id, version: release, .. } = distribution;
    let namespace = if archived && !id.is_empty() { id } else { "local" };
    let distro = match (id.is_empty(), release.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!("&distro={}", encode(id)),
        (false, false) => format!("&distro={}-{}", encode(id), encode(release)),
    };
    format!(
        "pkg:deb/{}/{}@{}?arch={}{distro}",
        encode(namespace),
        encode(name),
        encode(version),
        encode(architecture)
    )
}

/// Percent-encodes all but RFC 3986's unreserved characters and the colon, which purl leaves as it is.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let encoded = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encoded).collect()
}
