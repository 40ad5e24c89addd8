use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{one_of, words::Base64};
use crate::words::{AbsolutePath, Owner, UnixMode};

/// A file, directory or symbolic link on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenFile", into = "WrittenFile")]
pub struct NodeFile {
    /// Where it is; directories above it are made, 0755 and owned by root.
    pub path: AbsolutePath,
    /// What it is.
    pub content: NodeFileContent,
    /// Its permissions. Has no meaning for a link.
    pub mode: UnixMode,
    /// Its owner.
    pub owner: Owner,
}

/// What a [`NodeFile`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFileContent {
    /// A file with this text.
    Text(String),
    /// A file with these bytes.
    Bytes(Base64),
    /// A symbolic link to this.
    Link(String),
    /// A directory.
    Directory,
}

/// A file, directory or symbolic link: exactly one of `content`, `base64`, `target` and `directory`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `path: /etc/motd`")]
#[schemars(rename = "NodeFile")]
#[schemars(extend("oneOf" = [
    {"required": ["content"]}, {"required": ["base64"]}, {"required": ["target"]}, {"required": ["directory"]},
]))]
struct WrittenFile {
    /// Where it is; directories above it are made, 0755 and owned by root. Documents merge files by it.
    path: AbsolutePath,
    /// A file with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// A file with these bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<Base64>,
    /// A symbolic link to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// `true`: a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<bool>,
    /// Permissions in octal. 0644 for a file and 0755 for a directory if not written; not for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<UnixMode>,
    /// The owner as `user:group`, in names of the machine or in numbers.
    #[serde(default = "Owner::root")]
    owner: Owner,
}

/// Why the keys of a file don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    NotOne(#[from] one_of::NotOne),
    #[error("`{0}` is a symbolic link, which has no mode of its own: leave `mode` out")]
    LinkMode(AbsolutePath),
    #[error("the link `{0}` has a target that no link can have: it is empty or holds a control character")]
    LinkTarget(AbsolutePath),
}

impl TryFrom<WrittenFile> for NodeFile {
    type Error = FileError;

    fn try_from(written: WrittenFile) -> Result<Self, FileError> {
        let WrittenFile { path, content, base64, target, directory, mode, owner } = written;
        let content = one_of::one_of(
            &format!("`{path}`"),
            [
                ("content", content.map(NodeFileContent::Text)),
                ("base64", base64.map(NodeFileContent::Bytes)),
                ("target", target.map(NodeFileContent::Link)),
                ("directory", directory.filter(|yes| *yes).map(|_true| NodeFileContent::Directory)),
            ],
        )?;
        let usual = match &content {
            NodeFileContent::Text(_) | NodeFileContent::Bytes(_) => 0o644,
            NodeFileContent::Directory => 0o755,
            NodeFileContent::Link(_) if mode.is_some() => return Err(FileError::LinkMode(path)),
            NodeFileContent::Link(target)
                if target.is_empty() || target.len() > 4095 || target.contains(char::is_control) =>
            {
                return Err(FileError::LinkTarget(path));
            }
            NodeFileContent::Link(_) => 0o777,
        };
        Ok(Self { path, content, mode: mode.unwrap_or(UnixMode::from_bits(usual)), owner })
    }
}

impl From<NodeFile> for WrittenFile {
    fn from(NodeFile { path, content, mode, owner }: NodeFile) -> Self {
        let mode = (!matches!(content, NodeFileContent::Link(_))).then_some(mode);
        let bare = Self { path, content: None, base64: None, target: None, directory: None, mode, owner };
        match content {
            NodeFileContent::Text(text) => Self { content: Some(text), ..bare },
            NodeFileContent::Bytes(bytes) => Self { base64: Some(bytes), ..bare },
            NodeFileContent::Link(target) => Self { target: Some(target), ..bare },
            NodeFileContent::Directory => Self { directory: Some(true), ..bare },
        }
    }
}

one_of::schema_of!(NodeFile, WrittenFile);
