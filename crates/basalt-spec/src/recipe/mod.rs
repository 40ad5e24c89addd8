//! The recipe: what a person writes to get an image.
//!
//! `text → Recipe::parse → Recipe` (every word checked, every default filled in, no contradiction) or every problem
//! with its place. A recipe says what is wanted; which packages that means is the lock's.

mod afar;
mod base;
mod check;
mod disk;
mod file;
mod implied;
mod inherit;
mod oci;
mod output;
mod script;
mod template;
mod user;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use basalt_types::{Architecture, ImageName, ImageVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use base::{Base, DebianBase, Pocket};
pub use disk::{Compression, Disk, FileSystem, SlotSize};
pub use file::{FileContent, FileEntry, RELEASE_KEYS};
pub use implied::Implied;
pub use inherit::Written;
pub use oci::OciBase;
pub use output::{Output, OutputSource};
pub use script::Script;
pub use template::TEMPLATE;
pub use user::User;

use crate::{
    diagnostic::SpecError,
    words::{
        Hostname, KernelArg, Keymap, LocaleName, PackageName, PackageSpec, RecipePath, RelativePath,
        Timezone, UnitName,
    },
};

/// An image: what goes in, how it is set up and what is made of it.
///
/// Only `apiVersion`, `kind` and `name` must be written; every other key has a default that works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a recipe: keys and values")]
pub struct Recipe {
    /// The version of this language.
    pub api_version: ApiVersion,
    /// What sort of document this is.
    pub kind: RecipeKind,
    /// The image's name: `IMAGE_ID` in os-release and the start of every artifact's file name.
    pub name: ImageName,
    /// The image's version: `IMAGE_VERSION` in os-release. A machine boots the newest one that works.
    #[serde(default = "first_version")]
    pub version: ImageVersion,
    /// The processor that the image is for.
    #[serde(default = "amd64")]
    pub architecture: Architecture,
    /// The recipe that this one starts from. Its packages, files, users, units and script are there already; what is
    /// written here is added. Other keys count as if they were written here, too, unless they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RecipePath>,
    /// Where packages come from.
    #[serde(default)]
    pub base: Base,
    /// Packages to install, beside those that Debian requires and those that other keys here need.
    #[serde(default)]
    pub packages: Vec<PackageSpec>,
    /// Whether packages that others recommend are installed too.
    #[serde(default)]
    pub recommends: bool,
    /// Packages that must not be installed, whoever recommends or implies them.
    #[serde(default)]
    pub deselect: Vec<PackageName>,
    /// Which kernel boots the image.
    #[serde(default)]
    pub kernel: Kernel,
    /// Arguments of the kernel's command line, after those that Basalt writes.
    #[serde(default)]
    pub kernel_arguments: Vec<KernelArg>,
    /// Files, directories and symbolic links to add; they win over what packages bring.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// Who may sign releases for machines with this image: files with a public key or a certificate in PEM, such as
    /// `keys/release.pub`. Such a machine upgrades to nothing that none of them signed. Without this, it upgrades to
    /// whatever the registry gives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release_keys: Vec<RelativePath>,
    /// Which systemd units start.
    #[serde(default)]
    pub units: Units,
    /// Accounts to make, or to change if a package makes them; `root` may be here too.
    #[serde(default)]
    pub users: Vec<User>,
    /// The system's language. All but `C`, `C.UTF-8` and `POSIX` are generated at build time.
    #[serde(default = "c_utf8")]
    pub locale: LocaleName,
    /// The system's time zone.
    #[serde(default = "utc")]
    pub timezone: Timezone,
    /// The host name until the network or an operator gives another. The image's name if not written.
    #[serde(default)]
    pub hostname: Option<Hostname>,
    /// The console's keyboard. The kernel's own (US) if not written.
    #[serde(default)]
    pub keymap: Option<Keymap>,
    /// Commands to run inside the image after everything else is in place, as root, without a network.
    #[serde(default)]
    pub script: Option<Script>,
    /// How the disk is divided.
    #[serde(default)]
    pub disk: Disk,
    /// What to make.
    #[serde(default = "disk_only")]
    pub outputs: BTreeSet<Output>,
}

/// The versions of this language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first one. Keys may still change; a recipe that would mean something else is refused.
    #[serde(rename = "basalt.dev/v1alpha1")]
    V1Alpha1,
}

/// The sort of document that a recipe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecipeKind {
    /// An image's recipe.
    Recipe,
}

/// Which kernel boots the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping such as `package: linux-image-amd64`"
)]
pub struct Kernel {
    /// The kernel's package, or `none` for a tree that is not booted. `linux-image-amd64` or `linux-image-arm64`
    /// if not written.
    #[serde(default)]
    pub package: Option<PackageName>,
}

/// Which systemd units start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping of `enable`, `disable` and `mask`"
)]
pub struct Units {
    /// Units that start as their `[Install]` section says.
    #[serde(default)]
    pub enable: Vec<UnitName>,
    /// Units that don't start by themselves, though a package enables them.
    #[serde(default)]
    pub disable: Vec<UnitName>,
    /// Units that can't be started at all.
    #[serde(default)]
    pub mask: Vec<UnitName>,
}

impl Recipe {
    /// Reads a recipe. `file` is its name in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text, with places: see [`SpecError`].
    pub fn parse(file: &str, text: &str) -> Result<Self, SpecError> {
        Written::parse(file, text).map(Written::alone)
    }

    /// The host name: the recipe's, or else the image's name.
    pub fn hostname(&self) -> Hostname {
        self.hostname.clone().unwrap_or_else(|| Hostname::of_image(&self.name))
    }

    /// The kernel's package; `None` when the recipe says `none`.
    pub fn kernel_package(&self) -> Option<PackageName> {
        match &self.kernel.package {
            Some(package) if package.as_str() == "none" => None,
            Some(package) => Some(package.clone()),
            None => Some(PackageName::kernel_of(self.architecture)),
        }
    }
}

fn first_version() -> ImageVersion {
    ImageVersion::first()
}

const fn amd64() -> Architecture {
    Architecture::Amd64
}

fn c_utf8() -> LocaleName {
    LocaleName::c_utf8()
}

fn utc() -> Timezone {
    Timezone::utc()
}

fn disk_only() -> BTreeSet<Output> {
    BTreeSet::from([Output::Disk])
}
