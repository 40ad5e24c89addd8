//! Recipes that a project keeps, each under the digest of what it means.

use rusqlite::params;
use schemars::JsonSchema;
use serde::Serialize;

use super::{State, StateResult, all, first, now};

/// A recipe with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::serve) struct SavedRecipe {
    /// The digest of what it means.
    pub(in crate::serve) id: String,
    /// The image's name.
    pub(in crate::serve) name: String,
    /// The YAML, as it was last saved with this meaning.
    pub(in crate::serve) recipe: String,
    /// When, in Unix seconds.
    pub(in crate::serve) saved: i64,
}

/// A recipe without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::serve) struct Summary {
    /// The digest of what it means.
    pub(in crate::serve) id: String,
    /// The image's name.
    pub(in crate::serve) name: String,
    /// When it was last saved, in Unix seconds.
    pub(in crate::serve) saved: i64,
}

impl State {
    /// Keeps a recipe. The caller has parsed it: `id` is the digest of its meaning, `name` is the image's.
    pub(in crate::serve) fn save_recipe(
        &self,
        project: i64,
        (id, name): (&str, &str),
        text: &str,
    ) -> StateResult {
        let query = "INSERT INTO recipes (project, id, name, text, saved) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (project, id) DO UPDATE SET text = ?4, saved = ?5";
        self.database().execute(query, params![project, id, name, text, now()])?;
        Ok(())
    }

    /// A recipe of this project.
    pub(in crate::serve) fn recipe(&self, project: i64, id: &str) -> StateResult<Option<SavedRecipe>> {
        let query = "SELECT id, name, text, saved FROM recipes WHERE project = ?1 AND id = ?2";
        first(&self.database(), query, params![project, id], |row| {
            Ok(SavedRecipe { id: row.get(0)?, name: row.get(1)?, recipe: row.get(2)?, saved: row.get(3)? })
        })
    }

    /// The newest recipes of this project.
    pub(in crate::serve) fn recipes(&self, project: i64, most: u32) -> StateResult<Vec<Summary>> {
        let query = "SELECT id, name, saved FROM recipes WHERE project = ?1 ORDER BY saved DESC, id LIMIT ?2";
        all(&self.database(), query, params![project, most], |row| {
            Ok(Summary { id: row.get(0)?, name: row.get(1)?, saved: row.get(2)? })
        })
    }
}
