//! One file that boots from a CD and from a USB stick: ISO 9660 (ECMA-119) with Rock Ridge names (RRIP 1.10, SUSP), El
//! Torito with an ESP (UEFI 2.10 section 13.3.2.1), and a GPT over all of it.
//!
//! # Layout of an image
//!
//! Sectors of a CD have 2048 bytes; the GPT counts in 512.
//!
//! | from | holds |
//! |---|---|
//! | 0 | protective MBR, primary GPT: the system area of 32 KiB that ISO 9660 leaves alone |
//! | 32 KiB | volume descriptor, boot record, terminator, boot catalog |
//! | then | path tables, directories, files that are no partition |
//! | 1 MiB or later | ESP, then the other partitions, each at a multiple of 1 MiB and of whole MiB |
//! | last MiB | backup GPT |
//!
//! A partition may be a file of the CD too: the same bytes, twice named. Firmware finds the ESP by El Torito on a CD and in
//! the GPT on a stick. Linux does not look for partitions on a CD, and would count in sectors of 2048: whoever wants the
//! others reads the GPT at [`SECTOR`] bytes from any medium, `gpt::Table::parse(device, 512)`.
//!
//! # Flow
//!
//! [`Image::layout`] → [`Layout::disk`] → `virtual_disk::copy`. The same value gives the same bytes.
//!
//! Not here: BIOS boot, Joliet, symbolic links, owners other than root, reading.

mod directory;
mod names;
mod records;
mod volume;

#[cfg(test)]
mod tests;

use basalt_types::{Guid, PartLabel};

use crate::{
    ReadAt,
    gpt::{self, Attributes, EntriesPlace, GptError},
    virtual_disk::{LayoutError, Segment, VirtualDisk},
};

use directory::{Directories, Extent};
pub use names::{FilePath, NameError, VolumeId};

/// Bytes of a sector in the image's GPT.
pub const SECTOR: u32 = 512;
/// Bytes of a CD's sector.
const CD_SECTOR: u64 = 2048;
/// CD sectors before the first volume descriptor (ECMA-119 section 6.2.1).
const SYSTEM_AREA: u64 = 16;
/// CD sectors of descriptors and boot catalog behind the system area.
const DESCRIPTORS: u64 = 4;

/// An image that is to be made.
#[derive(Debug)]
pub struct Image<'a> {
    /// The volume's name.
    pub volume_id: VolumeId,
    /// The time of everything, in seconds since 1970; the format counts from 1900 to 2155.
    pub time: i64,
    /// The id of the disk.
    pub disk_guid: Guid,
    /// The EFI system partition: a FAT volume that firmware boots from; number 1.
    pub esp: Partition<'a>,
    /// The others, with the numbers from 2 on.
    pub partitions: Vec<Partition<'a>>,
    /// Files that are no partition.
    pub files: Vec<File<'a>>,
}

/// A partition of the image.
pub struct Partition<'a> {
    /// Its name.
    pub label: PartLabel,
    /// What it is for: one of [`gpt::types`].
    pub type_guid: Guid,
    /// Its own id.
    pub guid: Guid,
    /// Attribute bits.
    pub attributes: Attributes,
    /// Its bytes; zeros follow to a whole MiB.
    pub content: &'a dyn ReadAt,
    /// Where it is in the CD's file tree, if anywhere.
    pub file: Option<FilePath>,
}

/// A file of the CD.
pub struct File<'a> {
    /// Where it is.
    pub path: FilePath,
    /// Its bytes.
    pub content: &'a dyn ReadAt,
}

/// Where everything is.
#[derive(Debug)]
pub struct Layout<'a> {
    /// The partition table.
    pub table: gpt::Table,
    /// Bytes of the image: whole MiB.
    pub size: u64,
    /// Tables, descriptors and directories.
    metadata: Vec<(u64, Vec<u8>)>,
    contents: Vec<Segment<'a>>,
}

/// Why an image can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsoError {
    /// Two files have the same name, or a file stands where a directory must be.
    #[error("`{0}` is there twice, or as a file and a directory")]
    Twice(String),
    /// Two names can't be told apart without Rock Ridge.
    #[error("`{path}` would have the same short name `{short}` as another file")]
    SameShortName {
        /// The later one.
        path: String,
        /// What both are called in ISO 9660.
        short: String,
    },
    /// A partition without a byte.
    #[error("partition `{0}` is empty")]
    EmptyPartition(PartLabel),
    /// A volume has at most 2^32 sectors.
    #[error("an image of {0} bytes is too large for ISO 9660")]
    TooLarge(u64),
    /// The partition table can't be.
    #[error("the partition table can't be written")]
    Table(#[from] GptError),
}

impl<'a> Image<'a> {
    /// Decides where everything goes.
    ///
    /// # Errors
    /// When names collide, ids are not distinct, a partition is empty or all of it too large.
    pub fn layout(&self) -> Result<Layout<'a>, IsoError> {
        let Self { volume_id, time, disk_guid, esp, partitions, files } = self;
        let partitions: Vec<&Partition<'a>> = std::iter::once(esp).chain(partitions).collect();
        let contents: Vec<Content<'a, '_>> =
            files.iter().map(Content::of_file).chain(partitions.iter().map(|it| Content::of(it))).collect();
        let mut directories = Directories::new();
        for (index, content) in contents.iter().enumerate() {
            if let Some(path) = content.path {
                directories.insert(path, index)?;
            }
        }
        let sizes: Vec<u64> = contents.iter().map(|content| content.bytes.size()).collect();
        let mut placer = Placer { next: (SYSTEM_AREA + DESCRIPTORS) * CD_SECTOR };
        let path_tables = [(); 2].map(|()| placer.place(directories.path_table_size(), CD_SECTOR));
        let places: Vec<Extent> =
            directories.sizes(&sizes).into_iter().map(|size| placer.place(size, CD_SECTOR)).collect();
        let extents: Vec<Extent> =
            contents.iter().map(|content| placer.place(content.bytes.size(), content.alignment)).collect();
        let size = placer.next.next_multiple_of(gpt::ALIGNMENT) + gpt::ALIGNMENT;
        if size / CD_SECTOR > u64::from(u32::MAX) {
            return Err(IsoError::TooLarge(size));
        }
        let of_partitions = &extents[files.len()..];
        let table = table(*disk_guid, &partitions, of_partitions, size)?;
        let volume = volume::Volume { volume_id, time: *time, size, esp: of_partitions[0] };
        let descriptors = volume.descriptors(&directories, &path_tables, &places);
        let mut metadata = vec![(SYSTEM_AREA * CD_SECTOR, descriptors)];
        metadata.extend(directories.encode(&path_tables, &places, &extents, *time));
        let writes = table.image_writes(EntriesPlace::First)?;
        metadata.extend(writes.into_iter().map(|write| (write.offset, write.bytes)));
        let segment = |(content, extent): (&Content<'a, '_>, &Extent)| Segment {
            start: extent.start,
            content: content.bytes,
        };
        let contents = contents.iter().zip(&extents).map(segment).collect();
        Ok(Layout { table, size, metadata, contents })
    }
}

impl Layout<'_> {
    /// The image as a disk.
    ///
    /// # Errors
    /// Never for a layout as it was made; parts that overlap would be one.
    pub fn disk(&self) -> Result<VirtualDisk<'_>, LayoutError> {
        let metadata = self.metadata.iter().map(|(start, bytes)| Segment { start: *start, content: bytes });
        VirtualDisk::new(self.size, metadata.chain(self.contents.iter().copied()).collect())
    }
}

/// Bytes that need a place, and perhaps a name.
struct Content<'a, 'b> {
    path: Option<&'b FilePath>,
    bytes: &'a dyn ReadAt,
    alignment: u64,
}

impl<'a, 'b> Content<'a, 'b> {
    fn of_file(file: &'b File<'a>) -> Self {
        Self { path: Some(&file.path), bytes: file.content, alignment: CD_SECTOR }
    }

    fn of(partition: &'b Partition<'a>) -> Self {
        Self { path: partition.file.as_ref(), bytes: partition.content, alignment: gpt::ALIGNMENT }
    }
}

/// Hands out places from front to back.
struct Placer {
    next: u64,
}

impl Placer {
    fn place(&mut self, size: u64, alignment: u64) -> Extent {
        let start = self.next.next_multiple_of(alignment);
        self.next = start.saturating_add(size);
        Extent { start, size }
    }
}

fn table(
    disk_guid: Guid,
    partitions: &[&Partition<'_>],
    extents: &[Extent],
    size: u64,
) -> Result<gpt::Table, IsoError> {
    let sector = u64::from(SECTOR);
    let mut entries = Vec::new();
    for (index, (partition, Extent { start, size })) in partitions.iter().zip(extents).enumerate() {
        let Partition { label, type_guid, guid, attributes, content: _, file: _ } = partition;
        if *size == 0 {
            return Err(IsoError::EmptyPartition(label.clone()));
        }
        let end = start + size.next_multiple_of(gpt::ALIGNMENT);
        entries.push(gpt::Partition {
            number: index as u32 + 1,
            type_guid: *type_guid,
            guid: *guid,
            first_lba: start / sector,
            last_lba: end / sector - 1,
            attributes: *attributes,
            label: Some(label.clone()),
        });
    }
    Ok(gpt::Table { disk_guid, sector_size: SECTOR, total_sectors: size / sector, partitions: entries })
}

impl std::fmt::Debug for Partition<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} bytes", self.label, self.content.size())
    }
}

impl std::fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} bytes", self.path, self.content.size())
    }
}
