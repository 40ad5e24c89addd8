//! The one place that says where partitions go. All numbers are bytes: the sector size is the table's affair.

use basalt_formats::gpt::{ALIGNMENT, ENTRY_COUNT, ENTRY_SIZE, Partition, Table};
use basalt_types::{Architecture, ByteSize, Guid};
use serde::Serialize;

use super::role::{Role, State};

/// Every partition starts and ends on a multiple of this: the erase blocks of flash and the stripes of arrays divide
/// it, and it is what every other tool uses.
pub(super) const GRAIN: ByteSize = ByteSize::bytes(ALIGNMENT);

/// The sector size of the images that the builder writes.
pub(super) const IMAGE_SECTOR: u32 = 512;

/// Where a partition is, in bytes from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// What it is for.
    pub role: Role,
    /// The first byte.
    pub start: u64,
    /// How many bytes it has.
    pub size: ByteSize,
}

impl Extent {
    /// The byte behind the last one.
    pub const fn end(&self) -> u64 {
        self.start + self.size.get()
    }

    /// The entry of this partition in the table of a disk with sectors of `sector_size` bytes.
    pub(super) fn partition(&self, entry: Entry) -> Partition {
        let Entry { number, guid, state, architecture, sector_size } = entry;
        let sector = u64::from(sector_size.max(1));
        Partition {
            number,
            type_guid: self.role.type_guid(architecture),
            guid,
            first_lba: self.start / sector,
            last_lba: (self.end() / sector).saturating_sub(1),
            attributes: self.role.attributes(state),
            label: Some(self.role.label(state)),
        }
    }
}

/// What an entry says besides the place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) guid: Guid,
    pub(super) state: State,
    pub(super) architecture: Architecture,
    pub(super) sector_size: u32,
}

/// Places partitions one behind the other.
#[derive(Clone, Debug)]
pub struct Arranger {
    next: u64,
}

impl Arranger {
    /// Starts at the first multiple of 1 MiB at or after byte `from`, and never in the first MiB, which belongs to the
    /// table.
    pub fn starting_at(from: u64) -> Self {
        Self { next: from.max(ALIGNMENT).next_multiple_of(ALIGNMENT) }
    }

    /// The next partition's place: `size` rounded up to whole MiB.
    pub fn place(&mut self, role: Role, size: ByteSize) -> Extent {
        let extent = Extent { role, start: self.next, size: size.round_up(GRAIN) };
        self.next = extent.end();
        extent
    }
}

/// The smallest disk that holds `extents` and the backup table: a whole number of MiB.
pub(super) fn disk_for(extents: &[Extent]) -> ByteSize {
    let end = extents.iter().map(Extent::end).max().unwrap_or(ALIGNMENT);
    // A MiB is more than the backup's two places and its header, whatever the sector size.
    const { assert!(ALIGNMENT > 2 * (ENTRY_COUNT * ENTRY_SIZE) as u64 + 4096) };
    ByteSize::bytes(end + ALIGNMENT)
}

/// The byte behind the last whole MiB that partitions may use on the disk of this table.
pub(super) fn usable_end(table: &Table) -> u64 {
    let end = (table.last_usable_lba() + 1).saturating_mul(u64::from(table.sector_size));
    end - end % ALIGNMENT
}
