//! Cuts a file's bytes into clusters: runs that are compressed into whole blocks, and an inline tail.

use std::io;

use serde::{Deserialize, Serialize};

use super::{
    codec::{Codec, Fill},
    format::{BLOCK, SLOT},
};

/// Bytes of a tail at most: wherever its inode starts in a block, the tail can be moved to the start of the next one.
pub(super) const MAX_TAIL: usize = (BLOCK - SLOT) as usize;
/// What an inline tail must save over a block of its own, for it takes room in the metadata and a step of reading.
const TAIL_GAIN: usize = 256;
/// Input bytes for one of output, before anything is known.
const FIRST_RATIO: f64 = 3.0;

/// A run of a file's bytes and the blocks that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cluster {
    /// Bytes of the file.
    pub(super) length: u32,
    /// Blocks of the image; the stored bytes end where the last one ends.
    pub(super) blocks: u32,
    /// Whether they are compressed.
    pub(super) compressed: bool,
}

/// The last bytes of a file, behind its inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Bytes of the file.
    pub(super) length: u32,
    /// The stored bytes, at most [`MAX_TAIL`].
    pub(super) bytes: Vec<u8>,
    /// Whether they are compressed.
    pub(super) compressed: bool,
}

/// What became of a part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Squeezed {
    pub(super) clusters: Vec<Cluster>,
    pub(super) tail: Option<Tail>,
}

/// Compresses `input` and appends the blocks to `blocks`, a multiple of 4096 bytes.
///
/// `input` starts at a multiple of 4096 of its file. It ends the file (then it may have a tail) or is a multiple of
/// 4096 long. What comes out depends on `input` and the codec's options alone.
pub(super) fn squeeze(
    codec: &mut Codec,
    input: &[u8],
    ends: bool,
    blocks: &mut Vec<u8>,
) -> io::Result<Squeezed> {
    let mut done = Squeezed::default();
    let mut ratio = FIRST_RATIO;
    let mut rest = input;
    while !rest.is_empty() {
        let budget = codec.cluster();
        let fill = codec.fill(rest, budget, &mut ratio)?;
        rest = match fill {
            Some(fill) if fill.read == rest.len() && ends => {
                finish(codec, rest, fill, blocks, &mut done)?;
                &[]
            }
            Some(fill) if pays(fill) => {
                add_compressed(fill.read, codec.output(), blocks, &mut done);
                &rest[fill.read..]
            }
            Some(_) | None => {
                let raw = rest.len().min(budget);
                add_raw(&rest[..raw], ends && raw == rest.len(), blocks, &mut done);
                &rest[raw..]
            }
        };
    }
    Ok(done)
}

/// Whether a cluster takes less blocks than bytes.
fn pays(fill: Fill) -> bool {
    fill.wrote.next_multiple_of(BLOCK as usize) < fill.read
}

/// Stores the last run of a file, of which all fits one cluster as `fill`: in whole blocks, or the last part inline.
fn finish(
    codec: &mut Codec,
    rest: &[u8],
    fill: Fill,
    blocks: &mut Vec<u8>,
    done: &mut Squeezed,
) -> io::Result<()> {
    let block = BLOCK as usize;
    if fill.wrote >= rest.len() || rest.len() < 16 {
        add_raw(rest, true, blocks, done);
        return Ok(());
    }
    if fill.wrote <= MAX_TAIL {
        let bytes = codec.output().to_vec();
        done.tail = Some(Tail { length: rest.len() as u32, bytes, compressed: true });
        return Ok(());
    }
    let whole = codec.output().to_vec();
    let budget = fill.wrote / block * block;
    if budget < fill.wrote && budget > 0 {
        let split = codec.shorten(rest, budget)?.filter(|split| pays(*split) && split.read < rest.len());
        if let Some(split) = split {
            let start = codec.output().to_vec();
            let last = &rest[split.read..];
            let tail = codec.whole(last, MAX_TAIL.min(last.len()))?;
            let size = tail.map_or(last.len(), |tail| tail.wrote);
            let stored = start.len().next_multiple_of(block) + size + TAIL_GAIN;
            if size <= MAX_TAIL && stored <= whole.len().next_multiple_of(block) {
                add_compressed(split.read, &start, blocks, done);
                let bytes = if tail.is_some() { codec.output() } else { last }.to_vec();
                done.tail = Some(Tail { length: last.len() as u32, bytes, compressed: tail.is_some() });
                return Ok(());
            }
        }
    }
    add_whole(rest, &whole, blocks, done);
    Ok(())
}

/// Stores the last run in blocks of its own.
fn add_whole(rest: &[u8], output: &[u8], blocks: &mut Vec<u8>, done: &mut Squeezed) {
    if pays(Fill { read: rest.len(), wrote: output.len() }) {
        add_compressed(rest.len(), output, blocks, done);
    } else {
        add_raw(rest, true, blocks, done);
    }
}

/// Readers find the start of compressed bytes behind zeros, so the padding comes first.
fn add_compressed(read: usize, output: &[u8], blocks: &mut Vec<u8>, done: &mut Squeezed) {
    let stored = output.len().next_multiple_of(BLOCK as usize);
    blocks.resize(blocks.len() + stored - output.len(), 0);
    blocks.extend_from_slice(output);
    let count = stored as u64 / BLOCK;
    done.clusters.push(Cluster { length: read as u32, blocks: count as u32, compressed: true });
}

/// Stores bytes as they are: a block each, as older kernels take no larger ones; at the file's end a part of a block
/// inline.
fn add_raw(bytes: &[u8], ends: bool, blocks: &mut Vec<u8>, done: &mut Squeezed) {
    for run in bytes.chunks(BLOCK as usize) {
        let length = run.len() as u32;
        if ends && run.len() <= MAX_TAIL {
            done.tail = Some(Tail { length, bytes: run.to_vec(), compressed: false });
        } else {
            blocks.extend_from_slice(run);
            blocks.resize(blocks.len().next_multiple_of(BLOCK as usize), 0);
            done.clusters.push(Cluster { length, blocks: 1, compressed: false });
        }
    }
}

#[cfg(test)]
mod tests;
