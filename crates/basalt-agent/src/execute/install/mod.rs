//! Doing what an installation's plan says. One `match` over the steps; what a step wrote is on the medium when it ends.
//!
//! The disk is written through [`Medium`] alone, so that a test records every write and flush and replays each cut of them
//! (`crash_tests`).

mod esp;
mod root;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::io;

use basalt_formats::{
    ReadAt,
    chunks::{FetchRange, Index},
    fat::FatError,
    gpt::{self, GptError, Table},
};
use basalt_image::update::UpdateInfo;
use basalt_node::install::{InstallStep, Span};
use basalt_types::Slot;

use super::{
    Medium, apply,
    upgrade::{UpgradeError, write_hash_tree},
};
pub(crate) use esp::BootFiles;

/// Zeros are written so many at a time.
const BATCH: usize = 1 << 20;

/// Where the release comes from.
pub(crate) enum Source<'a> {
    /// What runs: each block of its root is verified when it is read.
    Running {
        /// The root.
        root: &'a dyn ReadAt,
    },
    /// A release that is put together from chunks.
    Chunks {
        /// Its index.
        index: &'a Index,
        /// Its packs.
        packs: &'a mut dyn FetchRange,
        /// The root that runs, which may have chunks of it.
        running: &'a dyn ReadAt,
    },
}

/// How far a step that takes long is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes that are done.
    pub(crate) done: u64,
    /// Bytes that there are.
    pub(crate) all: u64,
}

/// The installation of a release on a disk.
pub(crate) struct Install<'a> {
    pub(crate) disk: &'a dyn Medium,
    pub(crate) info: &'a UpdateInfo,
    pub(crate) source: Source<'a>,
    /// The files of the EFI system partition; the UKI joins them when it is known.
    pub(crate) files: BootFiles,
    /// The first sector of the EFI system partition, once the others are written.
    pub(crate) boot_sector: Option<Vec<u8>>,
}

/// Why a step could not be done. The disk starts nothing then; running again begins anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error(transparent)]
    Release(#[from] UpgradeError),
    #[error("the disk can't be {action}")]
    Disk { action: &'static str, source: io::Error },
    #[error("the partition table can't be used")]
    Table(#[from] GptError),
    #[error("{what} on the disk is not what was written there")]
    OtherBytes { what: &'static str },
    #[error("the root that runs can't be read")]
    Running(#[source] io::Error),
    #[error("the boot partition can't be made")]
    Volume(#[from] FatError),
    #[error("the boot partition is not written yet: the plan's steps are not in their order")]
    Order,
}

impl InstallError {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Release(error) => error.hint(),
            Self::Disk { .. } | Self::OtherBytes { .. } => {
                "`dmesg` says what the disk said; it starts nothing now, and running again begins anew"
            }
            Self::Table(_) | Self::Volume(_) | Self::Order => {
                "this is a bug in basalt-agent: tell us, with the plan"
            }
            Self::Running(_) => "the medium is damaged: write it again, or start over the network",
        }
    }
}

impl Install<'_> {
    /// Does one step, and tells how far it is.
    pub(crate) fn step(
        &mut self,
        step: &InstallStep,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), InstallError> {
        match step {
            InstallStep::EraseTable { places } | InstallStep::EraseSignatures { places } => {
                self.erase(places, tell)
            }
            InstallStep::WriteTable { table, partitions: _ } => self.write_table(table),
            InstallStep::WriteRoot { size: _ } => self.write_root(tell),
            InstallStep::WriteHashTree { root_hash } => {
                Ok(write_hash_tree(self.disk, self.info, Slot::A, root_hash)?)
            }
            InstallStep::WriteEsp { files: _ } => self.write_esp(tell),
            InstallStep::FinishTable => self.finish_table(),
            InstallStep::WriteBootSector => self.write_boot_sector(),
        }
    }

    fn erase(&self, places: &[Span], tell: &mut dyn FnMut(Progress)) -> Result<(), InstallError> {
        let zeros = vec![0; BATCH];
        let all = places.iter().map(|place| place.length).sum();
        let mut done = 0;
        for Span { start, length } in places {
            for offset in (0..*length).step_by(BATCH) {
                let part = usize::try_from(length - offset).unwrap_or(BATCH).min(BATCH);
                self.disk.write(start + offset, &zeros[..part]).map_err(disk("written"))?;
                done += part as u64;
                tell(Progress { done, all });
            }
        }
        self.disk.flush().map_err(disk("flushed"))
    }

    fn write_table(&self, table: &Table) -> Result<(), InstallError> {
        for gpt::Write { offset, bytes } in InstallStep::new_table(table)? {
            self.disk.write(offset, &bytes).map_err(disk("written"))?;
        }
        self.disk.flush().map_err(disk("flushed"))?;
        let end = self.disk.size().saturating_sub(BATCH as u64);
        for place in [0, end] {
            self.disk.forget(place, BATCH as u64).map_err(disk("read"))?;
        }
        let found = Table::parse(self.disk, self.disk.sector_size())?;
        let is_same = found.table == *table && found.health == gpt::Health::Sound;
        if is_same { Ok(()) } else { Err(InstallError::OtherBytes { what: "the partition table" }) }
    }

    fn finish_table(&self) -> Result<(), InstallError> {
        let on_disk = Table::parse(self.disk, self.disk.sector_size())?;
        apply(self.disk, InstallStep::finishing(&on_disk)?).map_err(disk("written"))
    }
}

fn disk(action: &'static str) -> impl FnOnce(io::Error) -> InstallError {
    move |source| InstallError::Disk { action, source }
}
