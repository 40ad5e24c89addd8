//! Doing what a plan says: one `match` over the steps, no decision. Every step may be done twice.
//!
//! Writes to the disk go through [`Medium`], everything else of the machine through [`Machine`], so that a test cuts the
//! power after each of them.

mod filesystem;
mod history;
pub(crate) mod install;
pub(crate) mod promotion;
pub(crate) mod reset;
mod ssh;
mod this_machine;
pub(crate) mod upgrade;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

use basalt_exec::{block::BlockError, command::CommandError, esp::EspError};
use basalt_formats::{
    ReadAt,
    gpt::{self, GptError, Table},
};
use basalt_node::{MachineId, Place, Step};

pub(crate) use history::record;
pub(crate) use ssh::SshKeygen;
pub(crate) use this_machine::{DATA_LINK, DiskMedium, MACHINE_ID_CREDENTIAL, ThisMachine};

/// The disk as bytes.
pub(crate) trait Medium: ReadAt {
    /// Writes all of `bytes`; they are on the medium after the next flush.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Waits until everything written is on the medium.
    fn flush(&self) -> io::Result<()>;

    /// Forgets what memory holds of these bytes, which are flushed, so that the next read asks the medium.
    fn forget(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Bytes of a logical sector.
    fn sector_size(&self) -> u32;
}

/// The machine around the disk.
pub(crate) trait Machine {
    /// Tells the kernel about a partition.
    fn tell_kernel(&self, news: News, place: Place) -> Result<(), ExecuteError>;

    /// Where a partition's file system is.
    fn volume(&self, number: u32, table: &Table) -> Volume;

    /// Makes the partition the one that `var.mount` mounts.
    fn link_data(&self, number: u32) -> Result<(), ExecuteError>;

    /// Keeps the machine's id on the ESP.
    fn keep_machine_id(&self, number: u32, id: MachineId) -> Result<(), ExecuteError>;
}

/// What the kernel is told of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is there.
    Added,
    /// It has another size.
    Resized,
}

/// Where a file system is: a partition's device, or a part of a file in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) path: PathBuf,
    /// First byte and length, where the path leads to more than the volume.
    pub(crate) part: Option<(u64, u64)>,
}

/// Why a step could not be done. What was done before stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecuteError {
    #[error("the partition table can't be written")]
    Table(#[from] GptError),
    #[error("the disk can't be written")]
    Disk(#[source] io::Error),
    #[error(transparent)]
    Kernel(#[from] BlockError),
    #[error(transparent)]
    Program(#[from] CommandError),
    #[error(
        "{program} can't repair {} by itself (exit code {code}): {said}", path.display()
    )]
    Broken { program: &'static str, path: PathBuf, code: i32, said: String },
    #[error("can't {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the machine id can't be kept")]
    Esp(#[from] EspError),
    #[error("`{0}` is no step of this command")]
    NotMine(String),
}

impl ExecuteError {
    /// What to do next, where it is not the same for every error: running again goes on from here.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Broken { path, .. } => {
                let path = path.display();
                Some(format!(
                    "in a rescue system: e2fsck -f {path}, which asks before each repair; then reboot"
                ))
            }
            Self::Esp(_) => Some(
                "the machine works, and gets another id at its next boot; look at the ESP with `fsck.fat -n`"
                    .into(),
            ),
            Self::Table(_) | Self::Disk(_) | Self::Kernel(_) => {
                Some("`dmesg` says what the disk said; running again goes on from here".into())
            }
            Self::Program(_) | Self::File { .. } | Self::NotMine(_) => None,
        }
    }
}

/// Does one step of provisioning.
pub(crate) fn step(step: &Step, medium: &dyn Medium, machine: &dyn Machine) -> Result<(), ExecuteError> {
    let volume = |number| -> Result<Volume, ExecuteError> {
        Ok(machine.volume(number, &Table::parse(medium, medium.sector_size())?.table))
    };
    match step {
        Step::WriteTable { .. } | Step::FinishPartition { .. } => write_table(step, medium),
        Step::AddPartition(place) => machine.tell_kernel(News::Added, *place),
        Step::ResizePartition(place) => machine.tell_kernel(News::Resized, *place),
        Step::MakeFileSystem { number, kind, label, uuid } => {
            filesystem::make(&volume(*number)?, *kind, label, *uuid)?;
            // The next step tells everybody that the file system is whole: it must be on the medium before.
            medium.flush().map_err(ExecuteError::Disk)
        }
        Step::CheckFileSystem { number, kind } => filesystem::check(&volume(*number)?, *kind),
        Step::LinkData { number } => machine.link_data(*number),
        Step::WriteCredential { number, machine_id } => machine.keep_machine_id(*number, *machine_id),
        Step::GenerateHostKey { .. } => Err(ExecuteError::NotMine(step.to_string())),
    }
}

fn write_table(step: &Step, medium: &dyn Medium) -> Result<(), ExecuteError> {
    let on_disk = Table::parse(medium, medium.sector_size())?;
    apply(medium, step.table_writes(&on_disk)?).map_err(ExecuteError::Disk)
}

/// Does the writes and flushes of a change of the partition table, in their order.
fn apply(medium: &dyn Medium, steps: Vec<gpt::Step>) -> io::Result<()> {
    steps.into_iter().try_for_each(|step| match step {
        gpt::Step::Write(gpt::Write { offset, bytes }) => medium.write(offset, &bytes),
        gpt::Step::Flush => medium.flush(),
    })
}
