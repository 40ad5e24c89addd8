//! `plan`, `apply`, `reconcile`: making this machine as its documents say, and saying what that would change.
//!
//! Where the daemon runs, it is the one that does it; these commands ask it. Otherwise they do it themselves.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    process::ExitCode,
};

use basalt_exec::files::{Access, write_atomic};
use basalt_node::reconcile::{Phase, Report};
use basalt_spec::node::Stage;
use clap::Args;

use crate::{
    daemon::{self, Answer, Request},
    documents::{self, LOCAL_DOCUMENT, Source},
    error::{AgentError, AgentResult, Kind, OrFail as _},
    reconcile::{self, Event, System, Wish},
    report::print,
};

/// What may be typed behind `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// A document that is kept and counts more than all others, by its file or its https:// address; what it does not say is as
    /// before. Without one, the documents that are there are followed
    file: Option<String>,
    /// Forget the document that was given before
    #[arg(long, conflicts_with = "file")]
    remove: bool,
    /// Print JSON for a program
    #[arg(long)]
    json: bool,
}

impl ApplyArguments {
    /// This document.
    pub(crate) fn of(file: &str, json: bool) -> Self {
        Self { file: Some(file.to_owned()), remove: false, json }
    }
}

/// `plan`: what differs between this machine and its documents; exit code 1 if something does.
pub(crate) fn plan(json: bool) -> AgentResult<ExitCode> {
    let (plan, text, empty) = match daemon::ask(&Request::Plan)? {
        Some(Answer::Plan { plan, text, empty }) => (plan, text, empty),
        Some(other) => return Err(other.unexpected()),
        None => {
            let plan = reconcile::plan(&Wish::observe()?, Phase::Running)?;
            (serde_json::to_value(&plan).or_fail(Kind::Host)?, plan.to_string(), plan.steps.is_empty())
        }
    };
    if json {
        print(format!("{plan:#}\n").as_bytes())?
    } else {
        print(text.as_bytes())?
    }
    Ok(if empty { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `apply`: keeps a document, if one is given, and follows all of them.
pub(crate) fn apply(arguments: &ApplyArguments) -> AgentResult<ExitCode> {
    let ApplyArguments { file, remove, json } = arguments;
    let document = match file {
        Some(place) => Some(documents::given(place)?.text),
        None => None,
    };
    let request = if *remove { Request::Forget } else { Request::Apply { document } };
    let report = match daemon::ask(&request)? {
        Some(Answer::Applied { report }) => report,
        Some(other) => return Err(other.unexpected()),
        None => execute(&request, &mut |_event| {})?,
    };
    shown(&report, *json)
}

/// Keeps or forgets the document of this machine's own, and reconciles. Also what the daemon does when it is asked.
pub(crate) fn execute(request: &Request, log: reconcile::Log<'_>) -> AgentResult<Report> {
    let (folder, name) = LOCAL_DOCUMENT;
    let path = Path::new(folder).join(name);
    match request {
        Request::Apply { document: Some(text) } => {
            validate(&path, text)?;
            DirBuilder::new().recursive(true).mode(0o700).create(folder).or_fail(Kind::Host)?;
            write_atomic(&path, text.as_bytes(), Access::Secret).or_fail(Kind::Host)?;
        }
        Request::Forget => match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(AgentError::new(Kind::Host, error)),
        },
        Request::Apply { document: None } | Request::Plan | Request::Status => {}
    }
    reconcile::reconcile(Phase::Running, log)
}

/// The document is valid on top of the others, in the place of the one that was given before.
fn validate(path: &Path, text: &str) -> AgentResult<()> {
    let name = path.display().to_string();
    let others: Vec<Source> =
        documents::observe(None)?.into_iter().filter(|source| source.name != name).collect();
    let top = Source { name, text: text.to_owned(), form: documents::Form::Document };
    Wish::of(&others, Some(&top)).map(drop)
}

fn shown(report: &Report, json: bool) -> AgentResult<ExitCode> {
    if json {
        print(format!("{}\n", serde_json::to_string_pretty(report).or_fail(Kind::Host)?).as_bytes())?;
    } else {
        let done: String = report.done.iter().map(|step| format!("  {step}\n")).collect();
        print(format!("{done}{}", report.text()).as_bytes())?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `reconcile`: for the unit that runs early in a boot, before the services that read what is written.
pub(crate) fn reconcile_at_boot() -> AgentResult<ExitCode> {
    let log: reconcile::Log<'_> = &mut journal;
    let report = reconcile::reconcile(Phase::Early, log)?;
    let failures = reconcile::run_hooks(&Wish::observe()?.spec, Stage::Boot, &System::this()?, log)?;
    // A document that can't be followed whole is told by `status`; a boot that can't reconcile at all fails above.
    Ok(if failures.is_empty() && !report.has_failures() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// `hook STAGE`: for units that run at a stage.
pub(crate) fn shutdown_hooks() -> AgentResult<ExitCode> {
    if daemon::is_stopping() {
        reconcile::run_hooks(&Wish::observe()?.spec, Stage::Shutdown, &System::this()?, &mut journal)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The scripts of a stage around something else that is done. A document that can't be read has none, and must not keep a machine
/// from the release that can read it.
pub(crate) fn stage_hooks(stage: Stage) -> AgentResult<()> {
    let wish = match Wish::observe() {
        Ok(wish) => wish,
        Err(error) => {
            crate::report::failure(&error);
            return Ok(());
        }
    };
    if wish.spec.hooks.iter().all(|hook| hook.stage != stage) {
        return Ok(());
    }
    let failures = reconcile::run_hooks(&wish.spec, stage, &System::this()?, &mut |_event| {})?;
    if failures.is_empty() { Ok(()) } else { Err(AgentError::new(Kind::Refused, failures.join("; "))) }
}

/// One line of JSON for the journal. Nobody can be told that nobody can be told.
pub(crate) fn journal(event: &Event<'_>) {
    let line = serde_json::to_string(event).unwrap_or_default();
    match print(format!("{line}\n").as_bytes()) {
        Ok(()) | Err(_) => {}
    }
}
