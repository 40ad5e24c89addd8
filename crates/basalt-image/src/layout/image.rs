use basalt_formats::gpt::Table;
use basalt_types::{Architecture, ByteSize, Digest, Guid};

use super::{
    arrange::{Arranger, Entry, Extent, IMAGE_SECTOR, disk_for},
    role::{Role, State, System},
    spec::LayoutSpec,
};

/// The ids of a raw image; the builder derives them from the image id, so that the same lock gives the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageIds {
    /// The disk's. A machine that boots the image takes a random one when it grows the disk.
    pub disk: Guid,
    /// The EFI system partition's. It stays: firmware boot entries name it.
    pub esp: Guid,
}

/// The disk that the builder writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlan {
    /// Size of the whole image.
    pub disk: ByteSize,
    /// Its partition table, 512-byte sectors.
    pub table: Table,
    /// Where the EFI system partition goes.
    pub esp: Extent,
    /// Where the root file system goes.
    pub root: Extent,
    /// Where its hash tree goes.
    pub verity: Extent,
}

impl LayoutSpec {
    /// Where the partitions of a raw image are: ESP and slot A; a machine adds the rest when it first boots. Doesn't
    /// depend on the content, so that the root can be written before its hash is known.
    pub fn image_extents(&self) -> [Extent; 3] {
        let mut arranger = Arranger::starting_at(0);
        [Role::Esp, Role::Root(System::A), Role::Verity(System::A)]
            .map(|role| arranger.place(role, self.size_of(role)))
    }
}

/// The raw image's disk. The ids of root and hash tree are the two halves of the root hash (UAPI.2), by which
/// `basalt-init` and `systemd-dissect` find them.
pub fn plan_image(
    spec: &LayoutSpec,
    architecture: Architecture,
    root_hash: &Digest,
    ids: ImageIds,
) -> ImagePlan {
    let ImageIds { disk: disk_guid, esp: esp_guid } = ids;
    let [esp, root, verity] = spec.image_extents();
    let disk = disk_for(&[esp, root, verity]);
    let [root_guid, verity_guid] = verity_ids(root_hash);
    let partitions = [(esp, esp_guid), (root, root_guid), (verity, verity_guid)]
        .into_iter()
        .zip(1..)
        .map(|((extent, guid), number)| {
            let state = State::Finished;
            extent.partition(Entry { number, guid, state, architecture, sector_size: IMAGE_SECTOR })
        })
        .collect();
    let total_sectors = disk.get() / u64::from(IMAGE_SECTOR);
    let table = Table { disk_guid, sector_size: IMAGE_SECTOR, total_sectors, partitions };
    ImagePlan { disk, table, esp, root, verity }
}

/// The ids of the root and of its hash tree: the first and the last 16 bytes of the root hash (UAPI.2).
pub fn verity_ids(root_hash: &Digest) -> [Guid; 2] {
    let (mut first, mut last) = ([0; 16], [0; 16]);
    first.copy_from_slice(&root_hash.as_bytes()[..16]);
    last.copy_from_slice(&root_hash.as_bytes()[16..]);
    [Guid::from_bytes(first), Guid::from_bytes(last)]
}
