use std::io;

use basalt_types::Digest;

use super::Part;

/// Why bytes are not an index of chunks.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not a zstd frame, or too much comes out of it.
    #[error("the chunk index can't be unpacked, or is larger than {limit} bytes")]
    Packing {
        /// [`super::Index::LIMIT`].
        limit: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// Something else.
    #[error("these bytes are no chunk index: they do not begin as one")]
    Magic,
    /// Of another version.
    #[error("the chunk index has version {0}, and this program reads {version}", version = super::Index::VERSION)]
    Version(u32),
    /// The counts in the header do not give the length.
    #[error("the chunk index has {found} bytes, and its header says {expected}")]
    Length {
        /// By the counts of the header.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A part of no known kind, twice, or not in order.
    #[error("part {0} of the chunk index is unknown, or not in its place")]
    Part(u32),
    /// A chunk that is empty, too long, or longer packed than not.
    #[error("chunk {number} has {length} bytes, {stored} stored: expected 1 to {limit}, and no more stored")]
    Chunk {
        /// From 0.
        number: usize,
        /// Its bytes.
        length: u32,
        /// Its bytes in the pack.
        stored: u32,
        /// The longest chunk's.
        limit: u32,
    },
    /// Two chunks with one digest.
    #[error("chunk {number} is {digest}, which an earlier chunk is, too")]
    Repeated {
        /// From 0.
        number: usize,
        /// What both are.
        digest: Digest,
    },
    /// A pack that does not consist of its chunks.
    #[error("pack {number} has {size} bytes, and its {chunks} chunks have {found}")]
    Pack {
        /// From 0.
        number: usize,
        /// By its entry.
        size: u64,
        /// How many chunks it has.
        chunks: u32,
        /// Their stored bytes, as far as there are so many chunks.
        found: u64,
    },
    /// A chunk with bytes and no pack.
    #[error("chunk {0} has bytes and is in no pack")]
    Unpacked(usize),
    /// A part names a chunk that is not there, or not in the order of first use.
    #[error("the part `{part}` names chunk {number} out of order")]
    Order {
        /// Which part.
        part: Part,
        /// The chunk.
        number: u32,
    },
    /// A part's chunks do not add up to it.
    #[error("the part `{part}` has {size} bytes, and its chunks have {found}")]
    PartSize {
        /// Which part.
        part: Part,
        /// By its entry.
        size: u64,
        /// By its chunks.
        found: u64,
    },
    /// A chunk that no part uses.
    #[error("chunk {0} is used by no part")]
    Unused(usize),
}

/// Why a release could not be made into chunks.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A part can't be read.
    #[error("the part `{part}` can't be read")]
    Read {
        /// Which part.
        part: Part,
        /// What the system said.
        source: io::Error,
    },
    /// zstd failed.
    #[error("a chunk can't be compressed")]
    Compress(#[source] io::Error),
    /// A pack can't be put anywhere.
    #[error("a pack can't be written")]
    Sink(#[source] io::Error),
    /// The parts are not in the order of [`Part::ALL`].
    #[error("the chunks give no index")]
    Index(#[from] IndexError),
}

/// Why a release could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// What the plan says is not in the index: they do not belong together.
    #[error("the plan names chunk {0}, and the index has no such chunk there")]
    Plan(u32),
    /// The plan copies from an image that was not given.
    #[error("the plan copies from image {0}, which was not given")]
    Source(u32),
    /// A part has no place to go.
    #[error("the part `{0}` has no place to go")]
    Sink(Part),
    /// The old release has other bytes than when it was looked through, or can't be read.
    #[error("chunk {digest} at byte {offset} of image {image} is not what it was")]
    Copy {
        /// What was expected.
        digest: Digest,
        /// Which image.
        image: u32,
        /// Where in it.
        offset: u64,
        /// What the system said, when it said something.
        source: Option<io::Error>,
    },
    /// A range can't be fetched.
    #[error("bytes {offset} to {end} of pack {pack} can't be fetched")]
    Fetch {
        /// From 0.
        pack: u32,
        /// The first byte.
        offset: u64,
        /// Behind the last.
        end: u64,
        /// Why.
        source: io::Error,
    },
    /// What was fetched is not what the index names.
    #[error("what was fetched of pack {pack} at byte {offset} is not {digest}")]
    Fetched {
        /// From 0.
        pack: u32,
        /// The first byte.
        offset: u64,
        /// What was expected.
        digest: Digest,
    },
    /// The part can't be written.
    #[error("the part `{part}` can't be written at byte {offset}")]
    Write {
        /// Which part.
        part: Part,
        /// Where.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}
