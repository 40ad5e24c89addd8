//! The stream of markers, grains and tables.

use std::io::{self, Write};

use super::{GRAIN, SECTOR, TABLE_GRAINS};
use crate::blocks::write_padded;

const MAGIC: &[u8; 4] = b"KDMV";
const VERSION: u32 = 3;
/// Newlines can be checked (bit 0), grains are compressed (16), markers are there (17).
const FLAGS: u32 = 1 | 1 << 16 | 1 << 17;
/// "The grain directory is at the end": its place is in the footer.
const AT_END: u64 = u64::MAX;
/// RFC 1951 in RFC 1950.
const DEFLATE: u16 = 1;
/// Sectors that the descriptor has.
const DESCRIPTOR: u64 = 20;

/// What follows a marker.
#[derive(Clone, Copy)]
enum Marker {
    EndOfStream = 0,
    GrainTable = 1,
    GrainDirectory = 2,
    Footer = 3,
}

/// The image so far. Grains come in ascending order.
pub(super) struct Stream<'a> {
    sink: &'a mut (dyn Write + Send),
    /// Sectors of the disk.
    capacity: u64,
    /// Sectors written.
    position: u64,
    directory: Vec<u32>,
    table: Option<(u64, Vec<u32>)>,
}

impl<'a> Stream<'a> {
    pub(super) fn begin(
        sink: &'a mut (dyn Write + Send),
        capacity: u64,
        descriptor: &str,
    ) -> io::Result<Self> {
        let tables = capacity.div_ceil(GRAIN * TABLE_GRAINS);
        let mut stream =
            Self { sink, capacity, position: 0, directory: vec![0; tables as usize], table: None };
        let mut front = stream.header(AT_END);
        front.extend_from_slice(descriptor.as_bytes());
        front.resize((GRAIN * SECTOR) as usize, 0);
        stream.append(&front)?;
        Ok(stream)
    }

    /// Appends a compressed grain.
    pub(super) fn put(&mut self, number: u64, compressed: &[u8]) -> io::Result<()> {
        let index = number / TABLE_GRAINS;
        if self.table.as_ref().is_none_or(|(current, _)| *current != index) {
            self.end_table()?;
        }
        let place = self.place()?;
        let (_, table) = self.table.get_or_insert_with(|| (index, vec![0; TABLE_GRAINS as usize]));
        table[(number % TABLE_GRAINS) as usize] = place;
        let mut grain = Vec::with_capacity(compressed.len() + 12);
        grain.extend_from_slice(&(number * GRAIN).to_le_bytes());
        grain.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
        grain.extend_from_slice(compressed);
        self.append(&grain)
    }

    /// Appends what comes behind the last grain; gives the image's bytes.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.end_table()?;
        let directory = words(&self.directory);
        let place = self.with_marker(Marker::GrainDirectory, &directory)?;
        let footer = self.header(place.into());
        self.with_marker(Marker::Footer, &footer)?;
        self.with_marker(Marker::EndOfStream, &[])?;
        Ok(self.position * SECTOR)
    }

    fn end_table(&mut self) -> io::Result<()> {
        if let Some((index, table)) = self.table.take() {
            self.directory[index as usize] = self.with_marker(Marker::GrainTable, &words(&table))?;
        }
        Ok(())
    }

    /// Appends a marker and what it announces; gives the sector of the latter.
    fn with_marker(&mut self, marker: Marker, bytes: &[u8]) -> io::Result<u32> {
        let sectors = (bytes.len() as u64).div_ceil(SECTOR);
        let mut sector = sectors.to_le_bytes().to_vec();
        // A size of 0 tells a marker from a grain.
        sector.extend_from_slice(&0u32.to_le_bytes());
        sector.extend_from_slice(&(marker as u32).to_le_bytes());
        self.append(&sector)?;
        let place = self.place()?;
        self.append(bytes)?;
        Ok(place)
    }

    /// The next sector, as tables store it.
    fn place(&self) -> io::Result<u32> {
        let too_large = |_| io::Error::new(io::ErrorKind::FileTooLarge, "a VMDK image ends at 2 TiB");
        u32::try_from(self.position).map_err(too_large)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += write_padded(self.sink, bytes, SECTOR as usize)? / SECTOR;
        Ok(())
    }

    /// `SparseExtentHeader`: the header, or the footer.
    fn header(&self, directory: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&FLAGS.to_le_bytes());
        // The descriptor is at sector 1.
        for word in [self.capacity, GRAIN, 1, DESCRIPTOR] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&(TABLE_GRAINS as u32).to_le_bytes());
        // No second directory; the first; sectors before the first grain.
        for word in [0, directory, GRAIN] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        // Shut down cleanly, and bytes that show what a transfer in text mode breaks.
        bytes.extend_from_slice(b"\0\n \r\n");
        bytes.extend_from_slice(&DEFLATE.to_le_bytes());
        bytes.resize(SECTOR as usize, 0);
        bytes
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
