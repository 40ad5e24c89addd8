//! `systemctl --root=… enable`, `disable` and `mask` on a tree: the `[Install]` section of systemd.unit(5) as links.
//!
//! `name → unit file (through aliases and templates) → [Install] with its drop-ins → links`. Presets play no part:
//! `/etc/machine-id` is empty and not missing, so systemd applies none at the first boot.

mod install;

use std::collections::BTreeSet;

use basalt_formats::tree::{Kind, TreeError};
use basalt_spec::{nearest, words::UnitName};

use crate::customise::{EditError, Editor};
use install::{Install, Names};

/// Where unit files are, the one that wins first (systemd.unit(5), without what only a running system has).
const FOLDERS: [&str; 3] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
/// Where links of the administrator are.
const LINKS: &str = "/etc/systemd/system";

/// Why a unit can't be enabled, disabled or masked.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// The tree can't be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// No package has it.
    #[error("there is no unit `{unit}`{}", .nearest.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    Missing {
        /// The unit.
        unit: String,
        /// One that was perhaps meant.
        nearest: Option<String>,
    },
    /// `Also=` names a unit that no package has.
    #[error("`{unit}` asks for `{also}` too, and there is no such unit")]
    MissingAlso {
        /// The unit.
        unit: String,
        /// What it asks for.
        also: String,
    },
    /// Nothing says when it starts.
    #[error("`{0}` has no [Install] section: something else starts it, or add one with a drop-in in `files`")]
    Static(String),
    /// A template needs an instance.
    #[error("`{0}` is a template: name an instance, such as `{1}`")]
    Template(String, String),
    /// It is masked.
    #[error("`{0}` is masked, which forbids to start it")]
    Masked(String),
    /// The package starts it by a link of its own.
    #[error("`{unit}` is started by `{link}`, which belongs to its package: use `units.mask`")]
    StartedByPackage {
        /// The unit.
        unit: String,
        /// The link.
        link: String,
    },
    /// A unit file of the administrator stands where the mask would be.
    #[error("`{0}` is a file: leave it out of the image instead of masking it")]
    FileInTheWay(String),
    /// An alias that means another sort of unit.
    #[error("`{unit}` can't have the alias `{alias}`: both must be of one kind and of one instance")]
    Alias {
        /// The unit.
        unit: String,
        /// Its alias.
        alias: String,
    },
    /// Two units want one name.
    #[error("`{link}` can't lead to `{target}`: it is {standing} already")]
    Taken {
        /// The link.
        link: String,
        /// Where it should lead.
        target: String,
        /// Where it leads.
        standing: String,
    },
    /// A specifier that only a running system knows.
    #[error("`{value}` in the [Install] section of `{unit}` can't be resolved in an image")]
    Specifier {
        /// The unit.
        unit: String,
        /// The word with the specifier.
        value: String,
    },
}

/// Makes the links that the `[Install]` section of `unit` asks for, and those of its `Also=` units.
///
/// # Errors
/// When the unit is missing, masked, static, or a template without an instance.
pub(crate) fn enable(editor: &mut Editor<'_>, unit: &UnitName) -> Result<(), UnitError> {
    enable_into(editor, unit.as_str(), LINKS)
}

/// [`enable`] with the links in `links`, a folder of units.
pub(crate) fn enable_into(editor: &mut Editor<'_>, unit: &str, links: &str) -> Result<(), UnitError> {
    let mut done = BTreeSet::new();
    let mut pending = vec![(unit.to_owned(), None)];
    while let Some((unit, asked_by)) = pending.pop() {
        if !done.insert(unit.clone()) {
            continue;
        }
        let found = find(editor, &unit).map_err(|error| match (error, asked_by) {
            (UnitError::Missing { unit: also, .. }, Some(unit)) => UnitError::MissingAlso { unit, also },
            (error, _) => error,
        })?;
        let install = Install::read(editor, &found)?;
        if install.is_empty() {
            // A unit that only `Also=` of another names may be static: systemctl accepts that too.
            if done.len() == 1 {
                return Err(UnitError::Static(unit));
            }
            continue;
        }
        let names = found.instance(&install)?;
        for (path, target) in install.links(&names, &found.path)? {
            let path = format!("{links}/{path}");
            refuse_other(editor, &path, &target)?;
            editor.link(&path, &target)?;
        }
        pending.extend(install.also(&names)?.into_iter().map(|also| (also, Some(unit.clone()))));
    }
    Ok(())
}

/// Refuses to put a link in place of one that leads to another unit, or of a file.
fn refuse_other(editor: &Editor<'_>, path: &str, target: &str) -> Result<(), UnitError> {
    if editor.tree.lookup(path).is_none() {
        return Ok(());
    }
    let name = |target: &str| target.rsplit('/').next().map(str::to_owned);
    match editor.link_target(path) {
        Some(standing) if name(&standing) == name(target) => Ok(()),
        standing => {
            let standing = standing.unwrap_or_else(|| "a file".to_owned());
            Err(UnitError::Taken { link: path.to_owned(), target: target.to_owned(), standing })
        }
    }
}

/// Takes away every link in `/etc/systemd/system` that starts `unit` or is an alias of it.
///
/// # Errors
/// When the unit is missing, or a link of its package starts it.
pub(crate) fn disable(editor: &mut Editor<'_>, unit: &UnitName) -> Result<(), UnitError> {
    let found = find(editor, unit.as_str())?;
    let also = Install::read(editor, &found)?.also(&found.names)?;
    for name in std::iter::once(found.names.full.clone()).chain(also) {
        for link in links_of(editor, LINKS, &name) {
            editor.tree.remove(&link);
        }
    }
    match links_of(editor, "/usr/lib/systemd/system", &found.names.full).into_iter().find(|link| starts(link))
    {
        Some(link) => Err(UnitError::StartedByPackage { unit: unit.to_string(), link }),
        None => Ok(()),
    }
}

/// Makes `unit` a link to `/dev/null`, so that nothing can start it.
///
/// # Errors
/// When there is no such unit, or a file of the administrator stands in the way.
pub(crate) fn mask(editor: &mut Editor<'_>, unit: &UnitName) -> Result<(), UnitError> {
    // Units of these kinds may exist only while the system runs.
    let made_at_run_time = [".device", ".swap", ".mount", ".automount", ".scope", ".slice"];
    if !made_at_run_time.iter().any(|kind| unit.as_str().ends_with(kind)) {
        find(editor, unit.as_str())?;
    }
    let path = format!("{LINKS}/{unit}");
    if editor.tree.lookup(&path).is_some() && editor.link_target(&path).is_none() {
        return Err(UnitError::FileInTheWay(path));
    }
    editor.link(&path, "/dev/null")?;
    Ok(())
}

/// Whether the tree has this unit, or its template.
pub(crate) fn has(editor: &Editor<'_>, unit: &str) -> bool {
    find(editor, unit).is_ok()
}

/// A unit file and the name it was asked for by.
#[derive(Clone, Debug)]
struct Found {
    /// The name after aliases; an instance keeps its instance.
    names: Names,
    /// The path of the unit file, or of the template.
    path: String,
}

impl Found {
    /// The names to link: those asked for, or for a template those of its `DefaultInstance=`.
    fn instance(&self, install: &Install) -> Result<Names, UnitError> {
        if !self.names.is_template() {
            return Ok(self.names.clone());
        }
        match &install.default_instance {
            Some(instance) => Ok(self.names.with_instance(instance)),
            None => {
                let full = self.names.full.clone();
                let example = self.names.with_instance("NAME").full;
                Err(UnitError::Template(full, example))
            }
        }
    }
}

fn find(editor: &Editor<'_>, unit: &str) -> Result<Found, UnitError> {
    let mut names = Names::parse(unit);
    // Each alias is one link; more than a few are a circle.
    for _ in 0..8 {
        let candidates = [Some(names.full.clone()), names.template.clone()];
        let paths =
            candidates.into_iter().flatten().flat_map(|name| FOLDERS.map(|folder| (folder, name.clone())));
        let standing = paths
            .map(|(folder, name)| format!("{folder}/{name}"))
            .find(|path| editor.tree.lookup(path).is_some());
        let Some(path) = standing else { break };
        match editor.link_target(&path) {
            None => return Ok(Found { names, path }),
            Some(target) if target == "/dev/null" => return Err(UnitError::Masked(unit.to_owned())),
            Some(target) => {
                let name = target.rsplit('/').next().unwrap_or_default();
                let aliased = Names::parse(name);
                // A link from elsewhere to a unit of the same name is the unit itself.
                if name == names.full || Some(name) == names.template.as_deref() {
                    return Ok(Found { names, path });
                }
                names = match (&names.instance, aliased.is_template()) {
                    (Some(instance), true) => aliased.with_instance(instance),
                    (Some(_) | None, true | false) => aliased,
                };
            }
        }
    }
    let known: BTreeSet<String> = FOLDERS.iter().flat_map(|folder| editor.names(folder)).collect();
    let nearest = nearest(unit, known.iter().map(String::as_str)).map(str::to_owned);
    Err(UnitError::Missing { unit: unit.to_owned(), nearest })
}

/// The links in a folder of units that lead to `unit`: in `*.wants`, `*.requires`, `*.upholds`, and aliases.
fn links_of(editor: &Editor<'_>, folder: &str, unit: &str) -> Vec<String> {
    let template = Names::parse(unit);
    let mut links = Vec::new();
    for name in editor.names(folder) {
        let path = format!("{folder}/{name}");
        match editor.link_target(&path) {
            Some(target) if target.rsplit('/').next() == Some(unit) && name != unit => links.push(path),
            Some(_) => {}
            None if starts(&path) => links.extend(
                editor
                    .names(&path)
                    .into_iter()
                    .filter(|entry| template.covers(entry))
                    .map(|entry| format!("{path}/{entry}")),
            ),
            None => {}
        }
    }
    links
}

/// Whether a path is, or is inside, a folder whose links start units.
fn starts(path: &str) -> bool {
    [".wants", ".requires", ".upholds"]
        .iter()
        .any(|kind| path.ends_with(kind) || path.contains(&format!("{kind}/")))
}

/// The files `*.conf` that add to a unit, in the order in which they count.
fn drop_ins(editor: &Editor<'_>, names: &Names) -> Result<Vec<String>, EditError> {
    let mut texts = std::collections::BTreeMap::new();
    let stems = [names.template.clone(), Some(names.full.clone())];
    for (folder, stem) in
        FOLDERS.iter().rev().flat_map(|folder| stems.iter().flatten().map(move |stem| (folder, stem)))
    {
        let path = format!("{folder}/{stem}.d");
        for name in editor.names(&path).into_iter().filter(|name| name.ends_with(".conf")) {
            let file = format!("{path}/{name}");
            match editor.tree.resolve(&file).map(|id| &editor.tree.node(id).kind) {
                Ok(Kind::File(_)) => drop(texts.insert(name, editor.text(&file)?)),
                // A link to /dev/null, which an image's tree has as a device or not at all, hides the one below.
                Ok(
                    Kind::CharDevice(_)
                    | Kind::BlockDevice(_)
                    | Kind::Directory(_)
                    | Kind::Symlink(_)
                    | Kind::Fifo
                    | Kind::Socket,
                )
                | Err(TreeError::Missing(_)) => drop(texts.insert(name, None)),
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(texts.into_values().flatten().collect())
}
