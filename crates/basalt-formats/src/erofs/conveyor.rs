//! Work done by many threads whose results are taken in order, with a bound on what waits.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Bytes of input that may be ahead of what was taken: bounds the memory, whatever the number of threads.
const WINDOW: u64 = 96 << 20;

/// Jobs by number, each with the bytes that it has as input.
pub(super) struct Conveyor {
    /// Bytes of input before each job, and at the end of all.
    before: Vec<u64>,
    threads: usize,
}

struct State<T, E> {
    /// The next job that no thread has.
    next: usize,
    /// The next job whose result is to be taken.
    taken: usize,
    ready: BTreeMap<usize, T>,
    /// Whether a thread is taking results.
    taking: bool,
    /// Whether no job is to be begun any more.
    stopped: bool,
    failed: Option<E>,
}

impl Conveyor {
    /// Jobs with these bytes of input each, on `threads` threads.
    pub(super) fn new(sizes: impl Iterator<Item = u64>, threads: usize) -> Self {
        let mut before = vec![0];
        let mut sum = 0;
        before.extend(sizes.map(|size| {
            sum += size;
            sum
        }));
        Self { before, threads: threads.max(1) }
    }

    /// Does each job with `make` on some thread, whose `worker` it gets, and passes the results to `take` in order.
    ///
    /// # Errors
    /// The first error; no new job is begun then.
    pub(super) fn run<W, T: Send, E: Send>(
        &self,
        worker: &(dyn Fn() -> W + Sync),
        make: &(dyn Fn(&mut W, usize) -> Result<T, E> + Sync),
        take: &mut (dyn FnMut(T) -> Result<(), E> + Send),
    ) -> Result<(), E> {
        let ready = BTreeMap::new();
        let state =
            Mutex::new(State { next: 0, taken: 0, ready, taking: false, stopped: false, failed: None });
        let moved = Condvar::new();
        let take = Mutex::new(take);
        let work = || {
            let mut own = worker();
            let _alarm = Alarm { state: &state, moved: &moved };
            while let Some(job) = self.next(&state, &moved) {
                let made = make(&mut own, job);
                let mut held = lock(&state);
                match made {
                    Ok(result) => held.ready.insert(job, result),
                    Err(error) => {
                        held.fail(error);
                        moved.notify_all();
                        return;
                    }
                };
                if held.taking {
                    continue;
                }
                held.taking = true;
                while !held.stopped
                    && let Some(result) = held.pop()
                {
                    drop(held);
                    let outcome = lock(&take)(result);
                    held = lock(&state);
                    held.taken += 1;
                    if let Err(error) = outcome {
                        held.fail(error);
                    }
                    moved.notify_all();
                }
                held.taking = false;
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.min(self.before.len() - 1) {
                scope.spawn(work);
            }
            work();
        });
        match state.into_inner().unwrap_or_else(PoisonError::into_inner).failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Takes the next job, as soon as the results of those before it don't take too much memory.
    fn next<T, E>(&self, state: &Mutex<State<T, E>>, moved: &Condvar) -> Option<usize> {
        let mut held = lock(state);
        loop {
            let job = held.next;
            if held.stopped || job + 1 >= self.before.len() {
                return None;
            }
            // The job whose turn it is always begins, so there is always one that goes on.
            if job == held.taken || self.before[job + 1] - self.before[held.taken] <= WINDOW {
                held.next += 1;
                return Some(job);
            }
            held = moved.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Lets the others end when a thread panics, instead of waiting for its result.
struct Alarm<'a, T, E> {
    state: &'a Mutex<State<T, E>>,
    moved: &'a Condvar,
}

impl<T, E> Drop for Alarm<'_, T, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(self.state).stopped = true;
            self.moved.notify_all();
        }
    }
}

impl<T, E> State<T, E> {
    fn fail(&mut self, error: E) {
        self.stopped = true;
        self.failed.get_or_insert(error);
    }

    fn pop(&mut self) -> Option<T> {
        self.ready.remove(&self.taken)
    }
}

/// A thread that panicked ends the scope anyway.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
