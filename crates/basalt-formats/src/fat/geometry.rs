//! How a volume is divided, and the sectors that say so.

use basalt_types::ByteSize;

use super::{FatError, Volume};

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// One sector more than the last size that fatgen103's table refuses.
pub(super) const MIN_SECTORS: u64 = 66_601;
/// Fewer clusters make a volume FAT16, whatever else it says.
const MIN_CLUSTERS: u32 = 65_525;
/// Sectors before the first FAT: fatgen103's number for FAT32.
const RESERVED: u32 = 32;
/// FATs are cut to 4 KiB, so that clusters start at multiples of 4 KiB.
const FAT_ALIGNMENT: u32 = 8;
const FATS: u32 = 2;
const FS_INFO: u16 = 1;
const BACKUP_BOOT: u16 = 6;
/// The root directory's first cluster.
pub(super) const ROOT_CLUSTER: u32 = 2;

/// The numbers of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    sectors: u32,
    sectors_per_cluster: u32,
    fat_sectors: u32,
    /// How many clusters there are; the first one has number 2.
    pub(super) clusters: u32,
    /// Sectors of the disk before the volume.
    hidden: u32,
}

impl Geometry {
    /// Divides `size` bytes that start at byte `base` of the disk.
    pub(super) fn new(size: ByteSize, base: u64) -> Result<Self, FatError> {
        if !size.get().is_multiple_of(SECTOR) {
            return Err(FatError::PartialSector(size.get()));
        }
        if !base.is_multiple_of(SECTOR) {
            return Err(FatError::Base(base));
        }
        let sectors = u32::try_from(size.get() / SECTOR).map_err(|_more| FatError::TooLarge(size))?;
        if u64::from(sectors) < MIN_SECTORS {
            return Err(FatError::TooSmall(size));
        }
        // "Hidden" is for a BIOS; behind 2 TiB there is none.
        let hidden = u32::try_from(base / SECTOR).unwrap_or(0);
        let sectors_per_cluster = sectors_per_cluster(sectors);
        let fat_sectors = fat_sectors(sectors, sectors_per_cluster);
        let clusters = (sectors - RESERVED - FATS * fat_sectors) / sectors_per_cluster;
        if clusters < MIN_CLUSTERS {
            return Err(FatError::TooSmall(size));
        }
        Ok(Self { sectors, sectors_per_cluster, fat_sectors, clusters, hidden })
    }

    pub(super) fn cluster_size(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * SECTOR
    }

    /// The first byte of a cluster, from the volume's start.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        let data = u64::from(RESERVED + FATS * self.fat_sectors) * SECTOR;
        data + u64::from(cluster - ROOT_CLUSTER) * self.cluster_size()
    }

    /// The first byte of each FAT, from the volume's start.
    pub(super) fn fat_offsets(&self) -> [u64; FATS as usize] {
        [0, self.fat_sectors].map(|sectors| u64::from(RESERVED + sectors) * SECTOR)
    }

    /// Boot sector and FSInfo, and where both go: to the start, and again as the backup.
    pub(super) fn boot_sectors(&self, volume: &Volume, used_clusters: u32) -> [(u64, Vec<u8>); 2] {
        let mut bytes = self.boot_sector(volume);
        bytes.extend_from_slice(&self.fs_info(used_clusters));
        [(0, bytes.clone()), (u64::from(BACKUP_BOOT) * SECTOR, bytes)]
    }

    /// The boot sector: BIOS parameter block with FAT32's extension (fatgen103, "BPB" tables).
    fn boot_sector(&self, volume: &Volume) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SECTOR as usize);
        bytes.extend_from_slice(&[0xeb, 0x58, 0x90]); // jump to the code behind these fields
        bytes.extend_from_slice(b"BASALT  ");
        bytes.extend_from_slice(&(SECTOR as u16).to_le_bytes());
        bytes.push(self.sectors_per_cluster as u8);
        bytes.extend_from_slice(&(RESERVED as u16).to_le_bytes());
        bytes.push(FATS as u8);
        bytes.extend_from_slice(&[0; 4]); // no fixed root directory; sectors are counted in 32 bits
        bytes.push(0xf8); // a fixed disk
        bytes.extend_from_slice(&[0; 2]); // FAT sectors are counted in 32 bits
        bytes.extend_from_slice(&63u16.to_le_bytes()); // sectors and heads, as every disk claims
        bytes.extend_from_slice(&255u16.to_le_bytes());
        bytes.extend_from_slice(&self.hidden.to_le_bytes());
        bytes.extend_from_slice(&self.sectors.to_le_bytes());
        bytes.extend_from_slice(&self.fat_sectors.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]); // both FATs are kept, version 0.0
        bytes.extend_from_slice(&ROOT_CLUSTER.to_le_bytes());
        bytes.extend_from_slice(&FS_INFO.to_le_bytes());
        bytes.extend_from_slice(&BACKUP_BOOT.to_le_bytes());
        bytes.extend_from_slice(&[0; 12]);
        bytes.extend_from_slice(&[0x80, 0, 0x29]); // first disk; the next three fields are there
        bytes.extend_from_slice(&volume.volume_id.to_le_bytes());
        bytes.extend_from_slice(&volume.label.padded());
        bytes.extend_from_slice(b"FAT32   ");
        bytes.extend_from_slice(&[0xcd, 0x18, 0xeb, 0xfe]); // a BIOS that starts this is told to try the next disk
        bytes.resize(510, 0);
        bytes.extend_from_slice(&[0x55, 0xaa]);
        bytes
    }

    /// The FSInfo sector: free clusters, and where to look for one.
    fn fs_info(&self, used_clusters: u32) -> Vec<u8> {
        let mut bytes = b"RRaA".to_vec();
        bytes.resize(484, 0);
        bytes.extend_from_slice(b"rrAa");
        bytes.extend_from_slice(&(self.clusters - used_clusters).to_le_bytes());
        let next = if used_clusters == self.clusters { u32::MAX } else { ROOT_CLUSTER + used_clusters };
        bytes.extend_from_slice(&next.to_le_bytes());
        bytes.resize(510, 0);
        bytes.extend_from_slice(&[0x55, 0xaa]);
        bytes
    }
}

/// fatgen103's table for FAT32: cluster size by volume size.
fn sectors_per_cluster(sectors: u32) -> u32 {
    match sectors {
        0..=532_480 => 1,
        532_481..=16_777_216 => 8,
        16_777_217..=33_554_432 => 16,
        33_554_433..=67_108_864 => 32,
        67_108_865.. => 64,
    }
}

/// fatgen103's formula: never too small, at most a few sectors too large.
fn fat_sectors(sectors: u32, sectors_per_cluster: u32) -> u32 {
    let sectors_per_fat_sector = (256 * sectors_per_cluster + FATS) / 2;
    (sectors - RESERVED).div_ceil(sectors_per_fat_sector).next_multiple_of(FAT_ALIGNMENT)
}
