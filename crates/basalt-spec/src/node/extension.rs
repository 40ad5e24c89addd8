use basalt_types::{Digest, ImageRef, Wanted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    one_of,
    words::{HttpUrl, ItemName, Pattern},
};
use crate::words::AbsolutePath;

/// A system or configuration extension (systemd-sysext(8)): a disk image that adds to `/usr` or `/etc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenExtension", into = "WrittenExtension")]
pub struct Extension {
    /// Its name; documents merge extensions by it.
    pub name: ItemName,
    /// Where it comes from.
    pub source: ExtensionSource,
    /// What is there: of an OCI image its manifest's digest, of everything else that of the bytes. Without one it is not used,
    /// as long as nothing is signed.
    pub digest: Option<Digest>,
    /// The versions of the system that it is for; every one when there is none.
    pub releases: Vec<Pattern>,
}

/// Where an extension comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionSource {
    /// A registry, a layout or an archive.
    Image(ImageRef),
    /// An address.
    Url(HttpUrl),
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
    /// An OCI artifact with one layer, which is the disk image; as in `image.ref`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<ImageRef>,
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<HttpUrl>,
    /// A file on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<AbsolutePath>,
    /// What is there, `sha256:` and 64 hex digits: the digest of a `ref`'s manifest, or of the bytes of `url` and `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// The versions of the system that it is for, such as `1.2.*`. It is for every one if not written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    releases: Vec<Pattern>,
}

/// Why the keys of an extension don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ExtensionError {
    #[error(transparent)]
    NotOne(#[from] one_of::NotOne),
    #[error("the extension `{0}` needs `digest` beside `url`")]
    Digest(ItemName),
    #[error("the extension `{0}` has one digest in `ref` and another one in `digest`")]
    TwoDigests(ItemName),
}

impl TryFrom<WrittenExtension> for Extension {
    type Error = ExtensionError;

    fn try_from(written: WrittenExtension) -> Result<Self, ExtensionError> {
        let WrittenExtension { name, reference, url, path, digest, releases } = written;
        if url.is_some() && digest.is_none() {
            return Err(ExtensionError::Digest(name));
        }
        let named = reference.as_ref().and_then(named_digest);
        if named.is_some_and(|named| digest.is_some_and(|digest| digest != named)) {
            return Err(ExtensionError::TwoDigests(name));
        }
        let source = one_of::one_of(
            &format!("the extension `{name}`"),
            [
                ("ref", reference.map(ExtensionSource::Image)),
                ("url", url.map(ExtensionSource::Url)),
                ("path", path.map(ExtensionSource::Path)),
            ],
        )?;
        Ok(Self { name, source, digest: digest.or(named), releases })
    }
}

/// The digest that stands in a reference itself.
fn named_digest(reference: &ImageRef) -> Option<Digest> {
    match reference {
        ImageRef::Registry(image) => match image.wanted() {
            Wanted::Digest(_, digest) => Some(*digest),
            Wanted::Tag(_) => None,
        },
        ImageRef::Layout(_) | ImageRef::Archive(_) => None,
    }
}

impl From<Extension> for WrittenExtension {
    fn from(Extension { name, source, digest, releases }: Extension) -> Self {
        let bare = Self { name, reference: None, url: None, path: None, digest, releases };
        match source {
            ExtensionSource::Image(reference) => Self { reference: Some(reference), ..bare },
            ExtensionSource::Url(url) => Self { url: Some(url), ..bare },
            ExtensionSource::Path(path) => Self { path: Some(path), ..bare },
        }
    }
}

one_of::schema_of!(Extension, WrittenExtension);
