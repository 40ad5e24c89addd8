use basalt_types::{Digest, ImageRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The OCI image that a recipe starts from, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedImage {
    /// The image as it was asked for, in full.
    pub reference: ImageRef,
    /// The platform whose manifest was taken, such as `linux/amd64`.
    pub platform: String,
    /// The digest of the manifest that the reference meant.
    pub manifest: Digest,
    /// Its layers, the lowest first.
    pub layers: Vec<LockedLayer>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedLayer {
    /// Its media type.
    pub media_type: String,
    /// The digest of the layer as it is sent.
    pub digest: Digest,
    /// Bytes as it is sent.
    pub size: u64,
    /// The digest of the layer when it is unpacked: what it is, however it was compressed.
    pub diff_id: Digest,
}
