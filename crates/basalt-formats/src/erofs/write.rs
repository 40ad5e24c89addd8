//! Writes a planned image in one pass.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    error::WriteError,
    format::{self, BLOCK},
    plan::{Layout, Piece, PieceSource},
};
use crate::{
    WriteAt,
    tree::{NodeId, ReadContent, Tree},
};

/// Bytes of one write, except the last.
const CHUNK: u64 = 1 << 20;

impl Layout<'_> {
    /// Writes the image to `sink`, from several threads of rayon's current pool.
    ///
    /// Every block is written exactly once: in chunks of 1 MiB that start at multiples of 1 MiB (the last is shorter,
    /// a multiple of 4096), in no particular order. Memory: one chunk for each thread.
    ///
    /// # Errors
    /// When `content` can't give what the tree promises, or `sink` fails; the image is then incomplete.
    pub fn write(&self, content: &dyn ReadContent, sink: &dyn WriteAt) -> Result<(), WriteError> {
        self.write_range(0..self.size, content, sink)
    }

    /// Writes a part of the image (multiples of 4096) in chunks from its start on.
    pub(super) fn write_range(
        &self,
        range: Range<u64>,
        content: &dyn ReadContent,
        sink: &dyn WriteAt,
    ) -> Result<(), WriteError> {
        let chunks = (range.end - range.start).div_ceil(CHUNK);
        (0..chunks).into_par_iter().try_for_each_init(
            || vec![0; CHUNK as usize],
            |buffer, index| {
                let offset = range.start + index * CHUNK;
                let chunk = &mut buffer[..CHUNK.min(range.end - offset) as usize];
                self.fill(offset, chunk, content)?;
                sink.write_at(offset, chunk).map_err(|source| WriteError::Sink { offset, source })
            },
        )
    }

    /// Fills `chunk` with the bytes of the image from `offset` on.
    fn fill(&self, offset: u64, chunk: &mut [u8], content: &dyn ReadContent) -> Result<(), WriteError> {
        let end = offset + chunk.len() as u64;
        let first = self.pieces.partition_point(|piece| piece.offset + piece.length <= offset);
        let mut filled = 0;
        for piece in self.pieces[first..].iter().take_while(|piece| piece.offset < end) {
            let from = piece.offset.max(offset);
            let to = (piece.offset + piece.length).min(end);
            let (start, stop) = ((from - offset) as usize, (to - offset) as usize);
            chunk[filled..start].fill(0);
            self.copy(piece, from - piece.offset, &mut chunk[start..stop], content)?;
            filled = stop;
        }
        chunk[filled..].fill(0);
        if offset == 0 {
            format::seal(&mut chunk[..BLOCK as usize]);
        }
        Ok(())
    }

    /// Copies the bytes of `piece` from `skip` on.
    fn copy(
        &self,
        piece: &Piece<'_>,
        skip: u64,
        target: &mut [u8],
        content: &dyn ReadContent,
    ) -> Result<(), WriteError> {
        match piece.source {
            PieceSource::Rendered(start) => {
                let from = start + skip as usize;
                target.copy_from_slice(&self.rendered[from..from + target.len()]);
                Ok(())
            }
            PieceSource::Bytes(bytes) => {
                let from = skip as usize;
                target.copy_from_slice(&bytes[from..from + target.len()]);
                Ok(())
            }
            PieceSource::File(id, file) => file
                .read_at(content, skip, target)
                .map_err(|source| WriteError::Content { path: path_of(self.tree, id), source }),
        }
    }
}

/// The first path that leads to a node, for an error.
pub(super) fn path_of(tree: &Tree, wanted: NodeId) -> String {
    let mut found = None;
    tree.walk(&mut |path, id| {
        if id == wanted && found.is_none() {
            found = Some(String::from_utf8_lossy(path).into_owned());
        }
    });
    found.unwrap_or_default()
}
