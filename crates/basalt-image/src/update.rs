//! What the update artifact says of a release: what a machine must know before it fetches a byte of it.
//!
//! The artifact is an OCI manifest of type [`ARTIFACT`] whose configuration is an [`UpdateInfo`], whose first layer is
//! the chunk index (`basalt_formats::chunks`), and whose other layers are packs of chunks in the index's order. See
//! `docs/formats/update-artifact.md`.

use basalt_formats::chunks::{Index, Part};
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

/// The largest [`UpdateInfo`] that is taken, in bytes; ours have 1 KB.
pub const INFO_LIMIT: u64 = 1 << 20;
/// A pack ends before it has more bytes (`docs/formats/update-artifact.md`). A registry that knows no ranges gives all of it, and
/// all of it is in memory then.
pub const PACK_LIMIT: u64 = 32 << 20;

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

/// How manifest, configuration and index of an artifact contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The manifest has other packs than the index.
    #[error("the release has {manifest} packs, and its index names {index}")]
    PackCount {
        /// By the manifest.
        manifest: usize,
        /// By the index.
        index: usize,
    },
    /// One of them is another one, or too long.
    #[error("pack {number} of the release is not the one that its index names")]
    Pack {
        /// Which.
        number: usize,
    },
    /// A part has two sizes.
    #[error("the {part} of the release has {info} bytes, and {index} by its index")]
    PartSize {
        /// Which part.
        part: Part,
        /// By the configuration.
        info: u64,
        /// By the index.
        index: u64,
    },
    /// dm-verity works on blocks.
    #[error("the root of the release has {0} bytes, which are no whole blocks")]
    RootBlocks(u64),
    /// The salt can't be read.
    #[error("the salt of the release's hash tree is not hex digits")]
    Salt,
}

impl UpdateInfo {
    /// Whether this, the index and the manifest's packs, as digest and size, speak of the same bytes.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn add_up(&self, index: &Index, packs: &[(Digest, u64)]) -> Result<(), Contradiction> {
        if packs.len() != index.packs().len() {
            return Err(Contradiction::PackCount { manifest: packs.len(), index: index.packs().len() });
        }
        let is_other = |((digest, size), pack): (&(Digest, u64), &basalt_formats::chunks::Pack)| {
            *digest != pack.digest || *size != pack.size || pack.size > PACK_LIMIT
        };
        if let Some(number) = packs.iter().zip(index.packs()).position(is_other) {
            return Err(Contradiction::Pack { number });
        }
        for (part, blob) in [(Part::Root, self.root), (Part::Uki, self.uki)] {
            let found = index.parts().iter().find(|own| own.part == part).map_or(0, |own| own.size);
            if found != blob.size.get() {
                return Err(Contradiction::PartSize { part, info: blob.size.get(), index: found });
            }
        }
        if self.root.size.get() == 0 || !self.root.size.get().is_multiple_of(4096) {
            return Err(Contradiction::RootBlocks(self.root.size.get()));
        }
        self.verity.salt_bytes().map(|_salt| ()).ok_or(Contradiction::Salt)
    }
}

impl Verity {
    /// The salt; `None` when it is no hex digits, or more than 256 bytes.
    pub fn salt_bytes(&self) -> Option<Vec<u8>> {
        let digits = self.salt.as_bytes();
        let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        if !is_hex || digits.len() > 512 {
            return None;
        }
        digits.chunks(2).map(pair).collect()
    }
}
