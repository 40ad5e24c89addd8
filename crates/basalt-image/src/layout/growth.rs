use std::fmt;

use basalt_formats::gpt::{ENTRY_COUNT, Partition, Table};
use basalt_types::{Architecture, ByteSize, Digest, Guid};
use serde::Serialize;

use super::{
    arrange::{Arranger, Entry, Extent, GRAIN, usable_end},
    role::{Role, State, System},
    spec::LayoutSpec,
};

/// The ids that a machine gives to its disk and its new partitions, all from one random seed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GrowthIds([u8; 32]);

/// The seed was not random: two machines would have the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seed of the partition ids is all zeros")]
pub struct NoSeed;

/// What changes in a machine's partition table, compared with what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrowthPlan {
    /// The disk's id afterwards: a random one once the disk grows, then the same for ever.
    pub disk_guid: Guid,
    /// The partitions to add, in the order on the disk.
    pub added: Vec<Added>,
    /// The data partition, when the disk has become larger.
    pub data: Option<DataGrowth>,
    /// What the layout asks for and the disk does not get.
    pub notes: Vec<GrowthNote>,
}

/// A partition to add. It is unfinished until the machine has filled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Its number.
    pub number: u32,
    /// Where it goes.
    #[serde(flatten)]
    pub extent: Extent,
    /// Its id.
    pub guid: Guid,
    /// Decides its type.
    #[serde(skip)]
    pub architecture: Architecture,
}

/// The data partition gets all of a disk that has become larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataGrowth {
    /// Its number.
    pub number: u32,
    /// Its size now.
    pub from: ByteSize,
    /// Its size afterwards.
    pub to: ByteSize,
}

/// Something that the layout asks for and that can't be had on this disk any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "note")]
pub enum GrowthNote {
    /// The data partition already takes the rest of the disk.
    NoRoom {
        /// What is missing.
        role: Role,
    },
}

/// Why a disk can't be grown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "refusal")]
pub enum GrowthRefusal {
    /// The disk lacks what every Basalt disk has.
    #[error("the disk has no partition `{role}`")]
    Missing {
        /// What is missing.
        role: Role,
    },
    /// The disk was grown once, and data, which is added together with what is there, is gone.
    #[error("the disk has a partition `{beside}` and no partition `{}`, which came with it", Role::Data)]
    DataLost {
        /// What was added together with it.
        beside: Role,
    },
    /// Two partitions say that they are the same thing.
    #[error("partitions {first} and {second} are both labelled `{role}`")]
    Twice {
        /// What both say they are.
        role: Role,
        /// The lower number.
        first: u32,
        /// The higher number.
        second: u32,
    },
    /// Somebody else's partition is where ours must go.
    #[error("partition {number} ({}) stands where `{role}` and what follows must go", .label.as_deref().unwrap_or("no label"))]
    InTheWay {
        /// Its number.
        number: u32,
        /// Its label.
        label: Option<String>,
        /// The first of our partitions to add.
        role: Role,
    },
    /// The disk is too small.
    #[error("the disk has {} and the layout needs {} at least", .disk.human(), .needed.human())]
    TooSmall {
        /// Its size.
        disk: ByteSize,
        /// The smallest size that would do.
        needed: ByteSize,
    },
    /// A partition ends behind the end of the disk.
    #[error("partition {number} ends behind the end of the disk: the disk was copied to a smaller one")]
    Truncated {
        /// Its number.
        number: u32,
    },
    /// All entries of the table are in use.
    #[error("the partition table has no free entry for `{role}`")]
    NoEntry {
        /// What can't be added.
        role: Role,
    },
}

impl GrowthIds {
    /// Takes 32 random bytes.
    ///
    /// # Errors
    /// When they are all zeros.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, NoSeed> {
        if seed == [0; 32] { Err(NoSeed) } else { Ok(Self(seed)) }
    }

    /// The id of `what`: different for every seed and every name.
    pub fn id(&self, what: &str) -> Guid {
        Guid::derived(&Digest::of(&[&self.0, what.as_bytes()].concat()))
    }
}

impl fmt::Debug for GrowthIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrowthIds({})", self.id("disk"))
    }
}

impl GrowthPlan {
    /// Whether the table stays as it is.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.data.is_none()
    }

    /// The table afterwards: every partition of `observed` at its place, with its id, and the added ones.
    pub fn wanted(&self, observed: &Table) -> Table {
        let sector_size = observed.sector_size;
        let mut table = Table { disk_guid: self.disk_guid, ..observed.clone() };
        for Added { number, extent, guid, architecture } in self.added.iter().copied() {
            let entry = Entry { number, guid, state: State::Partial, architecture, sector_size };
            table.partitions.push(extent.partition(entry));
        }
        for partition in &mut table.partitions {
            if let Some(growth) = self.data.filter(|growth| growth.number == partition.number) {
                let sectors = growth.to.get() / u64::from(sector_size.max(1));
                partition.last_lba = (partition.first_lba + sectors).saturating_sub(1);
            }
        }
        table.partitions.sort_by_key(|partition| partition.number);
        table
    }
}

/// Plans what a disk lacks of `spec`: second slot, recovery and, behind them to the end of the disk, data. When data
/// is there, nothing can be added any more, and the data partition grows with the disk.
///
/// A disk gets all that it lacks in one table, so one with a second slot or recovery has had its data: it is never made
/// again in silence.
///
/// # Errors
/// Every reason for which the disk can't be used, at once.
pub fn plan_growth(
    observed: &Table,
    spec: &LayoutSpec,
    architecture: Architecture,
    ids: &GrowthIds,
) -> Result<GrowthPlan, Vec<GrowthRefusal>> {
    let ours = Ours::of(observed);
    let mut refusals = ours.refusals(observed);
    let missing: Vec<Role> = spec.roles().filter(|role| ours.find(*role).is_none()).collect();
    let mut plan =
        GrowthPlan { disk_guid: observed.disk_guid, added: Vec::new(), data: None, notes: Vec::new() };
    if let Some(data) = ours.find(Role::Data) {
        plan.notes = missing.into_iter().map(|role| GrowthNote::NoRoom { role }).collect();
        plan.data = data_growth(observed, data);
    } else if let Some(beside) = ours.came_with_data() {
        refusals.push(GrowthRefusal::DataLost { beside });
    } else if refusals.is_empty() {
        plan.disk_guid = ids.id("disk");
        match ours.add(observed, &sizes(spec, &missing), (architecture, ids)) {
            Ok(added) => plan.added = added,
            Err(found) => refusals = found,
        }
    }
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

/// The partitions of a table that are ours.
struct Ours<'a>(Vec<(Role, &'a Partition)>);

impl<'a> Ours<'a> {
    fn of(table: &'a Table) -> Self {
        let known = |partition| Role::of_partition(partition).map(|(role, _)| (role, partition));
        Self(table.partitions.iter().filter_map(known).collect())
    }

    fn find(&self, role: Role) -> Option<&'a Partition> {
        self.0.iter().find(|(own, _)| *own == role).map(|(_, partition)| *partition)
    }

    /// The first of the partitions that no image brings along.
    fn came_with_data(&self) -> Option<Role> {
        let brought = |role: &Role| match role {
            Role::Esp | Role::Root(System::A) | Role::Verity(System::A) => true,
            Role::Root(System::B | System::Recovery)
            | Role::Verity(System::B | System::Recovery)
            | Role::Data => false,
        };
        self.0.iter().map(|(role, _)| *role).find(|role| !brought(role))
    }

    fn refusals(&self, table: &Table) -> Vec<GrowthRefusal> {
        let always = [Role::Esp, Role::Root(System::A), Role::Verity(System::A)];
        let missing = always.into_iter().filter(|role| self.find(*role).is_none());
        let mut refusals: Vec<_> = missing.map(|role| GrowthRefusal::Missing { role }).collect();
        for (index, (role, partition)) in self.0.iter().enumerate() {
            if let Some((_, other)) = self.0[..index].iter().find(|(other, _)| other == role) {
                let (first, second) = (other.number, partition.number);
                refusals.push(GrowthRefusal::Twice { role: *role, first, second });
            }
        }
        let beyond = table.partitions.iter().filter(|partition| partition.last_lba > table.last_usable_lba());
        refusals.extend(beyond.map(|partition| GrowthRefusal::Truncated { number: partition.number }));
        refusals
    }

    /// Places the missing partitions behind our last one; data takes the rest.
    fn add(
        &self,
        table: &Table,
        sizes: &[(Role, ByteSize)],
        (architecture, ids): (Architecture, &GrowthIds),
    ) -> Result<Vec<Added>, Vec<GrowthRefusal>> {
        let sector = table.sector_size;
        let start = self.0.iter().map(|(_, partition)| partition.bytes(sector).end).max().unwrap_or(0);
        let mut refusals = Vec::new();
        if let Some((role, _)) = sizes.first() {
            let behind = |partition: &&Partition| partition.bytes(sector).end > start;
            refusals.extend(table.partitions.iter().filter(behind).map(|partition| {
                let label = partition.label.as_ref().map(|label| label.as_str().to_owned());
                GrowthRefusal::InTheWay { number: partition.number, label, role: *role }
            }));
        }
        let mut arranger = Arranger::starting_at(start);
        let mut numbers = (1..=ENTRY_COUNT).filter(|number| table.partition(*number).is_none());
        let mut added = Vec::with_capacity(sizes.len());
        for (role, size) in sizes {
            let extent = arranger.place(*role, *size);
            match numbers.next() {
                Some(number) => added.push(Added { number, extent, guid: ids.id(role.name()), architecture }),
                None => refusals.push(GrowthRefusal::NoEntry { role: *role }),
            }
        }
        let (end, usable) = (arranger.place(Role::Data, ByteSize::bytes(0)).start, usable_end(table));
        if end > usable {
            let disk = ByteSize::bytes(table.total_sectors.saturating_mul(u64::from(sector)));
            refusals.push(GrowthRefusal::TooSmall { disk, needed: ByteSize::bytes(end + GRAIN.get()) });
        } else if let Some(data) = added.last_mut().filter(|last| last.extent.role == Role::Data) {
            data.extent.size = ByteSize::bytes(usable - data.extent.start);
        }
        if refusals.is_empty() { Ok(added) } else { Err(refusals) }
    }
}

fn sizes(spec: &LayoutSpec, roles: &[Role]) -> Vec<(Role, ByteSize)> {
    roles.iter().map(|role| (*role, spec.size_of(*role))).collect()
}

/// The data partition reaches to the end of the disk, unless somebody put another partition behind it.
fn data_growth(table: &Table, data: &Partition) -> Option<DataGrowth> {
    let last = table.partitions.iter().all(|partition| partition.first_lba <= data.first_lba);
    let place = data.bytes(table.sector_size);
    let usable = usable_end(table);
    let growth = DataGrowth {
        number: data.number,
        from: ByteSize::bytes(place.end - place.start),
        to: ByteSize::bytes(usable.saturating_sub(place.start)),
    };
    (last && growth.to > growth.from).then_some(growth)
}
