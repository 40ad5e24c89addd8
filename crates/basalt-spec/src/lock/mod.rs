//! The lock: every package that a recipe means, by digest.
//!
//! `basalt-debian` and `basalt-fetch` make it; a build takes nothing else. The file is pretty JSON with a fixed order,
//! so that a review shows what changed. [`Lock::parse`] refuses unknown keys, another version and broken order.

mod diff;
mod oci;

#[cfg(test)]
mod tests;

use basalt_types::{Architecture, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use diff::{ChangeSort, LockChange, LockDiff};
pub use oci::{LockedImage, LockedLayer};

use crate::{
    canonical,
    recipe::Recipe,
    words::{
        Component, Fingerprint, PackageArchitecture, PackageFile, PackageName, PackageVersion, RelativePath,
        RepositoryUrl, Suite,
    },
};

/// The version of the lock's format that this crate writes and reads.
pub const LOCK_VERSION: u32 = 1;

/// Every package of an image, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// The format: 1.
    pub version: u32,
    /// The part of the recipe that decides packages: [`Recipe::resolution_digest`].
    pub recipe_digest: Digest,
    /// The [`Lock::content_digest`] of the recipe that this one starts from. Its packages are all here, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Digest>,
    /// The architecture that packages were chosen for.
    pub architecture: Architecture,
    /// Unix seconds of the newest index: every time in the image is at most this.
    pub epoch: u64,
    /// The indices that packages were chosen from, in the order of preference.
    pub sources: Vec<LockedSource>,
    /// The packages, by name and then architecture.
    pub packages: Vec<LockedPackage>,
    /// The OCI image that the recipe starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<LockedImage>,
}

/// One verified index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedSource {
    /// The archive's address; package paths are relative to it.
    pub uri: RepositoryUrl,
    /// The suite as it was asked for, such as `trixie-updates`.
    pub suite: Suite,
    /// The components that were read.
    pub components: Vec<Component>,
    /// The digest of the signed Release file as it was fetched.
    pub release_digest: Digest,
    /// Unix seconds of its `Date`.
    pub date: u64,
    /// The keys whose signature was good.
    #[serde(default)]
    pub signed_by: Vec<Fingerprint>,
}

/// One package at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: PackageVersion,
    /// Its architecture.
    pub architecture: PackageArchitecture,
    /// Bytes of the `.deb` file.
    pub size: u64,
    /// The digest of the `.deb` file.
    pub sha256: Digest,
    /// Where the file is.
    pub origin: Origin,
    /// Why it is in the image.
    pub reason: Reason,
}

/// Where a package's file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Origin {
    /// In an archive.
    #[serde(rename_all = "camelCase")]
    Archive {
        /// Which of [`Lock::sources`].
        source: u32,
        /// The path below the archive's address (`Filename:` of the index).
        path: RelativePath,
    },
    /// Beside the recipe.
    File(PackageFile),
}

/// Why a package is in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Every Debian system has it: essential, or of priority required.
    Base,
    /// The recipe names it.
    Recipe,
    /// A key of the recipe needs it: which one, as in [`crate::Implied::key`].
    Implied(String),
    /// Another package depends on it: the first one found.
    DependencyOf(PackageName),
    /// Another package recommends it.
    RecommendedBy(PackageName),
}

/// Why a text is not a lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not JSON, or not of this shape.
    #[error("line {line}, column {column}: {message}")]
    Shape {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Written by another version of Basalt.
    #[error(
        "the lock has format {0}, and this program reads {LOCK_VERSION}: make it again with `basalt lock`"
    )]
    Version(u32),
    /// Edited by hand or merged wrongly.
    #[error("`{0}` is not where it belongs in the list of packages: make the lock again with `basalt lock`")]
    Order(PackageName),
    /// A package names a source that is not there.
    #[error("`{package}` comes from source {source_index}, and there are {count}")]
    Source {
        /// The package.
        package: PackageName,
        /// The source it names.
        source_index: u32,
        /// How many there are.
        count: usize,
    },
}

/// Why a lock is not a recipe's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockMisfit {
    /// The recipe asks for other packages now.
    #[error("the recipe asks for other packages than those the lock was made for: run `basalt lock`")]
    Recipe {
        /// What the recipe asks for now.
        recipe: Digest,
        /// What the lock was made for.
        lock: Digest,
    },
    /// What the recipe starts from has other packages now.
    #[error(
        "the recipe that this one starts from has other packages than those the lock was made for: run `basalt lock`"
    )]
    Below,
    /// Another processor.
    #[error("the recipe is for {recipe} and the lock for {lock}: run `basalt lock`")]
    Architecture {
        /// The recipe's.
        recipe: Architecture,
        /// The lock's.
        lock: Architecture,
    },
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// When it is not of the exact shape that [`Lock::to_json`] writes (white space apart).
    pub fn parse(text: &str) -> Result<Self, LockError> {
        // The version first: another format may have other keys.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let shape = |error: serde_json::Error| LockError::Shape {
            line: error.line(),
            column: error.column(),
            message: without_position(&error),
        };
        let Head { version } = serde_json::from_str(text).map_err(shape)?;
        if version != LOCK_VERSION {
            return Err(LockError::Version(version));
        }
        let lock: Self = serde_json::from_str(text).map_err(shape)?;
        lock.check()?;
        Ok(lock)
    }

    /// The lock as its file has it: pretty JSON and a newline.
    pub fn to_json(&self) -> String {
        canonical::pretty(self)
    }

    /// Puts the packages into their order.
    pub fn sort(&mut self) {
        self.packages.sort_by(|a, b| order(a).cmp(&order(b)));
    }

    /// Whether the lock was made for what the recipe asks, on top of what lies below.
    ///
    /// # Errors
    /// What differs.
    pub fn fits_over(&self, recipe: &Recipe, below: Option<&Self>) -> Result<(), LockMisfit> {
        if self.below != below.map(Self::content_digest) {
            return Err(LockMisfit::Below);
        }
        self.fits(recipe)
    }

    /// The packages that `below` does not have.
    pub fn added_to(&self, below: Option<&Self>) -> Vec<&LockedPackage> {
        let there = |package: &&LockedPackage| {
            below.is_none_or(|below| {
                below
                    .packages
                    .iter()
                    .all(|other| order(other) != order(package) || other.sha256 != package.sha256)
            })
        };
        self.packages.iter().filter(there).collect()
    }

    /// Whether the lock was made for what the recipe asks.
    ///
    /// # Errors
    /// What differs.
    pub fn fits(&self, recipe: &Recipe) -> Result<(), LockMisfit> {
        if recipe.architecture != self.architecture {
            let (recipe, lock) = (recipe.architecture, self.architecture);
            return Err(LockMisfit::Architecture { recipe, lock });
        }
        let asked = recipe.resolution_digest();
        if asked != self.recipe_digest {
            return Err(LockMisfit::Recipe { recipe: asked, lock: self.recipe_digest });
        }
        Ok(())
    }

    /// The digest of what enters an image: packages, layers and the epoch, not where they were fetched. Two mirrors of one
    /// archive give the same.
    pub fn content_digest(&self) -> Digest {
        let packages = self.packages.iter().map(|package| {
            serde_json::json!([package.name, package.version, package.architecture, package.sha256])
        });
        let mut content = serde_json::json!({
            "format": LOCK_VERSION,
            "architecture": self.architecture,
            "epoch": self.epoch,
            "packages": packages.collect::<Vec<_>>(),
        });
        if let Some(image) = &self.oci {
            let layers: Vec<&Digest> = image.layers.iter().map(|layer| &layer.diff_id).collect();
            content["layers"] = serde_json::json!(layers);
        }
        canonical::digest(&content)
    }

    /// The package of this name, if there is one.
    pub fn package(&self, name: &PackageName) -> Option<&LockedPackage> {
        self.packages.iter().find(|package| package.name == *name)
    }

    /// The sum of the `.deb` files, in bytes.
    pub fn download_size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).fold(0, u64::saturating_add)
    }

    fn check(&self) -> Result<(), LockError> {
        for pair in self.packages.windows(2) {
            if order(&pair[0]) >= order(&pair[1]) {
                return Err(LockError::Order(pair[1].name.clone()));
            }
        }
        for package in &self.packages {
            match &package.origin {
                Origin::Archive { source, .. } => {
                    if usize::try_from(*source).map_or(true, |source| source >= self.sources.len()) {
                        let (package, count) = (package.name.clone(), self.sources.len());
                        return Err(LockError::Source { package, source_index: *source, count });
                    }
                }
                Origin::File(_) => {}
            }
        }
        Ok(())
    }
}

fn order(package: &LockedPackage) -> (&PackageName, &PackageArchitecture) {
    (&package.name, &package.architecture)
}

/// serde_json's message without the position, which the error has as numbers.
pub(crate) fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
