//! DEFLATE (RFC 1951) for containers: blocks are compressed apart from each other, so that all cores can work, and
//! what would not shrink is noticed by a look at a few bytes and stored.
//!
//! The same bytes give the same stream, whatever was compressed before with the same [`Deflater`].

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

/// The level of every stream. In disk images most of what is left is compressed already; level 1 of zlib-rs takes a
/// third of the time of level 6 and the result is about a tenth larger.
const LEVEL: u32 = 1;
/// The most bytes that a stored block holds: its length has 16 bits (RFC 1951 section 3.2.4).
const STORED: usize = u16::MAX as usize;
/// What a stored block adds: three bits padded to a byte, the length and its complement.
const STORED_HEADER: usize = 5;
/// The base of Adler-32 (RFC 1950 section 8.2), the largest prime below 2^16.
const ADLER: u32 = 65_521;
/// Bytes that can be added up before both sums of Adler-32 could overflow 32 bits.
const ADLER_RUN: usize = 5552;
/// Bytes looked at by [`looks_random`], and in how many places.
const SAMPLE: usize = 4096;
const PLACES: usize = 16;
/// The sum of squared counts of byte values in a sample of [`SAMPLE`] bytes, below which nothing is to be gained. Evenly
/// random bytes have 69,616 on average with a deviation of 360; text and machine code have more than 200,000.
const RANDOM: u64 = 72_000;

/// How a stream begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// Nothing around it, and no distance over 4096 bytes: QEMU inflates clusters with a window of 2^12.
    Raw4K,
    /// RFC 1950: two bytes before, Adler-32 behind.
    Zlib,
    /// Part of a longer stream: ends at a byte, and another part follows.
    Piece,
}

/// A compressor of flate2 for one stream after the other: making one costs more than a short stream.
pub(crate) struct Streams {
    level: u32,
    header: bool,
    window: u8,
    compress: Compress,
}

impl Streams {
    /// Of a level, with zlib's header or without, for distances below two to the power of `window`.
    pub(crate) fn new(level: u32, header: bool, window: u8) -> Self {
        let compress = Compress::new_with_window_bits(Compression::new(level), header, window);
        Self { level, header, window, compress }
    }

    /// The compressor at the beginning of a stream.
    pub(crate) fn begin(&mut self) -> &mut Compress {
        self.compress.reset();
        &mut self.compress
    }

    /// Forgets a stream that has not come to its end. zlib-rs (0.6.8) does not reset one whose output it still holds:
    /// it panics later.
    pub(crate) fn give_up(&mut self) {
        *self = Self::new(self.level, self.header, self.window);
    }
}

/// Compresses blocks apart from each other.
pub(crate) struct Deflater {
    wrapper: Wrapper,
    streams: Streams,
}

impl Deflater {
    pub(crate) fn new(wrapper: Wrapper) -> Self {
        let (header, window) = match wrapper {
            Wrapper::Raw4K => (false, 12),
            Wrapper::Zlib => (true, 15),
            Wrapper::Piece => (false, 15),
        };
        Self { wrapper, streams: Streams::new(LEVEL, header, window) }
    }

    /// A stream that is shorter than `bytes`, or `None`.
    pub(crate) fn shrink(&mut self, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if looks_random(bytes) {
            return Ok(None);
        }
        let compress = self.streams.begin();
        let mut stream = Vec::with_capacity(bytes.len().saturating_sub(1));
        let flush = match self.wrapper {
            Wrapper::Raw4K | Wrapper::Zlib => FlushCompress::Finish,
            Wrapper::Piece => FlushCompress::Sync,
        };
        let status = compress.compress_vec(bytes, &mut stream, flush).map_err(io::Error::other)?;
        let whole = match self.wrapper {
            Wrapper::Raw4K | Wrapper::Zlib => status == Status::StreamEnd,
            // A flush that filled the room exactly may have more to say.
            Wrapper::Piece => compress.total_in() == bytes.len() as u64 && stream.len() < stream.capacity(),
        };
        if !whole {
            self.streams.give_up();
        }
        Ok(whole.then_some(stream))
    }

    /// A stream in any case: of stored blocks when `bytes` don't shrink.
    pub(crate) fn stream(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        Ok(self.shrink(bytes)?.unwrap_or_else(|| stored(self.wrapper, bytes)))
    }
}

fn stored(wrapper: Wrapper, bytes: &[u8]) -> Vec<u8> {
    let blocks = bytes.len().div_ceil(STORED);
    let mut stream = Vec::with_capacity(bytes.len() + blocks * STORED_HEADER + 6);
    let ends = match wrapper {
        Wrapper::Raw4K | Wrapper::Zlib => true,
        Wrapper::Piece => false,
    };
    if wrapper == Wrapper::Zlib {
        // A window of 32 KiB, the fastest level; a multiple of 31 (RFC 1950 section 2.2).
        stream.extend_from_slice(&[0x78, 0x01]);
    }
    for (index, block) in bytes.chunks(STORED).enumerate() {
        let length = block.len() as u16;
        stream.push(u8::from(ends && index + 1 == blocks));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    if wrapper == Wrapper::Zlib {
        stream.extend_from_slice(&adler32(bytes).to_be_bytes());
    }
    stream
}

/// RFC 1950 section 8.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1, 0);
    for run in bytes.chunks(ADLER_RUN) {
        for byte in run {
            low += u32::from(*byte);
            high += low;
        }
        (low, high) = (low % ADLER, high % ADLER);
    }
    high << 16 | low
}

/// Whether a sample of the bytes is so evenly spread that compressing all of them would be for nothing: output of zstd
/// or xz, ciphertext, hash trees. Wrong for random bytes that come twice; then a container is larger than it could be.
fn looks_random(bytes: &[u8]) -> bool {
    if bytes.len() < SAMPLE {
        return false;
    }
    let mut counts = [0u64; 256];
    let step = (bytes.len() - SAMPLE / PLACES) / (PLACES - 1);
    for place in 0..PLACES {
        for byte in &bytes[place * step..][..SAMPLE / PLACES] {
            counts[usize::from(*byte)] += 1;
        }
    }
    counts.iter().map(|count| count * count).sum::<u64>() < RANDOM
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::{Deflater, Wrapper, adler32, looks_random};

    /// Bytes that no order can be seen in: xorshift64.
    fn random(mut state: u64, length: usize) -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn inflated(wrapper: Wrapper, stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let done = match wrapper {
            Wrapper::Zlib => flate2::read::ZlibDecoder::new(stream).read_to_end(&mut bytes),
            Wrapper::Raw4K | Wrapper::Piece => {
                flate2::read::DeflateDecoder::new(stream).read_to_end(&mut bytes)
            }
        };
        done.unwrap();
        bytes
    }

    #[test]
    fn adler_has_the_value_of_the_specifications_example() {
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(adler32(b""), 1);
    }

    #[test]
    fn random_bytes_are_noticed_and_text_is_not() {
        let noise = random(7, 65536);
        assert!(looks_random(&noise));
        assert!(!looks_random(&noise[..100]));
        assert!(!looks_random(&vec![0; 65536]));
        let text: Vec<u8> = (0..10_000).flat_map(|n: u32| n.to_string().into_bytes()).collect();
        assert!(!looks_random(&text));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_stream_inflates_to_its_bytes_with_a_used_compressor(
            lengths in prop::collection::vec((0usize..140_000, 1u8..=255, any::<u64>()), 1..4)
        ) {
            for wrapper in [Wrapper::Raw4K, Wrapper::Zlib, Wrapper::Piece] {
                let mut used = Deflater::new(wrapper);
                for (length, mask, seed) in &lengths {
                    let bytes: Vec<u8> = random(seed | 1, *length).iter().map(|byte| byte & mask).collect();
                    let stream = used.stream(&bytes).unwrap();
                    prop_assert_eq!(&stream, &Deflater::new(wrapper).stream(&bytes).unwrap());
                    let mut whole = stream.clone();
                    if wrapper == Wrapper::Piece || bytes.is_empty() && wrapper == Wrapper::Raw4K {
                        whole.extend_from_slice(&[3, 0]);
                    }
                    prop_assert!(inflated(wrapper, &whole) == bytes);
                }
            }
        }
    }
}
