//! The tree as an archive: one zstd stream over a tar or a cpio that is nowhere as a whole.

use std::{
    io::{self, BufWriter, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use basalt_formats::{
    cpio, tar,
    tree::{ReadContent, Tree},
};

use super::{Context, OutputsError};
use crate::engine::output::PartialFile;

/// Writes 200 MB a second on one core, about as fast as a tree is read; the next levels take twice the time for 3 % less.
const LEVEL: i32 = 3;
/// How much is handed to the system at a time.
const BUFFER: usize = 1 << 20;

/// `.tar.zst`.
pub(super) fn tar(
    context: &Context<'_>,
    (tree, content): (&Tree, &dyn ReadContent),
    file: PartialFile,
) -> Result<PartialFile, OutputsError> {
    compress(context, file, |sink| {
        tar::write(tree, content, context.epoch, sink)?;
        Ok(())
    })
}

/// `.cpio.zst`. The kernel unpacks it as an initramfs, too: it is one zstd frame.
pub(super) fn cpio(
    context: &Context<'_>,
    (tree, content): (&Tree, &dyn ReadContent),
    file: PartialFile,
) -> Result<PartialFile, OutputsError> {
    compress(context, file, |sink| {
        cpio::stream(tree, content, context.epoch, sink)?;
        Ok(())
    })
}

fn compress(
    context: &Context<'_>,
    file: PartialFile,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), OutputsError>,
) -> Result<PartialFile, OutputsError> {
    let mut sink = compressor(BufWriter::with_capacity(BUFFER, file.file()))?;
    write(&mut Sink { sink: &mut sink, stop: context.stop })?;
    sink.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(file)
}

/// One frame with a checksum. Not in several threads: that gives other bytes than one does, and outputs are written
/// beside one another anyway.
pub(super) fn compressor<W: Write>(sink: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(sink, LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// A sink that takes nothing any more once the person wants to stop.
pub(super) struct Sink<'a, W> {
    pub(super) sink: &'a mut W,
    pub(super) stop: &'a AtomicBool,
}

impl<W: Write> Write for Sink<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("stopped")),
            false => self.sink.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
