//! The decompressors, for input that may be hostile: output never passes the room it is given.

use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// A method by its number in the image (`Z_EROFS_COMPRESSION_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Lz4,
    Deflate,
    Zstd,
}

/// Why compressed bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are only zeros.
    #[error("a cluster holds only zeros")]
    Empty,
    /// A sequence of LZ4 is not possible.
    #[error("LZ4 data is damaged at its byte {at}")]
    Lz4 {
        /// Where.
        at: usize,
    },
    /// A library refused the data.
    #[error("{method} data is damaged: {why}")]
    Library {
        /// The method.
        method: &'static str,
        /// What the library said.
        why: String,
    },
    /// There is another amount of data than the index says.
    #[error("a cluster decompresses to {found} bytes or more, expected {expected}")]
    Length {
        /// Bytes that the index says.
        expected: usize,
        /// Bytes that were found.
        found: usize,
    },
}

impl Method {
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Lz4),
            2 => Some(Self::Deflate),
            3 => Some(Self::Zstd),
            _unknown => None,
        }
    }

    /// Fills `output` from `input`, which may have zeros in front. `partial`: the data may go on behind that.
    pub(super) fn decode(self, input: &[u8], output: &mut [u8], partial: bool) -> Result<(), DecodeError> {
        let start = input.iter().position(|byte| *byte != 0).ok_or(DecodeError::Empty)?;
        let input = &input[start..];
        let expected = output.len();
        let (found, ended) = match self {
            Self::Lz4 => lz4(input, output)?,
            Self::Deflate => deflate(input, output)?,
            Self::Zstd => zstandard(input, output)?,
        };
        if found == expected && (ended || partial) {
            Ok(())
        } else {
            Err(DecodeError::Length { expected, found })
        }
    }
}

/// Gives the bytes of output and whether the input ended with them.
fn deflate(input: &[u8], output: &mut [u8]) -> Result<(usize, bool), DecodeError> {
    let refuse =
        |why: flate2::DecompressError| DecodeError::Library { method: "DEFLATE", why: why.to_string() };
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress(input, output, FlushDecompress::Finish).map_err(refuse)?;
    let mut ended = status == flate2::Status::StreamEnd;
    let found = inflate.total_out() as usize;
    if !ended && found == output.len() {
        // The mark of the end may be left to read.
        let rest = &input[inflate.total_in() as usize..];
        let status = inflate.decompress(rest, &mut [0], FlushDecompress::Finish).map_err(refuse)?;
        ended = status == flate2::Status::StreamEnd && inflate.total_out() as usize == found;
    }
    Ok((found, ended))
}

fn zstandard(input: &[u8], output: &mut [u8]) -> Result<(usize, bool), DecodeError> {
    let refuse = |code| DecodeError::Library {
        method: "Zstandard",
        why: zstd::zstd_safe::get_error_name(code).to_owned(),
    };
    let mut context = DCtx::create();
    // What Linux allows (`Z_EROFS_ZSTD_MAX_DICT_SIZE`): 1 MiB.
    context.set_parameter(DParameter::WindowLogMax(20)).map_err(refuse)?;
    let mut source = InBuffer::around(input);
    let mut target = OutBuffer::around(output);
    loop {
        let before = (source.pos(), target.pos());
        let hint = context.decompress_stream(&mut target, &mut source).map_err(refuse)?;
        let ended = hint == 0;
        if ended || target.pos() == target.capacity() || (source.pos(), target.pos()) == before {
            return Ok((target.pos(), ended));
        }
    }
}

/// Source: `doc/lz4_Block_format.md` of LZ4: a token, literals, and a match whose distance is two bytes; the last
/// sequence has literals only.
fn lz4(input: &[u8], output: &mut [u8]) -> Result<(usize, bool), DecodeError> {
    let mut source = Input { bytes: input, at: 0 };
    let mut filled = 0;
    loop {
        let token = source.byte()?;
        let literals = source.length(token >> 4)?;
        let bytes = source.take(literals)?;
        let room = output.len() - filled;
        let taken = bytes.len().min(room);
        output[filled..filled + taken].copy_from_slice(&bytes[..taken]);
        filled += taken;
        if source.at == input.len() || filled == output.len() {
            return Ok((filled, source.at == input.len() && taken == bytes.len()));
        }
        let distance = usize::from(u16::from_le_bytes([source.byte()?, source.byte()?]));
        let wanted = source.length(token & 15)?.saturating_add(4);
        if distance == 0 || distance > filled {
            return Err(DecodeError::Lz4 { at: source.at });
        }
        let end = output.len().min(filled.saturating_add(wanted));
        repeat(output, filled, end, distance);
        let full = end - filled < wanted;
        filled = end;
        if full {
            return Ok((filled, false));
        }
    }
}

/// Fills `output[from..to]` with what is `distance` bytes before each byte, which may be bytes of the range itself.
fn repeat(output: &mut [u8], from: usize, to: usize, distance: usize) {
    let mut at = from;
    while at < to {
        // What is there already is a multiple of the distance long, so ever larger parts can be copied.
        let part = (at - from + distance).min(to - at);
        output.copy_within(from - distance..from - distance + part, at);
        at += part;
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Lz4 { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    /// A length whose first four bits are known; all ones say that it goes on.
    fn length(&mut self, nibble: u8) -> Result<usize, DecodeError> {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            loop {
                let more = self.byte()?;
                length = length.saturating_add(usize::from(more));
                if more != u8::MAX {
                    break;
                }
            }
        }
        Ok(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(DecodeError::Lz4 { at: self.at })?;
        self.at += length;
        Ok(taken)
    }
}
