//! What every source of files has in common: the store is looked at first, and several files come at once.

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::{
    http::{Client, Expected},
    store::{Check, Found, Store, StoreError},
};

/// What every step needs.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// For the network.
    pub client: &'c Client,
    /// Where files are kept.
    pub store: &'c Store,
    /// Told what happens, from several threads.
    pub report: &'c (dyn Fn(Event<'_>) + Sync),
}

/// Something that a person may want to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'e> {
    /// A file will be fetched.
    Started {
        /// Its URL.
        url: &'e str,
        /// Its size in bytes, where it is known.
        size: Option<u64>,
    },
    /// So many more bytes of some file are here.
    Advanced {
        /// Bytes.
        bytes: u64,
    },
    /// A file is here and verified.
    Finished {
        /// Its URL.
        url: &'e str,
        /// Whether the store had it.
        cached: bool,
    },
    /// The store had a file that was not what its name says. It was moved away and is fetched again.
    Corrupt {
        /// Its URL.
        url: &'e str,
        /// Where it is now.
        moved_to: &'e std::path::Path,
    },
}

/// Looks in the store and lets `fetch` bring what is not there; `fetch` tells how many bytes came.
pub(crate) fn obtain<E: From<StoreError>>(
    context: Context<'_>,
    expected: &Expected,
    fetch: impl FnOnce(&(dyn Fn(u64) + Sync)) -> Result<PathBuf, E>,
) -> Result<PathBuf, E> {
    let url = expected.url.as_str();
    match context.store.get(&expected.digest, Some(expected.size), Check::Content)? {
        Found::Whole(path) => {
            (context.report)(Event::Advanced { bytes: expected.size });
            (context.report)(Event::Finished { url, cached: true });
            return Ok(path);
        }
        Found::Corrupt(moved_to) => (context.report)(Event::Corrupt { url, moved_to: &moved_to }),
        Found::Absent => {}
    }
    (context.report)(Event::Started { url, size: Some(expected.size) });
    let path = fetch(&|bytes| (context.report)(Event::Advanced { bytes }))?;
    (context.report)(Event::Finished { url, cached: false });
    Ok(path)
}

/// Does `work` for every item, on so many threads, the largest first, and returns what it gave in the items' order. The
/// first error ends the run after the work that is under way.
pub(crate) fn each<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    size: impl Fn(&T) -> u64,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(size(&items[index])));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new((0..items.len()).map(|_| None).collect::<Vec<Option<R>>>());
    let error = Mutex::new(None);
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            match work(&items[index]) {
                Ok(result) => lock(&results)[index] = Some(result),
                Err(problem) => {
                    failed.store(true, Ordering::Relaxed);
                    lock(&error).get_or_insert(problem);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(run);
        }
    });
    match lock(&error).take() {
        Some(error) => Err(error),
        None => Ok(lock(&results).drain(..).flatten().collect()),
    }
}

/// A thread that panicked left whole values behind: each is written in one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("store", &self.store).finish_non_exhaustive()
    }
}
