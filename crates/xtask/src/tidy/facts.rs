//! What tidy looks at: the files that git knows or would add, and the dependencies that cargo sees.

use serde::Deserialize;
use std::{collections::BTreeMap, fs};

use crate::{
    error::{Done, TaskError},
    paths, tool,
};

/// Everything that rules see.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Text files by their path from the root; binary ones have no text.
    pub(super) files: BTreeMap<String, Option<String>>,
    /// The workspace's crates.
    pub(super) crates: Vec<Crate>,
    /// What the recipe's JSON Schema should be.
    pub(super) schema: String,
}

/// One crate as `cargo metadata` shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// One dependency.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `null`, `dev` or `build`.
    pub(super) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

impl Facts {
    /// Reads the checkout.
    pub(super) fn observe() -> Done<Self> {
        let listed = tool::plan("git", "git")?
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .run()?;
        let mut files = BTreeMap::new();
        for path in String::from_utf8_lossy(&listed).split_terminator('\0') {
            let full = paths::root().join(path);
            // A file that git knows and that is gone from the work tree is about to be removed.
            if full.is_file() {
                let bytes = fs::read(&full).map_err(TaskError::io("read", &full))?;
                files.insert(path.to_owned(), String::from_utf8(bytes).ok());
            }
        }
        let metadata = tool::cargo(["metadata", "--no-deps", "--format-version", "1"])?.run()?;
        let Metadata { packages } = serde_json::from_slice(&metadata)
            .map_err(|source| TaskError::Json { what: "cargo metadata".to_owned(), source })?;
        Ok(Self { files, crates: packages, schema: basalt_spec::recipe_schema_text() })
    }

    /// Text files whose path satisfies `wanted`.
    pub(super) fn texts(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| wanted(path))
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// One text file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }
}
