//! Decides how packages get onto an empty tree: which are unpacked by us, all at once, and which by the image's own
//! dpkg because only it knows the answer. Pure: control data in, plan out.
//!
//! ```text
//! Unpackable::parse(control files)  → plan(&packages, &shared)  → direct, by dpkg (each with its reason)
//!                                        ▲                             │ unpacking finds a path in two packages
//!                                        └─────────── again ───────────┘
//! ```
//!
//! dpkg's rules for a path that two packages ship (Replaces, diversions, Multi-Arch) are not repeated here: such
//! packages are dpkg's. Neither are the rules of packages that divert, or lack what dpkg would have to compute.
//!
//! The *bootstrap set* (Essential packages, dpkg and what they depend on) is always unpacked directly, because without
//! it no maintainer script and no dpkg can run; where it also needs dpkg's judgement, dpkg unpacks it once more.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    archive::ControlFile,
    control::{Paragraph, Paragraphs},
};

/// A package about to be unpacked: its control data, parsed.
#[derive(Debug, Clone)]
pub struct Unpackable {
    /// `Package`.
    pub name: String,
    /// `Version`.
    pub version: String,
    /// `Architecture`.
    pub architecture: String,
    /// Whether `Multi-Arch` is `same`, which puts the architecture into the names of dpkg's files.
    pub same: bool,
    /// Whether it is `Essential`.
    pub essential: bool,
    /// Names that its `Pre-Depends` and `Depends` mention, all alternatives.
    pub needs: Vec<String>,
    /// Names that it `Provides`.
    pub provides: Vec<String>,
    /// `Installed-Size` in bytes, as the package says; 0 when it does not.
    pub installed_size: u64,
    /// Its configuration files, as absolute paths.
    pub conffiles: BTreeSet<String>,
    /// The control paragraph, ending with a newline.
    pub control: String,
    /// The other control files.
    pub files: Vec<ControlFile>,
}

/// Why a control archive makes no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackableError {
    /// A file that must be there is not.
    #[error("`{package}` has no file `control`")]
    NoControl {
        /// The package file.
        package: String,
    },
    /// A field that must be there is not.
    #[error("the control file of `{package}` has no field `{field}`")]
    NoField {
        /// The package file.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// A file that must be text is not.
    #[error("the control file `{file}` of `{package}` is not UTF-8")]
    NotText {
        /// The package file.
        package: String,
        /// The file.
        file: String,
    },
}

/// Why a package is left to dpkg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its preinst calls dpkg-divert or dpkg-statoverride, which decide where and how files are unpacked.
    Diverts,
    /// It has no `md5sums`: dpkg computes them while unpacking.
    NoChecksums,
    /// A line of its `conffiles` has a flag.
    ConffileFlags,
    /// A path of it is also another package's.
    SharedPath,
}

/// Who unpacks what. Numbers are places in the list that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackPlan {
    /// Unpacked by us, in the order that decides which package a directory's mode comes from.
    pub direct: Vec<usize>,
    /// The bootstrap set, which is to be configured before all else: scripts of others count on what it makes.
    pub first: Vec<usize>,
    /// The members of `direct` that are registered in dpkg's database by us: those that dpkg does not unpack again.
    pub registered: Vec<usize>,
    /// Unpacked by dpkg afterwards, in this order.
    pub by_dpkg: Vec<(usize, Reason)>,
}

impl Unpackable {
    /// Parses the files of a control archive; `shown` names the package in errors.
    ///
    /// # Errors
    /// When the control paragraph is missing, not text or incomplete.
    pub fn parse(shown: &str, files: Vec<ControlFile>) -> Result<Self, UnpackableError> {
        let text = |name: &str| match files.iter().find(|file| file.name == name) {
            None => Ok(None),
            Some(file) => match std::str::from_utf8(&file.bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(UnpackableError::NotText { package: shown.to_owned(), file: name.to_owned() }),
            },
        };
        let control = text("control")?.and_then(|text| Paragraphs::new(text).next());
        let control = control.ok_or_else(|| UnpackableError::NoControl { package: shown.to_owned() })?;
        let field = |field: &'static str| {
            let found = control.get(field).map(str::to_owned);
            found.ok_or_else(|| UnpackableError::NoField { package: shown.to_owned(), field })
        };
        let conffiles = text("conffiles")?.unwrap_or_default();
        Ok(Self {
            name: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
            same: control.get("Multi-Arch") == Some("same"),
            essential: control.get("Essential") == Some("yes"),
            needs: [names(&control, "Pre-Depends"), names(&control, "Depends")].concat(),
            provides: names(&control, "Provides"),
            installed_size: control.get("Installed-Size").and_then(|kib| kib.parse().ok()).map_or(0, kib),
            conffiles: conffiles
                .lines()
                .map(|line| line.trim().to_owned())
                .filter(|l| !l.is_empty())
                .collect(),
            control: format!("{}\n", control.text().trim_end()),
            files: files.into_iter().filter(|file| file.name != "control").collect(),
        })
    }

    /// The name as dpkg's own files carry it: with the architecture when several may be installed.
    pub fn key(&self) -> String {
        if self.same { format!("{}:{}", self.name, self.architecture) } else { self.name.clone() }
    }

    /// A control file by name.
    pub fn file(&self, name: &str) -> Option<&ControlFile> {
        self.files.iter().find(|file| file.name == name)
    }

    fn reason(&self) -> Option<Reason> {
        let preinst = self.file("preinst").map(|file| String::from_utf8_lossy(&file.bytes));
        let decides = |text: &str| text.contains("dpkg-divert") || text.contains("dpkg-statoverride");
        if preinst.is_some_and(|text| decides(&text)) {
            Some(Reason::Diverts)
        } else if self.file("md5sums").is_none() {
            Some(Reason::NoChecksums)
        } else if self.conffiles.iter().any(|line| !line.starts_with('/') || line.contains(' ')) {
            Some(Reason::ConffileFlags)
        } else {
            None
        }
    }
}

/// Debian policy 5.6.20: in units of 1024 bytes.
fn kib(count: u32) -> u64 {
    u64::from(count) << 10
}

/// The names in a relation field, without versions, architectures and qualifiers.
fn names(control: &Paragraph<'_>, field: &str) -> Vec<String> {
    let value = control.get(field).unwrap_or_default();
    let name = |relation: &str| {
        let end = relation.find([' ', '(', ':', '[', '<', '\n']).unwrap_or(relation.len());
        relation[..end].to_owned()
    };
    value.split([',', '|']).map(str::trim).filter(|relation| !relation.is_empty()).map(name).collect()
}

/// Who unpacks what; `shared` holds the packages that an earlier try found to have a path in common.
///
/// A bootstrap package that diverts is unpacked and its preinst run by us: what it diverted is checked afterwards.
pub fn plan(packages: &[Unpackable], shared: &BTreeSet<usize>) -> UnpackPlan {
    let bootstrap = bootstrap_set(packages);
    let mut order: Vec<usize> = (0..packages.len()).collect();
    // base-files says what the modes of common directories are; Essential packages speak before the others.
    order.sort_by_key(|index| {
        let package = &packages[*index];
        (package.name != "base-files", !bootstrap.contains(index), &package.name, &package.architecture)
    });
    let mut plan = UnpackPlan {
        direct: Vec::new(),
        first: bootstrap.iter().copied().collect(),
        registered: Vec::new(),
        by_dpkg: Vec::new(),
    };
    for index in order {
        let own = packages[index]
            .reason()
            .filter(|reason| *reason != Reason::Diverts || !bootstrap.contains(&index));
        let reason = own.or_else(|| shared.contains(&index).then_some(Reason::SharedPath));
        if reason.is_none() || bootstrap.contains(&index) {
            plan.direct.push(index);
        }
        match reason {
            None => plan.registered.push(index),
            Some(reason) => plan.by_dpkg.push((index, reason)),
        }
    }
    plan
}

/// What maintainer scripts may count on: Essential packages, dpkg and base-passwd, and all they depend on. Where an
/// alternative or a virtual package is meant, every candidate counts.
fn bootstrap_set(packages: &[Unpackable]) -> BTreeSet<usize> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        for name in std::iter::once(&package.name).chain(&package.provides) {
            by_name.entry(name).or_default().push(index);
        }
    }
    let seed = |package: &Unpackable| package.essential || ["dpkg", "base-passwd"].contains(&&*package.name);
    let mut pending: Vec<usize> = (0..packages.len()).filter(|index| seed(&packages[*index])).collect();
    let mut found = BTreeSet::new();
    while let Some(index) = pending.pop() {
        if found.insert(index) {
            let needed = packages[index].needs.iter().filter_map(|name| by_name.get(name.as_str()));
            pending.extend(needed.flatten());
        }
    }
    found
}

/// Which packages ship a path that `diversions` (the text of `/var/lib/dpkg/diversions`) moves elsewhere. Paths are
/// compared as written, as dpkg does.
pub fn diverted(
    diversions: &str,
    ships: &mut dyn FnMut(&str) -> Vec<usize>,
    name: &dyn Fn(usize) -> String,
) -> BTreeSet<usize> {
    let lines: Vec<&str> = diversions.lines().collect();
    let mut found = BTreeSet::new();
    for record in lines.chunks_exact(3) {
        let (from, owner) = (record[0], record[2]);
        found.extend(ships(from).into_iter().filter(|index| name(*index) != owner));
    }
    found
}

#[cfg(test)]
mod tests;
