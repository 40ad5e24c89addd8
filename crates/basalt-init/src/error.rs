//! What can go wrong between the kernel and the image's init.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_exec::{dm::DmError, loop_device::LoopError, mount::MountError};
use basalt_formats::verity::SuperblockError;

use crate::{drivers::DriverError, plan::PlanError, wanted::WantedError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error(transparent)]
    Wanted(#[from] WantedError),
    #[error(transparent)]
    Drivers(#[from] DriverError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("can't hear the kernel announce devices")]
    Uevents(#[source] io::Error),
    #[error("can't list the kernel's block devices")]
    Disks(#[source] io::Error),
    #[error("no disk brought both partitions within {} s (basalt.device_timeout=)", .0.as_secs())]
    NotFound(Duration),
    #[error("several disks hold this root, and their data may differ: {}; take all but one out", .0.join(", "))]
    Ambiguous(Vec<String>),
    #[error("{device} is no hash tree")]
    Superblock { device: PathBuf, source: SuperblockError },
    #[error("can't read {device}")]
    Read { device: PathBuf, source: io::Error },
    #[error("the partitions do not fit together")]
    Plan(#[from] PlanError),
    #[error("dm-verity can't be set up")]
    Verity(#[from] DmError),
    #[error("the live medium can't be divided")]
    Slice(#[source] DmError),
    #[error("the root in the initramfs can't be used")]
    InitramfsRoot(#[from] LoopError),
    #[error("the first block of the root does not match the root hash: the disk was changed or is failing")]
    FirstBlock(#[source] io::Error),
    #[error("the kernel found the root changed or failing (dm-verity's state is `{0}`)")]
    NotVerified(String),
    #[error("can't write {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("can't start {program:?}")]
    Start { program: OsString, source: io::Error },
    #[error("the image has no init: none of {0:?} is there")]
    NoInit(Vec<OsString>),
}

impl InitError {
    /// For `map_err` on what writes `path`.
    pub(crate) fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
