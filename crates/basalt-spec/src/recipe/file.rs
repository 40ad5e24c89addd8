use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::words::{AbsolutePath, Owner, RelativePath, UnixMode};

/// Where a machine has the keys of those who may sign its releases, each a file of the name that it had beside the recipe.
pub const RELEASE_KEYS: &str = "/usr/lib/basalt/release-keys";

/// A file, directory or symbolic link to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenEntry", into = "WrittenEntry")]
pub struct FileEntry {
    /// Where it goes; directories above it are made, 0755 and owned by root.
    pub path: AbsolutePath,
    /// What it is.
    pub content: FileContent,
    /// Its permissions. Has no meaning for a link.
    pub mode: UnixMode,
    /// Its owner.
    pub owner: Owner,
}

/// What a [`FileEntry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// A file with this text.
    Inline(String),
    /// A file with the bytes of one beside the recipe.
    Source(RelativePath),
    /// A symbolic link to this.
    Link(String),
    /// A directory.
    Directory,
}

/// A file, directory or symbolic link to add: exactly one of `content`, `source`, `target` and `directory`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `path: /etc/motd`")]
#[schemars(rename = "FileEntry")]
#[schemars(extend("oneOf" = [
    {"required": ["content"]}, {"required": ["source"]}, {"required": ["target"]}, {"required": ["directory"]},
]))]
struct WrittenEntry {
    /// Where it goes; directories above it are made, 0755 and owned by root.
    path: AbsolutePath,
    /// A file with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// A file with the bytes of one beside the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<RelativePath>,
    /// A symbolic link to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// `true`: a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<bool>,
    /// Permissions in octal. 0644 for a file and 0755 for a directory if not written; not for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<UnixMode>,
    /// The owner as `user:group`, in names of the image or in numbers.
    #[serde(default = "Owner::root")]
    owner: Owner,
}

impl Recipe {
    /// The files that a tree gets: those of `files`, and those that `releaseKeys` stands for.
    pub fn all_files(&self) -> impl Iterator<Item = FileEntry> {
        let keys = self.release_keys.iter().filter_map(|key| {
            let name = key.as_str().rsplit('/').next()?;
            Some(FileEntry {
                path: format!("{RELEASE_KEYS}/{name}").parse().ok()?,
                content: FileContent::Source(key.clone()),
                mode: UnixMode::from_bits(0o644),
                owner: Owner::root(),
            })
        });
        self.files.iter().cloned().chain(keys)
    }
}

/// Why the keys of an entry don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum EntryError {
    #[error(
        "`{path}` needs exactly one of `content`, `source`, `target` and `directory: true`; it has {count}"
    )]
    NotOne { path: AbsolutePath, count: usize },
    #[error("`{0}` is a symbolic link, which has no mode of its own: leave `mode` out")]
    LinkMode(AbsolutePath),
    #[error("the link `{0}` has a target that no link can have: it is empty or holds a control character")]
    LinkTarget(AbsolutePath),
}

impl TryFrom<WrittenEntry> for FileEntry {
    type Error = EntryError;

    fn try_from(written: WrittenEntry) -> Result<Self, EntryError> {
        let WrittenEntry { path, content, source, target, directory, mode, owner } = written;
        let directory = directory.unwrap_or(false);
        let present = [content.is_some(), source.is_some(), target.is_some(), directory];
        let what = match (content, source, target, directory) {
            (Some(text), None, None, false) => FileContent::Inline(text),
            (None, Some(source), None, false) => FileContent::Source(source),
            (None, None, Some(target), false) => {
                if mode.is_some() {
                    return Err(EntryError::LinkMode(path));
                }
                if target.is_empty() || target.len() > 4095 || target.contains(char::is_control) {
                    return Err(EntryError::LinkTarget(path));
                }
                FileContent::Link(target)
            }
            (None, None, None, true) => FileContent::Directory,
            (Some(_) | None, Some(_) | None, Some(_) | None, true | false) => {
                let count = present.into_iter().filter(|present| *present).count();
                return Err(EntryError::NotOne { path, count });
            }
        };
        let mode = mode.unwrap_or(what.default_mode());
        Ok(Self { path, content: what, mode, owner })
    }
}

impl FileContent {
    const fn default_mode(&self) -> UnixMode {
        UnixMode::from_bits(match self {
            Self::Inline(_) | Self::Source(_) => 0o644,
            Self::Link(_) => 0o777,
            Self::Directory => 0o755,
        })
    }
}

impl From<FileEntry> for WrittenEntry {
    fn from(FileEntry { path, content: what, mode, owner }: FileEntry) -> Self {
        let mode = (!matches!(what, FileContent::Link(_))).then_some(mode);
        let bare = Self { path, content: None, source: None, target: None, directory: None, mode, owner };
        match what {
            FileContent::Inline(text) => Self { content: Some(text), ..bare },
            FileContent::Source(path) => Self { source: Some(path), ..bare },
            FileContent::Link(target) => Self { target: Some(target), ..bare },
            FileContent::Directory => Self { directory: Some(true), ..bare },
        }
    }
}

impl JsonSchema for FileEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        WrittenEntry::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        WrittenEntry::json_schema(generator)
    }
}
