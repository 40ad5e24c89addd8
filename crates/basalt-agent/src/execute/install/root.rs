use basalt_formats::{
    ReadAt, WriteAt,
    chunks::{AssembleError, Assembly, Coalescing, FetchRange, Index, Owned, Part, Plan},
};
use basalt_image::layout::{Role, System};

use super::{Install, InstallError, Progress, Source, disk};
use crate::execute::{
    Medium,
    upgrade::{Memory, Target, UpgradeError, part_size, window},
};

/// What is copied at once.
const BATCH: usize = 4 << 20;
/// The number of the only image that chunks are copied from.
const RUNNING: u32 = 0;

impl Install<'_> {
    /// Puts the root into slot A. The hash tree that is computed from it afterwards says whether it is the right one.
    pub(super) fn write_root(&mut self, tell: &mut dyn FnMut(Progress)) -> Result<(), InstallError> {
        let target = window(self.disk, Role::Root(System::A))?;
        match &mut self.source {
            Source::Running { root } => {
                copy(*root, self.disk, target.start, self.info.root.size.get(), tell)?;
            }
            Source::Chunks { index, packs, running } => {
                let sink = Target { disk: self.disk, start: target.start };
                self.files.uki = Some(assemble(index, *packs, *running, &sink, tell)?);
            }
        }
        self.disk.flush().map_err(disk("flushed"))
    }
}

fn copy(
    root: &dyn ReadAt,
    medium: &dyn Medium,
    start: u64,
    size: u64,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), InstallError> {
    let mut buffer = vec![0; BATCH];
    for offset in (0..size).step_by(BATCH) {
        let length = usize::try_from(size - offset).unwrap_or(BATCH).min(BATCH);
        let part = &mut buffer[..length];
        root.read_at(offset, part).map_err(InstallError::Running)?;
        medium.write(start + offset, part).map_err(disk("written"))?;
        tell(Progress { done: offset + length as u64, all: size });
    }
    Ok(())
}

/// Puts both parts together: the root on the disk, the UKI in memory, which is given back.
fn assemble(
    index: &Index,
    packs: &mut dyn FetchRange,
    running: &dyn ReadAt,
    root: &dyn WriteAt,
    tell: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, UpgradeError> {
    let mut owned = Owned::default();
    owned.add(RUNNING, running, Part::Root.rule()).map_err(super::super::upgrade::disk("read"))?;
    let plan = Plan::new(index, &owned, Coalescing::DEFAULT);
    let uki = Memory::new(part_size(index, Part::Uki));
    let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, root), (Part::Uki, &uki)];
    let assembly = Assembly::new(index, &sinks)?;
    for number in &plan.zeros {
        assembly.clear(*number)?;
    }
    for step in &plan.copies {
        assembly.copy(step, &[running])?;
    }
    let mut progress = Progress { done: 0, all: plan.fetched_bytes() };
    tell(progress);
    for step in &plan.fetches {
        let (pack, offset, end) = (step.pack, step.offset, step.offset + step.length);
        let bytes = packs.fetch(step);
        let bytes = bytes.map_err(|source| AssembleError::Fetch { pack, offset, end, source })?;
        assembly.unpack(step, &bytes)?;
        progress.done += step.length;
        tell(progress);
    }
    Ok(uki.into_bytes())
}
