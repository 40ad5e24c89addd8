//! QEMU's disk images, version 3 (QEMU `docs/interop/qcow2.rst`): plain, or with compressed clusters.
//!
//! # Layout of an image
//!
//! In clusters of 64 KiB:
//!
//! | cluster | holds |
//! |---|---|
//! | 0 | header, written last |
//! | 1 … | L1 table: for every 512 MiB of the disk the place of its L2 table, or 0 |
//! | then | for every 512 MiB that hold something: its L2 table, then its data in the disk's order |
//! | last | refcount blocks, refcount table |
//!
//! A cluster of zeros is in no table. Compressed clusters are packed byte by byte; one that would not shrink is plain.
//!
//! The same disk gives the same bytes, whatever the number of cores. Memory: 16 MiB, 8 bytes for each 512 MiB of the disk
//! and 2 bytes for each cluster of the image.
//!
//! Not here: backing files, snapshots, encryption, reading.

mod clusters;

use std::io;

use crate::{
    ReadAt, WriteAt,
    blocks::{BLOCK, Blocks},
    deflate::{Deflater, Wrapper},
    virtual_disk::{self, WriteError},
};

use clusters::Clusters;

/// Bytes of a cluster: 1 << `CLUSTER_BITS`, QEMU's default.
const CLUSTER: u64 = BLOCK as u64;
const CLUSTER_BITS: u32 = 16;
/// The clusters that one L2 table knows.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// QEMU opens no image with a larger L1 table (`QCOW_MAX_L1_SIZE`, 32 MiB): 2 PiB of disk.
const MAX_SIZE: u64 = (32 << 20) / 8 * L2_ENTRIES * CLUSTER;
/// Bytes of the header: up to and with the compression type, padded to 8.
const HEADER_LENGTH: u32 = 112;
/// 16 bits for each refcount: 1 << 4.
const REFCOUNT_ORDER: u32 = 4;
/// Incompatible feature: the compression type is not deflate.
const COMPRESSION_TYPE: u64 = 1 << 3;
/// The level of zstd: its default.
const ZSTD_LEVEL: i32 = 3;

/// How clusters are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are: any cluster can be written without making the file larger.
    None,
    /// With DEFLATE, which everything that knows qcow2 reads.
    Deflate,
    /// With Zstandard: QEMU 5.1 and later.
    Zstd,
}

/// What a cluster became.
enum Stored {
    Plain(Vec<u8>),
    Compressed(Vec<u8>),
}

/// What compresses on one core.
enum Compressor {
    None,
    Deflate(Deflater),
    /// Made when it is first needed.
    Zstd(Option<zstd::bulk::Compressor<'static>>),
}

/// Where the tables are, for the header.
struct Tables {
    l1_entries: u32,
    refcount_table: u64,
    refcount_table_clusters: u32,
    image_size: u64,
}

/// Writes a disk as an image to an empty file and gives the length of the file.
///
/// # Errors
/// When the disk is not made of sectors or too large, can't be read, or the image not be written.
pub fn write(disk: &dyn ReadAt, compression: Compression, sink: &dyn WriteAt) -> Result<u64, WriteError> {
    let size = virtual_disk::sectors(disk, "qcow2", MAX_SIZE)? * virtual_disk::SECTOR;
    let mut clusters = Clusters::new(sink, size.div_ceil(L2_ENTRIES * CLUSTER));
    let state = || match compression {
        Compression::None => Compressor::None,
        Compression::Deflate => Compressor::Deflate(Deflater::new(Wrapper::Raw4K)),
        Compression::Zstd => Compressor::Zstd(None),
    };
    let store = |compressor: &mut Compressor, _, bytes| compressor.store(bytes).map_err(WriteError::Compress);
    Blocks::of(disk)?.each(state, store, |number, stored| {
        match stored {
            Stored::Plain(bytes) => clusters.put_plain(number, &bytes),
            Stored::Compressed(bytes) => clusters.put_compressed(number, &bytes),
        }
        .map_err(WriteError::Sink)
    })?;
    let tables = clusters.finish().map_err(WriteError::Sink)?;
    sink.write_at(0, &header(size, compression, &tables)).map_err(WriteError::Sink)?;
    Ok(tables.image_size)
}

impl Compressor {
    fn store(&mut self, bytes: Vec<u8>) -> io::Result<Stored> {
        let shorter = match self {
            Self::None => None,
            Self::Deflate(deflater) => deflater.shrink(&bytes)?,
            Self::Zstd(made) => {
                let compressor = match made {
                    Some(compressor) => compressor,
                    None => made.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
                };
                Some(compressor.compress(&bytes)?).filter(|frame| frame.len() < bytes.len())
            }
        };
        Ok(shorter.map_or(Stored::Plain(bytes), Stored::Compressed))
    }
}

/// The header, with the end of header extensions behind it: the rest of its cluster is zeros.
fn header(size: u64, compression: Compression, tables: &Tables) -> Vec<u8> {
    let Tables { l1_entries, refcount_table, refcount_table_clusters, image_size: _ } = *tables;
    let (features, compression_type) = match compression {
        Compression::None | Compression::Deflate => (0, 0),
        Compression::Zstd => (COMPRESSION_TYPE, 1),
    };
    let mut bytes = b"QFI\xfb".to_vec();
    let be32 = |bytes: &mut Vec<u8>, value: u32| bytes.extend_from_slice(&value.to_be_bytes());
    let be64 = |bytes: &mut Vec<u8>, value: u64| bytes.extend_from_slice(&value.to_be_bytes());
    be32(&mut bytes, 3);
    // No backing file: place and length of its name.
    be64(&mut bytes, 0);
    be32(&mut bytes, 0);
    be32(&mut bytes, CLUSTER_BITS);
    be64(&mut bytes, size);
    // No encryption.
    be32(&mut bytes, 0);
    be32(&mut bytes, l1_entries);
    be64(&mut bytes, CLUSTER);
    be64(&mut bytes, refcount_table);
    be32(&mut bytes, refcount_table_clusters);
    // No snapshots: how many, and where.
    be32(&mut bytes, 0);
    be64(&mut bytes, 0);
    be64(&mut bytes, features);
    // Compatible and autoclear features.
    be64(&mut bytes, 0);
    be64(&mut bytes, 0);
    be32(&mut bytes, REFCOUNT_ORDER);
    be32(&mut bytes, HEADER_LENGTH);
    bytes.push(compression_type);
    bytes.resize(HEADER_LENGTH as usize + 8, 0);
    bytes
}
