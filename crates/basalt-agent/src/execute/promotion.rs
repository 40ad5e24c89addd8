//! Making what runs the recovery system: one `match` over the plan's steps. What a step wrote is on the medium when it ends.
//!
//! The files are named from the ESP's root here, where an upgrade names them from `EFI/Linux`.

#[cfg(test)]
mod tests;

use basalt_exec::esp::EspError;
use basalt_formats::{
    ReadAt as _,
    gpt::{GptError, Table},
    verity::{self, Corruption, hash_tree_size},
};
use basalt_image::layout::{Role, System};
use basalt_node::upgrade::{PromotionStep, recovery_files as files};
use basalt_types::{Digest, Slot};

use super::{
    Medium, apply,
    upgrade::{EntryFiles, UpgradeError, disk, window},
};

/// How much is copied at a time.
const BATCH: usize = 4 << 20;

/// A partition of a system, and the bytes of it that count.
type Part = (fn(System) -> Role, u64);

/// A machine whose release becomes its recovery system.
pub(crate) struct Promotion<'a> {
    pub(crate) disk: &'a dyn Medium,
    /// The ESP, from its root.
    pub(crate) files: &'a dyn EntryFiles,
    /// The UKI of what runs.
    pub(crate) uki: &'a [u8],
    /// Bytes of the root that runs.
    pub(crate) root: u64,
}

/// Why a step could not be done. The slots are as they were, and running it again begins anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromotionError {
    #[error(transparent)]
    Disk(#[from] UpgradeError),
    #[error("the partition table can't be used")]
    Table(#[from] GptError),
    #[error(transparent)]
    Esp(#[from] EspError),
    #[error("what was read back is not what runs")]
    Differs(#[from] Corruption),
}

impl Promotion<'_> {
    /// Does one step.
    pub(crate) fn step(&self, step: &PromotionStep) -> Result<(), PromotionError> {
        match step {
            // What counts and what starts it go before what is started.
            PromotionStep::Hide => {
                let removed = [files::BOOTS, files::ENTRY, files::UKI];
                Ok(removed.into_iter().try_for_each(|file| self.files.remove(file))?)
            }
            PromotionStep::Reopen | PromotionStep::Finish => self.write_table(step),
            PromotionStep::Copy { from, size: _ } => self.copy(*from),
            PromotionStep::Verify { root_hash } => self.verify(root_hash),
            PromotionStep::WriteUki { from: _ } => {
                self.files.write(files::MARK, files::MARK_CONTENT)?;
                Ok(self.files.write(files::UKI, self.uki)?)
            }
            PromotionStep::Show => {
                self.files.write(files::ENTRY, files::ENTRY_CONTENT)?;
                Ok(self.files.write(files::BOOTS, &[files::NONE_UNPROVEN])?)
            }
        }
    }

    fn write_table(&self, step: &PromotionStep) -> Result<(), PromotionError> {
        let on_disk = Table::parse(self.disk, self.disk.sector_size())?;
        Ok(apply(self.disk, step.table_writes(&on_disk)?).map_err(disk("written"))?)
    }

    fn parts(&self) -> [Part; 2] {
        [(Role::Root, self.root), (Role::Verity, hash_tree_size(self.root))]
    }

    fn copy(&self, from: Slot) -> Result<(), PromotionError> {
        let mut buffer = vec![0; BATCH];
        for (role, size) in self.parts() {
            let source = window(self.disk, role(from.into()))?;
            let target = window(self.disk, role(System::Recovery))?;
            let mut offset = 0;
            while offset < size {
                let length = usize::try_from(size - offset).unwrap_or(BATCH).min(BATCH);
                let part = &mut buffer[..length];
                source.read_at(offset, part).map_err(disk("read"))?;
                self.disk.write(target.start + offset, part).map_err(disk("written"))?;
                offset += length as u64;
            }
        }
        Ok(self.disk.flush().map_err(disk("flushed"))?)
    }

    fn verify(&self, root_hash: &Digest) -> Result<(), PromotionError> {
        let [root, tree] = self.parts().map(|(role, size)| {
            let target = window(self.disk, role(System::Recovery))?;
            self.disk.forget(target.start, size).map_err(disk("read"))?;
            Ok::<_, UpgradeError>(target)
        });
        Ok(verity::verify(&root?, &tree?, root_hash)?)
    }
}
