//! Doing what a reset's plan says. What a step did is on the medium when it ends.

use std::io;

use basalt_exec::esp::EspError;
use basalt_formats::gpt::{GptError, Table};
use basalt_node::reset::ResetStep;

use super::{Medium, apply};

/// The machine's id on the ESP.
pub(crate) trait Credentials {
    /// Takes it away; that it is not there is fine.
    fn forget_machine_id(&self, number: u32) -> Result<(), EspError>;
}

/// Why a step could not be done. The machine is as it was, or as the steps before left it; running again goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResetError {
    #[error("the partition table can't be used")]
    Table(#[from] GptError),
    #[error("the disk can't be written")]
    Disk(#[source] io::Error),
    #[error("the machine's id can't be taken from the ESP")]
    Esp(#[from] EspError),
}

/// Does one step.
pub(crate) fn step(
    step: &ResetStep,
    disk: &dyn Medium,
    credentials: &dyn Credentials,
) -> Result<(), ResetError> {
    match step {
        ResetStep::ForgetMachineId { number, machine_id: _ } => Ok(credentials.forget_machine_id(*number)?),
        ResetStep::ReopenData { .. } => {
            let on_disk = Table::parse(disk, disk.sector_size())?;
            apply(disk, step.table_writes(&on_disk)?).map_err(ResetError::Disk)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use basalt_formats::gpt;
    use basalt_image::layout::{Role, State};
    use basalt_node::{
        Credential,
        reset::{Keep, ResetFacts, plan_reset},
    };

    use super::*;
    use crate::execute::upgrade::{
        crash_tests::cuts,
        fixtures::{Op, Recorder, TestRelease, World, installed},
    };

    struct Esp(Mutex<u32>);

    impl Credentials for Esp {
        fn forget_machine_id(&self, _number: u32) -> Result<(), EspError> {
            *self.0.lock().unwrap() += 1;
            Ok(())
        }
    }

    fn data(world: &World) -> State {
        let table = Table::parse(world, 512).unwrap().table;
        let known = table
            .partitions
            .iter()
            .find_map(|partition| Role::of_partition(partition).filter(|(role, _)| *role == Role::Data));
        known.unwrap().1
    }

    /// A machine whose data partition is finished.
    fn machine() -> World {
        let recorder = Recorder::new(installed(&TestRelease::new("1.0", &[1, 2, 3])));
        let on_disk = Table::parse(&recorder, 512).unwrap();
        let mut wanted = on_disk.table.clone();
        for partition in &mut wanted.partitions {
            if partition.is_labelled("PRT#basalt-data") {
                partition.label = Some(Role::Data.label(State::Finished));
            }
        }
        apply(&recorder, wanted.update_writes(&on_disk).unwrap()).unwrap();
        recorder.into_parts().0
    }

    fn facts(world: &World) -> ResetFacts {
        let id = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let table = Table::parse(world, 512).unwrap();
        ResetFacts { disk: Some("/dev/vda".into()), table, credential: Credential::Present(id) }
    }

    fn reset(world: &World, keep: Keep) -> (World, Vec<Op>, u32) {
        let plan = plan_reset(&facts(world), keep).unwrap();
        let (recorder, esp) = (Recorder::new(world.clone()), Esp(Mutex::default()));
        for one in &plan.steps {
            step(one, &recorder, &esp).unwrap();
        }
        let (world, log) = recorder.into_parts();
        (world, log, esp.0.into_inner().unwrap())
    }

    /// Wherever it is cut, the machine has its data whole or loses it whole, and everything else is as it was.
    #[test]
    fn no_cut_of_a_reset_changes_anything_but_the_data() {
        let before = machine();
        assert_eq!(data(&before), State::Finished);
        let others = |world: &World| {
            let table = Table::parse(world, 512).unwrap().table;
            let other = |partition: &gpt::Partition| {
                Role::of_partition(partition).is_none_or(|(role, _)| role != Role::Data)
            };
            table.partitions.into_iter().filter(other).collect::<Vec<_>>()
        };
        let (after, log, forgotten) = reset(&before, Keep::Nothing);
        assert_eq!((data(&after), forgotten), (State::Partial, 1));
        let (mut states, mut kept) = (0, 0);
        cuts(&before, &log, &mut |_, _, cut| {
            states += 1;
            kept += usize::from(data(cut) == State::Finished);
            assert_eq!(others(cut), others(&before));
            // Again, on whatever is left.
            assert_eq!(data(&reset(cut, Keep::Identity).0), State::Partial);
        });
        println!(
            "crash points of reset: {states} states, {kept} with the data, the others without, 0 with anything else"
        );
        assert!(kept > 0 && kept < states);
    }

    #[test]
    fn the_identity_is_kept_when_asked_for() {
        let (after, _, forgotten) = reset(&machine(), Keep::Identity);
        assert_eq!((data(&after), forgotten), (State::Partial, 0));
    }
}
