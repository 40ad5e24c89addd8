//! Doing what an upgrade's plan says. One `match` over the steps; what a step wrote is on the medium when it ends.
//!
//! The disk is written through [`Medium`] and the ESP through [`EntryFiles`], so that a test records every write, flush and
//! rename and replays each cut of them (`crash_tests`).

mod survey;

#[cfg(test)]
pub(crate) mod crash_tests;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::io;

use basalt_exec::esp::EspError;
use basalt_formats::{
    ReadAt as _, WriteAt,
    chunks::{AssembleError, Assembly, FetchRange, Index, Part, Plan},
    cmdline::CommandLine,
    gpt::{GptError, Table},
    uki::{self, UkiError},
    verity::{BLOCK_SIZE, HashTree, LeafHashes, Params, Salt, SuperblockError, VerityError},
};
use basalt_image::{
    layout::{Role, System},
    update::UpdateInfo,
};
use basalt_node::upgrade::{Removal, Renaming, UpgradeStep};
use basalt_types::{Digest, Slot};

use super::{Medium, apply};
use crate::observe::Window;
pub(crate) use survey::Survey;

/// The boot entries, which are files of one directory of the ESP. What a method did is on the medium when it returns.
pub(crate) trait EntryFiles {
    /// Removes a file; that it is not there is fine.
    fn remove(&self, file: &str) -> Result<(), EspError>;

    /// Writes a file in its place.
    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), EspError>;

    /// Gives a file another name.
    fn rename(&self, from: &str, to: &str) -> Result<(), EspError>;
}

/// What a machine has of the release that it runs, and of the one that it was about to run.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// The system that runs: a slot, or recovery.
    pub(crate) system: Option<System>,
    /// Its UKI.
    pub(crate) uki: Vec<u8>,
    /// What an upgrade that was cut left of a UKI.
    pub(crate) partial: Vec<u8>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the release that the machine had.
    pub(crate) here: u64,
    /// Bytes that were fetched.
    pub(crate) fetched: u64,
    /// Bytes that will have been fetched.
    pub(crate) to_fetch: u64,
}

/// The release that is put on the disk.
pub(crate) struct Upgrade<'a> {
    pub(crate) disk: &'a dyn Medium,
    pub(crate) entries: &'a dyn EntryFiles,
    pub(crate) info: &'a UpdateInfo,
    pub(crate) index: &'a Index,
    pub(crate) packs: &'a mut dyn FetchRange,
    pub(crate) own: &'a Own,
    /// Told what was done.
    pub(crate) tell: &'a mut dyn FnMut(Progress),
    /// The UKI, once it is put together.
    pub(crate) uki: Option<Vec<u8>>,
}

/// Why a step could not be done. What runs still runs, and the next try goes on from here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("the partition table can't be used")]
    Table(#[from] GptError),
    #[error("the disk can't be {action}")]
    Disk { action: &'static str, source: io::Error },
    #[error("the disk has no partition `{0}`")]
    NoPartition(Role),
    #[error(transparent)]
    Esp(#[from] EspError),
    #[error("the release can't be put together")]
    Assemble(#[from] AssembleError),
    #[error("the hash tree of what runs can't be read")]
    Superblock(#[from] SuperblockError),
    #[error("the hash tree can't be computed")]
    Verity(#[from] VerityError),
    #[error("the root on the device has the root hash {}, the release says {}", found.hex(), expected.hex())]
    RootHash { found: Digest, expected: Digest },
    #[error("the hash tree on the device is not what was written there")]
    HashTree,
    #[error("the UKI has the digest {found}, the release says {expected}")]
    UkiDigest { found: Digest, expected: Digest },
    #[error("the UKI can't be read")]
    Uki(#[from] UkiError),
    #[error("the UKI starts the root `{found}`, and the release's is {}", expected.hex())]
    UkiRoot { found: String, expected: Digest },
    #[error("there is no UKI to write: the plan's steps are not in their order")]
    NoUki,
    #[error("`{0}` is no step of this command")]
    NotMine(String),
}

impl UpgradeError {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::RootHash { .. } | Self::UkiDigest { .. } | Self::UkiRoot { .. } | Self::Uki(_) => {
                "the release is not what it says it is: tell whoever published it; nothing of it will be booted"
            }
            Self::Assemble(AssembleError::Fetch { .. }) => {
                "run it again: what was fetched is kept in the slot"
            }
            Self::Assemble(
                AssembleError::Plan(_)
                | AssembleError::Source(_)
                | AssembleError::Sink(_)
                | AssembleError::Copy { .. }
                | AssembleError::Fetched { .. },
            )
            | Self::NoUki
            | Self::NotMine(_) => "the release is not what its index says: tell whoever published it",
            Self::Table(_)
            | Self::Disk { .. }
            | Self::NoPartition(_)
            | Self::Assemble(AssembleError::Write { .. })
            | Self::Superblock(_)
            | Self::Verity(_)
            | Self::HashTree => {
                "`dmesg` says what the disk said; what runs is untouched, and running again goes on"
            }
            Self::Esp(_) => "look at the ESP with `fsck.fat -n`; running again goes on from here",
        }
    }
}

/// Does a step that only touches boot entries: all that a way back consists of.
pub(crate) fn entry_step(step: &UpgradeStep, entries: &dyn EntryFiles) -> Result<(), UpgradeError> {
    match step {
        UpgradeStep::RemoveEntry { file, why: Removal::Replaced | Removal::Room } => {
            Ok(entries.remove(file)?)
        }
        UpgradeStep::RenameEntry { from, to, why: Renaming::Try | Renaming::SetAside | Renaming::Keep } => {
            Ok(entries.rename(from, &to.to_string())?)
        }
        UpgradeStep::ReopenSlot { .. }
        | UpgradeStep::WriteRoot { .. }
        | UpgradeStep::WriteHashTree { .. }
        | UpgradeStep::FinishSlot { .. }
        | UpgradeStep::WriteUki { .. } => Err(UpgradeError::NotMine(step.to_string())),
    }
}

impl Upgrade<'_> {
    /// Does one step.
    pub(crate) fn step(&mut self, step: &UpgradeStep) -> Result<(), UpgradeError> {
        match step {
            UpgradeStep::RemoveEntry { .. } | UpgradeStep::RenameEntry { .. } => {
                entry_step(step, self.entries)
            }
            UpgradeStep::ReopenSlot { .. } | UpgradeStep::FinishSlot { .. } => self.write_table(step),
            UpgradeStep::WriteRoot { slot, size: _ } => self.write_root(*slot),
            UpgradeStep::WriteHashTree { slot, root_hash } => {
                write_hash_tree(self.disk, self.info, *slot, root_hash)
            }
            UpgradeStep::WriteUki { file, size: _, digest } => self.write_uki(file, digest),
        }
    }

    fn write_table(&self, step: &UpgradeStep) -> Result<(), UpgradeError> {
        let on_disk = Table::parse(self.disk, self.disk.sector_size())?;
        apply(self.disk, step.table_writes(&on_disk)?).map_err(disk("written"))
    }

    /// Puts both parts together: the root in the slot, the UKI in memory. What is in the slot already stays.
    fn write_root(&mut self, slot: Slot) -> Result<(), UpgradeError> {
        let (disk, index) = (self.disk, self.index);
        let mut survey = Survey::new(disk, self.own, slot, index)?;
        let plan = survey.plan(index);
        let target = window(disk, Role::Root(slot.into()))?;
        let root = Target { disk, start: target.start };
        let uki = Memory::new(part_size(index, Part::Uki));
        let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &root), (Part::Uki, &uki)];
        let assembly = Assembly::new(index, &sinks)?;
        let total = index.parts().iter().map(|part| part.size).sum::<u64>();
        let mut progress = Progress { here: 0, fetched: 0, to_fetch: plan.fetched_bytes() };
        progress.here = total.saturating_sub(survey.missing_bytes(index, &plan));
        (self.tell)(progress);
        for number in &plan.zeros {
            assembly.clear(*number)?;
        }
        let mut damaged = Vec::new();
        let images = survey.images();
        for copy in &plan.copies {
            match assembly.copy(copy, &images) {
                Ok(()) => {}
                // It is fetched instead: what runs may be damaged where nothing reads it.
                Err(AssembleError::Copy { .. }) => damaged.push(copy.chunk),
                Err(other) => return Err(other.into()),
            }
        }
        self.fetch(&assembly, &plan, &mut progress)?;
        if !damaged.is_empty() {
            let rest = survey.plan_of(index, &damaged);
            progress.to_fetch += rest.fetched_bytes();
            self.fetch(&assembly, &rest, &mut progress)?;
        }
        disk.flush().map_err(self::disk("flushed"))?;
        self.uki = Some(uki.into_bytes());
        Ok(())
    }

    fn fetch(
        &mut self,
        assembly: &Assembly<'_>,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Result<(), UpgradeError> {
        for step in &plan.fetches {
            let (pack, offset, end) = (step.pack, step.offset, step.offset + step.length);
            let bytes = self.packs.fetch(step);
            let bytes = bytes.map_err(|source| AssembleError::Fetch { pack, offset, end, source })?;
            assembly.unpack(step, &bytes)?;
            progress.fetched += step.length;
            (self.tell)(*progress);
        }
        Ok(())
    }

    fn write_uki(&self, file: &str, expected: &Digest) -> Result<(), UpgradeError> {
        let bytes = self.uki.as_ref().ok_or(UpgradeError::NoUki)?;
        if *expected != self.info.uki.digest {
            return Err(UpgradeError::UkiDigest { found: self.info.uki.digest, expected: *expected });
        }
        check_uki(bytes, self.info)?;
        Ok(self.entries.write(file, bytes)?)
    }
}

/// Reads the root of a slot back from the device, and writes its hash tree: what the device gives back decides, not what was
/// written.
pub(crate) fn write_hash_tree(
    disk: &dyn Medium,
    info: &UpdateInfo,
    slot: Slot,
    root_hash: &Digest,
) -> Result<(), UpgradeError> {
    let root = window(disk, Role::Root(slot.into()))?;
    let place = window(disk, Role::Verity(slot.into()))?;
    let size = info.root.size.get();
    disk.forget(root.start, size).map_err(self::disk("read"))?;
    let HashTree { bytes, root: found } = hash_tree(&root, info)?;
    if found != *root_hash {
        return Err(UpgradeError::RootHash { found, expected: *root_hash });
    }
    disk.write(place.start, &bytes).map_err(self::disk("written"))?;
    disk.flush().map_err(self::disk("flushed"))?;
    disk.forget(place.start, bytes.len() as u64).map_err(self::disk("read"))?;
    let mut back = vec![0; bytes.len()];
    place.read_at(0, &mut back).map_err(self::disk("read"))?;
    if back == bytes { Ok(()) } else { Err(UpgradeError::HashTree) }
}

fn hash_tree(root: &Window<'_>, info: &UpdateInfo) -> Result<HashTree, UpgradeError> {
    const BATCH: usize = 1024;
    let data_blocks = info.root.size.get() / BLOCK_SIZE as u64;
    let salt = Salt::new(info.verity.salt_bytes().unwrap_or_default())?;
    let leaves = LeafHashes::new(Params { salt, uuid: info.verity.uuid, data_blocks })?;
    let mut buffer = vec![0; BATCH * BLOCK_SIZE];
    for first in (0..data_blocks).step_by(BATCH) {
        let blocks = usize::try_from(data_blocks - first).unwrap_or(usize::MAX).min(BATCH);
        let part = &mut buffer[..blocks * BLOCK_SIZE];
        root.read_at(first * BLOCK_SIZE as u64, part).map_err(disk("read"))?;
        leaves.feed(first, part)?;
    }
    Ok(leaves.finish()?)
}

/// Whether these bytes are the release's UKI, and start its root.
pub(crate) fn check_uki(bytes: &[u8], info: &UpdateInfo) -> Result<(), UpgradeError> {
    let (found, expected) = (Digest::of(bytes), info.uki.digest);
    if found != expected {
        return Err(UpgradeError::UkiDigest { found, expected });
    }
    let root = root_of_uki(bytes)?;
    if root != info.root.digest.hex() {
        return Err(UpgradeError::UkiRoot { found: root, expected: info.root.digest });
    }
    Ok(())
}

/// The root hash that a UKI's command line names; empty when it names none.
pub(crate) fn root_of_uki(bytes: &[u8]) -> Result<String, UkiError> {
    let line = uki::read(bytes)?.cmdline;
    Ok(match line.parse::<CommandLine>() {
        Ok(line) => line.get("roothash").unwrap_or_default().to_owned(),
        // A line that the kernel would not understand names no root.
        Err(_) => String::new(),
    })
}

pub(super) fn part_size(index: &Index, wanted: Part) -> u64 {
    index.parts().iter().find(|part| part.part == wanted).map_or(0, |part| part.size)
}

/// A partition of the disk as the table on it says.
pub(crate) fn window(disk: &dyn Medium, role: Role) -> Result<Window<'_>, UpgradeError> {
    let table = Table::parse(disk, disk.sector_size())?.table;
    let ours = |partition: &&_| Role::of_partition(partition).is_some_and(|(own, _)| own == role);
    let partition = table.partitions.iter().find(ours).ok_or(UpgradeError::NoPartition(role))?;
    let bytes = partition.bytes(table.sector_size);
    Ok(Window { whole: disk, start: bytes.start, size: bytes.end - bytes.start })
}

pub(super) fn disk(action: &'static str) -> impl FnOnce(io::Error) -> UpgradeError {
    move |source| UpgradeError::Disk { action, source }
}

/// Where the root goes.
pub(super) struct Target<'a> {
    pub(super) disk: &'a dyn Medium,
    pub(super) start: u64,
}

impl WriteAt for Target<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(self.start + offset, bytes)
    }
}

/// Where the UKI goes: some 16 MB, and the ESP gets it whole.
pub(super) struct Memory(std::sync::Mutex<Vec<u8>>);

impl Memory {
    pub(super) fn new(size: u64) -> Self {
        Self(std::sync::Mutex::new(vec![0; usize::try_from(size).unwrap_or(0)]))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let place = all.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        Ok(())
    }
}
