//! The only place of `xtask` that prints.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a developer's terminal program")]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use crate::error::{Done, TaskError};

/// A line.
pub(crate) fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// An error with all its causes.
pub(crate) fn error(error: &TaskError) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(why) = cause {
        eprintln!("  because: {why}");
        cause = why.source();
    }
}

/// Stages with their times.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    done: Vec<(String, Duration)>,
}

impl Stages {
    /// Runs one stage.
    pub(crate) fn run<T>(&mut self, name: &str, stage: impl FnOnce() -> Done<T>) -> Done<T> {
        say(format!("\n==> {name}"));
        let start = Instant::now();
        let done = stage()?;
        self.done.push((name.to_owned(), start.elapsed()));
        Ok(done)
    }

    /// How long each took.
    pub(crate) fn report(&self) {
        say("\nstage                                   seconds");
        for (name, time) in &self.done {
            say(format!("{name:<40}{:>7.1}", time.as_secs_f64()));
        }
        let total: Duration = self.done.iter().map(|(_, time)| *time).sum();
        say(format!("{:<40}{:>7.1}", "all", total.as_secs_f64()));
    }
}
