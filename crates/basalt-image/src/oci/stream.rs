//! The bytes of a layer as they were before compression, counted and hashed.

use std::{
    cell::Cell,
    io::{self, BufRead as _, BufReader, Read},
    rc::Rc,
};

use basalt_types::Digest;
use sha2::Digest as _;

use super::{LayerProblem, Limits};

/// A layer's plain bytes.
pub(super) struct Plain<'r> {
    inner: Box<dyn Read + 'r>,
    /// The bytes that were sent, so far.
    sent: Rc<Cell<u64>>,
    /// The bytes that came out.
    plain: u64,
    limits: Limits,
    /// How many more may come.
    left: u64,
    hasher: sha2::Sha256,
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// RFC 1952 section 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878 section 3.1.1; a skippable frame (section 3.1.2) may come first.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

impl<'r> Plain<'r> {
    /// Looks at the first bytes to see how the layer is compressed: media types have been wrong before.
    pub(super) fn open(layer: &'r mut dyn Read, limits: Limits, left: u64) -> Result<Self, LayerProblem> {
        let sent = Rc::new(Cell::new(0));
        let counted = Counted { inner: layer, count: Rc::clone(&sent) };
        let mut input = BufReader::with_capacity(64 << 10, counted);
        let head = first_bytes(&mut input).map_err(LayerProblem::Damaged)?;
        let inner: Box<dyn Read> = if head.starts_with(&GZIP) {
            Box::new(flate2::bufread::MultiGzDecoder::new(input))
        } else if head == ZSTD || head[0] & 0xf0 == 0x50 && head[1..] == ZSTD_SKIPPABLE {
            let decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(LayerProblem::Damaged)?;
            Box::new(decoder)
        } else {
            Box::new(input)
        };
        Ok(Self { inner, sent, plain: 0, limits, left, hasher: sha2::Sha256::new() })
    }

    /// Fills `buffer`; gives how much of it, which is less only at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LayerProblem> {
        let mut filled = 0;
        while filled < buffer.len() {
            let count = match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(LayerProblem::Damaged(error)),
            };
            self.hasher.update(&buffer[filled..filled + count]);
            filled += count;
            self.plain += count as u64;
            self.spend(count as u64)?;
            let (plain, sent) = (self.plain, self.sent.get());
            if plain > self.limits.free && plain / self.limits.ratio.max(1) > sent {
                return Err(LayerProblem::Ratio { plain, sent });
            }
        }
        Ok(filled)
    }

    /// Fills all of `buffer`.
    pub(super) fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), LayerProblem> {
        if self.read(buffer)? == buffer.len() {
            return Ok(());
        }
        Err(LayerProblem::Damaged(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Gives `length` bytes to `sink`, piece by piece.
    pub(super) fn copy(
        &mut self,
        length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), LayerProblem>,
    ) -> Result<(), LayerProblem> {
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(256 << 10)];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.read_exact(&mut buffer[..part])?;
            sink(&buffer[..part])?;
            left -= part as u64;
        }
        Ok(())
    }

    /// Counts bytes that take space and that nobody sent: the holes of sparse files.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), LayerProblem> {
        self.left = self.left.checked_sub(bytes).ok_or(LayerProblem::Bytes(self.limits.bytes))?;
        Ok(())
    }

    /// Reads to the end; gives the digest and what is left of the bytes that are allowed.
    pub(super) fn finish(mut self) -> Result<(Digest, u64), LayerProblem> {
        let mut buffer = vec![0; 64 << 10];
        while self.read(&mut buffer)? > 0 {}
        Ok((Digest::from_bytes(self.hasher.finalize().into()), self.left))
    }
}

/// The first four bytes, zeros where there are less; they are not taken out.
fn first_bytes(input: &mut BufReader<impl Read>) -> io::Result<[u8; 4]> {
    let mut head = [0; 4];
    // One call gives at least one byte; a pipe may give no more, and a buffer that holds some is not filled again.
    let there = input.fill_buf()?;
    let count = there.len().min(4);
    head[..count].copy_from_slice(&there[..count]);
    Ok(head)
}
