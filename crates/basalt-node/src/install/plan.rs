use std::fmt;

use basalt_formats::gpt::{self, EntriesPlace, GptError, Parsed, Table};
use basalt_image::layout::{Extent, Role, State};
use basalt_spec::node::After;
use basalt_types::{ByteSize, Digest, ImageName, ImageVersion};
use serde::Serialize;

use super::{BlockPartition, Content};

/// How a system comes onto a disk, and what is lost by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallPlan {
    /// The disk.
    pub target: InstallTarget,
    /// What is installed.
    pub release: InstallRelease,
    /// What to do, in this order.
    pub steps: Vec<InstallStep>,
    /// What happens when it is done; none when that is left to whoever asked.
    pub after: Option<After>,
}

/// The disk that is erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallTarget {
    /// Its device.
    pub device: String,
    /// What a person knows it by.
    pub described: String,
    /// What it holds as a whole.
    pub content: Option<Content>,
    /// Its partitions.
    pub partitions: Vec<BlockPartition>,
}

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallRelease {
    /// The image's name.
    pub name: ImageName,
    /// Its version.
    pub version: ImageVersion,
    /// What every block of it is verified by.
    pub root_hash: Digest,
}

/// One thing to do. What it wrote is on the medium before the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum InstallStep {
    /// Erase the sectors by which the old content is found, and none of the content: cut in between, the disk starts the
    /// whole old system or none.
    EraseTable {
        /// Which.
        places: Vec<Span>,
    },
    /// Erase what names itself by its first or last bytes, so that nobody takes it for something later.
    EraseSignatures {
        /// Which.
        places: Vec<Span>,
    },
    /// Write the new table, in which everything is unfinished.
    WriteTable {
        /// The table.
        #[serde(skip)]
        table: Table,
        /// Its partitions.
        partitions: Vec<Extent>,
    },
    /// Write the root file system into slot A.
    WriteRoot {
        /// Its size.
        size: ByteSize,
    },
    /// Read the root back from the disk, compute its hash tree, compare the root hash, and write the tree.
    WriteHashTree {
        /// What must come out.
        root_hash: Digest,
    },
    /// Write the EFI system partition but for its first sector, without which it is no file system.
    WriteEsp {
        /// The files, and how many bytes each has.
        files: Vec<EspFile>,
    },
    /// Give what was written its final names; what the first boot makes keeps `PRT#`.
    FinishTable,
    /// Write the first sector of the EFI system partition: from now on the disk starts.
    WriteBootSector,
}

/// Bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// The first.
    pub start: u64,
    /// How many.
    pub length: u64,
}

/// A file of the EFI system partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EspFile {
    /// Where.
    pub path: String,
    /// How large.
    pub size: ByteSize,
}

impl InstallStep {
    /// The writes of a new table onto a disk that has none.
    ///
    /// # Errors
    /// When it can't be a table.
    pub fn new_table(table: &Table) -> Result<Vec<gpt::Write>, GptError> {
        table.image_writes(EntriesPlace::First)
    }

    /// The steps that finish what an installation wrote.
    ///
    /// # Errors
    /// When the table can't be written.
    pub fn finishing(on_disk: &Parsed) -> Result<Vec<gpt::Step>, GptError> {
        let mut wanted = on_disk.table.clone();
        for partition in &mut wanted.partitions {
            let Some((role, State::Partial)) = Role::of_partition(partition) else { continue };
            if is_written(role) {
                partition.label = Some(role.label(State::Finished));
                partition.attributes = role.attributes(State::Finished);
            }
        }
        wanted.update_writes(on_disk)
    }
}

/// Whether the installer fills the partition; the first boot makes the others.
pub(super) const fn is_written(role: Role) -> bool {
    use basalt_image::layout::System;
    match role {
        Role::Esp | Role::Root(System::A) | Role::Verity(System::A) => true,
        Role::Root(System::B | System::Recovery)
        | Role::Verity(System::B | System::Recovery)
        | Role::Data => false,
    }
}

impl fmt::Display for InstallPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, release, steps, after } = self;
        let InstallRelease { name, version, root_hash } = release;
        writeln!(f, "{name} {version} ({}…) → {}", &root_hash.hex()[..16], target.described)?;
        write!(f, "{target}")?;
        for (number, step) in (1..).zip(steps) {
            writeln!(f, "{number:>2}. {step}")?;
        }
        match after {
            Some(After::Reboot) => writeln!(f, "  · then the machine restarts"),
            Some(After::PowerOff) => writeln!(f, "  · then the machine is powered off"),
            Some(After::Halt) => writeln!(f, "  · then the machine is halted"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for InstallTarget {
    /// What is lost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, described: _, content, partitions } = self;
        if partitions.is_empty() && content.is_none() {
            return writeln!(f, "nothing is lost: {device} holds nothing that is known");
        }
        writeln!(f, "ALL of this is lost:")?;
        if let Some(content) = content {
            writeln!(f, "  - {device}: {content}")?;
        }
        for BlockPartition { number, start: _, size, guid: _, label, content } in partitions {
            let what = content.map_or_else(|| "nothing known".to_owned(), |content| content.to_string());
            let label = label.as_ref().map(|label| format!(" `{label}`")).unwrap_or_default();
            let part = crate::partition_path(device, *number);
            writeln!(f, "  - {part}{label}: {}, {what}", size.human())?;
        }
        Ok(())
    }
}

impl fmt::Display for InstallStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EraseTable { places } => {
                write!(f, "erase the {} sectors by which the old content is found", places.len())
            }
            Self::EraseSignatures { places } => {
                let all = places.iter().map(|place| place.length).sum();
                write!(f, "erase old signatures: {} at {} places", ByteSize::bytes(all).human(), places.len())
            }
            Self::WriteTable { partitions, .. } => {
                f.write_str("write a new partition table, everything in it unfinished:")?;
                for Extent { role, start, size } in partitions {
                    write!(f, "\n      {role}, {} at {} MiB", size.human(), start >> 20)?;
                }
                Ok(())
            }
            Self::WriteRoot { size } => write!(f, "write the root of {} into slot a", size.human()),
            Self::WriteHashTree { root_hash } => {
                let hash = &root_hash.hex()[..16];
                write!(f, "read slot a back, write its hash tree, and expect the root hash {hash}…")
            }
            Self::WriteEsp { files } => {
                f.write_str("write the boot partition, but for its first sector:")?;
                for EspFile { path, size } in files {
                    write!(f, "\n      {path}, {}", size.human())?;
                }
                Ok(())
            }
            Self::FinishTable => f.write_str("mark what was written as finished"),
            Self::WriteBootSector => {
                f.write_str("write the first sector of the boot partition: from now on the disk starts")
            }
        }
    }
}
