//! What a build tells while it works: typed events, shown to a person as lines or to a program as JSON lines.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use basalt_image::plan::StepName;
use basalt_types::ByteSize;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A step began.
    Started {
        /// Which.
        step: StepName,
    },
    /// A step moved on.
    Progress {
        /// Which.
        step: StepName,
        /// How far, in bytes or items.
        done: u64,
        /// How far it goes.
        total: u64,
    },
    /// A step says something worth reading.
    Note {
        /// Which.
        step: StepName,
        /// One line.
        text: String,
    },
    /// A step does not run.
    Kept {
        /// Which.
        step: StepName,
        /// Why.
        because: String,
    },
    /// A step ended well.
    Finished {
        /// Which.
        step: StepName,
        /// How long it took.
        milliseconds: u64,
        /// What it made, in a few words.
        result: String,
    },
}

/// Who reads the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Audience {
    /// A person: one line a step, a bar on a terminal.
    #[default]
    Text,
    /// A program: one JSON object a line.
    Json,
    /// Nobody.
    None,
}

/// Takes events, from any thread.
pub type Listener = Box<dyn Fn(&Event) + Send + Sync>;

/// Shows events on standard error, from any thread.
pub struct Reporter {
    audience: Audience,
    listener: Option<Listener>,
    bar: Option<Mutex<ProgressBar>>,
    journal: Mutex<Vec<Event>>,
}

impl Reporter {
    /// A reporter for this audience.
    pub fn new(audience: Audience) -> Self {
        let bar = audience == Audience::Text && io::stderr().is_terminal();
        let bar = bar.then(|| Mutex::new(ProgressBar::hidden()));
        Self { audience, listener: None, bar, journal: Mutex::default() }
    }

    /// A reporter that shows nothing and hands every event on.
    pub fn to(listener: Listener) -> Self {
        Self { listener: Some(listener), ..Self::new(Audience::None) }
    }

    /// What became of each step so far: the events that a step was kept or finished.
    pub fn journal(&self) -> Vec<Event> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows one event.
    pub fn report(&self, event: &Event) {
        match event {
            Event::Kept { .. } | Event::Finished { .. } => {
                self.journal.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
            }
            Event::Started { .. } | Event::Progress { .. } | Event::Note { .. } => {}
        }
        if let Some(listener) = &self.listener {
            listener(event);
        }
        match self.audience {
            Audience::None => {}
            Audience::Json => {
                let line =
                    serde_json::to_string(event).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
                self.line(&line);
            }
            Audience::Text => self.show(event),
        }
    }

    /// Runs a step between its first and its last event; `work` gives the step's value and a few words about it.
    ///
    /// # Errors
    /// What `work` fails with.
    pub fn step<T, E>(&self, step: StepName, work: impl FnOnce() -> Result<(T, String), E>) -> Result<T, E> {
        self.report(&Event::Started { step });
        let start = Instant::now();
        let outcome = work();
        if outcome.is_err() {
            self.clear();
        }
        let (value, result) = outcome?;
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report(&Event::Finished { step, milliseconds, result });
        Ok(value)
    }

    /// Tells a person something at the end; a program has the events.
    pub fn tell(&self, text: &str) {
        match self.audience {
            Audience::Text => self.line(text.trim_end()),
            Audience::Json | Audience::None => {}
        }
    }

    /// Takes an unfinished bar off the terminal, before something else is printed.
    pub fn clear(&self) {
        if let Some(Ok(bar)) = self.bar.as_ref().map(Mutex::lock) {
            bar.finish_and_clear();
        }
    }

    fn show(&self, event: &Event) {
        match event {
            Event::Started { step } => self.start_bar(*step),
            Event::Progress { done, total, .. } => {
                if let Some(Ok(bar)) = self.bar.as_ref().map(Mutex::lock) {
                    bar.set_length(*total);
                    bar.set_position(*done);
                }
            }
            Event::Kept { step, because } => self.line(&format!("  {step:<10} {:>8}  {because}", "-")),
            Event::Note { text, .. } => self.line(&format!("  {:<10} {text}", "")),
            Event::Finished { step, milliseconds, result } => {
                self.clear();
                let seconds = Duration::from_millis(*milliseconds).as_secs_f64();
                self.line(&format!("  {step:<10} {seconds:>6.2} s  {result}"));
            }
        }
    }

    fn start_bar(&self, step: StepName) {
        let Some(Ok(mut slot)) = self.bar.as_ref().map(Mutex::lock) else { return };
        let bar = ProgressBar::new(0);
        let template = "  {prefix:<10} {spinner} {elapsed} {wide_bar} {bytes}/{total_bytes}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(step.to_string());
        bar.enable_steady_tick(Duration::from_millis(120));
        *slot = bar;
    }

    fn line(&self, text: &str) {
        let print = || {
            // Progress is a courtesy: a closed standard error must not stop a build.
            drop(writeln!(io::stderr(), "{text}"));
        };
        match self.bar.as_ref().map(Mutex::lock) {
            Some(Ok(bar)) => bar.suspend(print),
            Some(Err(_)) | None => print(),
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reporter({:?})", self.audience)
    }
}

/// `1 package`, `2 packages`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    ByteSize::bytes(bytes).human()
}
