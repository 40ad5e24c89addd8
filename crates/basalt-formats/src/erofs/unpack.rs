//! An image as a store: its bytes, and behind its end the bytes of its compressed files, decompressed as they are read.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    error::ReadError,
    lookup::{ClusterError, Lookup, Place, Run},
    read::Image,
};
use crate::{
    ReadAt,
    tree::{Content, ReadContent, Tree},
};

/// Bytes of decompressed runs that are kept for the next reads.
const KEPT: usize = 24 << 20;

/// Where the compressed files of an image are.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// By the first byte of their addresses.
    files: Vec<(u64, Lookup)>,
    /// The first address that nobody has.
    end: u64,
    /// The file that ends of other files are in.
    pub(super) fragments: Option<Content>,
}

/// An image's bytes, and behind them those of its compressed files.
///
/// Reads by several threads go on side by side; some 24 MiB of what was decompressed are kept.
pub struct Unpacked<S> {
    source: S,
    catalogue: Catalogue,
    kept: Mutex<Kept>,
}

/// The runs that were read last, the last one behind.
#[derive(Default)]
struct Kept {
    runs: Vec<(Key, Arc<[u8]>)>,
    bytes: usize,
}

/// A run, by its file and its first byte there.
type Key = (u64, u64);

/// Opens an image and reads its tree. The content of the tree's files is read through the store that this gives, which
/// has the number `store`.
///
/// # Errors
/// When it is no EROFS image, or damaged, or stored in a way that this reader lacks.
pub fn unpack<S: ReadAt>(source: S, store: u32) -> Result<(Tree, Unpacked<S>), ReadError> {
    let (tree, catalogue) = Image::open(&source)?.read(store)?;
    Ok((tree, Unpacked { source, catalogue, kept: Mutex::default() }))
}

impl Catalogue {
    /// The addresses start at `end`, behind everything else.
    pub(super) fn new(end: u64) -> Self {
        Self { files: Vec::new(), end, fragments: None }
    }

    /// Adds a file; gives the address of its first byte.
    pub(super) fn add(&mut self, nid: u64, lookup: Lookup) -> Result<u64, ReadError> {
        if let Some(needed) = lookup.fragment_end() {
            let there = self.fragments.as_ref().map_or(0, |packed| packed.size);
            if needed.is_none_or(|needed| needed > there) {
                return Err(ReadError::Fragment { nid });
            }
        }
        let start = self.end;
        let end = start.checked_add(lookup.size).filter(|end| *end < i64::MAX as u64);
        self.end = end.ok_or(ReadError::Sizes { nid })?;
        self.files.push((start, lookup));
        Ok(start)
    }
}

impl<S: ReadAt> Unpacked<S> {
    /// What the image is read from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Fills `buffer` from address `offset` on, which is behind the image's end.
    fn read_compressed(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let files = &self.catalogue.files;
        let place = files.partition_point(|(start, _)| *start <= offset).checked_sub(1);
        let (start, lookup) = place.map(|place| &files[place]).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut position = offset - start;
        if position.checked_add(buffer.len() as u64).is_none_or(|end| end > lookup.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = buffer;
        while !rest.is_empty() {
            let done = self
                .read_run((*start, lookup), position, rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            position += done as u64;
            rest = &mut rest[done..];
        }
        Ok(())
    }

    /// Fills the start of `buffer` from one run; gives how many bytes that are.
    fn read_run(
        &self,
        (file, lookup): (u64, &Lookup),
        position: u64,
        buffer: &mut [u8],
    ) -> Result<usize, ClusterError> {
        if let Some((start, bytes)) = self.kept(file, position) {
            let from = (position - start) as usize;
            let length = buffer.len().min(bytes.len() - from);
            buffer[..length].copy_from_slice(&bytes[from..from + length]);
            return Ok(length);
        }
        let run = lookup.run(&self.source, position)?;
        let skip = (position - run.start) as usize;
        let length = ((run.end - position) as usize).min(buffer.len());
        if let Place::Fragment { offset } = run.place {
            let Some(packed) = &self.catalogue.fragments else { return Err(ClusterError::Fragment) };
            let failed = |error: io::Error| ClusterError::Io(error.to_string());
            packed.read_at(self, offset + skip as u64, &mut buffer[..length]).map_err(failed)?;
            return Ok(length);
        }
        let whole = (run.end - run.start) as usize;
        if length == whole {
            self.decode(&run, &mut buffer[..whole])?;
            return Ok(whole);
        }
        let mut bytes = vec![0; whole];
        self.decode(&run, &mut bytes)?;
        buffer[..length].copy_from_slice(&bytes[skip..skip + length]);
        self.keep((file, run.start), bytes.into());
        Ok(length)
    }

    /// Fills `output` with all of a run.
    fn decode(&self, run: &Run, output: &mut [u8]) -> Result<(), ClusterError> {
        let read = |offset, length: u64| {
            let mut stored = vec![0; length as usize];
            let failed = |error: io::Error| ClusterError::Io(error.to_string());
            self.source.read_at(offset, &mut stored).map_err(failed).map(|()| stored)
        };
        match run.place {
            Place::Plain { offset, length, turn } => {
                let mut stored = read(offset, length)?;
                stored.rotate_left(turn as usize);
                output.copy_from_slice(&stored[..output.len()]);
                Ok(())
            }
            Place::Compressed { offset, length, method, partial } => {
                Ok(method.decode(&read(offset, length)?, output, partial)?)
            }
            Place::Fragment { .. } => Err(ClusterError::Fragment),
        }
    }

    /// The run that was kept of this file and holds this byte, and where it starts.
    fn kept(&self, file: u64, position: u64) -> Option<(u64, Arc<[u8]>)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |((of, start), bytes): &(Key, Arc<[u8]>)| {
            *of == file && (*start..start + bytes.len() as u64).contains(&position)
        };
        let place = kept.runs.iter().rposition(holds)?;
        let found = kept.runs.remove(place);
        let result = (found.0.1, Arc::clone(&found.1));
        kept.runs.push(found);
        Some(result)
    }

    fn keep(&self, key: Key, bytes: Arc<[u8]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += bytes.len();
        kept.runs.push((key, bytes));
        while kept.bytes > KEPT && kept.runs.len() > 1 {
            kept.bytes -= kept.runs.remove(0).1.len();
        }
    }
}

impl<S: ReadAt> ReadAt for Unpacked<S> {
    fn size(&self) -> u64 {
        self.catalogue.end
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.catalogue.files.first() {
            Some((start, _)) if offset >= *start => self.read_compressed(offset, buffer),
            Some(_) | None => self.source.read_at(offset, buffer),
        }
    }
}

/// The numbers of stores have no meaning here: there is this one.
impl<S: ReadAt> ReadContent for Unpacked<S> {
    fn read_stored(&self, _store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, buffer)
    }
}

impl<S> fmt::Debug for Unpacked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacked")
            .field("compressed_files", &self.catalogue.files.len())
            .finish_non_exhaustive()
    }
}
