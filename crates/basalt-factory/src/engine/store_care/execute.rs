//! Removes what a plan names, after a second look.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use basalt_exec::walk::remove_tree;
use basalt_fetch::store::Sweep;
use serde::Serialize;

use super::{Area, CareError, Entry, Removal, SweepPlan, failed, observe};
use crate::base::Workshop;

/// How the names of folders begin that are on their way out.
pub(super) const SWEPT: &str = "swept-";

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// How many entries went.
    pub removed: usize,
    /// The bytes that they took.
    pub bytes: u64,
    /// Entries that were taken into use, or were gone, when their turn came.
    pub passed_over: Vec<PathBuf>,
}

/// Makes names of one process differ; the process id makes those of two differ.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Does what `plan` says. Safe to run again after any failure, and beside builds and other sweeps.
///
/// # Errors
/// When the file system refuses; what was removed before is gone.
pub fn execute(root: &Path, plan: &SweepPlan) -> Result<Swept, CareError> {
    let mut swept = Swept::default();
    for Removal { entry, because: _ } in &plan.removals {
        if remove(root, entry)? {
            swept.removed += 1;
            swept.bytes += entry.size;
        } else {
            swept.passed_over.push(entry.path.clone());
        }
    }
    Ok(swept)
}

/// Removes one entry; says whether it did.
fn remove(root: &Path, planned: &Entry) -> Result<bool, CareError> {
    let sweep = Sweep::begin(root)?;
    let Some(now) = observe::entry(&sweep, planned.area, planned.path.clone())? else { return Ok(false) };
    if !observe::unchanged(&now, planned.used) {
        return Ok(false);
    }
    if !planned.path.is_dir() {
        return match fs::remove_file(&planned.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &planned.path)(error)),
        };
    }
    let is_job = planned.area == Area::Work && named(&planned.path, "job-");
    let away = if is_job || named(&planned.path, SWEPT) {
        planned.path.clone()
    } else {
        let name = format!("{SWEPT}{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let away = root.join(Area::Work.folder()).join(name);
        fs::rename(&planned.path, &away).map_err(failed("remove", &planned.path))?;
        away
    };
    // Nobody can find it any more: builds need not wait for the rest.
    drop(sweep);
    remove_folder(root, &away)?;
    Ok(true)
}

fn named(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// A job's folder may hold files of ids that only a user namespace can touch.
fn remove_folder(root: &Path, folder: &Path) -> Result<(), CareError> {
    let Err(error) = remove_tree(folder) else { return Ok(()) };
    if !folder.exists() {
        // Another sweep was as quick.
        return Ok(());
    }
    let workshop = Workshop::new(root.join(Area::Work.folder()));
    match workshop.remove_tree(folder, &|_event| {}) {
        Ok(_report) => Ok(()),
        Err(_) if !folder.exists() => Ok(()),
        Err(_) => Err(failed("remove", folder)(io::Error::other(error))),
    }
}
