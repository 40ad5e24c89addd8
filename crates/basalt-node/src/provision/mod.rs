//! From a raw image's disk, or one that a power cut left half made, to a machine with everything it needs.

mod observed;
mod refusal;

#[cfg(test)]
mod tests;

use basalt_formats::gpt::{Partition, Table};
use basalt_image::layout::{GrowthNote, GrowthPlan, Role, State, plan_growth};
use basalt_spec::FileSystem;
use basalt_types::ByteSize;

pub use observed::{Credential, DiskFacts, KernelPartition, Link, Observed, Rival, partition_path};
pub use refusal::Refusal;

use crate::{
    plan::{NodePlan, Note, Place, Step},
    signature::Signature,
};

/// Plans what the boot disk lacks: room to its end, slot B, recovery, data with a file system; the link to it; and the
/// machine's id on the ESP.
///
/// # Guarantees
/// The plan is empty when all is there. Its first table write names new partitions only with the prefix `PRT#`; a
/// partition gets its final label in a later write, when its content is flushed. So a cut after any write is followed by
/// a plan that makes what is unfinished again.
///
/// # Errors
/// Every reason for which nothing should be written.
pub fn plan_provision(observed: &Observed) -> Result<NodePlan, Vec<Refusal>> {
    let Observed { image, disk, ids, .. } = observed;
    let before = &disk.table.table;
    let mut refusals = refuse_other_disk(observed);
    let growth = match plan_growth(before, &image.layout, image.architecture, ids) {
        Ok(growth) => growth,
        Err(reasons) => {
            let disk = disk.device.clone();
            refusals.extend(reasons.into_iter().map(|reason| Refusal::Growth { disk: disk.clone(), reason }));
            return Err(refusals);
        }
    };
    let table = growth.wanted(before);
    let mut plan = NodePlan::default();
    plan_table(observed, growth, &mut plan, &mut refusals);
    plan_kernel(observed, &table, &mut plan, &mut refusals);
    plan_data(observed, &table, &mut plan, &mut refusals);
    plan_credential(observed, &table, &mut plan, &mut refusals);
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

fn refuse_other_disk(observed: &Observed) -> Vec<Refusal> {
    let (disk, id) = (&observed.disk, observed.boot.root_part_uuid);
    let booted = disk.table.table.partitions.iter().any(|partition| partition.guid == id);
    if booted { Vec::new() } else { vec![Refusal::OtherDisk { disk: disk.device.clone(), id }] }
}

/// A table is written when something changes or a copy is not as we would write it.
fn plan_table(observed: &Observed, growth: GrowthPlan, plan: &mut NodePlan, refusals: &mut Vec<Refusal>) {
    let disk = &observed.disk;
    plan.notes.extend(
        growth
            .notes
            .iter()
            .map(|GrowthNote::NoRoom { role }| Note::Layout(GrowthNote::NoRoom { role: *role })),
    );
    if !growth.added.is_empty() {
        let copies = observed.rivals.iter().cloned();
        refusals.extend(copies.map(|rival| Refusal::Copied { disk: disk.device.clone(), rival }));
    }
    match growth.wanted(&disk.table.table).update_writes(&disk.table) {
        Err(source) => refusals.push(Refusal::Table { disk: disk.device.clone(), source }),
        Ok(writes) if writes.is_empty() => {
            let partitions = disk.table.table.partitions.len();
            plan.notes.push(Note::TableComplete { disk: disk.device.clone(), partitions });
        }
        Ok(_) => plan.steps.push(Step::WriteTable { growth }),
    }
}

/// The kernel read the table when the disk appeared; what has changed since, it must be told.
fn plan_kernel(observed: &Observed, table: &Table, plan: &mut NodePlan, refusals: &mut Vec<Refusal>) {
    for partition in &table.partitions {
        let bytes = partition.bytes(table.sector_size);
        let (number, start, size) = (partition.number, bytes.start, ByteSize::bytes(bytes.end - bytes.start));
        let place = Place { number, start, size };
        match observed.disk.kernel.iter().find(|known| known.number == number) {
            None => plan.steps.push(Step::AddPartition(place)),
            Some(known) if known.start != start => refusals.push(Refusal::KernelDisagrees {
                disk: observed.disk.device.clone(),
                number,
                kernel: known.start,
                table: start,
            }),
            Some(known) if known.size != size => plan.steps.push(Step::ResizePartition(place)),
            Some(_) => (),
        }
    }
}

fn plan_data(observed: &Observed, table: &Table, plan: &mut NodePlan, refusals: &mut Vec<Refusal>) {
    let Some((partition, state)) = find(table, Role::Data) else { return };
    let number = partition.number;
    let device = partition_path(&observed.disk.device, number);
    let linked = observed.link == Link::To(device.clone());
    let wanted = observed.image.data_file_system;
    match (state, observed.data.unwrap_or(Signature::Nothing)) {
        (State::Partial, _) => {
            let uuid = observed.ids.id("data file system");
            plan.steps.push(Step::MakeFileSystem { number, kind: wanted, label: Role::Data.name(), uuid });
            plan.steps.push(Step::FinishPartition { number, role: Role::Data });
        }
        (State::Finished, found @ Signature::FileSystem(kind)) => {
            if kind != wanted {
                plan.notes.push(Note::OtherFileSystem { found, wanted });
            }
            // Linked means that this boot has checked it, and that it may be mounted: never check it then.
            if kind == FileSystem::Ext4 && !linked {
                plan.steps.push(Step::CheckFileSystem { number, kind });
            }
        }
        (State::Finished, found @ (Signature::Nothing | Signature::Luks | Signature::Unknown)) => {
            refusals.push(Refusal::DataUnusable { device: device.clone(), number, found });
        }
    }
    if linked {
        plan.notes.push(Note::DataLinked { device });
    } else {
        plan.steps.push(Step::LinkData { number });
    }
}

/// Last, for it is the one step without which the machine still works as well as before.
fn plan_credential(observed: &Observed, table: &Table, plan: &mut NodePlan, refusals: &mut Vec<Refusal>) {
    let Some((partition, state)) = find(table, Role::Esp) else { return };
    let number = partition.number;
    if state == State::Partial {
        let disk = observed.disk.device.clone();
        refusals.push(Refusal::Unfinished { disk, number, role: Role::Esp });
    }
    match (observed.machine_id, observed.credential) {
        (_, Credential::Unreadable) => plan.notes.push(Note::EspUnreadable { number }),
        (None, Credential::Absent | Credential::Malformed | Credential::Present(_)) => {
            plan.notes.push(Note::NoMachineId);
        }
        (Some(machine_id), Credential::Absent | Credential::Malformed) => {
            plan.steps.push(Step::WriteCredential { number, machine_id });
        }
        (Some(running), Credential::Present(stored)) if running == stored => {
            plan.notes.push(Note::CredentialKept { machine_id: stored });
        }
        (Some(running), Credential::Present(stored)) => {
            plan.notes.push(Note::CredentialDiffers { stored, running });
        }
    }
}

fn find(table: &Table, role: Role) -> Option<(&Partition, State)> {
    table.partitions.iter().find_map(|partition| {
        Role::of_partition(partition).filter(|(own, _)| *own == role).map(|(_, state)| (partition, state))
    })
}
