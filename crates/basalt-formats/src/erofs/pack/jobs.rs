//! The jobs of packing: which parts of which contents are compressed, copied or taken as they are; and doing them.

use std::io;

use crc32fast::Hasher;

use super::{PackOptions, State, Unique};
use crate::{
    WriteAt,
    erofs::{
        codec::Codec,
        conveyor::Conveyor,
        error::{PlanError, WriteError},
        format::BLOCK,
        known::KnownTail,
        map,
        squeeze::{MAX_TAIL, Squeezed, Tail, squeeze},
        write::path_of,
    },
    tree::{ReadContent, Tree},
};

/// Bytes of a file that are compressed as one, a multiple of 4096: larger files are divided among threads.
const SEGMENT: u64 = 4 << 20;
/// Bytes of input of a job at least, when there is more.
const JOB: u64 = 1 << 20;
/// A part of a job: what becomes of a part of a content.
#[derive(Clone, Copy, Debug)]
struct Part {
    unique: usize,
    /// Bytes of the content, or of the donor's clusters.
    offset: u64,
    length: u64,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Compressed where that saves something; the content is only this part.
    Alone,
    /// Compressed where that saves something; other parts come before or behind.
    Segment,
    /// As it is.
    Raw,
    /// As a donor has it.
    Copied,
}

/// The result of a part.
struct Done {
    unique: usize,
    /// Where its blocks start, in bytes from the start of the job's.
    at: usize,
    squeezed: Squeezed,
    /// Over its blocks and its tail.
    sum: Hasher,
}

/// What all jobs need.
pub(super) struct Work<'a> {
    pub(super) tree: &'a Tree,
    pub(super) content: &'a dyn ReadContent,
    pub(super) uniques: Vec<Unique<'a>>,
}

impl Work<'_> {
    /// Does all jobs; gives the state of each content, and the byte behind all data.
    pub(super) fn run(
        &self,
        options: &PackOptions,
        sink: &dyn WriteAt,
    ) -> Result<(Vec<State>, u64), WriteError> {
        let jobs = divide(&self.uniques, options);
        let sizes = jobs.iter().map(|job| job.iter().map(|part| part.length).sum());
        let conveyor = Conveyor::new(sizes, rayon::current_num_threads());
        let mut states: Vec<State> = self.uniques.iter().map(|_| State::default()).collect();
        let mut end = BLOCK;
        let mut take = |(blocks, done): (Vec<u8>, Vec<Done>)| {
            for Done { unique, at, squeezed, sum } in done {
                let state = &mut states[unique];
                if state.block == 0 {
                    let block = (end + at as u64) / BLOCK;
                    state.block = u32::try_from(block).or(Err(PlanError::TooLarge { size: end }))?;
                }
                state.sum.combine(&sum);
                state.clusters.extend(squeezed.clusters);
                state.tail = squeezed.tail.or(state.tail.take());
            }
            if !blocks.is_empty() {
                sink.write_at(end, &blocks).map_err(|source| WriteError::Sink { offset: end, source })?;
            }
            end += blocks.len() as u64;
            Ok(())
        };
        let codec = || options.compression.as_ref().map(Codec::new);
        conveyor.run(&codec, &|codec, job| self.job(codec, &jobs[job]), &mut take)?;
        for (state, unique) in states.iter_mut().zip(&self.uniques) {
            if let Some((_, known)) = unique.known
                && !known.is_plain()
                && known.sum != state.sum.clone().finalize()
            {
                let source = io::Error::new(io::ErrorKind::InvalidData, "they are damaged");
                return Err(WriteError::Donor { path: path_of(self.tree, unique.id), source });
            }
            // What is in one piece and as it is needs no index. Neither does what has nothing in the data area.
            if state.tail.is_none() && !state.clusters.iter().any(|cluster| cluster.compressed) {
                state.clusters.clear();
            }
        }
        Ok((states, end))
    }

    fn job(
        &self,
        codec: &mut Option<io::Result<Codec>>,
        parts: &[Part],
    ) -> Result<(Vec<u8>, Vec<Done>), WriteError> {
        let mut blocks = Vec::new();
        let mut input = Vec::new();
        let mut done = Vec::with_capacity(parts.len());
        for part in parts {
            let at = blocks.len();
            let unique = &self.uniques[part.unique];
            let squeezed = match (part.how, &mut *codec) {
                (How::Copied, _) => self.copy(unique, part, &mut blocks)?,
                (How::Raw, _) | (How::Alone | How::Segment, None) => {
                    self.read(unique, part, &mut input)?;
                    add_raw(&input, &mut blocks)
                }
                (How::Alone | How::Segment, Some(Ok(codec))) => {
                    self.read(unique, part, &mut input)?;
                    let failed =
                        |source| WriteError::Compress { path: path_of(self.tree, unique.id), source };
                    let squeezed = squeeze(codec, &input, part.how == How::Alone, &mut blocks);
                    let squeezed = squeezed.map_err(failed)?;
                    if part.how == How::Alone && !saves(&squeezed, part.length) {
                        blocks.truncate(at);
                        if unique.small { Squeezed::default() } else { add_raw(&input, &mut blocks) }
                    } else {
                        squeezed
                    }
                }
                (How::Alone | How::Segment, Some(Err(error))) => {
                    let source = io::Error::new(error.kind(), error.to_string());
                    return Err(WriteError::Compress { path: path_of(self.tree, unique.id), source });
                }
            };
            // What has neither clusters nor blocks is not stored here.
            if blocks.len() > at || squeezed.tail.is_some() {
                let mut sum = Hasher::new();
                sum.update(&blocks[at..]);
                squeezed.tail.iter().for_each(|tail| sum.update(&tail.bytes));
                done.push(Done { unique: part.unique, at, squeezed, sum });
            }
        }
        Ok((blocks, done))
    }

    fn read(&self, unique: &Unique<'_>, part: &Part, input: &mut Vec<u8>) -> Result<(), WriteError> {
        input.resize(part.length as usize, 0);
        unique
            .content
            .read_at(self.content, part.offset, input)
            .map_err(|source| WriteError::Content { path: path_of(self.tree, unique.id), source })
    }

    /// Copies clusters, and with the first ones everything that is known of the content.
    fn copy(&self, unique: &Unique<'_>, part: &Part, blocks: &mut Vec<u8>) -> Result<Squeezed, WriteError> {
        let Some((donor, known)) = unique.known else { return Ok(Squeezed::default()) };
        let failed = |source| WriteError::Donor { path: path_of(self.tree, unique.id), source };
        let at = blocks.len();
        blocks.resize(at + part.length as usize, 0);
        let from = u64::from(known.block) * BLOCK + part.offset;
        donor.image.read_at(from, &mut blocks[at..]).map_err(failed)?;
        if part.offset > 0 {
            return Ok(Squeezed::default());
        }
        let tail = |tail: KnownTail| {
            let mut bytes = vec![0; usize::from(tail.stored)];
            donor.image.read_at(tail.offset, &mut bytes)?;
            Ok(Tail { length: tail.length, bytes, compressed: tail.compressed })
        };
        let tail = known.tail.map(tail).transpose().map_err(failed)?;
        Ok(Squeezed { clusters: known.clusters.clone(), tail })
    }
}

/// Stores bytes as they are, without an index.
fn add_raw(input: &[u8], blocks: &mut Vec<u8>) -> Squeezed {
    blocks.extend_from_slice(input);
    blocks.resize(blocks.len().next_multiple_of(BLOCK as usize), 0);
    Squeezed::default()
}

/// Whether a content takes less room compressed than as it is: a sixteenth at least when it fits an inode's block, for
/// reading it compressed takes longer.
fn saves(squeezed: &Squeezed, size: u64) -> bool {
    let blocks: u64 = squeezed.clusters.iter().map(|cluster| u64::from(cluster.blocks)).sum();
    let tail = squeezed.tail.as_ref().map_or(0, |tail| tail.bytes.len() as u64);
    let stored = blocks * BLOCK + tail + map::size(0, size);
    if size <= MAX_TAIL as u64 { stored <= size - size / 16 } else { stored < size.next_multiple_of(BLOCK) }
}

/// Divides the contents into jobs. Where a content is divided does not depend on the others.
fn divide(uniques: &[Unique<'_>], options: &PackOptions) -> Vec<Vec<Part>> {
    let mut jobs = Vec::new();
    let mut job = Vec::new();
    let mut bytes = 0;
    for (unique, each) in uniques.iter().enumerate() {
        let size = each.content.size;
        let (whole, how) = match each.known {
            Some((_, known)) if !known.is_plain() => (known.blocks() * BLOCK, How::Copied),
            Some(_) => (size, How::Raw),
            None if options.compression.is_none() => (size, How::Raw),
            None if size <= SEGMENT => (size, How::Alone),
            None => (size, How::Segment),
        };
        if how == How::Raw && each.small {
            continue;
        }
        let mut offset = 0;
        loop {
            let length = (whole - offset).min(SEGMENT);
            job.push(Part { unique, offset, length, how });
            bytes += length;
            offset += length;
            if bytes >= JOB {
                jobs.push(std::mem::take(&mut job));
                bytes = 0;
            }
            if offset >= whole {
                break;
            }
        }
    }
    if !job.is_empty() {
        jobs.push(job);
    }
    jobs
}
