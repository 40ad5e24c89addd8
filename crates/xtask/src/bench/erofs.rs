//! Our EROFS writer beside `mkfs.erofs`, of one tree with the same method, level and cluster size: how fast, how large,
//! and how fast again when a hundredth of the files has changed (which `mkfs.erofs` packs from the beginning). Beside it,
//! how long `cp` takes for the finished image: less is not to be had for who writes it
//! ([decision 017](../../../../docs/decisions/017-incremental-lz4.md)).

use basalt_exec::command::{Command, Program};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    bars::{Bar, middle},
    boot,
    contenders::{Bench, LIMIT},
};
use crate::{
    error::{Done, TaskError},
    report::say,
    tool,
};

/// What `--only` chooses it by.
pub(super) const ROW: &str = "erofs";
/// Methods with a level that both take.
const METHODS: [(&str, u32); 3] = [("lz4", 1), ("lz4hc", 9), ("zstd", 3)];
/// Bytes of a cluster.
const CLUSTER: u32 = 65536;
/// One file of so many is changed for the incremental case.
const ONE_OF: usize = 100;

/// One method's numbers.
#[derive(Debug)]
pub(super) struct Packing {
    /// `lz4hc, level 9`.
    pub(super) method: String,
    pub(super) ours: Packed,
    pub(super) theirs: Packed,
    /// Seconds of ours after a hundredth of the files changed.
    pub(super) again: Vec<f64>,
    /// Seconds that `cp` takes for our image.
    pub(super) copy: Vec<f64>,
}

/// One program's.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Of the image, in bytes.
    pub(super) size: u64,
    /// One each run.
    pub(super) seconds: Vec<f64>,
}

/// Packs the tree that the boots' disk was made of.
pub(super) fn measure(bench: &Bench, runs: usize) -> Done<Vec<Packing>> {
    let tree = boot::debian_tree(bench)?;
    let changed = changed_copy(bench, &tree)?;
    let mut packings = Vec::new();
    for (method, level) in METHODS {
        let empty = Packed::default;
        let mut packing = Packing {
            method: format!("{method}, level {level}"),
            ours: empty(),
            theirs: empty(),
            again: Vec::new(),
            copy: Vec::new(),
        };
        for run in 1..=runs {
            pack(bench, &tree, &changed, (method, level), &mut packing)?;
            let seconds = |packed: &Packed| packed.seconds.last().copied().unwrap_or_default();
            let (ours, theirs) = (seconds(&packing.ours), seconds(&packing.theirs));
            let again = packing.again.last().copied().unwrap_or_default();
            let row = format!("{ROW}: {}", packing.method);
            say(format!("{row:<48} run {run}: {ours:.2} s, again {again:.2} s, mkfs.erofs {theirs:.2} s"));
        }
        packings.push(packing);
    }
    Ok(packings)
}

/// The tree with another byte at the end of every hundredth file.
fn changed_copy(bench: &Bench, tree: &Path) -> Done<PathBuf> {
    let copy = bench.work.join("changed-tree");
    tool::remove_folder(&copy)?;
    tool::watch(tool::plan("cp", "coreutils")?.arg("-a").args([tree, &copy]))?;
    let find = Command::new(&Program::find("find", "findutils")?).arg(&copy);
    let files = find.args(["-type", "f", "-size", "+0", "-print0"]).run()?;
    let mut files: Vec<&[u8]> = files.split(|byte| *byte == 0).filter(|path| !path.is_empty()).collect();
    files.sort_unstable();
    for file in files.iter().step_by(ONE_OF) {
        let path = PathBuf::from(String::from_utf8_lossy(file).into_owned());
        let mut bytes = fs::read(&path).map_err(TaskError::io("read", &path))?;
        bytes.push(b'!');
        fs::write(&path, bytes).map_err(TaskError::io("write", &path))?;
    }
    Ok(copy)
}

fn pack(
    bench: &Bench,
    tree: &Path,
    changed: &Path,
    (method, level): (&str, u32),
    packing: &mut Packing,
) -> Done {
    let image = bench.work.join("packed.erofs");
    let (level, cluster) = (level.to_string(), CLUSTER.to_string());
    let cargo = tool::cargo(["bench", "--quiet", "-p", "basalt-formats", "--bench", "erofs_pack", "--"])?;
    let said =
        cargo.args([tree, &image]).args([method, &level, &cluster]).arg(changed).timeout(LIMIT).run()?;
    let [(size, seconds), (_, again)] = parse(&String::from_utf8_lossy(&said))?;
    packing.ours.size = size;
    packing.ours.seconds.push(seconds);
    packing.again.push(again);
    let copy = bench.work.join("packed.erofs.copy");
    super::remove(&copy)?;
    let cp = tool::plan("cp", "coreutils")?.args([&image, &copy]);
    let start = Instant::now();
    cp.run()?;
    packing.copy.push(start.elapsed().as_secs_f64());

    let image = bench.work.join("mkfs.erofs");
    let level = if method == "lz4" { String::new() } else { format!(",{level}") };
    let start = Instant::now();
    let mkfs = bench.tree.command(&bench.work, "mkfs.erofs").args(["--quiet", "--workers=2", "-T0"]);
    mkfs.args([format!("-z{method}{level}"), format!("-C{CLUSTER}")]).args([&image, tree]).run()?;
    packing.theirs.seconds.push(start.elapsed().as_secs_f64());
    packing.theirs.size = fs::metadata(&image).map_err(TaskError::io("measure", &image))?.len();
    Ok(())
}

/// The two lines of the program: `123 bytes in 1.50 s, …` and `123 bytes with … in 0.10 s`.
fn parse(said: &str) -> Done<[(u64, f64); 2]> {
    let number = |line: &str| {
        let size = line.split(' ').next()?.parse().ok()?;
        let seconds = line.split(" in ").nth(1)?.split(' ').next()?.parse().ok()?;
        Some((size, seconds))
    };
    let lines: Vec<(u64, f64)> = said.lines().filter_map(number).collect();
    <[_; 2]>::try_from(lines).map_err(|_other| TaskError::Broken(format!("not two measurements: {said}")))
}

/// Issue 3's: as fast, within 2 % of the size, and ten times faster when little changed, or as fast as `cp`.
pub(super) fn bars(packing: &Packing) -> Vec<Bar> {
    let Packing { method, ours, theirs, again, copy } = packing;
    let (Some(mine), Some(peer), Some(again), Some(copy)) =
        (middle(&ours.seconds), middle(&theirs.seconds), middle(again), middle(copy))
    else {
        return Vec::new();
    };
    vec![
        Bar {
            promise: format!("EROFS with {method}: at least as fast as mkfs.erofs --workers=2"),
            measured: format!("{:.2} times ({mine:.2} s, {peer:.2} s)", peer / mine),
            met: mine <= peer,
        },
        Bar {
            promise: "the same: at most 2 % larger".to_owned(),
            measured: format!("{} and {} bytes", ours.size, theirs.size),
            met: ours.size * 100 <= theirs.size * 102,
        },
        Bar {
            promise: "the same, 1 % of the files changed: at least 10 times faster, or as fast as `cp` of the image"
                .to_owned(),
            measured: format!("{:.1} times ({again:.2} s; `cp`: {copy:.2} s)", peer / again),
            met: again * 10.0 <= peer || again <= copy,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::{Packed, Packing, bars, parse};

    #[test]
    fn both_lines_are_read() {
        let said = "900 bytes in 1.50 s, peak memory 30 MB\n901 bytes with itself as a donor in 0.10 s\n";
        assert_eq!(parse(said).unwrap(), [(900, 1.5), (901, 0.1)]);
        assert!(parse("900 bytes in 1.50 s\n").is_err());
    }

    #[test]
    fn speed_size_and_the_incremental_case_are_judged() {
        let packing = |seconds: f64, size, again, copy| Packing {
            method: "lz4".to_owned(),
            ours: Packed { size, seconds: vec![seconds] },
            theirs: Packed { size: 100, seconds: vec![2.0] },
            again: vec![again],
            copy: vec![copy],
        };
        let met = |packing: &Packing| bars(packing).iter().map(|bar| bar.met).collect::<Vec<_>>();
        assert_eq!(met(&packing(2.0, 102, 0.2, 0.1)), [true; 3]);
        assert_eq!(met(&packing(2.1, 103, 0.21, 0.2)), [false; 3]);
        assert_eq!(met(&packing(2.1, 103, 0.21, 0.21)), [false, false, true]);
    }
}
