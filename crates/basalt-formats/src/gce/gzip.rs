//! One gzip member (RFC 1952) from pieces that are compressed on all cores.

use std::{io, io::Write};

use crc32fast::Hasher;

use crate::{
    blocks::in_order,
    deflate::{Deflater, Wrapper},
    virtual_disk::WriteError,
};

/// Bytes that are compressed apart from each other.
const PIECE: u64 = 1 << 20;
/// Pieces in memory at a time, twice.
const BATCH: usize = 8;
/// Deflate, no name, no time, the fastest level, written on Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3];
/// A last block without anything: static codes, end of block (RFC 1951 section 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A compressed piece and the checksum of what it holds.
struct Piece {
    stream: Vec<u8>,
    checksum: Hasher,
}

/// Compresses `length` bytes that `read` gives, and gives the length of the member.
pub(super) fn write(
    length: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()> + Sync,
    sink: &mut (dyn Write + Send),
) -> Result<u64, WriteError> {
    let mut checksum = Hasher::new();
    let mut written = 0;
    let mut put = |bytes: &[u8]| {
        written += bytes.len() as u64;
        sink.write_all(bytes).map_err(WriteError::Sink)
    };
    put(&HEADER)?;
    let starts = (0..length.div_ceil(PIECE)).map(|piece| piece * PIECE);
    let make = |deflater: &mut Deflater, start: u64| {
        let mut bytes = vec![0; (length - start).min(PIECE) as usize];
        read(start, &mut bytes).map_err(WriteError::Disk)?;
        let mut checksum = Hasher::new();
        checksum.update(&bytes);
        let stream = deflater.stream(&bytes).map_err(WriteError::Compress)?;
        Ok(Piece { stream, checksum })
    };
    in_order(
        (starts, BATCH),
        || Deflater::new(Wrapper::Piece),
        make,
        |piece: Piece| {
            checksum.combine(&piece.checksum);
            put(&piece.stream)
        },
    )?;
    put(&LAST_BLOCK)?;
    put(&checksum.finalize().to_le_bytes())?;
    // The length modulo 2^32.
    put(&(length as u32).to_le_bytes())?;
    Ok(written)
}
