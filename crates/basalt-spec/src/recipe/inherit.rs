//! A recipe that starts from another one.

use std::collections::BTreeSet;

use super::{Recipe, afar, check};
use crate::{diagnostic::SpecError, words::RecipePath, yaml};

/// A recipe as it was written: which keys are there, and which only have their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    recipe: Recipe,
    keys: BTreeSet<String>,
}

impl Written {
    /// Reads a recipe. `file` is its name in messages.
    ///
    /// # Errors
    /// As [`Recipe::parse`].
    pub fn parse(file: &str, text: &str) -> Result<Self, SpecError> {
        let document: yaml::Document<Recipe> =
            yaml::read(text).map_err(|problems| SpecError::new(file, text, problems))?;
        let conflicts = check::conflicts(&document.value, &document.root);
        if !conflicts.is_empty() {
            return Err(SpecError::new(file, text, conflicts));
        }
        Ok(Self { recipe: document.value, keys: document.root.keys().map(str::to_owned).collect() })
    }

    /// Reads a recipe that came from afar, without its folder: as [`Written::parse`], and a key that names a file of the
    /// machine that builds, or a host that it does not reach, is a problem.
    ///
    /// # Errors
    /// As [`Recipe::parse`].
    pub fn parse_from_afar(
        file: &str,
        text: &str,
        reaches: &dyn Fn(&str) -> bool,
    ) -> Result<Self, SpecError> {
        let document: yaml::Document<Recipe> =
            yaml::read(text).map_err(|problems| SpecError::new(file, text, problems))?;
        let mut problems = check::conflicts(&document.value, &document.root);
        problems.extend(afar::problems(&document.value, &document.root, reaches));
        if !problems.is_empty() {
            return Err(SpecError::new(file, text, problems));
        }
        Ok(Self { recipe: document.value, keys: document.root.keys().map(str::to_owned).collect() })
    }

    /// The recipe that it starts from.
    pub fn from(&self) -> Option<&RecipePath> {
        self.recipe.from.as_ref()
    }

    /// The recipe, with defaults for what is not written.
    pub fn alone(self) -> Recipe {
        self.recipe
    }

    /// The recipe, with what `below` says for what is not written.
    ///
    /// What `below` adds to a tree (packages, files, users, units, script) is not repeated: the tree has it. Kernel
    /// arguments are, for they are in no tree.
    pub fn over(self, below: &Recipe) -> Recipe {
        let Self { mut recipe, keys } = self;
        let written = |key: &str| keys.contains(key);
        macro_rules! inherit {
            ($($key:literal => $field:ident),*) => {
                $(if !written($key) { recipe.$field = below.$field.clone(); })*
            };
        }
        inherit!(
            "architecture" => architecture, "base" => base, "recommends" => recommends, "kernel" => kernel,
            "locale" => locale, "timezone" => timezone, "hostname" => hostname, "keymap" => keymap, "disk" => disk
        );
        let own = std::mem::take(&mut recipe.kernel_arguments);
        recipe.kernel_arguments = below.kernel_arguments.iter().cloned().chain(own).collect();
        recipe
    }
}
