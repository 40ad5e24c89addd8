//! Random numbers from the kernel.

use std::{fs::File, io::Read as _, time::Duration};

use crate::error::{Done, TaskError};

/// A number below `limit` (more than 0), good enough for choosing a moment or a variant.
pub(super) fn below(limit: u32) -> Done<u32> {
    let mut bytes = [0; 4];
    let source = "/dev/urandom";
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(TaskError::io("read", source))?;
    Ok(u32::from_le_bytes(bytes) % limit.max(1))
}

/// A time below `limit`.
pub(super) fn moment(limit: Duration) -> Done<Duration> {
    Ok(limit.mul_f64(f64::from(below(u32::MAX)?) / f64::from(u32::MAX)))
}
