//! A release again, from what a machine has and what it fetched.

use std::io;

use basalt_types::Digest;

use super::{Chunk, CopyStep, FetchStep, Index, Part, Plan, error::AssembleError};
use crate::{ReadAt, WriteAt};

/// Where the chunks of an index go. Every chunk is verified before it is written; steps may be done in any order, from
/// any thread, and again.
pub struct Assembly<'a> {
    index: &'a Index,
    sinks: &'a [(Part, &'a dyn WriteAt)],
    /// Of each chunk: every place that it has.
    targets: Vec<Vec<(Part, u64)>>,
}

/// Gives bytes of packs, such as a registry that answers requests for ranges.
pub trait FetchRange {
    /// The bytes that the step names, all of them.
    ///
    /// # Errors
    /// When they can't be had.
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>>;
}

/// Does every step of `plan`: `images` are the old ones, by the numbers that the plan gives them.
///
/// # Errors
/// When something can't be read, fetched or written, or is not what the index names; the parts are not complete then.
pub fn assemble(
    assembly: &Assembly<'_>,
    plan: &Plan,
    images: &[&dyn ReadAt],
    packs: &mut dyn FetchRange,
) -> Result<(), AssembleError> {
    for number in &plan.zeros {
        assembly.clear(*number)?;
    }
    for step in &plan.copies {
        assembly.copy(step, images)?;
    }
    for step in &plan.fetches {
        let FetchStep { pack, offset, length, .. } = *step;
        let end = offset + length;
        let bytes = packs.fetch(step);
        let bytes = bytes.map_err(|source| AssembleError::Fetch { pack, offset, end, source })?;
        assembly.unpack(step, &bytes)?;
    }
    Ok(())
}

impl<'a> Assembly<'a> {
    /// Prepares to write the parts of `index`.
    ///
    /// # Errors
    /// When a part has no sink.
    pub fn new(index: &'a Index, sinks: &'a [(Part, &'a dyn WriteAt)]) -> Result<Self, AssembleError> {
        let mut targets = vec![Vec::new(); index.chunks().len()];
        for part in index.parts() {
            if !sinks.iter().any(|(of, _)| *of == part.part) {
                return Err(AssembleError::Sink(part.part));
            }
            let mut offset = 0;
            for number in &part.chunks {
                let (Some(targets), Some(chunk)) =
                    (targets.get_mut(*number as usize), index.chunks().get(*number as usize))
                else {
                    return Err(AssembleError::Plan(*number));
                };
                targets.push((part.part, offset));
                offset += u64::from(chunk.length);
            }
        }
        Ok(Self { index, sinks, targets })
    }

    /// Writes a chunk of zeros.
    ///
    /// # Errors
    /// When the chunk is not zeros, or a sink refuses.
    pub fn clear(&self, number: u32) -> Result<(), AssembleError> {
        let chunk = self.chunk(number)?;
        let zeros = if chunk.stored == 0 { chunk.unpack(&[]) } else { None };
        self.write(number, &zeros.ok_or(AssembleError::Plan(number))?)
    }

    /// Copies a chunk from the old image that the step names.
    ///
    /// # Errors
    /// When it is not there any more, or a sink refuses.
    pub fn copy(&self, step: &CopyStep, images: &[&dyn ReadAt]) -> Result<(), AssembleError> {
        let chunk = self.chunk(step.chunk)?;
        let (image, offset, digest) = (step.from.image, step.from.offset, chunk.digest);
        let old = images.get(image as usize).ok_or(AssembleError::Source(image))?;
        let mut bytes = vec![0; chunk.length as usize];
        let damaged = |source| AssembleError::Copy { digest, image, offset, source };
        old.read_at(offset, &mut bytes).map_err(|source| damaged(Some(source)))?;
        if Digest::of(&bytes) != digest {
            return Err(damaged(None));
        }
        self.write(step.chunk, &bytes)
    }

    /// Takes the wanted chunks out of the bytes that were fetched for a step.
    ///
    /// # Errors
    /// When the bytes are not what the index names, or a sink refuses.
    pub fn unpack(&self, step: &FetchStep, bytes: &[u8]) -> Result<(), AssembleError> {
        for number in &step.chunks {
            let chunk = self.chunk(*number)?;
            let place = self.index.place(*number).filter(|place| place.pack == step.pack);
            let from = place.and_then(|place| place.offset.checked_sub(step.offset));
            let from = from.ok_or(AssembleError::Plan(*number))?;
            let (pack, offset, digest) = (step.pack, step.offset + from, chunk.digest);
            let wrong = || AssembleError::Fetched { pack, offset, digest };
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let stored = bytes.get(from..).and_then(|rest| rest.get(..chunk.stored as usize));
            let whole = stored.and_then(|stored| chunk.unpack(stored)).ok_or_else(wrong)?;
            self.write(*number, &whole)?;
        }
        Ok(())
    }

    fn chunk(&self, number: u32) -> Result<&'a Chunk, AssembleError> {
        self.index.chunks().get(number as usize).ok_or(AssembleError::Plan(number))
    }

    fn write(&self, number: u32, bytes: &[u8]) -> Result<(), AssembleError> {
        for (part, offset) in self.targets.get(number as usize).into_iter().flatten() {
            let (part, offset) = (*part, *offset);
            let sink = self.sinks.iter().find(|(of, _)| *of == part);
            let (_, sink) = sink.ok_or(AssembleError::Sink(part))?;
            sink.write_at(offset, bytes).map_err(|source| AssembleError::Write { part, offset, source })?;
        }
        Ok(())
    }
}

impl Chunk {
    /// The bytes of the chunk, from those that its pack has; `None` when they are others than the digest says. No more
    /// memory is taken than the chunk has bytes.
    pub fn unpack(&self, stored: &[u8]) -> Option<Vec<u8>> {
        let length = self.length as usize;
        let bytes = match stored.len() {
            0 => vec![0; length],
            same if same == length => stored.to_vec(),
            _compressed => match zstd::bulk::decompress(stored, length) {
                Ok(bytes) => bytes,
                // What the decompressor says of it adds nothing: these are other bytes than were packed.
                Err(_damaged) => return None,
            },
        };
        (bytes.len() == length && Digest::of(&bytes) == self.digest).then_some(bytes)
    }
}

impl std::fmt::Debug for Assembly<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembly").field("chunks", &self.targets.len()).finish_non_exhaustive()
    }
}
