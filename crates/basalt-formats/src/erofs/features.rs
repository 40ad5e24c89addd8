//! What a reader must support, and the settings of the compressors.
//!
//! Source: Linux `fs/erofs/erofs_fs.h` (`EROFS_FEATURE_INCOMPAT_*`, `struct z_erofs_*_cfgs`), `fs/erofs/decompressor.c`.

use super::{
    codec::{Algorithm, Compression},
    format::{BLOCK, SUPER_SIZE, array_at, u16_at, u32_at},
};

/// `EROFS_FEATURE_INCOMPAT_LZ4_0PADDING`: compressed bytes end where their last block ends, with zeros before them.
const ZERO_PADDING: u32 = 0x1;
/// `EROFS_FEATURE_INCOMPAT_COMPR_CFGS`, the same bit as `BIG_PCLUSTER`: settings follow the superblock, and clusters may
/// have several blocks.
const SETTINGS: u32 = 0x2;
/// `EROFS_FEATURE_INCOMPAT_CHUNKED_FILE`: some file *may* be chunk-based; each inode says whether it is.
const CHUNKED_FILE: u32 = 0x4;
/// `EROFS_FEATURE_INCOMPAT_COMPR_HEAD2`, the same bit as `DEVICE_TABLE` (an image that has one counts its devices): some
/// file may use two methods.
const SECOND_METHOD: u32 = 0x8;
/// `EROFS_FEATURE_INCOMPAT_ZTAILPACKING`: the last run of a compressed file may be inline.
const INLINE_TAILS: u32 = 0x10;
/// `EROFS_FEATURE_INCOMPAT_FRAGMENTS`, the same bit as `DEDUPE`: ends of files may be in a file of their own, and
/// several files may have clusters in common.
const SHARED: u32 = 0x20;
/// What this reader knows.
const KNOWN: u32 = ZERO_PADDING | SETTINGS | CHUNKED_FILE | SECOND_METHOD | INLINE_TAILS | SHARED;

/// The features that change how an image is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// `feature_incompat`.
    pub(super) incompatible: u32,
    /// The methods in use, a bit for each (`available_compr_algs`).
    pub(super) algorithms: u16,
    /// The node that fragments are in; 0 when there is none.
    pub(super) packed_nid: u64,
    /// What the image is made with, when it is to be written.
    pub(super) written: Option<Compression>,
}

impl Features {
    /// What an image says that is packed like this; `shared` when files have clusters in common.
    pub(super) fn packed(compression: Option<Compression>, shared: bool) -> Self {
        let Some(written) = compression else { return Self::default() };
        let shared = if shared { SHARED } else { 0 };
        Self {
            incompatible: ZERO_PADDING | SETTINGS | INLINE_TAILS | shared,
            algorithms: 1 << written.algorithm.number(),
            packed_nid: 0,
            written: Some(written),
        }
    }

    /// Reads the superblock's fields; an error gives the bits of unknown features.
    pub(super) fn decode(superblock: &[u8; SUPER_SIZE]) -> Result<Self, u32> {
        let incompatible = u32_at(superblock, 80);
        match incompatible & !KNOWN {
            0 => Ok(Self {
                incompatible,
                // Without settings the field is LZ4's longest distance, for LZ4 is the only method then.
                algorithms: if incompatible & SETTINGS == 0 { 0 } else { u16_at(superblock, 84) },
                packed_nid: u64::from_le_bytes(array_at(superblock, 96)),
                written: None,
            }),
            unknown => Err(unknown),
        }
    }

    /// Whether compressed bytes end where their blocks end; before Linux 5.3 they started where those start.
    pub(super) fn padded_in_front(&self) -> bool {
        self.incompatible & ZERO_PADDING != 0
    }

    /// The settings that follow the superblock: for each method their length (2 bytes) and themselves.
    pub(super) fn configurations(&self) -> Vec<u8> {
        let Some(written) = self.written else { return Vec::new() };
        let body = match written.algorithm {
            Algorithm::Lz4 | Algorithm::Lz4hc => {
                let mut body = vec![0; 14];
                body[..2].copy_from_slice(&u16::MAX.to_le_bytes());
                body[2..4].copy_from_slice(&((u64::from(written.cluster) / BLOCK) as u16).to_le_bytes());
                body
            }
            // A window of 2^15 bytes.
            Algorithm::Deflate => vec![15, 0, 0, 0, 0, 0],
            // Format 0, and log2 of the window less 10.
            Algorithm::Zstd => vec![0, written.window_bits() - 10, 0, 0, 0, 0],
        };
        [&(body.len() as u16).to_le_bytes()[..], &body].concat()
    }
}
