//! What people write and what we write for them: Recipe, NodeConfig, Lock, Manifest.
//!
//! `text → parse → Recipe` · `text → node::parse → NodeConfig` · `Recipe + archive → (elsewhere) → Lock` · `Recipe + Lock + file digests → id`
//!
//! `#cloud-config → cloud::convert → NodeConfig, or what has no translation and why`
//!
//! Invariants: a value of any type here is valid; an unknown key is an error, in every document; a message about a
//! text that a person wrote has a place in it; the JSON Schema comes from the types that parse.
//!
//! Not here: files, the network, which packages a recipe means (`basalt-debian`), what a build does with them
//! (`basalt-image`).

mod canonical;
pub mod cloud;
mod diagnostic;
mod lock;
mod manifest;
pub mod node;
mod recipe;
mod resolved;
mod schema;
pub mod words;
mod yaml;

pub use diagnostic::{Problem, ProblemKind, SpecError, nearest};
pub use lock::{
    ChangeSort, LOCK_VERSION, Lock, LockChange, LockDiff, LockError, LockMisfit, LockedImage, LockedLayer,
    LockedPackage, LockedSource, Origin, Reason,
};
pub use manifest::{Artifact, DocumentError, ImageInfo, MANIFEST_VERSION, Manifest, ManifestPartition};
pub use recipe::{
    ApiVersion, Base, Compression, DebianBase, Disk, FileContent, FileEntry, FileSystem, Implied, Kernel,
    OciBase, Output, OutputSource, Pocket, RELEASE_KEYS, Recipe, RecipeKind, Script, SlotSize, TEMPLATE,
    Units, User, Written,
};
pub use resolved::{ResolveError, ResolvedRecipe};
pub use schema::{node_config_schema, node_config_schema_text, recipe_schema, recipe_schema_text};

/// Reads a YAML text of somebody else's language into a type that knows what of it counts. `file` is its name in messages.
///
/// # Errors
/// When it is no YAML, or not what the type wants.
pub fn read_yaml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, SpecError> {
    let document = yaml::read::<T>(text).map_err(|problems| SpecError::new(file, text, problems))?;
    Ok(document.value)
}
