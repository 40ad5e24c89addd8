//! Rules about what should not be in an image: pure, over a tree, its packages, and the recipe and lock it is from.
//!
//! ```text
//! let report = lint::check(subject, &allowances)?;       // findings, most serious first
//! report.has_errors()
//! ```
//!
//! A rule is a line of [`RULES`]: a name to allow it by, how serious a breach is, why the rule is there, how to mend a
//! breach, and the function that looks. What is usual for the packages that it comes with (`su` is setuid) is in tables
//! beside the rules and no finding.
//!
//! Not here: opening images, and printing.

mod links;
mod machine;
mod permissions;
mod recipe;
mod secrets;
mod units;

#[cfg(test)]
mod tests;

use std::{fmt, io, str::FromStr};

use basalt_formats::tree::{Content, Kind, Node, NodeId, ReadContent, Tree};
use basalt_spec::{Lock, Recipe};
use serde::Serialize;
use thiserror::Error;

use crate::sbom::{Database, SbomError};

/// What is looked at. Rules about what is absent are not asked.
#[derive(Clone, Copy, Default)]
pub struct Subject<'a> {
    /// A finished tree and whoever has its bytes.
    pub image: Option<(&'a Tree, &'a dyn ReadContent)>,
    /// The packages that were chosen.
    pub lock: Option<&'a Lock>,
    /// What was asked for.
    pub recipe: Option<&'a Recipe>,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The image should not be used as it is.
    Error,
    /// Somebody should decide whether it is meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How serious.
    pub severity: Severity,
    /// The rule's name.
    pub id: &'static str,
    /// The path in the image; `None` when it is about the whole.
    pub path: Option<String>,
    /// What was found.
    pub explanation: String,
    /// How to mend it.
    pub remedy: &'static str,
}

/// `ID` or `ID:PATH`: a finding that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    rule: &'static str,
    path: Option<String>,
}

/// A name that is no rule's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is no rule; the rules are {}", RULES.map(|rule| rule.id).join(", "))]
pub struct UnknownRule {
    name: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The breaches that nobody allowed, most serious first.
    pub findings: Vec<Finding>,
    /// How many were allowed.
    pub allowed: usize,
    /// The packages that take the most room: names and bytes, largest first.
    pub largest: Vec<(String, u64)>,
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum LintError {
    /// A file of the image can't be read.
    #[error("can't read `{path}` of the image")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The packages can't be read.
    #[error(transparent)]
    Packages(#[from] SbomError),
}

/// A rule.
pub struct Rule {
    /// The name to allow it by.
    pub id: &'static str,
    /// How serious a breach is.
    pub severity: Severity,
    /// Why the rule is there.
    pub why: &'static str,
    /// How to mend a breach.
    pub remedy: &'static str,
    look: Look,
}

/// What a rule looks at.
#[derive(Clone, Copy)]
enum Look {
    /// The tree.
    Image(fn(&Image<'_>, &mut Notes) -> Result<(), LintError>),
    /// The recipe and, if there is one, the lock.
    Recipe(fn(&Recipe, Option<&Lock>, &mut Notes)),
}

/// What rules note: paths and what is wrong there.
#[derive(Debug, Default)]
struct Notes(Vec<(Option<String>, String)>);

/// A tree, read once for all rules.
struct Image<'a> {
    tree: &'a Tree,
    content: &'a dyn ReadContent,
    database: Database,
    /// Every name: its path, its node, the package that it belongs to.
    names: Vec<Name>,
}

struct Name {
    path: String,
    id: NodeId,
    owner: Option<usize>,
}

/// How many packages [`Report::largest`] has.
const LARGEST: usize = 10;

/// All rules.
pub const RULES: [Rule; 25] = [
    Rule {
        id: "setuid",
        severity: Severity::Warning,
        why: "a program with another's rights is the first thing that an intruder looks for",
        remedy: "take the bits away in the recipe's script, or deselect the package",
        look: Look::Image(permissions::setuid),
    },
    Rule {
        id: "capability",
        severity: Severity::Warning,
        why: "file capabilities are rights that no listing of modes shows",
        remedy: "take them away with `setcap -r` in the recipe's script, or deselect the package",
        look: Look::Image(permissions::capabilities),
    },
    Rule {
        id: "world-writable",
        severity: Severity::Error,
        why: "whoever runs anything on the machine could change it for all others",
        remedy: "give it another mode; a shared folder needs the sticky bit (1777)",
        look: Look::Image(permissions::world_writable),
    },
    Rule {
        id: "unknown-owner",
        severity: Severity::Warning,
        why: "the next account that gets the number gets the files",
        remedy: "make the account in the recipe, or give the files to one that is there",
        look: Look::Image(permissions::unknown_owner),
    },
    Rule {
        id: "device-node",
        severity: Severity::Warning,
        why: "the kernel makes device nodes in /dev; one elsewhere only goes round permissions",
        remedy: "remove it",
        look: Look::Image(permissions::device_nodes),
    },
    Rule {
        id: "shadow-mode",
        severity: Severity::Error,
        why: "password hashes that everybody reads are guessed offline",
        remedy: "give it mode 0640 and the group shadow",
        look: Look::Image(permissions::shadow_mode),
    },
    Rule {
        id: "private-key",
        severity: Severity::Error,
        why: "whoever has the image has the key",
        remedy: "bring the key to the machine when it runs, such as with a systemd credential",
        look: Look::Image(secrets::private_keys),
    },
    Rule {
        id: "ssh-host-key",
        severity: Severity::Error,
        why: "machines that share a host key can pretend to be each other",
        remedy: "remove it: each machine makes its own at its first boot",
        look: Look::Image(secrets::ssh_host_keys),
    },
    Rule {
        id: "credentials",
        severity: Severity::Error,
        why: "whoever has the image has the account",
        remedy: "remove it, and change what was in it",
        look: Look::Image(secrets::credentials),
    },
    Rule {
        id: "history",
        severity: Severity::Warning,
        why: "what was typed while building is nobody's business, and passwords are among it",
        remedy: "remove it at the end of the recipe's script",
        look: Look::Image(secrets::histories),
    },
    Rule {
        id: "empty-password",
        severity: Severity::Error,
        why: "anybody can log in",
        remedy: "lock the account (`!` in its password field) or give it a password hash",
        look: Look::Image(secrets::empty_passwords),
    },
    Rule {
        id: "shared-password",
        severity: Severity::Warning,
        why: "every machine of this image has the same password, and its hash can be guessed offline",
        remedy: "use SSH keys, or allow it knowingly",
        look: Look::Image(secrets::shared_passwords),
    },
    Rule {
        id: "machine-id",
        severity: Severity::Error,
        why: "machines with the same id get the same addresses and overwrite each other's logs",
        remedy: "leave /etc/machine-id empty",
        look: Look::Image(machine::machine_id),
    },
    Rule {
        id: "random-seed",
        severity: Severity::Error,
        why: "machines with the same seed may make the same keys",
        remedy: "remove it",
        look: Look::Image(machine::random_seed),
    },
    Rule {
        id: "missing-modules",
        severity: Severity::Error,
        why: "without these modules the initramfs can't open the root file system",
        remedy: "install the whole kernel package, and let depmod run last",
        look: Look::Image(machine::missing_modules),
    },
    Rule {
        id: "absent-drivers",
        severity: Severity::Note,
        why: "machines with such disks will not find their root",
        remedy: "choose another kernel package if such machines are yours",
        look: Look::Image(machine::absent_drivers),
    },
    Rule {
        id: "broken-link",
        severity: Severity::Note,
        why: "whoever follows it fails",
        remedy: "remove it, or bring what it leads to",
        look: Look::Image(links::broken),
    },
    Rule {
        id: "missing-unit",
        severity: Severity::Error,
        why: "systemd is told to start a unit that is not there",
        remedy: "take the name out of the recipe's units, or add the package that has it",
        look: Look::Image(units::missing),
    },
    Rule {
        id: "lock-misfit",
        severity: Severity::Error,
        why: "the image would not be what the recipe says",
        remedy: "run `basalt lock`",
        look: Look::Recipe(recipe::lock_misfit),
    },
    Rule {
        id: "no-way-in",
        severity: Severity::Warning,
        why: "nobody can log in when something is wrong",
        remedy: "give a user a password hash or an SSH key",
        look: Look::Recipe(recipe::no_way_in),
    },
    Rule {
        id: "no-ssh-server",
        severity: Severity::Warning,
        why: "keys for SSH are of no use without a server",
        remedy: "add openssh-server to the packages, or take the keys out",
        look: Look::Recipe(recipe::no_ssh_server),
    },
    Rule {
        id: "no-sudo",
        severity: Severity::Warning,
        why: "a user who may use sudo can't when it is not there",
        remedy: "take `sudo` out of the deselected packages, or from the user",
        look: Look::Recipe(recipe::no_sudo),
    },
    Rule {
        id: "password-free-root",
        severity: Severity::Warning,
        why: "whoever gets this user's key, or an open session, is root at once",
        remedy: "give the user a password hash",
        look: Look::Recipe(recipe::password_free_root),
    },
    Rule {
        id: "debug-argument",
        severity: Severity::Warning,
        why: "the kernel's command line opens a way round the checks, or switches a protection off",
        remedy: "take the argument out of images that leave the workshop",
        look: Look::Recipe(recipe::debug_arguments),
    },
    Rule {
        id: "unit-twice",
        severity: Severity::Error,
        why: "a unit can't be enabled and kept from starting at once",
        remedy: "name it in one of the lists",
        look: Look::Recipe(recipe::unit_twice),
    },
];

/// Asks every rule.
///
/// # Errors
/// When a file of the image can't be read.
pub fn check(subject: Subject<'_>, allowed: &[Allowance]) -> Result<Report, LintError> {
    let Subject { image, lock, recipe } = subject;
    let image = image.map(|(tree, content)| Image::observe(tree, content)).transpose()?;
    let mut report = Report { findings: Vec::new(), allowed: 0, largest: Vec::new() };
    for rule in &RULES {
        let mut notes = Notes::default();
        match (rule.look, &image, recipe) {
            (Look::Image(look), Some(image), _) => look(image, &mut notes)?,
            (Look::Recipe(look), _, Some(recipe)) => look(recipe, lock, &mut notes),
            (Look::Image(_), None, _) | (Look::Recipe(_), _, None) => {}
        }
        for (path, explanation) in notes.0 {
            let Rule { id, severity, why: _, remedy, look: _ } = *rule;
            if allowed.iter().any(|one| one.covers(id, path.as_deref())) {
                report.allowed += 1;
            } else {
                report.findings.push(Finding { severity, id, path, explanation, remedy });
            }
        }
    }
    report.findings.sort();
    report.largest = image.map(|image| image.largest()).unwrap_or_default();
    Ok(report)
}

impl Report {
    /// Whether a finding says that the image should not be used.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

impl Allowance {
    fn covers(&self, rule: &str, path: Option<&str>) -> bool {
        let Self { rule: allowed, path: only } = self;
        *allowed == rule && only.as_deref().is_none_or(|only| path == Some(only))
    }
}

impl FromStr for Allowance {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let (name, path) = match text.split_once(':') {
            Some((name, path)) => (name, Some(path.to_owned())),
            None => (text, None),
        };
        let rule = RULES.iter().find(|rule| rule.id == name);
        let rule = rule.ok_or_else(|| UnknownRule { name: name.to_owned() })?.id;
        Ok(Self { rule, path })
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}:{path}", self.rule),
            None => f.write_str(self.rule),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

impl Notes {
    fn at(&mut self, path: &str, explanation: impl Into<String>) {
        self.0.push((Some(path.to_owned()), explanation.into()));
    }

    fn whole(&mut self, explanation: impl Into<String>) {
        self.0.push((None, explanation.into()));
    }
}

impl<'a> Image<'a> {
    fn observe(tree: &'a Tree, content: &'a dyn ReadContent) -> Result<Self, LintError> {
        let database = Database::read(tree, content)?;
        let mut names = Vec::new();
        database.walk(tree, &mut |path, id, owner| {
            names.push(Name { path: String::from_utf8_lossy(path).into_owned(), id, owner });
        });
        Ok(Self { tree, content, database, names })
    }

    fn node(&self, name: &Name) -> &'a Node {
        self.tree.node(name.id)
    }

    /// Regular files with their content.
    fn files(&self) -> impl Iterator<Item = (&Name, &'a Content)> {
        self.names.iter().filter_map(|name| match &self.node(name).kind {
            Kind::File(content) => Some((name, content)),
            Kind::Directory(_)
            | Kind::Symlink(_)
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo
            | Kind::Socket => None,
        })
    }

    /// The first bytes of a file.
    fn start(&self, path: &str, content: &Content, length: usize) -> Result<Vec<u8>, LintError> {
        let mut bytes = vec![0; usize::try_from(content.size).unwrap_or(usize::MAX).min(length)];
        let read = content.read_at(self.content, 0, &mut bytes);
        read.map_err(|source| LintError::Read { path: path.to_owned(), source })?;
        Ok(bytes)
    }

    /// The text of the file at `path`, through links; empty when there is none.
    fn text(&self, path: &str) -> Result<String, LintError> {
        let Ok(id) = self.tree.resolve(path) else { return Ok(String::new()) };
        let Kind::File(content) = &self.tree.node(id).kind else { return Ok(String::new()) };
        let bytes = self.start(path, content, 16 << 20)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn largest(&self) -> Vec<(String, u64)> {
        let mut sizes: Vec<(String, u64)> =
            self.database.packages.iter().map(|package| (package.name.clone(), 0)).collect();
        for (name, content) in self.files() {
            if let Some((_, size)) = name.owner.and_then(|owner| sizes.get_mut(owner)) {
                *size += content.size;
            }
        }
        sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sizes.truncate(LARGEST);
        sizes
    }
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}
