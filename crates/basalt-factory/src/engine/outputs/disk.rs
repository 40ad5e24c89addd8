//! The disk that every disk output holds: partition table, ESP, root and hash tree, put together while it is read.

use basalt_formats::{
    ReadAt,
    gpt::EntriesPlace,
    virtual_disk::{LayoutError, Segment, VirtualDisk},
};
use basalt_image::layout::{self, ImageIds, ImagePlan};
use basalt_spec::ManifestPartition;
use basalt_types::ByteSize;

use super::{Context, OutputsError, esp, memory::MemoryImage};
use crate::engine::release::{Release, derived};

/// The parts of a disk that is nowhere as a whole.
#[derive(Debug)]
pub(super) struct ReleaseDisk<'a> {
    plan: ImagePlan,
    /// The partition table: bytes and their place.
    table: Vec<(u64, Vec<u8>)>,
    esp: MemoryImage,
    esp_used: ByteSize,
    /// Root and hash tree stay in their files.
    release: &'a Release,
}

impl<'a> ReleaseDisk<'a> {
    /// The disk of a release.
    pub(super) fn new(context: &Context<'_>, release: &'a Release) -> Result<Self, OutputsError> {
        let record = &release.record;
        let ids = ImageIds { disk: derived(context.id, "disk"), esp: derived(context.id, "esp") };
        let plan = layout::plan_image(&record.layout, context.recipe.architecture, &record.root_hash, ids);
        let writes = plan.table.image_writes(EntriesPlace::First)?;
        let table = writes.into_iter().map(|write| (write.offset, write.bytes)).collect();
        let (volume, esp_used) = esp::volume(context, release, esp::Media::Disk, plan.esp.size)?;
        let esp = MemoryImage::new(plan.esp.size.get());
        volume.write_to(&esp, 0)?;
        Ok(Self { plan, table, esp, esp_used, release })
    }

    /// The disk itself.
    pub(super) fn assemble(&self) -> Result<VirtualDisk<'_>, LayoutError> {
        let Self { plan, table, esp, esp_used: _, release } = self;
        let partitions: [(u64, &dyn ReadAt); 3] =
            [(plan.esp.start, esp), (plan.root.start, &release.root), (plan.verity.start, &release.verity)];
        let table = table.iter().map(|(start, bytes)| (*start, bytes as &dyn ReadAt));
        let segments = table.chain(partitions).map(|(start, content)| Segment { start, content });
        VirtualDisk::new(plan.disk.get(), segments.collect())
    }

    /// What the manifest says of the partitions.
    pub(super) fn partitions(&self) -> Vec<ManifestPartition> {
        let Self { plan, release, .. } = self;
        let sizes = [release.root.size(), release.verity.size()].map(ByteSize::bytes);
        let used = std::iter::once(self.esp_used).chain(sizes);
        let partitions = plan.table.partitions.iter().zip(used);
        partitions
            .filter_map(|(partition, used)| {
                let bytes = partition.bytes(plan.table.sector_size);
                let size = ByteSize::bytes(bytes.end - bytes.start);
                let label = partition.label.clone()?;
                Some(ManifestPartition { label, offset: bytes.start, size, used })
            })
            .collect()
    }
}
