//! The installer's screens: disk, machine and network, what will be lost, progress. The same planner and executor as with
//! options; a person only types what they would have said.
//!
//! `Model` is pure: keys change it, drawing reads it. Only this file touches the terminal.

mod draw;
mod model;

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use basalt_node::install::InstallStep;
use ratatui::{
    DefaultTerminal, Terminal, TerminalOptions, Viewport,
    backend::Backend,
    crossterm::{
        self,
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{Clear, ClearType, EnterAlternateScreen},
    },
    layout::Rect,
};

use super::{
    execute::Watch,
    form::{Form, Mistake},
    installer::{Ended, Installer, Machine, Questions},
};
use crate::{
    error::{AgentError, AgentResult, Kind, OrFail as _},
    execute::install::Progress,
};
use draw::draw;
use model::{Key, Model, Wish};

/// The columns and lines that every terminal has (DEC's VT100 and all that came after).
const SMALLEST: (u16, u16) = (80, 24);
/// A slow serial line draws so often at most.
const FRAME: Duration = Duration::from_millis(200);

/// Asks on the terminal, installs, and says what to do with the machine.
pub(super) fn run(installer: &mut dyn Installer, questions: Questions) -> AgentResult<Ended> {
    let machine = Machine::of(installer)?;
    let form = match questions {
        Questions::All => Some(Form::default()),
        Questions::DiskOnly => None,
    };
    let mut model = Model::new(machine, form);
    let mut terminal = terminal().or_fail(Kind::Host)?;
    let ended = talk(&mut terminal, &mut event::read, &mut model, installer);
    // The first error is the one to tell.
    let restored = ratatui::try_restore().or_fail(Kind::Host);
    let ended = ended?;
    restored.map(|()| ended)
}

/// The whole terminal; a serial line does not know how large that is, and says 0 × 0.
fn terminal() -> io::Result<DefaultTerminal> {
    match crossterm::terminal::size()? {
        (0, _) | (_, 0) => {
            let viewport = Viewport::Fixed(Rect::new(0, 0, SMALLEST.0, SMALLEST.1));
            let terminal = ratatui::try_init_with_options(TerminalOptions { viewport })?;
            // `Terminal::clear` would ask where the cursor is, and such a line may have nobody who answers.
            execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All))?;
            Ok(terminal)
        }
        (_, _) => ratatui::try_init(),
    }
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
        Some(Err(mistakes)) => Err(Mistake::list(&mistakes)),
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
