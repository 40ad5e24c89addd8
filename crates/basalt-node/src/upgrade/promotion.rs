//! The recovery system: a copy of a release that was found good, in partitions of its own, which no upgrade writes.
//!
//! `NodeFacts + RecoveryFacts → plan_promotion → PromotionPlan` · `RecoveryFacts + records + time → is_due`
//!
//! Everything that starts it is removed before it is overwritten and appears again when it is whole, so a cut leaves a machine
//! without a recovery system for a while, and never one with a wrong one. What is in the slots is not touched.
//! Why so: `docs/decisions/027-recovery.md`.

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use basalt_formats::{
    gpt::{self, GptError, Parsed, Table},
    verity::hash_tree_size,
};
use basalt_image::layout::{Role, State, System};
use basalt_types::{ByteSize, Digest, ImageVersion, Slot};
use serde::Serialize;

use super::{
    Happened, NodeFacts, Record, UpgradeRefusal, no_slot, observed,
    plan::{in_state, table_writes},
};
use crate::boot::to_hex;

/// How long a release must run well before it takes the place of another one as the recovery system, where the configuration
/// says nothing.
pub const PROMOTE_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// Its files on the ESP. The boot loader does not look into this folder.
pub mod recovery_files {
    /// The UKI.
    pub const UKI: &str = "EFI/basalt/recovery.efi";
    /// Says to the initramfs that this UKI is the recovery system's (systemd-stub(7), `foo.efi.extra.d/`).
    pub const MARK: &str = "EFI/basalt/recovery.efi.extra.d/basalt.recovery.cred";
    /// The boot loader's entry, of Type #1 (UAPI.1).
    pub const ENTRY: &str = "loader/entries/basalt-recovery.conf";
    /// One byte, which the program before the boot loader counts in (`basalt-guard`): the boots that nobody found good.
    pub const BOOTS: &str = "EFI/basalt/boots";

    /// What [`MARK`] holds. That it is there is what counts.
    pub const MARK_CONTENT: &[u8] = b"recovery\n";
    /// What [`ENTRY`] holds. By its sort key it comes behind every release that can still be tried, and before those that can't.
    pub const ENTRY_CONTENT: &[u8] = b"title Recovery\nsort-key ~recovery\nefi /EFI/basalt/recovery.efi\n";
    /// [`BOOTS`] when the last boot was found good.
    pub const NONE_UNPROVEN: u8 = b'0';
    /// [`BOOTS`] when the next boot is to be the recovery system's.
    pub const NEXT_RECOVERY: u8 = b'r';
}

/// What there is of a recovery system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryFacts {
    /// The root that its UKI starts; none when there is no UKI, or none that can be read.
    pub root_hash: Option<Digest>,
    /// The first byte of [`recovery_files::BOOTS`]; none when there is no such file.
    pub boots: Option<u8>,
    /// Whether the boot loader's entry and the mark are there.
    pub shown: bool,
    /// Bytes of the UKI that is there.
    pub uki: ByteSize,
    /// Bytes of the root that runs.
    pub root: ByteSize,
}

/// What makes what runs the recovery system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromotionPlan {
    /// What runs.
    pub version: ImageVersion,
    /// What to do; nothing when it is the recovery system already.
    pub steps: Vec<PromotionStep>,
}

/// One thing to do. What a step wrote is on the medium before the next one begins, and each may be done twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "step")]
pub enum PromotionStep {
    /// Remove everything that starts the recovery system that is there.
    Hide,
    /// Mark its partitions as unfinished.
    Reopen,
    /// Copy root and hash tree of what runs.
    Copy {
        /// The slot that runs.
        from: Slot,
        /// Bytes of the root.
        size: ByteSize,
    },
    /// Read both back from the device, and refuse them when they don't lead to the root hash.
    Verify {
        /// The root hash of what runs.
        #[serde(serialize_with = "to_hex")]
        root_hash: Digest,
    },
    /// Mark its partitions as finished.
    Finish,
    /// Copy the UKI of what runs.
    WriteUki {
        /// Its file in `EFI/Linux`.
        from: String,
    },
    /// Let the boot loader offer it, and count the boots that nobody finds good.
    Show,
}

impl NodeFacts {
    fn recovery(&self, role: Role) -> Result<(&gpt::Partition, State), UpgradeRefusal> {
        observed::find(&self.table, role).ok_or(UpgradeRefusal::NoRecovery { role })
    }
}

/// Plans to make what runs the recovery system.
///
/// # Errors
/// Every reason not to.
pub fn plan_promotion(
    facts: &NodeFacts,
    recovery: &RecoveryFacts,
) -> Result<PromotionPlan, Vec<UpgradeRefusal>> {
    let running = facts.running_slot().ok_or_else(|| vec![no_slot(facts)])?;
    let place = |role| facts.recovery(role).map_err(|refusal| vec![refusal]);
    let (root, root_state) = place(Role::Root(System::Recovery))?;
    let (verity, verity_state) = place(Role::Verity(System::Recovery))?;
    let finished = [root_state, verity_state] == [State::Finished; 2];
    let version = facts.image.version.clone();
    let stands = finished && recovery.shown && recovery.boots.is_some();
    if stands && recovery.root_hash == Some(facts.boot.root_hash) {
        return Ok(PromotionPlan { version, steps: Vec::new() });
    }
    let mut refusals = Vec::new();
    let tree = ByteSize::bytes(hash_tree_size(recovery.root.get()));
    for (role, partition, needs) in
        [(Role::Root(System::Recovery), root, recovery.root), (Role::Verity(System::Recovery), verity, tree)]
    {
        let bytes = partition.bytes(facts.table.sector_size);
        let has = ByteSize::bytes(bytes.end - bytes.start);
        if has < needs {
            refusals.push(UpgradeRefusal::SlotTooSmall { role, has, needs });
        }
    }
    let Some(own) = facts.entries_of(&facts.boot.root_hash).into_iter().next() else {
        refusals.push(UpgradeRefusal::RunningHasNoEntry);
        return Err(refusals);
    };
    if !own.name.is_good() {
        refusals.push(UpgradeRefusal::NotFoundGood { file: own.name.clone() });
    }
    refusals.extend(esp_full(facts, recovery, own.size));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let reopen = finished.then_some(PromotionStep::Reopen);
    let rest = [
        PromotionStep::Copy { from: running, size: recovery.root },
        PromotionStep::Verify { root_hash: facts.boot.root_hash },
        PromotionStep::Finish,
        PromotionStep::WriteUki { from: own.file.clone() },
        PromotionStep::Show,
    ];
    let steps = std::iter::once(PromotionStep::Hide).chain(reopen).chain(rest).collect();
    Ok(PromotionPlan { version, steps })
}

fn esp_full(facts: &NodeFacts, recovery: &RecoveryFacts, uki: ByteSize) -> Option<UpgradeRefusal> {
    /// The clusters of two folders, three small files, and of names.
    const SMALL: u64 = 8;
    let esp = &facts.esp;
    let whole = |size: ByteSize| size.round_up(esp.cluster).get();
    let free = ByteSize::bytes(esp.free.get() + whole(recovery.uki));
    let needs = ByteSize::bytes(whole(uki) + SMALL * esp.cluster.get());
    (free < needs).then_some(UpgradeRefusal::EspFull { free, needs })
}

/// Whether what runs is to become the recovery system now: at once when there is none, else when it has been running well for
/// longer than `after`. What can't be planned is not due.
pub fn is_due(
    facts: &NodeFacts,
    recovery: &RecoveryFacts,
    known: &[Record],
    (now, after): (u64, Duration),
) -> bool {
    let planned = plan_promotion(facts, recovery);
    let needed = planned.is_ok_and(|plan| !plan.steps.is_empty());
    let version = &facts.image.version;
    let since = known.iter().rev().take_while(|record| !record.event.begins_trial_of(version));
    let ran = |record: &&Record| match &record.event {
        Happened::Booted { version: booted, .. } | Happened::FoundGood { version: booted, .. } => {
            booted == version
        }
        Happened::Upgraded { .. }
        | Happened::Staged { .. }
        | Happened::RolledBack { .. }
        | Happened::NotGood { .. }
        | Happened::Promoted { .. }
        | Happened::FellBack { .. } => false,
    };
    let first = since.filter(ran).last().map(|record| record.time);
    let proven = first.is_some_and(|first| now.saturating_sub(first) >= after.as_secs());
    needed && (recovery.root_hash.is_none() || proven)
}

impl PromotionStep {
    /// The writes that bring the disk's table from `on_disk` to what this step wants of it; none when it does not touch the
    /// table, or the disk is there already.
    ///
    /// # Errors
    /// When the table can't be written.
    pub fn table_writes(&self, on_disk: &Parsed) -> Result<Vec<gpt::Step>, GptError> {
        let state = match self {
            Self::Reopen => Some(State::Partial),
            Self::Finish => Some(State::Finished),
            Self::Hide | Self::Copy { .. } | Self::Verify { .. } | Self::WriteUki { .. } | Self::Show => None,
        };
        let wanted = |state| -> Table { in_state(&on_disk.table, System::Recovery, state, None) };
        table_writes(on_disk, state.map(wanted))
    }
}

impl fmt::Display for PromotionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, steps } = self;
        if steps.is_empty() {
            return writeln!(f, "nothing to do: {version} is the recovery system");
        }
        writeln!(f, "{version} becomes the recovery system")?;
        (1..).zip(steps).try_for_each(|(number, step)| writeln!(f, "{number:>2}. {step}"))
    }
}

impl fmt::Display for PromotionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hide => f.write_str("remove what starts the recovery system that is there"),
            Self::Reopen => f.write_str("mark the recovery system as unfinished"),
            Self::Copy { from, size } => {
                write!(f, "copy the root of {} and its hash tree from slot {from}", size.human())
            }
            Self::Verify { root_hash } => {
                write!(f, "read both back, and expect the root hash {}…", &root_hash.hex()[..16])
            }
            Self::Finish => f.write_str("mark the recovery system as finished"),
            Self::WriteUki { from } => write!(f, "copy the UKI {from} to {}", recovery_files::UKI),
            Self::Show => {
                f.write_str("let the boot loader offer it, and count the boots that nobody finds good")
            }
        }
    }
}
