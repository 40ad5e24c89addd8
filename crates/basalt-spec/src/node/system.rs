use basalt_types::{Digest, ImageRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    one_of,
    words::{HttpUrl, ItemName, Span},
};
use crate::words::{AbsolutePath, UnitName, text_word};

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: nginx.service`")]
pub struct Unit {
    /// Its name; documents merge units by it.
    pub name: UnitName,
    /// Whether it starts. As the image has it if not written.
    #[serde(default)]
    pub state: Option<UnitState>,
    /// Its text, when the image has none or is to have another.
    #[serde(default)]
    pub content: Option<String>,
    /// Texts that are added to it.
    #[serde(default)]
    pub drop_ins: Vec<DropIn>,
}

/// Whether a unit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnitState {
    /// As its `[Install]` section says.
    Enabled,
    /// Not by itself.
    Disabled,
    /// Not at all.
    Masked,
}

/// A text that is added to a unit (systemd.unit(5), "drop-in").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping of `name` and `content`")]
pub struct DropIn {
    /// Its name without `.conf`; documents merge drop-ins by it, and systemd reads them in its order.
    pub name: ItemName,
    /// The text.
    pub content: String,
}

/// A system or configuration extension (systemd-sysext(8)): a signed disk image that adds to `/usr` or `/etc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenExtension", into = "WrittenExtension")]
pub struct Extension {
    /// Its name; documents merge extensions by it.
    pub name: ItemName,
    /// Where it comes from.
    pub source: ExtensionSource,
}

/// Where an extension comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionSource {
    /// A registry, a layout or an archive.
    Image(ImageRef),
    /// An address and the digest of what is there.
    Url(HttpUrl, Digest),
    /// A file on the machine.
    Path(AbsolutePath),
}

/// An extension: exactly one of `ref`, `url` (with `digest`) and `path`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `name: k3s`")]
#[schemars(rename = "Extension")]
#[schemars(extend("oneOf" = [{"required": ["ref"]}, {"required": ["url", "digest"]}, {"required": ["path"]}]))]
struct WrittenExtension {
    /// Its name; documents merge extensions by it.
    name: ItemName,
    /// An OCI image, as in `image.ref`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<ImageRef>,
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<HttpUrl>,
    /// What is at `url`: `sha256:` and 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// A file on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<AbsolutePath>,
}

/// Why the keys of an extension don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ExtensionError {
    #[error(transparent)]
    NotOne(#[from] one_of::NotOne),
    #[error("the extension `{0}` needs `digest` beside `url`, and only there")]
    Digest(ItemName),
}

impl TryFrom<WrittenExtension> for Extension {
    type Error = ExtensionError;

    fn try_from(written: WrittenExtension) -> Result<Self, ExtensionError> {
        let WrittenExtension { name, reference, url, digest, path } = written;
        if url.is_some() != digest.is_some() {
            return Err(ExtensionError::Digest(name));
        }
        let source = one_of::one_of(
            &format!("the extension `{name}`"),
            [
                ("ref", reference.map(ExtensionSource::Image)),
                ("url", url.zip(digest).map(|(url, digest)| ExtensionSource::Url(url, digest))),
                ("path", path.map(ExtensionSource::Path)),
            ],
        )?;
        Ok(Self { name, source })
    }
}

impl From<Extension> for WrittenExtension {
    fn from(Extension { name, source }: Extension) -> Self {
        let bare = Self { name, reference: None, url: None, digest: None, path: None };
        match source {
            ExtensionSource::Image(reference) => Self { reference: Some(reference), ..bare },
            ExtensionSource::Url(url, digest) => Self { url: Some(url), digest: Some(digest), ..bare },
            ExtensionSource::Path(path) => Self { path: Some(path), ..bare },
        }
    }
}

one_of::schema_of!(Extension, WrittenExtension);

/// A script of the operator's at a named stage of the machine's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping of `name`, `stage` and `script`"
)]
pub struct Hook {
    /// Its name; documents merge hooks by it, and those of one stage run in the order of their names.
    pub name: ItemName,
    /// When it runs.
    pub stage: Stage,
    /// What runs. The first line may name the interpreter (`#!`); `/bin/sh -eu` otherwise.
    pub script: Script,
    /// Whether it runs once in the machine's life. It runs every time if not written.
    #[serde(default)]
    pub once: Option<bool>,
    /// How long it may take. `5m` if not written.
    #[serde(default)]
    pub timeout: Option<Span>,
}

text_word!(
    /// The text of a script.
    Script,
    "a script",
    "text with at least one command, and without a NUL",
    "\\S",
    |text| !text.trim().is_empty() && !text.contains('\0') && text.len() <= 1 << 20
);

/// A moment of the machine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Every start, before the network.
    Boot,
    /// Every start, once the network is there.
    Network,
    /// Every start, when everything else has started.
    Ready,
    /// After each reconciliation.
    Reconcile,
    /// Before a shutdown.
    Shutdown,
    /// Before the installer writes.
    BeforeInstall,
    /// After the installer wrote.
    AfterInstall,
    /// Before an upgrade writes.
    BeforeUpgrade,
    /// After an upgrade wrote, before the restart.
    AfterUpgrade,
    /// Before a reset.
    BeforeReset,
    /// After a reset.
    AfterReset,
}
