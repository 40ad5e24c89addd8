use crate::{
    BootFacts,
    plan::{NodePlan, Note},
};

/// Plans provisioning for a live system, and for the recovery system: nothing, whatever disks the machine has. None when this is
/// neither.
pub fn plan_volatile(boot: &BootFacts) -> Option<NodePlan> {
    let root = boot.root_device.clone();
    let note = if boot.is_live() { Note::Live { root } } else { Note::Recovery { root } };
    boot.is_volatile().then(|| NodePlan { steps: Vec::new(), notes: vec![note] })
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
        let plan = plan_volatile(&boot(Some(BootSlot::Live))).unwrap();
        assert_eq!(
            plan.to_string(),
            "nothing to do:\n  · a live system, started from /dev/dm-0: /var is in memory, and no disk is touched\n"
        );
        let recovery = plan_volatile(&boot(Some(BootSlot::Recovery))).unwrap().to_string();
        assert!(recovery.contains("the recovery system"), "{recovery}");
        for slot in [None, Some(BootSlot::A), Some(BootSlot::B)] {
            assert_eq!(plan_volatile(&boot(slot)), None, "{slot:?}");
        }
    }
}
