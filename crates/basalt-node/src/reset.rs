//! Reset: a machine loses its data and keeps its releases. One sector of the partition table says that the data partition is
//! unfinished; the next boot makes its file system, as a first boot does.
//!
//! `ResetFacts + Keep → plan_reset → ResetPlan` (or why not)

use std::fmt;

use basalt_formats::gpt::{self, GptError, Parsed, Table};
use basalt_image::layout::{Role, State};
use basalt_types::ByteSize;
use serde::Serialize;

use crate::{Credential, MachineId};

/// What a reset is planned from.
#[derive(Clone, Debug)]
pub struct ResetFacts {
    /// The disk that was booted from; none for a live system.
    pub disk: Option<String>,
    /// Its table.
    pub table: Parsed,
    /// The machine's id on the ESP.
    pub credential: Credential,
}

/// What outlives a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// Nothing of the machine's own: it starts as one that was never used.
    Nothing,
    /// The machine's id.
    Identity,
}

/// What is done, and what the next boot does because of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetPlan {
    /// The disk.
    pub disk: String,
    /// What to do, in this order.
    pub steps: Vec<ResetStep>,
    /// What outlives it.
    pub keep: Keep,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum ResetStep {
    /// Take the machine's id from the ESP.
    ForgetMachineId {
        /// The ESP's number.
        number: u32,
        /// The id.
        machine_id: Option<MachineId>,
    },
    /// Mark the data partition as unfinished: from now on the next boot makes it anew.
    ReopenData {
        /// Its number.
        number: u32,
        /// What is lost.
        size: ByteSize,
    },
}

/// Why nothing is reset. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "refusal")]
pub enum ResetRefusal {
    /// A live system.
    #[error("this system runs from no disk: there is nothing to reset")]
    Live,
    /// The disk has no data partition.
    #[error("{disk} has no data partition")]
    NoData {
        /// The disk.
        disk: String,
    },
    /// The ESP can't be read, so the id there can't be taken away for certain.
    #[error("the ESP of {disk} can't be read, and the machine's id may be there")]
    EspUnreadable {
        /// The disk.
        disk: String,
    },
}

impl ResetRefusal {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Live => "start the machine from its disk, or install it anew: `basalt-agent install`",
            Self::NoData { .. } => "`basalt-agent provision --plan` says why the first boot did not make it",
            Self::EspUnreadable { .. } => {
                "look at the ESP with `fsck.fat -n`, or keep the id: --keep-identity"
            }
        }
    }
}

/// Plans a reset. The id goes first: a cut behind it leaves a machine with its data and a new id, which resets again; the other
/// way round, somebody could take the machine for reset while it is still known by its old id.
///
/// # Errors
/// Why nothing should be written.
pub fn plan_reset(facts: &ResetFacts, keep: Keep) -> Result<ResetPlan, Vec<ResetRefusal>> {
    let ResetFacts { disk, table, credential } = facts;
    let Some(disk) = disk.clone() else { return Err(vec![ResetRefusal::Live]) };
    let find = |role| {
        let known =
            |partition: &&gpt::Partition| Role::of_partition(partition).is_some_and(|(own, _)| own == role);
        table.table.partitions.iter().find(known)
    };
    let (mut steps, mut refusals) = (Vec::new(), Vec::new());
    let esp = find(Role::Esp).map_or(0, |esp| esp.number);
    match (keep, *credential) {
        (Keep::Identity, _) | (Keep::Nothing, Credential::Absent) => {}
        (Keep::Nothing, Credential::Unreadable) => {
            refusals.push(ResetRefusal::EspUnreadable { disk: disk.clone() });
        }
        (Keep::Nothing, Credential::Malformed) => {
            steps.push(ResetStep::ForgetMachineId { number: esp, machine_id: None });
        }
        (Keep::Nothing, Credential::Present(id)) => {
            steps.push(ResetStep::ForgetMachineId { number: esp, machine_id: Some(id) });
        }
    }
    match find(Role::Data) {
        None => refusals.push(ResetRefusal::NoData { disk: disk.clone() }),
        Some(data) if state(data) == Some(State::Finished) => {
            let bytes = data.bytes(table.table.sector_size);
            let size = ByteSize::bytes(bytes.end - bytes.start);
            steps.push(ResetStep::ReopenData { number: data.number, size });
        }
        // It is made anew at the next boot already.
        Some(_) => {}
    }
    if refusals.is_empty() { Ok(ResetPlan { disk, steps, keep }) } else { Err(refusals) }
}

fn state(partition: &gpt::Partition) -> Option<State> {
    Role::of_partition(partition).map(|(_, state)| state)
}

impl ResetStep {
    /// The writes that bring the table to what this step wants; none for a step that does not touch it.
    ///
    /// # Errors
    /// When the table can't be written.
    pub fn table_writes(&self, on_disk: &Parsed) -> Result<Vec<gpt::Step>, GptError> {
        match self {
            Self::ForgetMachineId { .. } => Ok(Vec::new()),
            Self::ReopenData { number, size: _ } => reopened(&on_disk.table, *number).update_writes(on_disk),
        }
    }
}

fn reopened(table: &Table, number: u32) -> Table {
    let mut wanted = table.clone();
    for partition in wanted.partitions.iter_mut().filter(|partition| partition.number == number) {
        partition.label = Some(Role::Data.label(State::Partial));
        partition.attributes = Role::Data.attributes(State::Partial);
    }
    wanted
}

impl fmt::Display for ResetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { disk, steps, keep } = self;
        if steps.is_empty() {
            writeln!(f, "nothing to do: the next boot makes the data of {disk} anew already")?;
        } else {
            writeln!(
                f,
                "ALL data of {disk} is lost: /var, and with it /home, /root, /srv, /opt, logs and SSH host keys"
            )?;
        }
        for (number, step) in (1..).zip(steps) {
            writeln!(f, "{number:>2}. {step}")?;
        }
        match keep {
            Keep::Nothing => writeln!(f, "  · both slots, the boot entries and the document on the ESP stay"),
            Keep::Identity => {
                writeln!(
                    f,
                    "  · both slots, the boot entries, the document on the ESP and the machine's id stay"
                )
            }
        }
    }
}

impl fmt::Display for ResetStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForgetMachineId { number, machine_id: Some(id) } => {
                write!(f, "take the machine id {id} from the ESP (partition {number})")
            }
            Self::ForgetMachineId { number, machine_id: None } => {
                write!(f, "take what should be a machine id from the ESP (partition {number})")
            }
            Self::ReopenData { number, size } => {
                let size = size.human();
                write!(
                    f,
                    "mark partition {number} ({size}) as unfinished: the next boot makes its file system"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use basalt_formats::gpt::{Attributes, EntriesPlace, Partition, types};
    use basalt_types::Guid;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    /// A disk of 64 MiB with an ESP and perhaps data.
    fn facts(data: Option<State>, credential: Credential) -> ResetFacts {
        let partition = |number: u32, type_guid, label| Partition {
            number,
            type_guid,
            guid: Guid::from_u128(number.into()),
            first_lba: 2048 * u64::from(number),
            last_lba: 2048 * u64::from(number) + 2047,
            attributes: Attributes::NONE,
            label: Some(label),
        };
        let mut partitions = vec![partition(1, types::ESP, Role::Esp.label(State::Finished))];
        partitions.extend(data.map(|state| partition(8, types::VAR, Role::Data.label(state))));
        let table =
            Table { disk_guid: Guid::from_u128(9), sector_size: 512, total_sectors: 131_072, partitions };
        let mut disk = vec![0; 64 << 20];
        for write in table.image_writes(EntriesPlace::First).unwrap() {
            let start = usize::try_from(write.offset).unwrap();
            disk[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
        }
        ResetFacts { disk: Some("/dev/vda".into()), table: Table::parse(&disk, 512).unwrap(), credential }
    }

    #[track_caller]
    fn check(facts: &ResetFacts, keep: Keep, expected: &str) {
        assert_eq!(plan_reset(facts, keep).unwrap().to_string(), expected);
    }

    #[track_caller]
    fn refused(facts: &ResetFacts, expected: &[&str]) {
        let refusals = plan_reset(facts, Keep::Nothing).unwrap_err();
        assert_eq!(refusals.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        assert!(refusals.iter().all(|refusal| !refusal.hint().is_empty()));
    }

    #[test]
    fn the_plan_says_what_is_lost_and_what_stays() {
        let present = Credential::Present(ID.parse().unwrap());
        let lost = "ALL data of /dev/vda is lost: /var, and with it /home, /root, /srv, /opt, logs and SSH host keys\n";
        let reopen = "mark partition 8 (1 MiB) as unfinished: the next boot makes its file system\n";
        check(
            &facts(Some(State::Finished), present),
            Keep::Nothing,
            &format!(
                "{lost} 1. take the machine id {ID} from the ESP (partition 1)\n 2. {reopen}  \
                 · both slots, the boot entries and the document on the ESP stay\n"
            ),
        );
        check(
            &facts(Some(State::Finished), present),
            Keep::Identity,
            &format!(
                "{lost} 1. {reopen}  · both slots, the boot entries, the document on the ESP and the machine's id stay\n"
            ),
        );
    }

    #[test]
    fn a_second_reset_has_nothing_left_to_do() {
        let text =
            plan_reset(&facts(Some(State::Partial), Credential::Absent), Keep::Nothing).unwrap().to_string();
        assert!(
            text.starts_with("nothing to do: the next boot makes the data of /dev/vda anew already\n"),
            "{text}"
        );
    }

    #[test]
    fn only_the_data_partition_changes() {
        let facts = facts(Some(State::Finished), Credential::Absent);
        let wanted = reopened(&facts.table.table, 8);
        assert!(wanted.partitions[1].is_labelled("PRT#basalt-data"));
        assert_eq!(wanted.partitions[0], facts.table.table.partitions[0]);
        assert_eq!(wanted.partitions[1].guid, facts.table.table.partitions[1].guid);
    }

    #[test]
    fn what_can_not_be_reset_says_why() {
        let live = ResetFacts { disk: None, ..facts(None, Credential::Absent) };
        refused(&live, &["this system runs from no disk: there is nothing to reset"]);
        refused(
            &facts(None, Credential::Unreadable),
            &[
                "the ESP of /dev/vda can't be read, and the machine's id may be there",
                "/dev/vda has no data partition",
            ],
        );
    }
}
