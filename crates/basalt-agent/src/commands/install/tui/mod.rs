//! The installer's screens: disk, machine and network, what will be lost, progress. The same planner and executor as with
//! options; a person only types what they would have said.
//!
//! `Model` is pure: keys change it, drawing reads it. Only this file touches the terminal.

mod draw;
mod form;
mod model;

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use basalt_node::install::{BlockDisk, InstallPlan, InstallStep};
use basalt_spec::node::After;
use ratatui::{
    Terminal,
    backend::Backend,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use super::execute::Watch;
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::install::Progress,
};
use draw::draw;
use form::Form;
use model::{Key, Model, Wish};

/// A slow serial line draws so often at most.
const FRAME: Duration = Duration::from_millis(200);

/// What the screens need of the machine; a test has another one.
pub(super) trait Installer {
    /// What is installed, such as `edge 0.1.0`.
    fn title(&self) -> String;

    /// The disks, and why one can't be taken.
    fn disks(&mut self) -> AgentResult<Vec<(BlockDisk, Option<String>)>>;

    /// The plan for a disk and a document; a refusal is an error too.
    fn plan(&mut self, device: &str, document: Option<String>) -> AgentResult<InstallPlan>;

    /// Follows the plan that was made last.
    fn install(&mut self, plan: &InstallPlan, watch: &mut dyn Watch) -> AgentResult<()>;
}

/// Whether a document was given already, so that nothing is asked of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Questions {
    All,
    DiskOnly,
}

/// How the screens ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Installed; this is to be done with the machine.
    Installed(Option<After>),
    /// Somebody stopped before anything was written.
    Stopped,
}

/// Asks on the terminal, installs, and says what to do with the machine.
pub(super) fn run(installer: &mut dyn Installer, questions: Questions) -> AgentResult<Ended> {
    let disks = installer.disks()?;
    let form = match questions {
        Questions::All => Some(Form::default()),
        Questions::DiskOnly => None,
    };
    let mut model = Model::new(installer.title(), disks, form);
    let mut terminal = ratatui::try_init().or_fail(Kind::Host)?;
    let ended = talk(&mut terminal, &mut event::read, &mut model, installer);
    // The first error is the one to tell.
    let restored = ratatui::try_restore().or_fail(Kind::Host);
    let ended = ended?;
    restored.map(|()| ended)
}

/// Shows, waits for a key, does what it wishes; until the end.
fn talk<B: Backend<Error: Error + Send + Sync + 'static>>(
    terminal: &mut Terminal<B>,
    next: &mut dyn FnMut() -> io::Result<Event>,
    model: &mut Model,
    installer: &mut dyn Installer,
) -> AgentResult<Ended> {
    let mut installed: Option<AgentResult<()>> = None;
    loop {
        show(terminal, model)?;
        let Some(key) = key(&next().or_fail(Kind::Host)?) else { continue };
        match model.press(key) {
            Wish::Nothing => {}
            Wish::Plan => plan(model, installer),
            Wish::Install => {
                let Some(plan) = model.plan.clone() else { continue };
                let mut watch = Screens { terminal, model, drawn: Instant::now(), failed: None };
                let result = installer.install(&plan, &mut watch);
                model.ended(result.as_ref().map(|&()| ()).map_err(ToString::to_string));
                installed = Some(result);
            }
            Wish::After(after) => return Ok(Ended::Installed(Some(after))),
            Wish::Quit => match installed {
                None => return Ok(Ended::Stopped),
                Some(result) => return result.map(|()| Ended::Installed(None)),
            },
        }
    }
}

fn plan(model: &mut Model, installer: &mut dyn Installer) {
    let document = model.form.as_ref().map(Form::document);
    let plan = match document {
        Some(Err(mistakes)) => Err(mistakes.join("\n")),
        Some(Ok(document)) => installer.plan(model.device(), document).map_err(|error| error.to_string()),
        None => installer.plan(model.device(), None).map_err(|error| error.to_string()),
    };
    model.planned(plan);
}

fn show<B: Backend<Error: Error + Send + Sync + 'static>>(
    terminal: &mut Terminal<B>,
    model: &Model,
) -> AgentResult<()> {
    terminal.draw(|frame| draw(model, frame)).map(drop).or_fail(Kind::Host)
}

/// What a key means here; most mean nothing.
fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return None };
    let control = modifiers.contains(KeyModifiers::CONTROL);
    if let KeyCode::Char(letter) = code {
        return if control { (*letter == 'c').then_some(Key::Interrupt) } else { Some(Key::Letter(*letter)) };
    }
    let known = [
        (KeyCode::Up, Key::Up),
        (KeyCode::Down, Key::Down),
        (KeyCode::Tab, Key::Down),
        (KeyCode::BackTab, Key::Up),
        (KeyCode::Enter, Key::Enter),
        (KeyCode::Esc, Key::Escape),
        (KeyCode::Backspace, Key::Backspace),
    ];
    known.into_iter().find(|(known, _)| known == code).map(|(_, key)| key)
}

/// Progress on the screen.
struct Screens<'a, B: Backend> {
    terminal: &'a mut Terminal<B>,
    model: &'a mut Model,
    drawn: Instant,
    failed: Option<AgentError>,
}

impl<B: Backend<Error: Error + Send + Sync + 'static>> Screens<'_, B> {
    fn draw(&mut self) {
        self.drawn = Instant::now();
        // A screen that can't be drawn is no reason to stop in the middle; it is told at the end.
        self.failed = show(self.terminal, self.model).err().or(self.failed.take());
    }
}

impl<B: Backend<Error: Error + Send + Sync + 'static>> Watch for Screens<'_, B> {
    fn begins(&mut self, number: usize, of: usize, step: &InstallStep) {
        self.model.begins(number, of, step);
        self.draw();
    }

    fn progress(&mut self, progress: Progress) {
        self.model.progress(progress);
        if self.drawn.elapsed() >= FRAME {
            self.draw();
        }
    }

    fn result(&mut self) -> AgentResult<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}
