//! A recipe with everything it leaves open decided: what an image's id names.

use std::collections::{BTreeMap, BTreeSet};

use basalt_types::Digest;
use serde_json::{Value, json};

use crate::{
    canonical::{self, canonical, digest},
    lock::Lock,
    recipe::{FileContent, Recipe, Script},
    words::{PackageSpec, RelativePath},
};

/// The version of the way ids are made. A change of it changes every id, so it changes with the meaning only.
const ID_FORMAT: u64 = 2;

/// A recipe, its lock, and the digest of each file beside the recipe that goes into the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRecipe {
    recipe: Recipe,
    lock: Lock,
    files: BTreeMap<RelativePath, Digest>,
}

/// Why a recipe is not resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The lock is not this recipe's.
    #[error(transparent)]
    Lock(#[from] crate::lock::LockMisfit),
    /// A file that the recipe names was not read.
    #[error("the digest of `{0}` is not known")]
    MissingDigest(RelativePath),
}

impl Recipe {
    /// The recipe with every default filled in, as canonical JSON.
    pub fn to_canonical_json(&self) -> String {
        canonical(&self.effective())
    }

    /// The digest of what decides the packages: a lock belongs to it.
    pub fn resolution_digest(&self) -> Digest {
        let Value::Object(mut all) = self.effective() else { return digest(&Value::Null) };
        let wanted = ["architecture", "base", "packages", "recommends", "deselect"];
        let mut asked: BTreeMap<String, Value> = wanted
            .iter()
            .filter_map(|key| all.remove(*key).map(|value| ((*key).to_owned(), value)))
            .collect();
        let implied = self.implied_packages().into_iter().map(|implied| implied.package.to_string());
        asked.insert("implied".to_owned(), implied.collect());
        asked.insert("format".to_owned(), ID_FORMAT.into());
        digest(&canonical::json(&asked))
    }

    /// The files beside the recipe that go into the image: sources of `files`, `releaseKeys` and `script`. Local packages are
    /// in the lock, and the keyring goes nowhere.
    pub fn local_files(&self) -> BTreeSet<RelativePath> {
        let sources = self.all_files().filter_map(|file| match file.content {
            FileContent::Source(path) => Some(path),
            FileContent::Inline(_) | FileContent::Link(_) | FileContent::Directory => None,
        });
        let script = self.script.iter().filter_map(|script| match script {
            Script::Source(path) => Some(path.clone()),
            Script::Inline(_) => None,
        });
        sources.chain(script).collect()
    }

    /// The `.deb` files beside the recipe that it installs.
    pub fn local_packages(&self) -> Vec<crate::words::PackageFile> {
        let file = |package: &PackageSpec| match package {
            PackageSpec::File(path) => Some(path.clone()),
            PackageSpec::Any(_) | PackageSpec::Exact(..) => None,
        };
        self.packages.iter().filter_map(file).collect()
    }

    /// What the recipe means: every value that was left open has its default, every set one order.
    fn effective(&self) -> Value {
        let mut recipe = self.clone();
        recipe.hostname = Some(self.hostname());
        recipe.kernel.package =
            self.kernel_package().or_else(|| Some(crate::words::PackageName::known("none")));
        recipe.base.debian.pockets = Some(self.base.debian.pockets());
        recipe.base.debian.check_valid_until = self.base.debian.checks_valid_until();
        recipe.packages.sort();
        recipe.deselect.sort();
        canonical::json(&recipe)
    }
}

impl ResolvedRecipe {
    /// Joins what belongs together.
    ///
    /// # Errors
    /// When the lock is another recipe's, or a file's digest is missing. Digests that no key asks for are left out.
    pub fn new(
        recipe: Recipe,
        lock: Lock,
        mut digests: BTreeMap<RelativePath, Digest>,
    ) -> Result<Self, ResolveError> {
        lock.fits(&recipe)?;
        let mut files = BTreeMap::new();
        for path in recipe.local_files() {
            let digest = digests.remove(&path).ok_or_else(|| ResolveError::MissingDigest(path.clone()))?;
            files.insert(path, digest);
        }
        Ok(Self { recipe, lock, files })
    }

    /// The image's id: the digest of
    /// `{"files":{PATH:DIGEST},"format":2,"lock":DIGEST,"recipe":{…}}` in canonical JSON.
    ///
    /// `recipe` is without `outputs`: a release is the same release in every container.
    /// `lock` is [`Lock::content_digest`]: where packages came from doesn't change what they are.
    pub fn id(&self) -> Digest {
        let mut recipe = self.recipe.effective();
        if let Value::Object(keys) = &mut recipe {
            keys.remove("outputs");
        }
        digest(&json!({
            "format": ID_FORMAT,
            "recipe": recipe,
            "lock": self.lock.content_digest(),
            "files": canonical::json(&self.files),
        }))
    }

    /// The recipe.
    pub const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Its lock.
    pub const fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The digest of each file beside the recipe that goes into the image.
    pub const fn files(&self) -> &BTreeMap<RelativePath, Digest> {
        &self.files
    }
}
