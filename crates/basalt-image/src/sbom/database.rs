//! dpkg's database in a tree (dpkg(1), FILES): what is installed, and whose a file is.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use basalt_debian::{
    control::{Paragraph, Paragraphs},
    dependency,
};
use basalt_formats::tree::{Kind, NodeId, ReadContent, Tree};

use super::SbomError;

/// Where the database may be: an image of ours has it in `/usr`, a tree before it is finished in `/var`.
const PLACES: [&str; 2] = ["/usr/lib/sysimage/dpkg", "/var/lib/dpkg"];

/// Where a finished tree has what fills `/var` on a new machine (tmpfiles.d(5)).
const SEED: &str = "/usr/share/factory";

/// Somebody with a name and perhaps an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: Option<String>,
}

/// A package that dpkg calls installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Name and version of the source package.
    pub source: (String, String),
    /// Who maintains it.
    pub maintainer: Option<Contact>,
    /// Where its authors are found.
    pub homepage: Option<String>,
    /// The first line of its description.
    pub summary: String,
    /// The packages that it needs, by their place in the database: the first installed one of each alternative.
    pub depends: Vec<usize>,
}

/// What dpkg knows of a tree.
#[derive(Debug, Default)]
pub(crate) struct Database {
    /// By name, then architecture.
    pub(crate) packages: Vec<InstalledPackage>,
    /// The package of each name in the tree: the directory and the name in it.
    owners: HashMap<(NodeId, Vec<u8>), usize>,
}

/// Takes a path, what is there, and the package that it belongs to.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&[u8], NodeId, Option<usize>);

/// One `dpkg-divert`: whoever is not `by` and ships `from` has its file at `to`.
struct Diversion {
    to: String,
    by: String,
}

impl Database {
    /// Reads the database of a tree; a tree without one gives an empty database.
    pub(crate) fn read(tree: &Tree, content: &dyn ReadContent) -> Result<Self, SbomError> {
        for place in PLACES {
            let Some(status) = text(tree, content, &format!("{place}/status"))? else { continue };
            let mut database = Self { packages: packages(&status), owners: HashMap::new() };
            database.read_lists(tree, content, place)?;
            database.own_control_files(tree, place);
            return Ok(database);
        }
        Ok(Self::default())
    }

    /// Visits every name of the tree as [`Tree::walk`] does, with the package that lists it.
    pub(crate) fn walk(&self, tree: &Tree, visit: Visit<'_>) {
        // The parent of a name is the directory that was visited last one level above it.
        let mut trail: Vec<NodeId> = Vec::new();
        tree.walk(&mut |path, id| {
            trail.truncate(path.iter().filter(|byte| **byte == b'/').count());
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let owner = trail.last().and_then(|parent| self.owners.get(&(*parent, name.to_vec())).copied());
            visit(path, id, owner);
            trail.push(id);
        });
    }

    fn read_lists(&mut self, tree: &Tree, content: &dyn ReadContent, place: &str) -> Result<(), SbomError> {
        let diversions = text(tree, content, &format!("{place}/diversions"))?;
        let diversions = diversions.as_deref().map(parse_diversions).unwrap_or_default();
        // Lists name directories before what is in them, so most paths have the parent of the path before.
        let mut parents: HashMap<String, Option<NodeId>> = HashMap::new();
        for (index, package) in self.packages.iter().enumerate() {
            let names = [package.name.clone(), format!("{}:{}", package.name, package.architecture)];
            let mut list = None;
            for name in names {
                list = match list {
                    None => text(tree, content, &format!("{place}/info/{name}.list"))?,
                    found => found,
                };
            }
            for path in list.iter().flat_map(|list| list.lines()) {
                let path = match diversions.get(path) {
                    Some(diversion) if diversion.by != package.name => diversion.to.as_str(),
                    Some(_) | None => path,
                };
                let Some((above, name)) = path.rsplit_once('/') else { continue };
                let parent = match parents.get(above) {
                    Some(known) => *known,
                    None => {
                        let found = directory(tree, above);
                        parents.insert(above.to_owned(), found);
                        found
                    }
                };
                if let Some(parent) = parent {
                    self.owners.entry((parent, name.as_bytes().to_vec())).or_insert(index);
                }
            }
        }
        Ok(())
    }

    /// No list names the files that dpkg keeps about a package; they are the package's all the same.
    fn own_control_files(&mut self, tree: &Tree, place: &str) {
        let Some(info) = directory(tree, &format!("{place}/info")) else { return };
        let Kind::Directory(entries) = &tree.node(info).kind else { return };
        let places: HashMap<&str, usize> =
            self.packages.iter().enumerate().map(|(index, package)| (package.name.as_str(), index)).collect();
        for name in entries.keys() {
            let text = String::from_utf8_lossy(name);
            let Some((key, _)) = text.rsplit_once('.') else { continue };
            let package = key.split_once(':').map_or(key, |(package, _)| package);
            if let Some(index) = places.get(package) {
                self.owners.insert((info, name.clone()), *index);
            }
        }
    }
}

/// Through links, because lists say `/lib/…` where `/lib` is a link to `usr/lib`. What packages have in `/var` is a seed
/// below [`SEED`] in a finished tree.
fn directory(tree: &Tree, path: &str) -> Option<NodeId> {
    [path.to_owned(), format!("{SEED}{path}")].iter().find_map(|path| match tree.resolve(path) {
        Ok(id) if matches!(tree.node(id).kind, Kind::Directory(_)) => Some(id),
        // A package's directory that is no more, such as one below /boot.
        Ok(_) | Err(_) => None,
    })
}

/// The text of a regular file, through links; bytes that are no UTF-8 are replaced, because control files of old packages
/// have them.
pub(super) fn text(tree: &Tree, content: &dyn ReadContent, path: &str) -> Result<Option<String>, SbomError> {
    let Ok(id) = tree.resolve(path) else { return Ok(None) };
    let Kind::File(file) = &tree.node(id).kind else { return Ok(None) };
    let bytes = file.read(content).map_err(|source| SbomError::Read { path: path.to_owned(), source })?;
    Ok(Some(match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(_) => String::from_utf8(bytes).unwrap_or_default(),
        Cow::Owned(text) => text,
    }))
}

fn packages(status: &str) -> Vec<InstalledPackage> {
    let installed = |paragraph: &Paragraph<'_>| {
        paragraph.get("Status").is_some_and(|status| status.split_whitespace().nth(2) == Some("installed"))
    };
    let mut paragraphs: Vec<Paragraph<'_>> = Paragraphs::new(status).filter(installed).collect();
    let key = |one: &Paragraph<'_>| (field(one, "Package"), field(one, "Architecture"));
    paragraphs.sort_by_key(key);
    let providers = providers(&paragraphs);
    paragraphs.iter().map(|paragraph| package(paragraph, &providers)).collect()
}

/// Names, real ones before virtual ones, to places in the list.
fn providers<'a>(paragraphs: &[Paragraph<'a>]) -> HashMap<&'a str, usize> {
    let mut providers: HashMap<&str, usize> = HashMap::new();
    for (index, paragraph) in paragraphs.iter().enumerate() {
        if let Some(name) = paragraph.get("Package") {
            providers.entry(name).or_insert(index);
        }
    }
    for (index, paragraph) in paragraphs.iter().enumerate() {
        let provided = paragraph.get("Provides").unwrap_or_default();
        for name in provided.split(',').filter_map(|name| name.split_whitespace().next()) {
            providers.entry(name).or_insert(index);
        }
    }
    providers
}

fn package(paragraph: &Paragraph<'_>, providers: &HashMap<&str, usize>) -> InstalledPackage {
    let (name, version) = (field(paragraph, "Package"), field(paragraph, "Version"));
    let architecture = field(paragraph, "Architecture");
    let source = match field(paragraph, "Source") {
        source if source.is_empty() => (name.clone(), version.clone()),
        source => match source.split_once(" (") {
            Some((source, version)) => (source.to_owned(), version.trim_end_matches(')').to_owned()),
            None => (source, version.clone()),
        },
    };
    let mut depends = Vec::new();
    for field in ["Pre-Depends", "Depends"] {
        let groups = dependency::groups(paragraph.get(field).unwrap_or_default(), &architecture);
        // dpkg has configured the package, so a group that can't be read was no obstacle to it either.
        for group in groups.flatten() {
            let found = group.alternatives.iter().find_map(|relation| providers.get(relation.name));
            depends.extend(found.copied());
        }
    }
    depends.sort_unstable();
    depends.dedup();
    InstalledPackage {
        source,
        maintainer: paragraph.get("Maintainer").map(contact),
        homepage: paragraph.get("Homepage").map(str::to_owned),
        summary: paragraph
            .get("Description")
            .and_then(|text| text.lines().next())
            .unwrap_or_default()
            .to_owned(),
        depends,
        name,
        version,
        architecture,
    }
}

fn field(paragraph: &Paragraph<'_>, name: &str) -> String {
    paragraph.get(name).unwrap_or_default().to_owned()
}

/// `Name <address>`.
fn contact(text: &str) -> Contact {
    match text.split_once('<') {
        Some((name, rest)) => Contact {
            name: name.trim().trim_matches('"').to_owned(),
            email: rest.split_once('>').map(|(email, _)| email.trim().to_owned()),
        },
        None => Contact { name: text.trim().to_owned(), email: None },
    }
}

/// Three lines each: the path, where it went, and the package that is excepted (`:` for none).
fn parse_diversions(text: &str) -> BTreeMap<String, Diversion> {
    let lines: Vec<&str> = text.lines().collect();
    let triples = lines.chunks_exact(3);
    triples
        .map(|one| (one[0].to_owned(), Diversion { to: one[1].to_owned(), by: one[2].to_owned() }))
        .collect()
}
