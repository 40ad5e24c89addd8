//! The disk in the formats of virtual machines and clouds.

use std::io::{self, BufWriter, Write as _};

use basalt_formats::{
    ReadAt, gce,
    qcow2::{self, Compression},
    vhd, virtual_disk, vmdk,
};

use super::{Context, OutputsError};
use crate::engine::{output::PartialFile, release::derived};

/// How much is handed to the system at a time, where a format writes small pieces.
const BUFFER: usize = 1 << 20;

type Written = Result<PartialFile, OutputsError>;

/// A sparse file: what the disk has no data for is a hole.
pub(super) fn raw(disk: &dyn ReadAt, file: PartialFile) -> Written {
    file.set_size(disk.size())?;
    virtual_disk::copy(disk, &file)?;
    Ok(file)
}

/// DEFLATE, which everything that knows qcow2 reads.
pub(super) fn qcow2(disk: &dyn ReadAt, compressed: bool, file: PartialFile) -> Written {
    let compression = if compressed { Compression::Deflate } else { Compression::None };
    let size = qcow2::write(disk, compression, &file)?;
    file.set_size(size)?;
    Ok(file)
}

pub(super) fn fixed_vhd(context: &Context<'_>, disk: &dyn ReadAt, file: PartialFile) -> Written {
    let size = vhd::write_fixed(disk, vhd_options(context), &file)?;
    file.set_size(size)?;
    Ok(file)
}

pub(super) fn dynamic_vhd(context: &Context<'_>, disk: &dyn ReadAt, file: PartialFile) -> Written {
    let size = vhd::write_dynamic(disk, vhd_options(context), &file)?;
    file.set_size(size)?;
    Ok(file)
}

fn vhd_options(context: &Context<'_>) -> vhd::Options {
    vhd::Options { id: derived(context.id, "vhd"), time: context.epoch }
}

pub(super) fn vmdk(context: &Context<'_>, disk: &dyn ReadAt, file: PartialFile) -> Written {
    let [a, b, c, d, ..] = *derived(context.id, "vmdk").as_bytes();
    let content_id = u32::from_be_bytes([a, b, c, d]);
    let options = vmdk::Options { adapter: vmdk::Adapter::LsiLogic, content_id };
    stream(file, |sink| {
        vmdk::write(disk, options, sink)?;
        Ok(())
    })
}

pub(super) fn gce(context: &Context<'_>, disk: &dyn ReadAt, file: PartialFile) -> Written {
    stream(file, |sink| {
        gce::write(disk, context.epoch, sink)?;
        Ok(())
    })
}

/// Runs a writer that only appends.
fn stream(
    file: PartialFile,
    write: impl FnOnce(&mut BufWriter<&std::fs::File>) -> Result<(), OutputsError>,
) -> Written {
    let mut sink = BufWriter::with_capacity(BUFFER, file.file());
    write(&mut sink)?;
    sink.flush()?;
    sink.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(file)
}
