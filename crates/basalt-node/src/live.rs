use crate::{
    BootFacts,
    plan::{NodePlan, Note},
};

/// Plans provisioning for a live system: nothing, whatever disks the machine has. None when this is no live system.
pub fn plan_live(boot: &BootFacts) -> Option<NodePlan> {
    let root = boot.root_device.clone();
    boot.is_live().then(|| NodePlan { steps: Vec::new(), notes: vec![Note::Live { root }] })
}

#[cfg(test)]
mod tests {
    use basalt_types::{Digest, Guid};

    use super::*;
    use crate::BootSlot;

    #[test]
    fn a_live_system_touches_no_disk_and_says_so() {
        let boot = |slot| BootFacts {
            root_hash: Digest::of(b"root"),
            root_device: "/dev/dm-0".to_owned(),
            verity_device: "/dev/dm-1".to_owned(),
            disk: Some("/dev/sr0".to_owned()),
            root_part_uuid: Guid::from_u128(1),
            slot,
            init_start_usec: 1,
            init_end_usec: 2,
        };
        let plan = plan_live(&boot(Some(BootSlot::Live))).unwrap();
        assert_eq!(
            plan.to_string(),
            "nothing to do:\n  · a live system, started from /dev/dm-0: /var is in memory, and no disk is touched\n"
        );
        for slot in [None, Some(BootSlot::A), Some(BootSlot::B), Some(BootSlot::Recovery)] {
            assert_eq!(plan_live(&boot(slot)), None, "{slot:?}");
        }
    }
}
