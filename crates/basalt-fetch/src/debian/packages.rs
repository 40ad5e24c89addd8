use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{Context, obtain};
use crate::http::{Expected, HttpError};

/// A .deb that is wanted: its URL, digest and size.
pub type Wish = Expected;

/// How many downloads run at once. Mirrors of Debian are fast per connection; more would only crowd others out.
const THREADS: usize = 8;

/// Fetches every file that the store does not have, the largest first, and returns their paths in the order of
/// `wishes`. The first error ends the run after the downloads that are under way; what came so far stays in the store.
pub fn fetch_packages(context: Context<'_>, wishes: &[Wish]) -> Result<Vec<PathBuf>, HttpError> {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(wishes[index].size));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(vec![None; wishes.len()]);
    let error = Mutex::new(None);
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            match obtain(context, &wishes[index]) {
                Ok(path) => lock(&results)[index] = Some(path),
                Err(problem) => {
                    failed.store(true, Ordering::Relaxed);
                    lock(&error).get_or_insert(problem);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(wishes.len()) {
            scope.spawn(work);
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
