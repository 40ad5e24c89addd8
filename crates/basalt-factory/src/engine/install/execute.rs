use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use basalt_exec::block::{BlockError, Disk};

use super::{Span, WritePlan, WriteStep};

/// What is copied or compared at once.
const BATCH: u64 = 4 << 20;

/// Why a plan could not be followed. A disk starts nothing then; the same command begins anew.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The disk can't be had.
    #[error(transparent)]
    Disk(#[from] BlockError),
    /// Reading or writing failed.
    #[error("{} can't be {action} at byte {offset}", path.display())]
    Bytes {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// What was written is not what is read.
    #[error("{} gives back other bytes than were written, at {offset} and what follows", path.display())]
    Differs {
        /// The disk.
        path: PathBuf,
        /// Where the difference is, to 4 MiB.
        offset: u64,
    },
    /// A file can't be made.
    #[error("can't make {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Does what the plan says; `tell` hears how many bytes were copied or compared, and how many there are.
///
/// # Errors
/// When something can't be read or written, or is not what was written.
pub fn execute(plan: &WritePlan, tell: &mut dyn FnMut(u64, u64)) -> Result<(), ExecuteError> {
    let image = Disk::open(&plan.image)?;
    let partial = plan.target.with_extension("partial");
    let disk = if plan.fresh_file {
        let made = File::create(&partial).and_then(|file| file.set_len(plan.size));
        made.map_err(|source| ExecuteError::File { path: partial.clone(), source })?;
        Disk::open_exclusive(&partial)?
    } else {
        Disk::open_exclusive(&plan.target)?
    };
    let size = |step: &WriteStep| match step {
        WriteStep::Erase { .. } => 0,
        WriteStep::Copy { places } => places.iter().map(|place| place.end - place.start).sum(),
        WriteStep::Verify { place } => place.end - place.start,
    };
    let all: u64 = plan.steps.iter().map(size).sum();
    let mut done = 0;
    let mut tell = |bytes: u64| {
        done += bytes;
        tell(done, all);
    };
    for step in &plan.steps {
        match step {
            WriteStep::Erase { places } => erase(&disk, places)?,
            WriteStep::Copy { places } => copy(&image, &disk, places, &mut tell)?,
            WriteStep::Verify { place } => verify(&image, &disk, *place, &mut tell)?,
        }
    }
    drop(disk);
    if plan.fresh_file {
        fs::rename(&partial, &plan.target)
            .map_err(|source| ExecuteError::File { path: plan.target.clone(), source })?;
    }
    Ok(())
}

fn erase(disk: &Disk, places: &[Span]) -> Result<(), ExecuteError> {
    for Span { start, end } in places {
        disk.zero(*start, end - start).map_err(failed("erased", disk.path(), *start))?;
    }
    disk.flush().map_err(failed("flushed", disk.path(), 0))
}

fn copy(image: &Disk, disk: &Disk, places: &[Span], tell: &mut dyn FnMut(u64)) -> Result<(), ExecuteError> {
    let mut buffer = Vec::new();
    for (offset, length) in places.iter().flat_map(|place| batches(*place)) {
        buffer.resize(length, 0);
        image.read_at(offset, &mut buffer).map_err(failed("read", image.path(), offset))?;
        disk.write_at(offset, &buffer).map_err(failed("written", disk.path(), offset))?;
        tell(length as u64);
    }
    disk.flush().map_err(failed("flushed", disk.path(), 0))
}

/// What the disk gives back decides, not what was written.
fn verify(image: &Disk, disk: &Disk, place: Span, tell: &mut dyn FnMut(u64)) -> Result<(), ExecuteError> {
    let Span { start, end } = place;
    disk.forget(start, end - start).map_err(failed("read", disk.path(), start))?;
    let (mut wanted, mut found) = (Vec::new(), Vec::new());
    for (offset, length) in batches(place) {
        wanted.resize(length, 0);
        found.resize(length, 0);
        image.read_at(offset, &mut wanted).map_err(failed("read", image.path(), offset))?;
        disk.read_at(offset, &mut found).map_err(failed("read", disk.path(), offset))?;
        if wanted != found {
            return Err(ExecuteError::Differs { path: disk.path().to_owned(), offset });
        }
        tell(length as u64);
    }
    Ok(())
}

fn batches(place: Span) -> impl Iterator<Item = (u64, usize)> {
    let Span { start, end } = place;
    let step = usize::try_from(BATCH).unwrap_or(1 << 20);
    (start..end).step_by(step).map(move |offset| {
        let length = usize::try_from(end - offset).unwrap_or(step).min(step);
        (offset, length)
    })
}

fn failed(action: &'static str, path: &Path, offset: u64) -> impl FnOnce(io::Error) -> ExecuteError {
    let path = path.to_owned();
    move |source| ExecuteError::Bytes { action, path, offset, source }
}
