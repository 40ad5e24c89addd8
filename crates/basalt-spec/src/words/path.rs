use crate::words::text_word;

text_word!(
    /// A path inside the image: absolute, without `.`, `..`, empty parts or a trailing `/`, and not `/` itself.
    AbsolutePath,
    "a path inside the image",
    "an absolute path without `.`, `..`, `//` or a trailing `/`, such as `/etc/motd`",
    "^(/[^/]+)+$",
    |text| text.strip_prefix('/').is_some_and(clean)
);

text_word!(
    /// A path beside the recipe: relative to the recipe's folder and never leaving it.
    RelativePath,
    "a path beside the recipe",
    "a path relative to the recipe's folder, without `..`, such as `files/motd`",
    "^(\\./)?[^/]+(/[^/]+)*$",
    |text| clean(text.strip_prefix("./").unwrap_or(text))
);

text_word!(
    /// Another recipe: absolute, or relative to the folder of the recipe that names it.
    RecipePath,
    "the path of a recipe",
    "a path such as `../base/recipe.yaml`",
    "^[^\\x00-\\x1f]+\\.ya?ml$",
    |text| text.len() < 4096
        && [".yaml", ".yml"].iter().any(|ending| text.len() > ending.len() && text.ends_with(ending))
        && !text.contains(|c: char| c.is_control())
);

/// Every part is a name that a file can have.
fn clean(path: &str) -> bool {
    path.len() < 4096
        && path.split('/').all(|part| {
            !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.contains(|c: char| c.is_control())
        })
}

impl AbsolutePath {
    /// The path of something below this one.
    ///
    /// # Errors
    /// When `below` is not a clean relative path.
    pub fn join(&self, below: &str) -> Result<Self, crate::words::WordError> {
        format!("{self}/{below}").parse()
    }
}
