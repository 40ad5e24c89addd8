//! System and configuration extensions (UAPI.4): what a tree has beyond the tree that it extends.
//!
//! An extension is laid over `/usr` or `/etc` of a running system by `systemd-sysext` or `systemd-confext`, which can add
//! and replace and never remove. What a recipe changes elsewhere (accounts in `/etc/passwd`, state in `/var`) does not
//! travel with it: [`Extension::left_out`] says so.

use std::{collections::BTreeMap, io};

use basalt_formats::tree::{Content, Kind, Metadata, Node, NodeId, Tree, TreeError};
use basalt_types::{Architecture, ImageName};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::difference::{Aspect, Side, aspects};

mod inspect;

pub use inspect::{InspectError, Inspected, fields, inspect};

/// What an extension extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sort {
    /// `/usr`.
    System,
    /// `/etc`.
    Configuration,
}

/// The content of an extension image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The tree; its bytes are where those of the extended tree are.
    pub tree: Tree,
    /// How many files, links and devices it adds or replaces.
    pub entries: usize,
    /// What the recipe adds or changes and the extension does not carry.
    pub left_out: Vec<String>,
}

/// Why there is no extension.
#[derive(Debug, Error)]
pub enum ExtensionError {
    /// A file can't be read.
    #[error("the trees can't be compared")]
    Read(#[from] io::Error),
    /// The extended system does not say what it is.
    #[error("the extended image has no os-release with `{0}`, which an extension must match")]
    Release(&'static str),
    /// Nothing is new below the extended folder.
    #[error("nothing below {} differs from the image that is extended", .0.folder())]
    Empty(Sort),
    /// Something that is in the way can't be taken away by an extension.
    #[error("the extension would have to remove {}: it can only add and replace", .0.join(", "))]
    Removes(Vec<String>),
    /// The tree's own rules.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Parts of `/usr` that describe the system as a whole; of several extensions only one could be seen.
const NOT_CARRIED: [&str; 3] = ["/usr/lib/os-release", "/usr/lib/sysimage", "/usr/lib/basalt"];
/// What differs after every installation of packages and means nothing to an extension.
const NO_CHANGES: [&str; 3] = ["/var", "/run", "/tmp"];
/// Where an administrator's units are, and those of the system.
const ETC_UNITS: &str = "/etc/systemd/system";
const USR_UNITS: &str = "/usr/lib/systemd/system";

impl Sort {
    /// The folder that is extended.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::System => "/usr",
            Self::Configuration => "/etc",
        }
    }

    /// Where the file that names the extended system is.
    fn release_path(self, name: &ImageName) -> String {
        match self {
            Self::System => format!("/usr/lib/extension-release.d/extension-release.{name}"),
            Self::Configuration => format!("/etc/extension-release.d/extension-release.{name}"),
        }
    }
}

/// What `extended` has beyond `base`. Times become `epoch`, in seconds since 1970.
///
/// # Errors
/// When nothing is new, something would have to go, or the base does not say what it is.
pub fn subtract(
    sort: Sort,
    (name, architecture): (&ImageName, Architecture),
    base: Side<'_>,
    extended: Side<'_>,
    epoch: i64,
) -> Result<Extension, ExtensionError> {
    let mut walk = Walk { sort, base, extended, made: BTreeMap::new(), removed: Vec::new(), entries: 0 };
    let mut extension = Extension { tree: Tree::new(), entries: 0, left_out: Vec::new() };
    extension.tree.node_mut(Tree::ROOT).metadata = extended.tree.node(Tree::ROOT).metadata.clone();
    walk.directory("", (Some(Tree::ROOT), Tree::ROOT), &mut extension)?;
    if !walk.removed.is_empty() {
        return Err(ExtensionError::Removes(walk.removed));
    }
    if walk.entries == 0 {
        return Err(ExtensionError::Empty(sort));
    }
    extension.entries = walk.entries;
    let text = release_text(sort, base, architecture)?;
    let metadata = Metadata {
        mtime: epoch,
        // The file may be called otherwise than the extension (systemd-sysext(8)).
        xattrs: BTreeMap::from([(b"user.extension-release.strict".to_vec(), b"false".to_vec())]),
        ..Metadata::root_owned(0o644)
    };
    let kind = Kind::File(Content::inline(text.into_bytes()));
    extension.tree.insert(&sort.release_path(name), Node { metadata, kind })?;
    Ok(extension)
}

/// The fields that systemd-sysext compares with the system's os-release (os-release(5), extension-release).
fn release_text(sort: Sort, base: Side<'_>, architecture: Architecture) -> Result<String, ExtensionError> {
    let id = field(base, "ID")?.ok_or(ExtensionError::Release("ID"))?;
    // A rolling distribution (Debian sid) has no version: then the ID alone is matched.
    let version = field(base, "VERSION_ID")?.map(|version| format!("VERSION_ID={version}\n"));
    let scope = match sort {
        Sort::System => "SYSEXT_SCOPE=system\n",
        Sort::Configuration => "CONFEXT_SCOPE=system\n",
    };
    let architecture = architecture.systemd();
    Ok(format!("ID={id}\n{}ARCHITECTURE={architecture}\n{scope}", version.unwrap_or_default()))
}

fn field(side: Side<'_>, name: &'static str) -> Result<Option<String>, ExtensionError> {
    let Ok(id) = side.tree.resolve("/usr/lib/os-release") else {
        return Err(ExtensionError::Release(name));
    };
    let Kind::File(content) = &side.tree.node(id).kind else { return Err(ExtensionError::Release(name)) };
    let text = content.read(side.reader)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(value.map(str::to_owned))
}

/// The comparison, from folder to folder.
struct Walk<'a> {
    sort: Sort,
    base: Side<'a>,
    extended: Side<'a>,
    /// Nodes of the extended tree that are in the extension already: other names of them become hard links.
    made: BTreeMap<NodeId, NodeId>,
    removed: Vec<String>,
    entries: usize,
}

impl Walk<'_> {
    /// Compares a folder that both have, or that only the extended tree has.
    fn directory(
        &mut self,
        path: &str,
        (base, extended): (Option<NodeId>, NodeId),
        extension: &mut Extension,
    ) -> Result<(), ExtensionError> {
        let none = BTreeMap::new();
        let Kind::Directory(new) = &self.extended.tree.node(extended).kind else { return Ok(()) };
        let old = match base.map(|base| &self.base.tree.node(base).kind) {
            Some(Kind::Directory(old)) => old,
            Some(_) | None => &none,
        };
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            if inside(&path, self.sort.folder()) && !is_any(&path, &NOT_CARRIED) {
                self.removed.push(path);
            }
        }
        for (name, id) in new {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            self.entry(&path, (old.get(name).copied(), *id), extension)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &str,
        (base, extended): (Option<NodeId>, NodeId),
        extension: &mut Extension,
    ) -> Result<(), ExtensionError> {
        if is_any(path, &NO_CHANGES) || is_any(path, &NOT_CARRIED) {
            return Ok(());
        }
        let aspects = match base {
            Some(base) => aspects(self.base, base, self.extended, extended)?,
            None => vec![Aspect::Kind],
        };
        // A new time alone is no change.
        let differs = aspects.iter().any(|aspect| *aspect != Aspect::Time);
        let is_directory = matches!(self.extended.tree.node(extended).kind, Kind::Directory(_));
        if differs {
            match self.place(path, extended) {
                Some(place) => self.put(&place, extended, extension)?,
                None if is_directory => {}
                None => extension.left_out.push(path.to_owned()),
            }
        }
        if is_directory {
            self.directory(path, (base, extended), extension)?;
        }
        Ok(())
    }

    /// Where a path goes in the extension, if it goes with it.
    fn place(&self, path: &str, id: NodeId) -> Option<String> {
        if inside(path, self.sort.folder()) {
            return Some(path.to_owned());
        }
        // An enabled unit is a link in /etc, which a system extension can't bring; /usr has a place for them, too.
        let wanted = path.strip_prefix(ETC_UNITS)?;
        let link = matches!(self.extended.tree.node(id).kind, Kind::Symlink(_));
        let enabled = [".wants/", ".requires/"].iter().any(|part| wanted.contains(part));
        (self.sort == Sort::System && link && enabled).then(|| format!("{USR_UNITS}{wanted}"))
    }

    /// Puts a node at `path`, and above it folders as the extended tree has them.
    fn put(&mut self, path: &str, id: NodeId, extension: &mut Extension) -> Result<(), ExtensionError> {
        let tree = &mut extension.tree;
        let mut above = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            above = format!("{above}/{part}");
            if above != path && tree.lookup(&above).is_none() {
                let metadata = match self.extended.tree.lookup(&above) {
                    Some(id) => self.extended.tree.node(id).metadata.clone(),
                    None => Metadata::root_owned(0o755),
                };
                tree.insert(&above, Node { metadata, kind: Kind::Directory(BTreeMap::new()) })?;
            }
        }
        let mut node = self.extended.tree.node(id).clone();
        if let Kind::Directory(entries) = &mut node.kind {
            entries.clear();
            tree.insert(path, node)?;
            return Ok(());
        }
        self.entries += 1;
        if let Some(known) = self.made.get(&id) {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = tree.lookup(parent).unwrap_or(Tree::ROOT);
            tree.link(parent, name.as_bytes(), *known)?;
            return Ok(());
        }
        let made = tree.insert(path, node)?;
        self.made.insert(id, made);
        Ok(())
    }
}

fn inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_any(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| inside(path, folder))
}

#[cfg(test)]
mod tests;
