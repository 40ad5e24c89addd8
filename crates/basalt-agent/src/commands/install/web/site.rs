//! What the page is at: requests and news of the work change it, and it says what to show. Touches nothing.

use std::time::Instant;

use basalt_node::install::{BlockDisk, InstallPlan};
use basalt_spec::node::After;

use super::{
    super::{
        form::{Field, Form, Mistake},
        installer::{Machine, Questions},
    },
    door::{Door, Entry, Pass},
    http::{Method, Request, Response, Status},
    pages::{self, Frame},
};
use crate::{error::AgentResult, execute::install::Progress};

/// What has been asked so far.
pub(super) struct Site {
    pub(super) door: Door,
    pub(super) title: String,
    pub(super) disks: Vec<(BlockDisk, Option<String>)>,
    pub(super) cards: Vec<String>,
    /// The device that was chosen.
    disk: String,
    /// None where a document was given.
    form: Option<Form>,
    mistakes: Vec<Mistake>,
    message: Option<String>,
    pub(super) stage: Stage,
}

/// Where a person is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Asking,
    Planning,
    Planned(InstallPlan),
    Writing(Writing),
    Installed { device: String },
    Failed { device: String },
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writing {
    pub(super) device: String,
    pub(super) step: String,
    pub(super) progress: Option<Progress>,
}

/// What is to be done beside the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// A code was used: the console shows the next one.
    NextCode,
    Work(Work),
    Leave(After),
}

/// What takes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Plan { device: String, document: Option<String> },
    Install(InstallPlan),
}

impl Site {
    pub(super) fn new(door: Door, machine: Machine, questions: Questions) -> Self {
        let Machine { title, disks, cards } = machine;
        let form = (questions == Questions::All).then(Form::default);
        // Nobody has to choose where there is no choice.
        let mut free = disks.iter().filter(|(_, problem)| problem.is_none());
        let disk = match (free.next(), free.next()) {
            (Some((disk, _)), None) => disk.device.clone(),
            (Some(_), Some(_)) | (None, _) => String::new(),
        };
        Self {
            door,
            title,
            disks,
            cards,
            disk,
            form,
            mistakes: Vec::new(),
            message: None,
            stage: Stage::Asking,
        }
    }

    /// Answers a browser.
    pub(super) fn answer(&mut self, request: &Request, now: Instant) -> (Response, Act) {
        let to = (request.method, request.path.as_str());
        if to == (Method::Post, "/enter") {
            return self.enter(request.field("code"), now);
        }
        let Some(pass) = self.door.pass(request.cookie.as_deref()).cloned() else {
            let status = if request.method == Method::Get { Status::Ok } else { Status::Forbidden };
            return (Response::page(status, pages::door(&self.title, None)), Act::Nothing);
        };
        let alone = |status, message| {
            let frame = Frame { title: &self.title, token: "", message };
            (Response::page(status, pages::nothing(&frame)), Act::Nothing)
        };
        match request.method {
            Method::Get if request.path == "/" => {
                (Response::page(Status::Ok, self.page(&pass)), Act::Nothing)
            }
            Method::Get => alone(Status::NotFound, None),
            Method::Post if !pass.knows(request.field("token")) => {
                alone(Status::Forbidden, Some("This form is not from this page."))
            }
            Method::Post => match self.change(request) {
                Some(Act::Leave(after)) => {
                    let frame = Frame { title: &self.title, token: "", message: None };
                    (Response::page(Status::Ok, pages::left(&frame, after)), Act::Leave(after))
                }
                Some(act) => (Response::see_other(), act),
                None => {
                    let frame =
                        Frame { title: &self.title, token: "", message: Some("This is not to be done now.") };
                    (Response::page(Status::BadRequest, pages::nothing(&frame)), Act::Nothing)
                }
            },
        }
    }

    fn enter(&mut self, code: &str, now: Instant) -> (Response, Act) {
        let refused = |status, message: &str| {
            (Response::page(status, pages::door(&self.title, Some(message))), Act::Nothing)
        };
        match self.door.enter(code, now) {
            Entry::Open => {
                let cookie = self.door.newest().map(|pass| pass.cookie.clone());
                (Response { cookie, ..Response::see_other() }, Act::NextCode)
            }
            Entry::Wrong => refused(Status::Forbidden, "This is not the code on the console."),
            Entry::Shut(left) => {
                let seconds = left.as_secs() + 1;
                refused(Status::TooMany, &format!("Too many wrong codes. Try again in {seconds} seconds."))
            }
        }
    }

    /// What a form changes; none when it is not its time.
    fn change(&mut self, request: &Request) -> Option<Act> {
        self.message = None;
        let (stage, act) = match (request.path.as_str(), &self.stage) {
            ("/plan", Stage::Asking | Stage::Planned(_)) => return Some(self.plan(request)),
            ("/back", Stage::Planned(_) | Stage::Failed { .. }) => (Stage::Asking, Act::Nothing),
            ("/install", Stage::Planned(plan)) => {
                let device = plan.target.device.clone();
                if request.field("agreed") != device {
                    self.message = Some(format!("type {device} to agree that it is erased"));
                    return Some(Act::Nothing);
                }
                let step = "The disk is taken".to_owned();
                let act = Act::Work(Work::Install(plan.clone()));
                (Stage::Writing(Writing { device, step, progress: None }), act)
            }
            ("/reboot", Stage::Installed { .. }) => return Some(Act::Leave(After::Reboot)),
            ("/poweroff", Stage::Installed { .. }) => return Some(Act::Leave(After::PowerOff)),
            (
                _,
                Stage::Asking
                | Stage::Planning
                | Stage::Planned(_)
                | Stage::Writing(_)
                | Stage::Installed { .. }
                | Stage::Failed { .. },
            ) => return None,
        };
        self.stage = stage;
        Some(act)
    }

    fn plan(&mut self, request: &Request) -> Act {
        self.stage = Stage::Asking;
        self.mistakes.clear();
        request.field("disk").clone_into(&mut self.disk);
        if let Some(form) = &mut self.form {
            for field in Field::ALL {
                request.field(field.name()).clone_into(form.get_mut(field));
            }
        }
        let document = match self.form.as_ref().map_or(Ok(None), Form::document) {
            Ok(document) => document,
            Err(mistakes) => {
                self.message = Some(Mistake::list(&mistakes));
                self.mistakes = mistakes;
                return Act::Nothing;
            }
        };
        let is_free =
            |(disk, problem): &(BlockDisk, Option<String>)| disk.device == self.disk && problem.is_none();
        if !self.disks.iter().any(is_free) {
            self.message = Some("Disk: choose one".to_owned());
            return Act::Nothing;
        }
        self.stage = Stage::Planning;
        Act::Work(Work::Plan { device: self.disk.clone(), document })
    }

    /// A plan was made, or refused.
    pub(super) fn planned(&mut self, plan: AgentResult<InstallPlan>) {
        match plan {
            Ok(plan) => self.stage = Stage::Planned(plan),
            Err(error) => (self.stage, self.message) = (Stage::Asking, Some(error.to_string())),
        }
    }

    /// A step has begun.
    pub(super) fn begins(&mut self, step: String) {
        if let Stage::Writing(writing) = &mut self.stage {
            (writing.step, writing.progress) = (step, None);
        }
    }

    /// It is so far.
    pub(super) fn progress(&mut self, progress: Progress) {
        if let Stage::Writing(writing) = &mut self.stage {
            writing.progress = Some(progress);
        }
    }

    /// It has ended.
    pub(super) fn ended(&mut self, result: AgentResult<()>) {
        let Stage::Writing(Writing { device, .. }) = &self.stage else { return };
        let device = device.clone();
        self.stage = match result {
            Ok(()) => Stage::Installed { device },
            Err(error) => {
                self.message = Some(error.to_string());
                Stage::Failed { device }
            }
        };
    }

    fn page(&self, pass: &Pass) -> String {
        let frame = Frame { title: &self.title, token: &pass.token, message: self.message.as_deref() };
        match &self.stage {
            Stage::Asking => {
                let Self { disks, disk, cards, form, mistakes, .. } = self;
                let form = form.as_ref();
                pages::questions(&frame, &pages::Questions { disks, disk, cards, form, mistakes })
            }
            Stage::Planning => pages::planning(&frame),
            Stage::Planned(plan) => pages::summary(&frame, plan, self.form.as_ref()),
            Stage::Writing(writing) => pages::writing(&frame, writing),
            Stage::Installed { device } => pages::done(&frame, device),
            Stage::Failed { device } => pages::failed(&frame, device),
        }
    }
}
