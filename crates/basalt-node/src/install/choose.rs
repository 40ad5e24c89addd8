use basalt_spec::node::{DiskRule, Preference};
use basalt_types::ByteSize;

use super::{
    BlockDisk, DiskUse, InstallRefusal,
    refusal::{Unfit, Unfitting},
    rule::mismatches,
};

/// The one disk that the rule means, of those that can hold `needs`.
///
/// A disk that is in use, or a part of something larger, counts like any other: it may well be the one that was meant, and
/// then the person must decide, not whatever other disk happens to be there.
pub(super) fn choose<'d>(
    disks: &'d [BlockDisk],
    rule: &DiskRule,
    needs: ByteSize,
) -> Result<&'d BlockDisk, InstallRefusal> {
    let judged: Vec<_> = disks.iter().map(|disk| (disk, unfit(disk, rule, needs))).collect();
    let mut fitting: Vec<_> =
        judged.iter().filter(|(_, reasons)| reasons.is_empty()).map(|(disk, _)| *disk).collect();
    if fitting.is_empty() {
        let disks = judged.into_iter().map(|(disk, reasons)| Unfitting { disk: disk.described(), reasons });
        return Err(InstallRefusal::NoDisk { disks: disks.collect() });
    }
    let sizes = || fitting.iter().map(|disk| disk.size);
    let preferred = match rule.prefer {
        Some(Preference::Smallest) => sizes().min(),
        Some(Preference::Largest) => sizes().max(),
        None => None,
    };
    if let Some(size) = preferred {
        fitting.retain(|disk| disk.size == size);
    }
    match fitting[..] {
        [disk] => Ok(disk),
        ref several => {
            Err(InstallRefusal::Ambiguous { disks: several.iter().map(|disk| disk.described()).collect() })
        }
    }
}

fn unfit(disk: &BlockDisk, rule: &DiskRule, needs: ByteSize) -> Vec<Unfit> {
    let mut reasons: Vec<_> = mismatches(rule, disk).into_iter().map(Unfit::Mismatch).collect();
    if disk.uses.contains(&DiskUse::Booted) {
        reasons.push(Unfit::Booted);
    }
    if disk.read_only {
        reasons.push(Unfit::ReadOnly);
    }
    if disk.size < needs {
        reasons.push(Unfit::TooSmall { has: disk.size, needs });
    }
    reasons
}
