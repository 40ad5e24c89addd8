//! The footer ("Hard Disk Footer Format") and the geometry in it ("Appendix: CHS Calculation").

use super::{Options, checksum};

/// Where the checksum is.
const CHECKSUM: usize = 64;
/// Seconds from 1970 to 2000, where the format's time begins.
const EPOCH: i64 = 946_684_800;
/// "Reserved", which must always be set.
const FEATURES: u32 = 2;
const VERSION: u32 = 0x0001_0000;
/// Windows as the creating program and system: QEMU takes the size of such an image from its field. For others it
/// computes cylinders × heads × sectors, which is less.
const CREATOR: &[u8; 4] = b"win ";
const CREATOR_VERSION: u32 = 0x0006_0001;
const CREATOR_SYSTEM: &[u8; 4] = b"Wi2k";

/// What differs between footers.
pub(super) struct Footer {
    pub(super) kind: Kind,
    /// Bytes of the disk.
    pub(super) size: u64,
    pub(super) options: Options,
}

/// The type of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed,
    Dynamic {
        /// Where the dynamic header is.
        header: u64,
    },
}

/// Cylinders, heads, sectors of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry(pub(super) u16, pub(super) u8, pub(super) u8);

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { kind, size, options: Options { id, time } } = self;
        let (disk_type, data_offset) = match kind {
            Kind::Fixed => (2u32, u64::MAX),
            Kind::Dynamic { header } => (3, *header),
        };
        let timestamp = (time - EPOCH).clamp(0, u32::MAX.into()) as u32;
        let Geometry(cylinders, heads, sectors) = Geometry::of(size / 512);
        let mut bytes = b"conectix".to_vec();
        bytes.extend_from_slice(&FEATURES.to_be_bytes());
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&data_offset.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(CREATOR);
        bytes.extend_from_slice(&CREATOR_VERSION.to_be_bytes());
        bytes.extend_from_slice(CREATOR_SYSTEM);
        // The size when it was made, and now.
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&cylinders.to_be_bytes());
        bytes.extend_from_slice(&[heads, sectors]);
        bytes.extend_from_slice(&disk_type.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(id.as_bytes());
        bytes.resize(512, 0);
        let sum = checksum(&bytes);
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

impl Geometry {
    /// The specification's choice for a number of sectors.
    pub(super) fn of(sectors: u64) -> Self {
        let sectors = sectors.min(65535 * 16 * 255);
        let (heads, track) = if sectors >= 65535 * 16 * 63 { (16, 255) } else { Self::small(sectors) };
        Self((sectors / track / heads) as u16, heads as u8, track as u8)
    }

    /// Heads and sectors of a track for disks under 31.5 GiB.
    fn small(sectors: u64) -> (u64, u64) {
        let heads = (sectors / 17).div_ceil(1024).max(4);
        if heads <= 16 && sectors / 17 < heads * 1024 {
            (heads, 17)
        } else if sectors / 31 < 16 * 1024 {
            (16, 31)
        } else {
            (16, 63)
        }
    }
}
