//! What the update artifact says of a release: what a machine must know before it fetches a byte of it.
//!
//! The artifact is an OCI manifest of type [`ARTIFACT`] whose configuration is an [`UpdateInfo`], whose first layer is
//! the chunk index (`basalt_formats::chunks`), and whose other layers are packs of chunks in the index's order. See
//! `docs/formats/update-artifact.md`.

use basalt_types::{Architecture, ByteSize, Digest, Guid, ImageName, ImageVersion};
use serde::{Deserialize, Serialize};

use crate::layout::LayoutSpec;

/// The artifact's type. Another number means that machines which know only this one can't use it.
pub const ARTIFACT: &str = "application/vnd.basalt.update.v1";
/// The media type of the [`UpdateInfo`].
pub const CONFIG: &str = "application/vnd.basalt.update.config.v1+json";
/// The media type of the chunk index.
pub const INDEX: &str = "application/vnd.basalt.update.index.v1+zstd";
/// The media type of a pack.
pub const PACK: &str = "application/vnd.basalt.update.pack.v1";

/// The artifact's configuration.
///
/// Unlike our other documents it may have keys that its reader does not know: an old machine must be able to upgrade to
/// what a newer factory made. What it must not miss comes with another media type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateInfo {
    /// The image's name: a machine upgrades to releases of its own image.
    pub name: ImageName,
    /// The image's version.
    pub version: ImageVersion,
    /// The identity of the release.
    pub id: Digest,
    /// The processor that it is for.
    pub architecture: Architecture,
    /// Seconds since 1970: the time of everything that has no other.
    pub epoch: i64,
    /// The kernel's version.
    pub kernel: String,
    /// The root file system. Its digest is the root hash of dm-verity.
    pub root: Blob,
    /// What the hash tree is made with, beside the root. The tree itself is not sent.
    pub verity: Verity,
    /// The unified kernel image. Its digest is that of its bytes.
    pub uki: Blob,
    /// What the release needs of a disk.
    pub layout: LayoutSpec,
}

/// Bytes that are known by their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// How many.
    pub size: ByteSize,
    /// What says that they are the right ones.
    pub digest: Digest,
}

/// The choices of a hash tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verity {
    /// The salt, in hex digits.
    pub salt: String,
    /// The id of the hash device.
    pub uuid: Guid,
}
