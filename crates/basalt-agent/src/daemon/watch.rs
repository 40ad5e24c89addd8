//! The folders of documents, and of the files that they make: the kernel says when something in them changes (inotify(7)).

use std::{
    collections::BTreeSet,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

use crate::{documents::WATCHED, reconcile};

/// More folders than these are looked at from time to time only.
const MOST: usize = 64;

/// What is watched.
#[derive(Debug)]
pub(super) struct Watch {
    descriptor: OwnedFd,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { descriptor: fresh()? })
    }

    /// Watches what is there now, and forgets what was seen so far: the changes of the last reconciliation are its own. What
    /// somebody else changed in that moment is found at the next look.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        self.descriptor = fresh()?;
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        for folder in folders() {
            match inotify::add_watch(&self.descriptor, &folder, flags) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Waits for a change; false when the time is over.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<bool> {
        let timeout =
            Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) };
        let mut wanted = [PollFd::new(&self.descriptor, PollFlags::IN)];
        match poll(&mut wanted, Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn fresh() -> io::Result<OwnedFd> {
    Ok(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

/// The folders of documents, and those of paths that were written. Not those in which everybody writes all the time.
fn folders() -> BTreeSet<PathBuf> {
    const BUSY: [&str; 3] = ["/run", "/var", "/var/lib"];
    let documents = WATCHED.into_iter().map(|folder| Path::new("/").join(folder));
    let paths = reconcile::written_paths().unwrap_or_default();
    let parents = paths.iter().filter_map(|path| Path::new(path).parent()).map(Path::to_owned);
    let quiet = parents.filter(|folder| !BUSY.iter().any(|busy| folder == Path::new(busy)));
    documents.chain(quiet).take(MOST).collect()
}
