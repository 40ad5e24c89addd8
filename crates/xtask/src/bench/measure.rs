//! One measured run: wall time, and peak memory: the largest sum of the proportional set sizes (memory that is shared
//! counts once) of everything the command started, and of what it put into tmpfs, which is memory, too.

use basalt_exec::command::{Command, Exit};
use std::{
    collections::BTreeMap,
    fmt, fs,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use super::facts::meminfo;
use crate::error::{Done, TaskError};

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// proc_meminfo(5): memory consumed by shared memory and tmpfs, of the whole machine.
const TMPFS: &str = "Shmem:";
const LIMIT: Duration = Duration::from_secs(3600);

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// From start to end.
    pub(super) wall: Duration,
    /// Peak memory of all its processes and of its tmpfs, in bytes.
    pub(super) memory: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.2} s {:>6} MiB", self.wall.as_secs_f64(), self.memory >> 20)
    }
}

/// Runs it; a command that fails is no measurement.
pub(super) fn run(command: Command) -> Done<Sample> {
    let line = command.line();
    let tmpfs_before = meminfo(TMPFS)?;
    let start = Instant::now();
    let running = command.start()?;
    let root = running.id();
    let (ended, end) = channel::<()>();
    let sampler = thread::spawn(move || {
        let mut peak = 0;
        // The channel is the clock and the end in one: nothing sleeps past the command.
        while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let tmpfs = meminfo(TMPFS).map_or(0, |now| now.saturating_sub(tmpfs_before));
            peak = peak.max(memory_of_tree(root) + tmpfs);
        }
        peak
    });
    let finished = running.finish(LIMIT)?;
    let wall = start.elapsed();
    drop(ended);
    let memory =
        sampler.join().map_err(|_panic| TaskError::Broken("measuring memory panicked".to_owned()))?;
    match finished.exit {
        Exit::Code(0) => Ok(Sample { wall, memory }),
        exit @ (Exit::Code(_) | Exit::Signal(_)) => {
            Err(TaskError::Broken(format!("`{line}` {exit}:\n{}", finished.stderr_tail)))
        }
    }
}

/// The proportional set sizes of `root` and of everything below it. A process that ends meanwhile counts nothing.
fn memory_of_tree(root: u32) -> u64 {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut todo, mut sum) = (vec![root], 0);
    while let Some(pid) = todo.pop() {
        sum += proportional_set_size(pid);
        todo.extend(children.remove(&pid).unwrap_or_default());
    }
    sum
}

/// proc_pid_stat(5): the second word after the last parenthesis.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// proc_pid_smaps(5): `Pss:` in KiB.
fn proportional_set_size(pid: u32) -> u64 {
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0 };
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// The median of the times, and the memory of the runs that it comes from.
pub(super) fn median(samples: &[Sample]) -> Option<Sample> {
    let mut sorted = samples.to_vec();
    sorted.sort_by_key(|sample| sample.wall);
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(Sample { wall: (below.wall + above.wall) / 2, memory: below.memory.max(above.memory) })
}

#[cfg(test)]
mod tests {
    use super::{Sample, median, memory_of_tree, run};
    use basalt_exec::command::{Command, Program};
    use std::time::Duration;

    #[test]
    fn the_median_is_the_middle_run() {
        let sample = |seconds| Sample { wall: Duration::from_secs(seconds), memory: seconds };
        assert_eq!(median(&[sample(9), sample(1), sample(5)]), Some(sample(5)));
        let between = Sample { wall: Duration::from_secs(4), memory: 5 };
        assert_eq!(median(&[sample(9), sample(1), sample(5), sample(3)]), Some(between));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn memory_of_children_counts() {
        let shell = Program::find("sh", "dash").unwrap();
        // `tail` keeps 64 MiB until its reader wakes up.
        let script = "head -c 67108864 /dev/zero | tail -c 67108864 | (sleep 0.5; wc -c)";
        let sample = run(Command::new(&shell).args(["-c", script])).unwrap();
        assert!(sample.memory >= 32 << 20, "{sample}");
        assert!(memory_of_tree(std::process::id()) > 0);
    }

    #[test]
    fn a_failure_is_no_measurement() {
        let shell = Program::find("sh", "dash").unwrap();
        assert!(run(Command::new(&shell).args(["-c", "echo no >&2; exit 3"])).is_err());
    }
}
