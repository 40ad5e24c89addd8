//! The disk that every disk output holds: partition table, ESP, root and hash tree, put together while it is read.

use std::{io, ops::Range};

use basalt_formats::{ReadAt, WriteAt as _, gpt::EntriesPlace};
use basalt_image::layout::{self, Extent, ImageIds, ImagePlan};
use basalt_spec::ManifestPartition;
use basalt_types::ByteSize;

use super::{Context, OutputsError, esp, memory::MemoryImage};
use crate::engine::release::{Release, derived};

/// A disk that is nowhere as a whole.
#[derive(Debug)]
pub(super) struct ReleaseDisk<'a> {
    plan: ImagePlan,
    /// Everything but root and hash tree, which stay in their files.
    rest: MemoryImage,
    release: &'a Release,
    esp_used: ByteSize,
}

impl<'a> ReleaseDisk<'a> {
    /// The disk of a release.
    pub(super) fn new(context: &Context<'_>, release: &'a Release) -> Result<Self, OutputsError> {
        let record = &release.record;
        let ids = ImageIds { disk: derived(context.id, "disk"), esp: derived(context.id, "esp") };
        let plan = layout::plan_image(&record.layout, context.recipe.architecture, &record.root_hash, ids);
        let rest = MemoryImage::new(plan.disk.get());
        for write in plan.table.image_writes(EntriesPlace::First)? {
            rest.write_at(write.offset, &write.bytes)?;
        }
        let (volume, esp_used) = esp::volume(context, release, esp::Media::Disk, plan.esp.size)?;
        volume.write_to(&rest, plan.esp.start)?;
        Ok(Self { plan, rest, release, esp_used })
    }

    /// Root and hash tree: where they are, and what is there.
    fn parts(&self) -> [(Extent, &dyn ReadAt); 2] {
        [(self.plan.root, &self.release.root), (self.plan.verity, &self.release.verity)]
    }

    /// What the manifest says of the partitions.
    pub(super) fn partitions(&self) -> Vec<ManifestPartition> {
        let used = [
            self.esp_used,
            ByteSize::bytes(self.release.root.size()),
            ByteSize::bytes(self.release.verity.size()),
        ];
        let partitions = self.plan.table.partitions.iter().zip(used);
        partitions
            .filter_map(|(partition, used)| {
                let bytes = partition.bytes(self.plan.table.sector_size);
                let size = ByteSize::bytes(bytes.end - bytes.start);
                let label = partition.label.clone()?;
                Some(ManifestPartition { label, offset: bytes.start, size, used })
            })
            .collect()
    }
}

impl ReadAt for ReleaseDisk<'_> {
    fn size(&self) -> u64 {
        self.plan.disk.get()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.rest.read_at(offset, buffer)?;
        for (extent, part) in self.parts() {
            let start = offset.max(extent.start);
            let end = (offset + buffer.len() as u64).min(extent.start + part.size());
            if start < end {
                let within = |at: u64| usize::try_from(at - offset).map_err(io::Error::other);
                let place = within(start)?..within(end)?;
                part.read_at(start - extent.start, &mut buffer[place])?;
            }
        }
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Vec<Range<u64>>> {
        let mut ranges = self.rest.data_ranges()?;
        ranges.extend(self.parts().map(|(extent, part)| extent.start..extent.start + part.size()));
        ranges.sort_by_key(|range| range.start);
        Ok(ranges)
    }
}
