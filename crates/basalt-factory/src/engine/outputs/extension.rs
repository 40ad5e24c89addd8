//! System and configuration extensions as disk images (UAPI.3): an EROFS and its hash tree on a small GPT.

use std::io;

use basalt_formats::{
    WriteAt,
    erofs::{self, Algorithm},
    gpt::{ALIGNMENT, EntriesPlace, Partition, Table},
};
use basalt_image::{
    difference::Side,
    extension::{self, Sort},
    layout::{Role, State, System, verity_ids},
};
use basalt_spec::Output;
use basalt_types::{Digest, PartLabel};

use super::{Context, OutputsError, WrittenFile};
use crate::engine::{
    artifact::Window,
    output::PartialFile,
    release::{derived, hash_tree},
    stores::OpenFile,
};

/// The sectors that the image's table counts.
const SECTOR: u64 = 512;
/// The only compression that every kernel with EROFS reads: an extension outlives the kernel that it was made beside.
const ALGORITHM: Algorithm = Algorithm::Lz4hc;

/// Writes the image, and beside it its root hash, by which `systemd-dissect` and its kin verify it.
pub(super) fn write(
    context: &Context<'_>,
    output: Output,
    sort: Sort,
) -> Result<Vec<WrittenFile>, OutputsError> {
    let none = || OutputsError::NoSource(output);
    let (extended, reader) = context.tree.ok_or_else(none)?;
    let (base, base_reader) = context.below.ok_or_else(none)?;
    let what = (&context.recipe.name, context.recipe.architecture);
    let sides = [Side { tree: base, reader: base_reader }, Side { tree: extended, reader }];
    let [base, extended] = sides;
    let extension = extension::subtract(sort, what, base, extended, context.epoch)?;

    let [image, hash] = [0, 1].map(|index| output.endings().get(index).copied().unwrap_or_default());
    let image = PartialFile::create(&(context.place)(image))?;
    let id = Digest::of(format!("{} {}", context.id, output.word()).as_bytes());
    let options = erofs::PackOptions {
        image: erofs::Options { uuid: derived(id, "root"), label: String::new(), epoch: context.epoch },
        compression: Some(erofs::Compression::new(ALGORITHM)),
        late: None,
    };
    let sink = Shifted { file: &image, start: ALIGNMENT };
    let packed = erofs::pack(&extension.tree, reader, &options, &[], &sink)?;
    let size = packed.image_size();
    packed.finish(&extension.tree, reader, &sink)?;

    let written = OpenFile::of(image.file().try_clone()?)?;
    let tree = hash_tree(id, &Window::part(&written, ALIGNMENT..ALIGNMENT + size))?;
    let verity = (ALIGNMENT + size).next_multiple_of(ALIGNMENT);
    image.write_at(verity, &tree.bytes)?;
    let places = [(ALIGNMENT, size), (verity, tree.bytes.len() as u64)];
    finish(context, &image, places, &tree.root)?;

    let hash = PartialFile::create(&(context.place)(hash))?;
    hash.write_at(0, format!("{}\n", tree.root.hex()).as_bytes())?;
    Ok([image, hash].into_iter().map(|file| WrittenFile { output, file }).collect())
}

/// Writes the partition table; the ids are the halves of the root hash, by which the two partitions find each other.
fn finish(
    context: &Context<'_>,
    image: &PartialFile,
    [root, verity]: [(u64, u64); 2],
    root_hash: &Digest,
) -> Result<(), OutputsError> {
    let end = (verity.0 + verity.1).next_multiple_of(ALIGNMENT) + ALIGNMENT;
    let [root_id, verity_id] = verity_ids(root_hash);
    let [root_label, verity_label] = ["extension", "extension-verity"].map(PartLabel::constant);
    let entries = [
        (Role::Root(System::A), root_id, root_label, root),
        (Role::Verity(System::A), verity_id, verity_label, verity),
    ];
    let partitions =
        entries.into_iter().zip(1..).map(|((role, guid, label, (start, size)), number)| Partition {
            number,
            type_guid: role.type_guid(context.recipe.architecture),
            guid,
            first_lba: start / SECTOR,
            last_lba: (start + size.next_multiple_of(ALIGNMENT)) / SECTOR - 1,
            attributes: role.attributes(State::Finished),
            label: Some(label),
        });
    let table = Table {
        disk_guid: derived(*root_hash, "extension"),
        sector_size: 512,
        total_sectors: end / SECTOR,
        partitions: partitions.collect(),
    };
    image.set_size(end)?;
    for write in table.image_writes(EntriesPlace::First)? {
        image.write_at(write.offset, &write.bytes)?;
    }
    Ok(())
}

/// A file from some byte on.
struct Shifted<'a> {
    file: &'a PartialFile,
    start: u64,
}

impl WriteAt for Shifted<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.start + offset, bytes)
    }
}
