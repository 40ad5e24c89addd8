//! What every image gets whatever its recipe says: the shape that a read-only, verified root needs.
//!
//! A table of rules, each one function with its reason, applied in order: leftovers of the build go, what must be
//! writable moves to `/var`, what makes a machine that machine goes, the image's own name comes in, `/var` becomes a
//! seed, and every time is at most the epoch. The same tree and the same input give the same tree.
//!
//! The caller takes the kernel and its modules from the tree first: `/boot` is empty afterwards.

mod identity;
mod leftovers;
mod seed;
mod tmpfiles;
mod writable;

#[cfg(test)]
mod tests;

use std::fmt;

use basalt_formats::tree::{ReadContent, Tree, TreeError};
use basalt_spec::ImageInfo;

use crate::{
    customise::{EditError, Editor, UnitError},
    layout::LayoutSpec,
};

/// What finalising takes beside the tree.
#[derive(Clone, Copy)]
pub struct Finalisation<'a> {
    /// What the image says of itself.
    pub info: &'a ImageInfo<LayoutSpec>,
    /// Where stored content of the tree is.
    pub reader: &'a dyn ReadContent,
    /// Seconds since 1970: no time in the image is later.
    pub epoch: u64,
}

/// A rule that could not be followed.
#[derive(Debug, thiserror::Error)]
#[error("the rule `{rule}` can't be followed")]
pub struct FinaliseError {
    /// The rule's name in [`RULES`].
    pub rule: &'static str,
    /// Why.
    #[source]
    pub cause: FinaliseCause,
}

/// Why a rule could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum FinaliseCause {
    /// The tree can't be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A unit of ours can't be enabled.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A kind of file that a seed can't recreate.
    #[error("`{0}` is a device or socket in /var, which no first boot can recreate")]
    NoSeed(String),
    /// A name that is not text.
    #[error("`{0}` in /var has a name that is not UTF-8")]
    Name(String),
}

/// One rule: its name, the reason for it, what it does.
pub struct Rule {
    /// A short name for messages and tests.
    pub name: &'static str,
    /// Why every image gets it.
    pub why: &'static str,
    apply: fn(&mut Editor<'_>, &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause>,
}

/// All rules in the order in which they apply.
pub const RULES: [Rule; 17] = [
    Rule {
        name: "leftovers",
        why: "logs, locks, caches and backups of the build say when it ran, and nothing about the image",
        apply: leftovers::remove,
    },
    Rule {
        name: "mount-points",
        why: "what is mounted over is never read, and a missing mount point can't be made on a read-only root",
        apply: leftovers::mount_points,
    },
    Rule {
        name: "boot",
        why: "the kernel is in the UKI on the ESP, which systemd mounts at an empty /efi",
        apply: leftovers::boot,
    },
    Rule {
        name: "package-database",
        why: "it describes /usr and must change with it: /var outlives an upgrade",
        apply: writable::package_database,
    },
    Rule {
        name: "writable-folders",
        why: "people and programs write to them, and only /var can be written",
        apply: writable::folders,
    },
    Rule {
        name: "machine-id",
        why: "empty and present: systemd makes one at boot without taking the boot for a first one",
        apply: identity::machine_id,
    },
    Rule {
        name: "ssh-host-keys",
        why: "each machine has its own, on /var; a key in an image is everybody's key",
        apply: identity::ssh_host_keys,
    },
    Rule {
        name: "os-release",
        why: "IMAGE_ID and IMAGE_VERSION are where programs look for an image's name (os-release(5))",
        apply: identity::os_release,
    },
    Rule {
        name: "image-info",
        why: "the first boot makes partitions by it, and `basalt-agent status` shows it",
        apply: identity::image_info,
    },
    Rule {
        name: "file-system-table",
        why: "nothing is mounted by it, and a missing one is a warning at each boot",
        apply: identity::file_system_table,
    },
    Rule {
        name: "resolver",
        why: "a resolver's address from the build host is wrong everywhere else",
        apply: identity::resolver,
    },
    Rule {
        name: "units",
        why: "the first boot's services must start whatever presets or the recipe say",
        apply: identity::units,
    },
    Rule {
        name: "package-timers",
        why: "nothing installs packages on the machine, so timers of apt and dpkg would only fail",
        apply: identity::package_timers,
    },
    Rule {
        name: "up-to-date",
        why: "/etc fits /usr by construction; systemd would else rebuild caches in it at each boot (systemd-update-done(8))",
        apply: identity::up_to_date,
    },
    Rule {
        name: "lines-of-links",
        why: "lines of packages would make directories where links are: what they make below belongs in /var",
        apply: tmpfiles::follow_links,
    },
    Rule {
        name: "seed",
        why: "a new data volume is empty: systemd-tmpfiles fills it with what packages keep in /var",
        apply: seed::seed,
    },
    Rule {
        name: "times",
        why: "the same lock must give the same bytes, whenever it is built",
        apply: leftovers::times,
    },
];

/// Applies every rule to `tree`.
///
/// # Errors
/// The first rule that can't be followed. The tree is then half changed and good for nothing.
pub fn finalise(tree: &mut Tree, with: Finalisation<'_>) -> Result<(), FinaliseError> {
    let Finalisation { info, reader, epoch } = with;
    let mut editor = Editor::new(tree, reader, epoch);
    for Rule { name, apply, .. } in RULES {
        apply(&mut editor, info).map_err(|cause| FinaliseError { rule: name, cause })?;
    }
    Ok(())
}

impl From<TreeError> for FinaliseCause {
    fn from(error: TreeError) -> Self {
        Self::Edit(error.into())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Finalisation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finalisation").field("info", self.info).finish_non_exhaustive()
    }
}
