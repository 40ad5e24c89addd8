//! Files with holes, in the four ways that GNU tar has written them (GNU tar manual, "Storing Sparse Files").

use super::{
    super::{LayerProblem, stream::Plain},
    BLOCK,
    pax::{Records, number},
};

/// Where the bytes of a content go in a file with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::oci) struct Map {
    /// The file's length.
    pub(in crate::oci) size: u64,
    /// Offsets and lengths, ascending and apart from each other.
    pub(in crate::oci) pieces: Vec<(u64, u64)>,
    /// The bytes of the content that were taken to learn this.
    pub(super) header: u64,
}

/// Why there is no map.
#[derive(Debug)]
pub(super) enum MapError {
    Invalid,
    Stream(LayerProblem),
}

/// The most pieces of one file; GNU tar itself makes one for every 512 bytes at worst.
const PIECES: usize = 1 << 20;

/// The map of a type `S` entry: four pieces in its header, more in blocks behind it.
pub(super) fn of_header(header: &::tar::Header, stored: u64, plain: &mut Plain<'_>) -> Result<Map, MapError> {
    let gnu = header.as_gnu().ok_or(MapError::Invalid)?;
    let size = gnu.real_size().map_err(|_no_number| MapError::Invalid)?;
    let mut pieces = Vec::new();
    add(&mut pieces, &gnu.sparse)?;
    let mut more = gnu.is_extended();
    while more {
        let mut block = ::tar::GnuExtSparseHeader::new();
        plain.read_exact(block.as_mut_bytes()).map_err(MapError::Stream)?;
        add(&mut pieces, block.sparse())?;
        more = block.is_extended();
    }
    checked(Map { size, pieces, header: 0 }, stored)
}

fn add(pieces: &mut Vec<(u64, u64)>, written: &[::tar::GnuSparseHeader]) -> Result<(), MapError> {
    for piece in written.iter().filter(|piece| !piece.is_empty()) {
        let ends = (piece.offset(), piece.length());
        let (Ok(offset), Ok(length)) = ends else { return Err(MapError::Invalid) };
        pieces.push((offset, length));
    }
    if pieces.len() > PIECES { Err(MapError::Invalid) } else { Ok(()) }
}

/// The map that extended headers give: format 0.0 in records, 0.1 in one record, 1.0 at the beginning of the content.
pub(super) fn of_records(
    records: &Records,
    stored: u64,
    plain: &mut Plain<'_>,
) -> Result<Option<Map>, MapError> {
    let said = |key| records.number(key).map_err(|()| MapError::Invalid);
    if said("GNU.sparse.major")? == Some(1) {
        let size = said("GNU.sparse.realsize")?.ok_or(MapError::Invalid)?;
        let (pieces, header) = read_map(stored, plain)?;
        let left = stored.checked_sub(header).ok_or(MapError::Invalid)?;
        return checked(Map { size, pieces, header }, left).map(Some);
    }
    let Some(size) = said("GNU.sparse.size")? else { return Ok(None) };
    let pieces = match records.bytes("GNU.sparse.map") {
        Some(map) => pairs(map.split(|byte| *byte == b',').map(number))?,
        None => pairs(records.pieces.iter().flat_map(|(offset, length)| [number(offset), number(length)]))?,
    };
    checked(Map { size, pieces, header: 0 }, stored).map(Some)
}

/// Format 1.0: lines of numbers, the first says how many pieces follow, filled up to a whole block.
fn read_map(stored: u64, plain: &mut Plain<'_>) -> Result<(Vec<(u64, u64)>, u64), MapError> {
    let mut numbers = Vec::new();
    let mut line = Vec::new();
    let mut taken = 0;
    let mut wanted = 1;
    while numbers.len() < wanted {
        let mut block = [0; BLOCK];
        taken += BLOCK as u64;
        if taken > stored {
            return Err(MapError::Invalid);
        }
        plain.read_exact(&mut block).map_err(MapError::Stream)?;
        for byte in block {
            if numbers.len() == wanted {
                break;
            }
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let value = number(&line).ok_or(MapError::Invalid)?;
            line.clear();
            if numbers.is_empty() {
                let count = usize::try_from(value).ok().filter(|count| *count <= PIECES);
                wanted = 1 + 2 * count.ok_or(MapError::Invalid)?;
            }
            numbers.push(value);
        }
    }
    Ok((pairs(numbers[1..].iter().map(|number| Some(*number)))?, taken))
}

fn pairs(numbers: impl Iterator<Item = Option<u64>>) -> Result<Vec<(u64, u64)>, MapError> {
    let numbers: Option<Vec<u64>> = numbers.take(2 * PIECES + 1).collect();
    let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0 && numbers.len() <= 2 * PIECES);
    let numbers = numbers.ok_or(MapError::Invalid)?;
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Pieces ascend, end within the file, and are as long together as what is stored.
fn checked(map: Map, stored: u64) -> Result<Map, MapError> {
    let (mut end, mut sum) = (0, 0_u64);
    for (offset, length) in &map.pieces {
        let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= map.size);
        end = next.ok_or(MapError::Invalid)?;
        sum += length;
    }
    if sum == stored { Ok(map) } else { Err(MapError::Invalid) }
}
