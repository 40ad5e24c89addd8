//! What a machine has of a release already: in what it runs, and in the slot that an earlier try was filling.

use basalt_formats::{
    ReadAt,
    chunks::{Coalescing, Index, Owned, Part, Plan, Stored},
    verity::{BLOCK_SIZE, Superblock},
};
use basalt_image::layout::{Role, System};
use basalt_types::{Digest, Slot};

use super::{Own, UpgradeError, disk, window};
use crate::{execute::Medium, observe::Window};

const RUNNING_ROOT: u32 = 0;
const RUNNING_UKI: u32 = 1;
const PARTIAL_UKI: u32 = 2;
/// The slot that is being filled, where it has a chunk that is wanted elsewhere, too.
const TARGET_ROOT: u32 = 3;
/// No image: the chunk is everywhere it is wanted.
const THERE: u32 = 4;

/// Which chunks are where.
pub(crate) struct Survey<'a> {
    owned: Owned,
    running: Window<'a>,
    target: Window<'a>,
    own: &'a Own,
}

impl<'a> Survey<'a> {
    /// Cuts what runs, and looks at what `slot` has of `index`.
    pub(crate) fn new(
        medium: &'a dyn Medium,
        own: &'a Own,
        slot: Slot,
        index: &Index,
    ) -> Result<Self, UpgradeError> {
        let target = window(medium, Role::Root(slot.into()))?;
        let running = running_root(medium, own.system.unwrap_or(System::from(!slot)))?;
        let mut owned = chunks_there(&target, index).map_err(disk("read"))?;
        let images: [(u32, &dyn ReadAt, Part); 3] = [
            (RUNNING_ROOT, &running, Part::Root),
            (RUNNING_UKI, &own.uki, Part::Uki),
            (PARTIAL_UKI, &own.partial, Part::Uki),
        ];
        for (number, image, part) in images {
            owned.add(number, image, part.rule()).map_err(disk("read"))?;
        }
        Ok(Self { owned, running, target, own })
    }

    /// What is copied and what is fetched; nothing of what is in its place.
    pub(crate) fn plan(&self, index: &Index) -> Plan {
        let mut plan = Plan::new(index, &self.owned, Coalescing::DEFAULT);
        plan.copies.retain(|copy| copy.from.image != THERE);
        plan.zeros.retain(|number| {
            let chunk = index.chunks().get(*number as usize);
            chunk.and_then(|chunk| self.owned.find(&chunk.digest)).is_none_or(|found| found.image != THERE)
        });
        plan
    }

    /// How to fetch these chunks, which are not where they seemed to be, and no others.
    pub(crate) fn plan_of(&mut self, index: &Index, damaged: &[u32]) -> Plan {
        let mut rest = Owned::default();
        for (chunk, number) in index.chunks().iter().zip(0..) {
            if !damaged.contains(&number) {
                rest.insert(chunk.digest, Stored { image: THERE, offset: 0 });
            }
        }
        let plan = Plan::new(index, &rest, Coalescing::DEFAULT);
        Plan { zeros: Vec::new(), copies: Vec::new(), fetches: plan.fetches }
    }

    /// The bytes of the release that must be fetched, unpacked.
    pub(crate) fn missing_bytes(&self, index: &Index, plan: &Plan) -> u64 {
        let chunks = index.chunks();
        let missing: Vec<Option<&Digest>> = {
            let numbers = plan.fetches.iter().flat_map(|fetch| &fetch.chunks);
            numbers.map(|number| chunks.get(*number as usize).map(|chunk| &chunk.digest)).collect()
        };
        let missing: std::collections::BTreeSet<_> = missing.into_iter().flatten().collect();
        let used = index.parts().iter().flat_map(|part| &part.chunks);
        let used = used.filter_map(|number| chunks.get(*number as usize));
        used.filter(|chunk| missing.contains(&chunk.digest)).map(|chunk| u64::from(chunk.length)).sum()
    }

    /// The images that a plan's numbers mean.
    pub(crate) fn images(&self) -> [&dyn ReadAt; 4] {
        [&self.running, &self.own.uki, &self.own.partial, &self.target]
    }
}

/// The root that runs: as much of its partition as its hash tree covers.
fn running_root(medium: &dyn Medium, system: System) -> Result<Window<'_>, UpgradeError> {
    let tree = window(medium, Role::Verity(system))?;
    let whole = window(medium, Role::Root(system))?;
    let size = Superblock::parse(&tree)?.data_blocks.saturating_mul(BLOCK_SIZE as u64).min(whole.size);
    Ok(Window { size, ..whole })
}

/// The chunks of the root that are in their place: in all of their places, or else as something to copy from.
fn chunks_there(target: &dyn ReadAt, index: &Index) -> std::io::Result<Owned> {
    let mut owned = Owned::default();
    let chunks = index.chunks();
    // Of each chunk: how many of its places have it, how many it has, and one that has it.
    let mut found = vec![(0_u32, 0_u32, 0_u64); chunks.len()];
    let mut buffer = vec![0; Index::LONGEST_CHUNK as usize];
    for part in index.parts() {
        let mut offset = 0;
        for number in &part.chunks {
            let number = *number as usize;
            let (Some(chunk), Some(entry)) = (chunks.get(number), found.get_mut(number)) else { continue };
            entry.1 += 1;
            let bytes = &mut buffer[..chunk.length as usize];
            if part.part == Part::Root {
                target.read_at(offset, bytes)?;
                // Most of a slot that nobody wrote is zeros, which need no digest.
                let zeros = bytes.iter().all(|byte| *byte == 0);
                if if zeros { chunk.stored == 0 } else { Digest::of(bytes) == chunk.digest } {
                    *entry = (entry.0 + 1, entry.1, offset);
                }
            }
            offset += u64::from(chunk.length);
        }
    }
    for (chunk, (there, places, offset)) in chunks.iter().zip(found) {
        if there > 0 {
            let image = if there == places { THERE } else { TARGET_ROOT };
            owned.insert(chunk.digest, Stored { image, offset });
        }
    }
    Ok(owned)
}
