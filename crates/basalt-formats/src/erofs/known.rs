//! What an image holds, by content: so that a later image takes its clusters over instead of compressing again.

use std::collections::BTreeMap;

use basalt_types::Digest;
use serde::{Deserialize, Serialize};

use super::{codec::Compression, squeeze::Cluster};
use crate::ReadAt;

mod bytes;

pub use bytes::IndexError;

/// Changes with everything that changes what the compressors give for the same input.
const REVISION: u32 = 1;

/// Which content is where in an image, and how it is compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub(super) made: Made,
    pub(super) files: BTreeMap<Digest, Known>,
}

/// An earlier image and what it holds.
#[derive(Clone, Copy)]
pub struct Donor<'a> {
    /// The image.
    pub image: &'a dyn ReadAt,
    /// Its index, as [`Packed::finish`](super::Packed::finish) gave it.
    pub index: &'a Index,
}

/// Everything beside the content that decides about its clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) compression: Option<Compression>,
    revision: u32,
    zstd: u32,
}

/// A content that an image holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) size: u64,
    /// The number of the first block.
    pub(super) block: u32,
    /// Empty, and no tail, when the content is stored as it is.
    pub(super) clusters: Vec<Cluster>,
    pub(super) tail: Option<KnownTail>,
    /// CRC-32 of the stored bytes: what is copied must be what was written.
    pub(super) sum: u32,
}

/// A tail that an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownTail {
    /// The byte of the image where it starts.
    pub(super) offset: u64,
    /// Bytes of the file.
    pub(super) length: u32,
    /// Bytes of the image.
    pub(super) stored: u16,
    pub(super) compressed: bool,
}

impl Made {
    pub(super) fn with(compression: Option<Compression>) -> Self {
        Self { compression, revision: REVISION, zstd: zstd::zstd_safe::version_number() }
    }
}

impl std::fmt::Debug for Donor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Donor").field("contents", &self.index.files.len()).finish_non_exhaustive()
    }
}

impl Known {
    /// Whether the content is stored as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.clusters.is_empty() && self.tail.is_none()
    }

    /// Blocks of all clusters.
    pub(super) fn blocks(&self) -> u64 {
        self.clusters.iter().map(|cluster| u64::from(cluster.blocks)).sum()
    }
}
