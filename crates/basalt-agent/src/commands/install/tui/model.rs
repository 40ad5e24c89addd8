use basalt_node::install::{BlockDisk, InstallPlan, InstallStep};
use basalt_spec::node::After;

use super::super::{
    form::{Field, Form, Mistake},
    installer::Machine,
};
use crate::execute::install::Progress;

/// Everything that is on the screen. Keys change it, and drawing reads it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// What is installed, such as `edge 0.1.0`.
    pub(super) title: String,
    pub(super) screen: Screen,
    /// Every disk, and why it can't be taken.
    pub(super) disks: Vec<(BlockDisk, Option<String>)>,
    pub(super) disk: usize,
    /// The names of the network cards.
    pub(super) cards: Vec<String>,
    /// None where a document was given.
    pub(super) form: Option<Form>,
    pub(super) field: usize,
    /// What is wrong, or went wrong.
    pub(super) message: Option<String>,
    pub(super) plan: Option<InstallPlan>,
    /// The first line of the plan that is shown.
    pub(super) scroll: u16,
    /// What was typed to agree.
    pub(super) typed: String,
    pub(super) step: Option<Step>,
}

/// What is asked or shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    Disk,
    Form,
    Summary,
    Writing,
    Done,
    Failed,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) number: usize,
    pub(super) of: usize,
    pub(super) text: String,
    pub(super) progress: Option<Progress>,
}

/// A key, as far as one means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Enter,
    Escape,
    Backspace,
    Letter(char),
    Interrupt,
}

/// What is to be done outside of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Make the plan for the chosen disk, and show it.
    Plan,
    /// Follow the plan.
    Install,
    /// End, and do this with the machine.
    After(After),
    Quit,
}

impl Model {
    pub(super) fn new(machine: Machine, form: Option<Form>) -> Self {
        let Machine { title, disks, cards } = machine;
        let disk = disks.iter().position(|(_, problem)| problem.is_none()).unwrap_or(0);
        Self {
            title,
            screen: Screen::Disk,
            disks,
            disk,
            cards,
            form,
            field: 0,
            message: None,
            plan: None,
            scroll: 0,
            typed: String::new(),
            step: None,
        }
    }

    /// The device that must be typed to agree.
    pub(super) fn device(&self) -> &str {
        self.disks.get(self.disk).map_or("", |(disk, _)| &disk.device)
    }

    /// What a key does.
    pub(super) fn press(&mut self, key: Key) -> Wish {
        if key == Key::Interrupt && self.screen != Screen::Writing {
            return Wish::Quit;
        }
        match self.screen {
            Screen::Disk => self.press_disk(key),
            Screen::Form => self.press_form(key),
            Screen::Summary => self.press_summary(key),
            // Nothing stops it in the middle of a write.
            Screen::Writing => Wish::Nothing,
            Screen::Done => match key {
                Key::Enter | Key::Letter('r') => Wish::After(After::Reboot),
                Key::Letter('p') => Wish::After(After::PowerOff),
                Key::Escape | Key::Letter('q') => Wish::Quit,
                Key::Up | Key::Down | Key::Backspace | Key::Letter(_) | Key::Interrupt => Wish::Nothing,
            },
            Screen::Failed => Wish::Quit,
        }
    }

    fn press_disk(&mut self, key: Key) -> Wish {
        let last = self.disks.len().saturating_sub(1);
        match key {
            Key::Up => self.disk = self.disk.saturating_sub(1),
            Key::Down => self.disk = (self.disk + 1).min(last),
            Key::Enter => match self.disks.get(self.disk) {
                None => self.message = Some("this machine has no disk".to_owned()),
                Some((_, Some(problem))) => self.message = Some(problem.clone()),
                Some((_, None)) => return self.after_disk(),
            },
            Key::Escape => return Wish::Quit,
            Key::Backspace | Key::Letter(_) | Key::Interrupt => {}
        }
        if key != Key::Enter {
            self.message = None;
        }
        Wish::Nothing
    }

    fn after_disk(&mut self) -> Wish {
        self.message = None;
        if self.form.is_some() {
            self.screen = Screen::Form;
            Wish::Nothing
        } else {
            Wish::Plan
        }
    }

    fn press_form(&mut self, key: Key) -> Wish {
        let Some(form) = &mut self.form else { return Wish::Plan };
        let field = Field::ALL[self.field.min(Field::ALL.len() - 1)];
        self.message = None;
        match key {
            Key::Up => self.field = self.field.saturating_sub(1),
            Key::Down => self.field = (self.field + 1).min(Field::ALL.len() - 1),
            Key::Letter(letter) => form.get_mut(field).push(letter),
            Key::Backspace => drop(form.get_mut(field).pop()),
            Key::Escape => self.screen = Screen::Disk,
            Key::Enter if self.field + 1 < Field::ALL.len() => self.field += 1,
            Key::Enter => match form.document() {
                Ok(_) => return Wish::Plan,
                Err(mistakes) => self.message = Some(Mistake::list(&mistakes)),
            },
            Key::Interrupt => {}
        }
        Wish::Nothing
    }

    fn press_summary(&mut self, key: Key) -> Wish {
        self.message = None;
        match key {
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::Down => self.scroll = self.scroll.saturating_add(1),
            Key::Letter(letter) => self.typed.push(letter),
            Key::Backspace => drop(self.typed.pop()),
            Key::Escape => {
                self.typed.clear();
                self.screen = if self.form.is_some() { Screen::Form } else { Screen::Disk };
            }
            Key::Enter if self.typed.trim() == self.device() => {
                self.screen = Screen::Writing;
                return Wish::Install;
            }
            Key::Enter => {
                self.message = Some(format!("type {} to agree that it is erased", self.device()));
            }
            Key::Interrupt => {}
        }
        Wish::Nothing
    }

    /// The plan that was wished for, or why there is none.
    pub(super) fn planned(&mut self, plan: Result<InstallPlan, String>) {
        match plan {
            Ok(plan) => {
                (self.plan, self.screen, self.scroll) = (Some(plan), Screen::Summary, 0);
                self.typed.clear();
            }
            Err(refusal) => self.message = Some(refusal),
        }
    }

    pub(super) fn begins(&mut self, number: usize, of: usize, step: &InstallStep) {
        let text = step.to_string();
        let text = text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
        self.step = Some(Step { number, of, text, progress: None });
    }

    pub(super) fn progress(&mut self, progress: Progress) {
        if let Some(step) = &mut self.step {
            step.progress = Some(progress);
        }
    }

    /// It ended.
    pub(super) fn ended(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => self.screen = Screen::Done,
            Err(error) => (self.screen, self.message) = (Screen::Failed, Some(error)),
        }
    }
}
