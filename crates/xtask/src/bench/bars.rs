//! What the numbers must reach, and whether they do. Pure.

use std::collections::BTreeMap;

use super::{
    Measured,
    boot::Boots,
    contenders::Row,
    erofs,
    measure::{Sample, median},
};

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// What is promised.
    pub(super) promise: String,
    /// What was measured against it.
    pub(super) measured: String,
    /// Whether it holds.
    pub(super) met: bool,
}

const MIB: u64 = 1 << 20;
/// 1 GiB.
const MEMORY: u64 = 1 << 30;

/// Every bar whose numbers were measured.
pub(super) fn judge(measured: &Measured) -> Vec<Bar> {
    let medians: BTreeMap<Row, Sample> =
        measured.builds.iter().filter_map(|(row, samples)| Some((*row, median(samples)?))).collect();
    let mut bars = builds(&medians);
    bars.extend(measured.packing.iter().flat_map(erofs::bars));
    bars.extend(measured.boots.as_ref().into_iter().flat_map(boots));
    bars
}

fn builds(medians: &BTreeMap<Row, Sample>) -> Vec<Bar> {
    let seconds = |row: Row| medians.get(&row).map(|sample| sample.wall.as_secs_f64());
    let times_faster = |promise: &str, ours: Row, theirs: Row, at_least: f64| {
        let (ours, theirs) = (seconds(ours)?, seconds(theirs)?);
        let measured = format!("{:.2} times ({ours:.2} s, {theirs:.2} s)", theirs / ours);
        Some(Bar { promise: promise.to_owned(), measured, met: theirs >= ours * at_least })
    };
    let within = |promise: &str, row: Row, limit: f64| {
        let seconds = seconds(row)?;
        Some(Bar { promise: promise.to_owned(), measured: format!("{seconds:.2} s"), met: seconds < limit })
    };
    let memory = medians.iter().filter(|(row, _)| !row.is_a_peers()).map(|(_, sample)| sample.memory).max();
    [
        times_faster(
            "whole build to a bootable disk: at least 3 times faster than mkosi",
            Row::Full,
            Row::MkosiFull,
            3.0,
        ),
        times_faster("the same: no slower than mmdebstrap makes only a tar", Row::Full, Row::Tar, 1.0),
        within("rebuild with nothing changed: under 0.5 s", Row::Nothing, 0.5),
        within("rebuild after one added file changed: under 5 s", Row::OneFile, 5.0),
        seconds(Row::Full).zip(seconds(Row::AllOutputs)).map(|(disk, every)| Bar {
            promise: "every output of the example together: less than 2 times the disk alone".to_owned(),
            measured: format!("{:.2} times ({every:.2} s, {disk:.2} s)", every / disk),
            met: every < disk * 2.0,
        }),
        memory.map(|peak| Bar {
            promise: "peak memory of a build: under 1 GiB".to_owned(),
            measured: format!("{} MiB", peak / MIB),
            met: peak < MEMORY,
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn boots(boots: &Boots) -> Vec<Bar> {
    let Boots { ours, debian } = boots;
    let part = |ours: f64, theirs: f64| format!("{:.1} % of initramfs-tools'", 100.0 * ours / theirs);
    let mut bars = Vec::new();
    if let (Some(mine), Some(theirs)) = (middle(&ours.seconds), middle(&debian.seconds)) {
        bars.push(Bar {
            promise: "kernel start to systemd start: at most half of the time with initramfs-tools"
                .to_owned(),
            measured: format!("{} ({mine:.2} s, {theirs:.2} s)", part(mine, theirs)),
            met: mine * 2.0 <= theirs,
        });
    }
    bars.push(Bar {
        promise: "the initramfs file: at most a quarter of the size".to_owned(),
        measured: format!(
            "{} ({} and {} bytes)",
            part(float(ours.size), float(debian.size)),
            ours.size,
            debian.size
        ),
        met: ours.size * 4 <= debian.size,
    });
    bars
}

/// The median.
pub(super) fn middle(seconds: &[f64]) -> Option<f64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

#[allow(clippy::cast_precision_loss, reason = "a percentage of file sizes for people")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::{Bar, judge};
    use crate::bench::{
        Measured,
        boot::{Boot, Boots},
        contenders::Row,
        measure::Sample,
    };
    use std::time::Duration;

    fn met(rows: &[(Row, u64, u64)], boots: Option<Boots>) -> Vec<bool> {
        let mut measured = Measured { boots, ..Measured::default() };
        for (row, millis, mib) in rows {
            let sample = Sample { wall: Duration::from_millis(*millis), memory: mib << 20 };
            measured.builds.insert(*row, vec![sample]);
        }
        judge(&measured).iter().map(|bar: &Bar| bar.met).collect()
    }

    #[test]
    fn bars_are_met_up_to_their_edge_and_only_there() {
        let rows = |full, nothing, one, mib| {
            [
                (Row::Full, full, mib),
                (Row::AllOutputs, if mib < 1024 { full * 2 - 1 } else { full * 2 }, 1),
                (Row::Nothing, nothing, 1),
                (Row::OneFile, one, 1),
                (Row::MkosiFull, 30_000, 5000),
                (Row::Tar, 10_000, 5000),
            ]
        };
        assert_eq!(met(&rows(10_000, 499, 4999, 1023), None), [true; 6]);
        assert_eq!(met(&rows(10_001, 500, 5000, 1024), None), [false; 6]);
    }

    #[test]
    fn initramfs_bars_are_half_and_a_quarter() {
        let boots = |ours: (u64, f64), theirs: (u64, f64)| {
            let boot = |(size, seconds): (u64, f64)| Boot { size, seconds: vec![seconds] };
            Some(Boots { ours: boot(ours), debian: boot(theirs) })
        };
        assert_eq!(met(&[], boots((1, 1.0), (4, 2.0))), [true, true]);
        assert_eq!(met(&[], boots((2, 1.1), (7, 2.0))), [false, false]);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert_eq!(met(&[(Row::Nothing, 1, 1)], None), [true, true]);
        assert_eq!(met(&[], None), [true; 0]);
    }
}
