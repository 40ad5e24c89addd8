use std::fmt;

use basalt_formats::gpt::{self, GptError, Parsed, Table};
use basalt_image::layout::{GrowthNote, GrowthPlan, Role, State};
use basalt_spec::FileSystem;
use basalt_types::{ByteSize, Guid};
use serde::Serialize;

use crate::{HostKey, MachineId, Signature};

/// What a node will do now, in order. Each step may be cut by a loss of power and each plan be made again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodePlan {
    /// What to do.
    pub steps: Vec<Step>,
    /// What is fine already and what can't be had; an empty plan says here why it is empty.
    pub notes: Vec<Note>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum Step {
    /// Write both copies of the partition table: with these changes, and in our layout.
    WriteTable {
        /// What changes; nothing when the copies are only repaired.
        growth: GrowthPlan,
    },
    /// Tell the kernel about a partition that is in the table.
    AddPartition(Place),
    /// Tell the kernel the new size of a partition.
    ResizePartition(Place),
    /// Make a file system, over whatever is there: the partition is not finished.
    MakeFileSystem {
        /// The partition's number.
        number: u32,
        /// Which file system.
        kind: FileSystem,
        /// Its label.
        label: &'static str,
        /// Its id.
        uuid: Guid,
    },
    /// Give the partition its final label: from now on its content is kept.
    FinishPartition {
        /// The partition's number.
        number: u32,
        /// What it is for.
        role: Role,
    },
    /// Let the file system's own program repair what a loss of power left.
    CheckFileSystem {
        /// The partition's number.
        number: u32,
        /// Which file system.
        kind: FileSystem,
    },
    /// Point `/run/basalt/data`, which `var.mount` mounts, to the partition.
    LinkData {
        /// The partition's number.
        number: u32,
    },
    /// Keep the machine's id on the ESP, from where the next boots take it.
    WriteCredential {
        /// The ESP's number.
        number: u32,
        /// The id.
        machine_id: MachineId,
    },
    /// Make an SSH host key.
    GenerateHostKey {
        /// Which.
        kind: HostKey,
    },
}

/// Where a partition is, as the kernel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its number.
    pub number: u32,
    /// The first byte.
    pub start: u64,
    /// How many bytes it has.
    pub size: ByteSize,
}

/// Something that needs no step, or that no step can bring about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "note")]
pub enum Note {
    /// The table has every partition of the layout, and both copies are sound.
    TableComplete {
        /// The disk.
        disk: String,
        /// How many partitions.
        partitions: usize,
    },
    /// The layout wants more than the disk can be given.
    Layout(GrowthNote),
    /// The data partition is linked already.
    DataLinked {
        /// The partition.
        device: String,
    },
    /// The data partition's file system is not the one that the image would make; it is kept.
    OtherFileSystem {
        /// What it is.
        found: Signature,
        /// What the image would make.
        wanted: FileSystem,
    },
    /// The ESP carries the machine's id.
    CredentialKept {
        /// The id.
        machine_id: MachineId,
    },
    /// The ESP carries another id than the machine has: somebody set it for this boot. The ESP's is kept.
    CredentialDiffers {
        /// What the ESP carries.
        stored: MachineId,
        /// What the machine has.
        running: MachineId,
    },
    /// The machine has no id yet that could be kept.
    NoMachineId,
    /// The ESP's file system can't be read, so the machine's id is not kept there.
    EspUnreadable {
        /// The ESP's number.
        number: u32,
    },
    /// A live system: there is nothing to provision.
    Live {
        /// Where its root is.
        root: String,
    },
    /// The recovery system: the machine's data is left alone.
    Recovery {
        /// Where its root is.
        root: String,
    },
    /// No SSH server is installed, so no host key is made.
    NoSshServer,
    /// The host key is there.
    HostKeyPresent {
        /// Which.
        kind: HostKey,
    },
}

impl Step {
    /// The writes that bring the disk from `on_disk` to what this step wants of the table; none for a step that does
    /// not touch the table, or when the disk is there already.
    ///
    /// # Errors
    /// When the table can't be written.
    pub fn table_writes(&self, on_disk: &Parsed) -> Result<Vec<gpt::Step>, GptError> {
        let wanted = match self {
            Self::WriteTable { growth } => growth.wanted(&on_disk.table),
            Self::FinishPartition { number, role } => finished(&on_disk.table, *number, *role),
            Self::AddPartition(_)
            | Self::ResizePartition(_)
            | Self::MakeFileSystem { .. }
            | Self::CheckFileSystem { .. }
            | Self::LinkData { .. }
            | Self::WriteCredential { .. }
            | Self::GenerateHostKey { .. } => return Ok(Vec::new()),
        };
        wanted.update_writes(on_disk)
    }
}

fn finished(table: &Table, number: u32, role: Role) -> Table {
    let mut wanted = table.clone();
    for partition in wanted.partitions.iter_mut().filter(|partition| partition.number == number) {
        partition.label = Some(role.label(State::Finished));
        partition.attributes = role.attributes(State::Finished);
    }
    wanted
}

impl fmt::Display for NodePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            writeln!(f, "nothing to do:")?;
        }
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:>2}. {step}")?;
        }
        for note in &self.notes {
            writeln!(f, "  · {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteTable { growth } => table_change(growth, f),
            Self::AddPartition(place) => write!(f, "tell the kernel about partition {place}"),
            Self::ResizePartition(place) => write!(f, "tell the kernel the new size of partition {place}"),
            Self::MakeFileSystem { number, kind, label, uuid } => {
                write!(f, "make {} `{label}` ({uuid}) on partition {number}", kind.name())
            }
            Self::FinishPartition { number, role } => {
                write!(f, "finish partition {number}: its label becomes `{role}`")
            }
            Self::CheckFileSystem { number, kind } => {
                write!(f, "check the {} of partition {number}", kind.name())
            }
            Self::LinkData { number } => write!(f, "use partition {number} as /var"),
            Self::WriteCredential { number, machine_id } => {
                write!(f, "keep the machine id {machine_id} on the ESP (partition {number})")
            }
            Self::GenerateHostKey { kind } => write!(f, "make the SSH host key {kind}"),
        }
    }
}

fn table_change(growth: &GrowthPlan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let GrowthPlan { disk_guid: _, added, data, notes: _ } = growth;
    if growth.is_empty() {
        return f.write_str("write the partition table: repair its copies");
    }
    f.write_str("write the partition table:")?;
    for partition in added {
        let (role, size) = (partition.extent.role, partition.extent.size.human());
        write!(f, "\n      add {} {role}, {size} at {}", partition.number, mib(partition.extent.start))?;
    }
    if let Some(growth) = data {
        write!(f, "\n      grow {} from {} to {}", growth.number, growth.from.human(), growth.to.human())?;
    }
    Ok(())
}

fn mib(offset: u64) -> String {
    format!("{} MiB", offset >> 20)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} at {})", self.number, self.size.human(), mib(self.start))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableComplete { disk, partitions } => {
                write!(f, "{disk} has all {partitions} partitions, and both copies of its table are sound")
            }
            Self::Layout(GrowthNote::NoRoom { role }) => {
                write!(
                    f,
                    "the layout wants `{role}`, but the data partition already takes the rest of the disk"
                )
            }
            Self::DataLinked { device } => write!(f, "{device} is linked as /var"),
            Self::OtherFileSystem { found, wanted } => {
                write!(
                    f,
                    "the data partition holds {found} and is kept; the image would make {}",
                    wanted.name()
                )
            }
            Self::CredentialKept { machine_id } => write!(f, "the ESP carries the machine id {machine_id}"),
            Self::CredentialDiffers { stored, running } => {
                write!(f, "the ESP carries the machine id {stored} and keeps it; this boot has {running}")
            }
            Self::NoMachineId => f.write_str("the machine has no id yet that could be kept"),
            Self::EspUnreadable { number } => {
                write!(
                    f,
                    "the ESP (partition {number}) can't be read: the machine gets a new id at the next boot"
                )
            }
            Self::Live { root } => {
                write!(f, "a live system, started from {root}: /var is in memory, and no disk is touched")
            }
            Self::Recovery { root } => write!(
                f,
                "the recovery system, started from {root}: /var is in memory, and the data volume is left alone"
            ),
            Self::NoSshServer => f.write_str("no SSH server is installed"),
            Self::HostKeyPresent { kind } => write!(f, "the SSH host key {kind} is there"),
        }
    }
}
