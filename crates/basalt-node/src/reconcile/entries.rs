//! Files, directories and links: from what is there to what should be.

use basalt_types::Digest;

use super::{
    Attributes, Entry, EntryKind, Found, Machine, Note, Plan, Record, Refusal, Step,
    record::is_volatile,
    wanted::{Want, Wanted, WantedEntry},
};
use crate::reconcile::Accounts;

/// Plans every path of the document, and undoes those of an earlier one.
pub(super) fn plan(wanted: &Wanted, after: &Accounts, machine: &Machine, plan: &mut Plan) {
    for (path, entry) in &wanted.entries {
        let Attributes { mode: _, uid, gid } = match owner(path, entry, after) {
            Ok(owner) => owner,
            Err(refusal) => {
                plan.refusals.push(refusal);
                continue;
            }
        };
        match step(path, entry, (uid, gid), machine.entries.get(path)) {
            Ok(step) => plan.steps.extend(step),
            Err(refusal) => {
                plan.refusals.push(refusal);
                continue;
            }
        }
        plan.record.paths.insert(path.clone());
    }
}

fn owner(path: &str, entry: &WantedEntry, after: &Accounts) -> Result<Attributes, Refusal> {
    let unknown = |name| Refusal::NoOwner { path: path.to_owned(), name };
    let (uid, gid) = after.numbers(&entry.owner).map_err(unknown)?;
    Ok(Attributes { mode: basalt_spec::words::UnixMode::from_bits(0), uid, gid })
}

/// What is done at one path.
fn step(
    path: &str,
    wanted: &WantedEntry,
    (uid, gid): (u32, u32),
    now: Option<&Entry>,
) -> Result<Option<Step>, Refusal> {
    let path = path.to_owned();
    let in_the_way = |found: &EntryKind| Refusal::InTheWay { path: path.clone(), found: found.to_string() };
    let found = if now.is_some() { Found::Other } else { Found::Nothing };
    let directory_now = now.filter(|entry| matches!(entry.kind, EntryKind::Directory { .. }));
    match &wanted.want {
        Want::Nothing => match (now, directory_now) {
            (None, _) => Ok(None),
            (Some(_), Some(directory)) => Err(in_the_way(&directory.kind)),
            (Some(_), None) => Ok(Some(Step::Remove { path })),
        },
        Want::File { .. } | Want::Link { .. } if let Some(directory) = directory_now => {
            Err(in_the_way(&directory.kind))
        }
        Want::File { content, mode } => {
            let to = Attributes { mode: *mode, uid, gid };
            match now {
                Some(now) if now.kind == EntryKind::File(Digest::of(content.reveal())) => {
                    Ok(attributes(path, now, to))
                }
                Some(_) | None => {
                    let content = content.clone();
                    Ok(Some(Step::WriteFile { path, found, attributes: to, content }))
                }
            }
        }
        Want::Link { target } => match now {
            Some(now) if now.kind == EntryKind::Link(target.clone()) => Ok(None),
            Some(_) | None => Ok(Some(Step::MakeLink { path, found, target: target.clone() })),
        },
        Want::Directory { mode } => {
            let to = Attributes { mode: *mode, uid, gid };
            match (now, directory_now) {
                (None, _) => Ok(Some(Step::MakeDirectory { path, attributes: to })),
                (Some(_), Some(now)) => Ok(attributes(path, now, to)),
                (Some(other), None) => Err(in_the_way(&other.kind)),
            }
        }
    }
}

fn attributes(path: String, now: &Entry, to: Attributes) -> Option<Step> {
    let from = Attributes { mode: now.mode, uid: now.uid, gid: now.gid };
    (from != to).then_some(Step::SetAttributes { path, from, to })
}

/// Undoes what an earlier document had written and this one does not name: the deepest path first.
pub(super) fn undo(wanted: &Wanted, machine: &Machine, record: &Record, plan: &mut Plan) {
    for path in record.paths.iter().rev().filter(|path| !wanted.entries.contains_key(*path)) {
        let (path, now, image) = (path.clone(), machine.entries.get(path), machine.image.get(path));
        plan.record.paths.remove(&path);
        match (now, image.filter(|_| is_volatile(&path))) {
            (None, None) => {}
            (Some(now), Some(image)) if now == image => {}
            // What is in a directory is nobody's to remove, and the image's is never replaced by another one.
            (Some(Entry { kind: EntryKind::Directory { .. }, .. }), Some(_)) => {}
            (_, Some(Entry { kind: EntryKind::Directory { .. } | EntryKind::Special, .. })) => {}
            (_, Some(_)) => plan.steps.push(Step::Restore { path }),
            (Some(Entry { kind: EntryKind::Directory { empty: true }, .. }), None) => {
                plan.steps.push(Step::RemoveDirectory { path });
            }
            (Some(Entry { kind: EntryKind::Directory { empty: false }, .. }), None) => {
                plan.notes.push(Note::DirectoryKept { path });
            }
            (Some(_), None) => plan.steps.push(Step::Remove { path }),
        }
    }
}
