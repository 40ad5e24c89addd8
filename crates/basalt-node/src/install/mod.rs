//! Installation: from what disks there are, and what was asked for, to the one disk that is erased and the steps that
//! put a release on it; or every reason why not.
//!
//! `InstallFacts + InstallWish → plan_install → InstallPlan`
//!
//! # Order
//!
//! | step | a cut here leaves |
//! |---|---|
//! | erase the sectors that lead to the old content | the old system, whole, or a disk that starts nothing |
//! | erase old signatures | a disk that starts nothing |
//! | write the table, everything `PRT#` | a disk that starts nothing, and says that it is unfinished |
//! | write the root, read it back, write its hash tree | the same |
//! | write the boot partition but for its first sector | the same |
//! | final names (GPT) | a disk that starts nothing |
//! | the boot partition's first sector | the new system |
//!
//! The layout is the one that a raw image and its first boot make together, by the same planners: slot B, recovery and data
//! are in the table as unfinished, and the first boot makes data's file system.

mod choose;
mod content;
mod observed;
mod plan;
mod refusal;
mod rule;

#[cfg(test)]
mod tests;

use basalt_formats::gpt::{ALIGNMENT, Table};
use basalt_image::{
    layout::{Extent, GrowthIds, ImageIds, LIVE_ROOT, Role, State, plan_growth, plan_image, verity_ids},
    update::UpdateInfo,
};
use basalt_spec::node::{After, DiskRule};
use basalt_types::ByteSize;

use choose::choose;
pub use content::{Content, HEAD, TAIL};
pub use observed::{BlockDisk, BlockPartition, DiskUse, InstallFacts};
pub use plan::{EspFile, InstallPlan, InstallRelease, InstallStep, InstallTarget, Span};
pub use refusal::{InstallRefusal, Member, Unfit, Unfitting};
pub use rule::{Mismatch, RuleError, parse_rule};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct InstallWish<'a> {
    /// Which disk.
    pub rule: &'a DiskRule,
    /// The release.
    pub release: &'a UpdateInfo,
    /// The files of the EFI system partition.
    pub files: Vec<EspFile>,
    /// What is erased without being asked for otherwise.
    pub permits: Permits,
    /// What happens when it is done.
    pub after: Option<After>,
    /// Random ids for the disk.
    pub ids: GrowthIds,
}

/// What is refused otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    /// Erase what is a part of something larger.
    pub wipe: bool,
    /// Erase a whole installation of the same release.
    pub reinstall: bool,
}

/// The sectors of the EFI system partition's file system.
const FAT_SECTOR: u32 = 512;
/// Where the volume descriptors of a CD are that firmware starts from: the first two, in bytes (ECMA-119, 6.7.1).
const CD_DESCRIPTORS: Span = Span { start: 16 * 2048, length: 2 * 2048 };

/// Plans to put a release onto the one disk that is meant.
///
/// # Guarantees
/// The disk is not the one that this system was started from, nobody uses it, and it is large enough. The plan names
/// everything that is lost. Nothing but that disk is written.
///
/// # Errors
/// Every reason for which nothing should be written.
pub fn plan_install(
    facts: &InstallFacts,
    wish: &InstallWish<'_>,
) -> Result<InstallPlan, Vec<InstallRefusal>> {
    let InstallWish { rule, release, files, permits, after, ids } = wish;
    let mut refusals = Vec::new();
    if release.architecture != facts.architecture {
        let (machine, release) = (facts.architecture, release.architecture);
        refusals.push(InstallRefusal::OtherArchitecture { machine, release });
    }
    let disk = match choose(&facts.disks, rule, release.layout.minimum_disk()) {
        Ok(disk) => disk,
        Err(refusal) => {
            refusals.push(refusal);
            return Err(refusals);
        }
    };
    refusals.extend(refuse_disk(facts, disk, release, *permits));
    let table = new_table(disk, release, ids).map_err(|mut layout| {
        let mut all = refusals.clone();
        all.append(&mut layout);
        all
    })?;
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let root_hash = release.root.digest;
    let steps = vec![
        InstallStep::EraseTable { places: table_places(disk) },
        InstallStep::EraseSignatures { places: signature_places(disk, &table) },
        InstallStep::WriteTable { partitions: extents(&table), table },
        InstallStep::WriteRoot { size: release.root.size },
        InstallStep::WriteHashTree { root_hash },
        InstallStep::WriteEsp { files: files.clone() },
        InstallStep::FinishTable,
        InstallStep::WriteBootSector,
    ];
    let target = InstallTarget {
        device: disk.device.clone(),
        described: disk.described(),
        content: disk.content,
        partitions: disk.partitions.clone(),
    };
    let release = InstallRelease { name: release.name.clone(), version: release.version.clone(), root_hash };
    Ok(InstallPlan { target, release, steps, after: *after })
}

fn refuse_disk(
    facts: &InstallFacts,
    disk: &BlockDisk,
    release: &UpdateInfo,
    permits: Permits,
) -> Vec<InstallRefusal> {
    let named = || disk.described();
    let mut refusals = Vec::new();
    if !disk.uses.is_empty() {
        refusals.push(InstallRefusal::Busy { disk: named(), uses: disk.uses.clone() });
    }
    let members = disk.members().into_iter().map(|(device, content)| Member { device, content });
    let members: Vec<_> = members.collect();
    if !members.is_empty() && !permits.wipe {
        refusals.push(InstallRefusal::Leftovers { disk: named(), members });
    }
    if disk.sector_size != FAT_SECTOR {
        refusals.push(InstallRefusal::Sectors { disk: named(), sector_size: disk.sector_size });
    }
    if holds(disk, release) && !permits.reinstall {
        refusals.push(InstallRefusal::Installed { disk: named(), version: release.version.clone() });
    }
    let rivals = facts.disks.iter().filter(|other| other.device != disk.device && holds(other, release));
    refusals.extend(rivals.map(|other| InstallRefusal::Rival { other: other.device.clone() }));
    refusals
}

/// Whether the disk holds the release as an installed system, not as a live medium.
fn holds(disk: &BlockDisk, release: &UpdateInfo) -> bool {
    let [root, _] = verity_ids(&release.root.digest);
    let is_whole = |label: &str| {
        label != LIVE_ROOT.as_str() && Role::of_label(label).is_none_or(|(_, state)| state == State::Finished)
    };
    let whole = |part: &BlockPartition| part.label.as_deref().is_none_or(is_whole);
    disk.partitions.iter().any(|partition| partition.guid == Some(root) && whole(partition))
}

/// What a raw image and its first boot would make of this disk, all of it unfinished.
fn new_table(disk: &BlockDisk, release: &UpdateInfo, ids: &GrowthIds) -> Result<Table, Vec<InstallRefusal>> {
    let UpdateInfo { layout, architecture, .. } = release;
    let image_ids = ImageIds { disk: ids.id("disk"), esp: ids.id("esp") };
    let image = plan_image(layout, *architecture, &release.root.digest, image_ids).table;
    let total_sectors = disk.size.get() / u64::from(image.sector_size);
    let image = Table { total_sectors, ..image };
    let growth = plan_growth(&image, layout, *architecture, ids).map_err(|reasons| {
        let refuse = |reason| InstallRefusal::Layout { disk: disk.described(), reason };
        reasons.into_iter().map(refuse).collect::<Vec<_>>()
    })?;
    let mut table = growth.wanted(&image);
    for partition in &mut table.partitions {
        if let Some((role, _)) = Role::of_partition(partition) {
            partition.label = Some(role.label(State::Partial));
            partition.attributes = role.attributes(State::Partial);
        }
    }
    let checked = InstallStep::new_table(&table);
    checked.map_err(|source| vec![InstallRefusal::Table { disk: disk.described(), source }])?;
    Ok(table)
}

fn extents(table: &Table) -> Vec<Extent> {
    let extent = |partition: &basalt_formats::gpt::Partition| {
        let (role, _) = Role::of_partition(partition)?;
        let bytes = partition.bytes(table.sector_size);
        Some(Extent { role, start: bytes.start, size: ByteSize::bytes(bytes.end - bytes.start) })
    };
    table.partitions.iter().filter_map(extent).collect()
}

/// The sectors by which firmware finds what is on the disk: the old sort of table or a file system without one, the header
/// of either copy of a GPT, and what a CD is started by.
fn table_places(disk: &BlockDisk) -> Vec<Span> {
    let sector = u64::from(disk.sector_size);
    let last = (disk.size.get() / sector).saturating_sub(1) * sector;
    let mut places: Vec<_> = [0, sector, last].map(|start| Span { start, length: sector }).to_vec();
    if disk.content == Some(Content::Iso9660) {
        places.push(CD_DESCRIPTORS);
    }
    places
}

/// The first and last MiB of the disk, of every partition that it has, and the first MiB of each that it gets.
fn signature_places(disk: &BlockDisk, table: &Table) -> Vec<Span> {
    let end = disk.size.get() / u64::from(disk.sector_size) * u64::from(disk.sector_size);
    let mut places = Vec::new();
    let mut add = |start: u64, length: u64| {
        let length = length.min(end.saturating_sub(start));
        if length > 0 {
            places.push(Span { start, length });
        }
    };
    add(0, ALIGNMENT);
    add(end.saturating_sub(ALIGNMENT), ALIGNMENT);
    for partition in &disk.partitions {
        let size = partition.size.get();
        let length = size.min(ALIGNMENT);
        add(partition.start, length);
        add(partition.start.saturating_add(size - length), length);
    }
    for partition in &table.partitions {
        add(partition.bytes(table.sector_size).start, ALIGNMENT);
    }
    joined(places)
}

/// The same bytes in as few spans as there can be, ascending.
fn joined(mut places: Vec<Span>) -> Vec<Span> {
    places.sort();
    let mut joined: Vec<Span> = Vec::new();
    for place in places {
        match joined.last_mut() {
            Some(last) if place.start <= last.start + last.length => {
                last.length = last.length.max(place.start + place.length - last.start);
            }
            Some(_) | None => joined.push(place),
        }
    }
    joined
}
