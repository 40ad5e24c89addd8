//! Watches over a job's process: how long, how much memory, how much disk; stops it when it must.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use basalt_exec::{command::Exit, files::Access};
use basalt_types::ByteSize;

use super::job::{self, Order};
use crate::serve::{
    event::EventLog,
    state::{StateResult, io_error},
};

/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often what it takes is measured: reading all of /proc is not free.
const MEASURE: Duration = Duration::from_secs(1);

/// What a build may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Limits {
    /// How long it may run.
    pub(in crate::serve) time: Duration,
    /// How much memory its processes may have together.
    pub(in crate::serve) memory: ByteSize,
    /// How much must stay free where it writes.
    pub(in crate::serve) free_disk: ByteSize,
}

/// What somebody wants of a job that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Wish {
    Go,
    /// This account wants it to stop.
    Stop(String),
    /// The server ends.
    Leave,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Verdict {
    Done,
    /// `said`: it told why.
    Failed {
        said: bool,
    },
    /// It took more than it may.
    Over(String),
    Stopped(String),
    Left,
}

/// Runs the job in `folder` to its end, or ends it.
pub(super) fn run(
    folder: &Path,
    order: &Order,
    (limits, wish): (&Limits, &dyn Fn() -> Wish),
) -> StateResult<Verdict> {
    let fail = |error: basalt_exec::command::CommandError| io_error(folder, std::io::Error::other(error));
    let text = serde_json::to_vec(order).map_err(|error| io_error(folder, error.into()))?;
    let path = job::order_path(folder);
    basalt_exec::files::write_atomic(&path, &text, Access::Secret)
        .map_err(|error| io_error(&path, std::io::Error::other(error)))?;
    let seen = EventLog::in_folder(folder).after(0).map_err(|source| io_error(folder, source))?.len();
    let mut running = super::job_command(folder)?.start().map_err(fail)?;
    let (start, mut measured) = (Instant::now(), Instant::now());
    loop {
        if let Some(exit) = running.poll_exit().map_err(fail)? {
            return Ok(match exit {
                Exit::Code(0) => Verdict::Done,
                Exit::Code(_) | Exit::Signal(_) => Verdict::Failed { said: has_said(folder, seen)? },
            });
        }
        let verdict = match wish() {
            Wish::Go => None,
            Wish::Stop(by) => Some(Verdict::Stopped(by)),
            Wish::Leave => Some(Verdict::Left),
        };
        let verdict = verdict.or_else(|| {
            if measured.elapsed() < MEASURE {
                return None;
            }
            measured = Instant::now();
            excess(limits, start.elapsed(), folder, running.id()).map(Verdict::Over)
        });
        if let Some(verdict) = verdict {
            running.kill().map_err(fail)?;
            return Ok(verdict);
        }
        thread::sleep(LOOK);
    }
}

/// Whether the job told why it ended.
fn has_said(folder: &Path, seen: usize) -> StateResult<bool> {
    let events = EventLog::in_folder(folder).after(seen).map_err(|source| io_error(folder, source))?;
    Ok(events.last().is_some_and(|(_, event)| event.is_last()))
}

/// What the job takes too much of, in words.
fn excess(limits: &Limits, time: Duration, folder: &Path, id: u32) -> Option<String> {
    let Limits { time: longest, memory, free_disk } = limits;
    if time > *longest {
        return Some(format!(
            "it took longer than the {} minutes that a build may take",
            longest.as_secs() / 60
        ));
    }
    let taken = memory_of(id);
    if taken > memory.get() {
        let (taken, most) = (ByteSize::bytes(taken).human(), memory.human());
        return Some(format!("it took {taken} of memory, and a build may take {most}"));
    }
    let free = free_space(folder)?;
    (free < free_disk.get())
        .then(|| format!("the disk has less than {} left, which stay free", free_disk.human()))
}

fn free_space(folder: &Path) -> Option<u64> {
    // A folder that can't be asked is no reason to stop a build.
    let facts = rustix::fs::statvfs(folder).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// The memory of a process and all below it, in bytes: `VmRSS` of proc_pid_status(5), by the parents of proc_pid_stat(5), and what
/// they keep in file systems in memory, where the engine makes small trees.
fn memory_of(root: u32) -> u64 {
    let mut parents = Vec::new();
    // Processes come and go while this is read: one that can't be read any more takes nothing.
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = parent_of(&entry.path()) {
            parents.push((id, parent));
        }
    }
    let (mut family, mut next) = (vec![root], 0);
    while let Some(one) = family.get(next).copied() {
        let children = parents.iter().filter(|(id, parent)| *parent == one && !family.contains(id));
        let children: Vec<u32> = children.map(|(id, _)| *id).collect();
        family.extend(children);
        next += 1;
    }
    let resident = family.iter().filter_map(|id| resident_kib(*id)).sum::<u64>().saturating_mul(1024);
    let mut rooms = BTreeMap::new();
    for id in family {
        rooms.extend(rooms_of(id));
    }
    rooms.values().fold(resident, |sum, room| sum.saturating_add(*room))
}

fn parent_of(process: &Path) -> Option<u32> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    // The name in brackets may hold anything; the state and the parent come behind it.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The trees in memory that a process sees, by their devices, and how many bytes are in each (proc_pid_mountinfo(5): the third field
/// is the device, the fifth the mount point, the type comes behind a lone hyphen).
fn rooms_of(id: u32) -> Vec<(String, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/mountinfo")).unwrap_or_default();
    let room = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (device, place) = (fields.next()?, fields.nth(1)?);
        if !kind.starts_with("tmpfs ") || !place.ends_with("/room") {
            return None;
        }
        let facts = rustix::fs::statvfs(format!("/proc/{id}/root{place}")).ok()?;
        let used = facts.f_blocks.saturating_sub(facts.f_bfree).saturating_mul(facts.f_frsize);
        Some((device.to_owned(), used))
    };
    text.lines().filter_map(room).collect()
}

fn resident_kib(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use basalt_types::ByteSize;

    use super::{Limits, excess, memory_of};

    #[test]
    fn each_limit_has_its_words() {
        let me = std::process::id();
        let fine = Limits {
            time: Duration::from_secs(60),
            memory: ByteSize::gib(64),
            free_disk: ByteSize::bytes(0),
        };
        let asked =
            |limits: Limits| excess(&limits, Duration::from_secs(30), Path::new("/"), me).unwrap_or_default();
        assert_eq!(asked(fine), "");
        assert!(asked(Limits { time: Duration::from_secs(1), ..fine }).contains("longer"));
        assert!(asked(Limits { memory: ByteSize::bytes(1), ..fine }).contains("memory"));
        assert!(asked(Limits { free_disk: ByteSize::gib(1 << 20), ..fine }).contains("disk"));
        assert!(memory_of(me) > 1 << 20, "this test takes more than a megabyte");
    }
}
