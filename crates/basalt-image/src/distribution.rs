//! What a distribution's images look like, as data: where the kernel is, how packages are installed, what starts first.
//!
//! ```text
//! OsRelease::parse(text)   ID, ID_LIKE, …            (os-release(5))
//! of(&os_release)          the row of the table       ID first, then each word of ID_LIKE
//! init_system(&tree)       by the files that are there, because every distribution has more than one
//! ```
//!
//! A new distribution is a new row in [`table`], and nothing else.

mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use basalt_formats::tree::Tree;

pub use table::{APK, APT, DNF, PACMAN, TABLE, ZYPPER};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// What people call it.
    pub name: &'static str,
    /// The values of `ID` that are it. Relatives are found by their `ID_LIKE`.
    pub ids: &'static [&'static str],
    /// Where the kernel's boot image is, the first that is there: `VERSION` is the name of a module directory,
    /// `FLAVOUR` what follows its last `-`.
    pub kernels: &'static [&'static str],
    /// Where module directories are.
    pub modules: &'static [&'static str],
    /// What installs packages.
    pub packages: &'static PackageManager,
    /// Packages that hold a kernel for machines, one of which is enough.
    pub kernel_packages: &'static [&'static str],
}

/// How packages are installed without anybody to ask. The commands are words, not a shell's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageManager {
    /// The program, which shows whether an image has it.
    pub program: &'static str,
    /// Learns what packages there are.
    pub update: &'static [&'static str],
    /// Installs the packages whose names follow.
    pub install: &'static [&'static str],
    /// Removes what was fetched.
    pub clean: &'static [&'static str],
    /// Variables that keep it from asking.
    pub environment: &'static [(&'static str, &'static str)],
    /// Folders with what it fetched and learnt, whose content is not part of an image.
    pub leftovers: &'static [&'static str],
}

/// What starts first on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InitSystem {
    /// systemd.
    Systemd,
    /// OpenRC, whoever runs as process 1 for it.
    OpenRc,
}

/// The assignments of an os-release file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease(BTreeMap<String, String>);

/// The programs that show that systemd is there.
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
/// The programs that show that OpenRC is there.
const OPENRC: [&str; 3] = ["/usr/sbin/openrc", "/sbin/openrc", "/usr/bin/openrc"];

impl OsRelease {
    /// Reads the text of an os-release file (os-release(5)): assignments as a shell takes them, without expansions. Lines
    /// that are none are passed over, as everybody does.
    pub fn parse(text: &str) -> Self {
        let assignment = |line: &str| {
            let (key, value) = line.trim().split_once('=')?;
            let name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            name.then(|| (key.to_owned(), unquoted(value)))
        };
        Self(text.lines().filter_map(assignment).collect())
    }

    /// A value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// `ID`, and then those it is like, the nearest first. An image that says nothing is some Linux.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let like = self.get("ID_LIKE").unwrap_or_default();
        std::iter::once(self.get("ID").unwrap_or("linux")).chain(like.split_ascii_whitespace())
    }
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            let mut plain = String::new();
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                // In double quotes, a backslash takes the next one as it is.
                let escaped = (character == '\\' && quote == '"').then(|| characters.next()).flatten();
                plain.push(escaped.unwrap_or(character));
            }
            return plain;
        }
    }
    value.to_owned()
}

/// The distribution of an image, or the one it is like.
pub fn of(os_release: &OsRelease) -> Option<&'static Distribution> {
    os_release.ids().find_map(|id| TABLE.iter().find(|row| row.ids.contains(&id)))
}

/// What starts first. An image with both is one of systemd only if `/sbin/init` leads there.
pub fn init_system(tree: &Tree) -> Option<InitSystem> {
    let there = |paths: &[&str]| paths.iter().find_map(|path| tree.resolve(path).ok());
    let systemd = there(&SYSTEMD);
    let openrc = there(&OPENRC);
    match (systemd, openrc) {
        (Some(_), None) => Some(InitSystem::Systemd),
        (None, Some(_)) => Some(InitSystem::OpenRc),
        (None, None) => None,
        (Some(program), Some(_)) => {
            let first = tree.resolve("/sbin/init").ok();
            Some(if first == Some(program) { InitSystem::Systemd } else { InitSystem::OpenRc })
        }
    }
}

impl Distribution {
    /// Where the boot image of this kernel may be, the likeliest first.
    pub fn kernel_paths(&self, version: &str) -> Vec<String> {
        let flavour = version.rsplit_once('-').map_or(version, |(_, flavour)| flavour);
        let filled = |path: &&str| path.replace("VERSION", version).replace("FLAVOUR", flavour);
        self.kernels.iter().map(filled).collect()
    }
}
