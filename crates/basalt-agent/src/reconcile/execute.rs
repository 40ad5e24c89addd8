//! Doing what a plan says: one `match` over the steps, no decision. Every step may be done twice.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_exec::{
    command::{Command, CommandError, Program},
    files::{self, Entry, EntryKind, FileError},
};
use basalt_image::extension::Sort;
use basalt_node::reconcile::{Attributes, Reload, STORE, Step};

use super::{System, accounts, extensions, keys, systemd};

const MODPROBE_PATIENCE: Duration = Duration::from_secs(60);
/// The largest file of an image that is put back.
const MOST_BYTES: u64 = 256 << 20;
/// `HOME_MODE` of Debian's login.defs.
const HOME_MODE: u32 = 0o700;

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Program(#[from] CommandError),
    #[error("can't write {}", path.display())]
    Setting { path: PathBuf, source: io::Error },
    #[error("the kernel takes no such name")]
    Hostname(#[source] io::Error),
    #[error("the image has nothing at {0} any more")]
    NotInImage(String),
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    #[error(transparent)]
    Extension(#[from] extensions::ExtensionError),
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn attributes(Attributes { mode, uid, gid }: Attributes) -> files::Attributes {
    files::Attributes { mode: u32::from(mode.bits()), uid, gid }
}

/// Does one step.
pub(super) fn step(step: &Step, system: &System) -> Result<(), StepError> {
    let System { root, image } = system;
    match step {
        Step::LoadModule { name } => {
            let program = Program::find("modprobe", "kmod")?;
            Command::new(&program).args(["--", name]).timeout(MODPROBE_PATIENCE).run()?;
        }
        Step::SetSysctl { path, from: _, to } => {
            let path = Path::new("/proc/sys").join(path);
            fs::write(&path, to).map_err(|source| StepError::Setting { path, source })?;
        }
        Step::Account { user: _, change: _, edits } => accounts::edit(system, edits)?,
        Step::MakeHome { path, uid, gid } => home(system, relative(path), (*uid, *gid))?,
        Step::WriteFile { path, found: _, attributes: wanted, content } => {
            let kind = EntryKind::File(content.reveal().to_vec());
            root.write_entry(relative(path), &Entry { kind, attributes: attributes(*wanted) })?;
        }
        Step::MakeLink { path, found: _, target } => {
            let attributes = files::Attributes { mode: 0o777, uid: 0, gid: 0 };
            let kind = EntryKind::Link(target.into());
            root.write_entry(relative(path), &Entry { kind, attributes })?;
        }
        Step::MakeDirectory { path, attributes: wanted } => {
            root.make_directory(relative(path), attributes(*wanted))?;
        }
        Step::SetAttributes { path, from: _, to } => root.set_attributes(relative(path), attributes(*to))?,
        Step::Remove { path } => root.remove_entry(relative(path))?,
        Step::RemoveDirectory { path } => root.remove_directory(relative(path))?,
        Step::Restore { path } => {
            let entry = image.entry(relative(path), MOST_BYTES)?;
            let entry = entry.ok_or_else(|| StepError::NotInImage(path.clone()))?;
            root.write_entry(relative(path), &entry)?;
        }
        Step::SetHostname { from: _, to } => {
            rustix::system::sethostname(to.as_bytes()).map_err(|errno| StepError::Hostname(errno.into()))?;
        }
        Step::FetchKeys { source } => keys::fetch(system, source)?,
        Step::FetchExtension { name: _, digest, source } => {
            extensions::fetch(Path::new(STORE), digest, source)?;
        }
        Step::ForgetExtension { digest } => extensions::forget(Path::new(STORE), digest)?,
        Step::Reload { what: Reload::Extensions } => extensions::refresh(Sort::System)?,
        Step::Reload { what: Reload::Configuration } => extensions::refresh(Sort::Configuration)?,
        Step::Reload { what } => systemd::reload(*what)?,
        Step::Unit { name, action } => systemd::act(name, *action)?,
    }
    Ok(())
}

/// A home directory with what `/etc/skel` has; it gets its own name last.
fn home(system: &System, path: &str, (uid, gid): (u32, u32)) -> Result<(), StepError> {
    let root = &system.root;
    let mut pending = vec![(PathBuf::from("etc/skel"), PathBuf::from(path))];
    root.make_directory(path, files::Attributes { mode: HOME_MODE, uid, gid })?;
    while let Some((from, to)) = pending.pop() {
        if !root.exists(&from)? {
            continue;
        }
        for name in root.names(&from)? {
            let (from, to) = (from.join(&name), to.join(&name));
            let Some(mut entry) = root.entry(&from, MOST_BYTES)? else { continue };
            (entry.attributes.uid, entry.attributes.gid) = (uid, gid);
            match entry.kind {
                EntryKind::Directory(_) => {
                    root.make_directory(&to, entry.attributes)?;
                    pending.push((from, to));
                }
                EntryKind::File(_) | EntryKind::Link(_) => root.write_entry(&to, &entry)?,
                EntryKind::Special => {}
            }
        }
    }
    Ok(())
}
