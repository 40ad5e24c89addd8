//! Scripts of the document's at named stages.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use basalt_exec::{
    command::{Command, CommandError, Exit, Program},
    files::{Access, FileError, write_atomic},
};
use basalt_node::reconcile::{HookRun, hooks};
use basalt_spec::node::{NodeSpec, Stage};

use super::{Event, Log, System, chain, state};
use crate::error::AgentResult;

/// Where scripts are while they run: they may hold secrets, so nobody else looks there. In memory.
const FOLDER: &str = "/run/basalt/hooks";

#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("can't make {FOLDER}")]
    Folder(#[source] io::Error),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Program(#[from] CommandError),
    #[error("it {exit}: {}", .tail.trim_end())]
    Failed { exit: Exit, tail: String },
}

/// Runs the scripts of a stage one after another; gives those that failed. One that runs once and has succeeded is remembered
/// before the next one starts: after a loss of power it may run again, but is never left out.
pub(crate) fn run(spec: &NodeSpec, stage: Stage, system: &System, log: Log<'_>) -> AgentResult<Vec<String>> {
    let record = state::read_record(system)?;
    let mut failures = Vec::new();
    for hook in hooks(spec, stage, &record) {
        let name = hook.name.as_str();
        match execute(&hook) {
            Ok(()) => {
                log(&Event::Hook { name, message: "done" });
                if hook.once {
                    let mut record = state::read_record(system)?;
                    record.hooks.insert(hook.name.clone());
                    state::write_record(system, &record)?;
                }
            }
            Err(error) => {
                let message = format!("hook {name}: {}", chain(&error));
                log(&Event::Hook { name, message: &message });
                failures.push(message);
            }
        }
    }
    Ok(failures)
}

fn execute(hook: &HookRun) -> Result<(), HookError> {
    let HookRun { name, script, timeout, once: _ } = hook;
    DirBuilder::new().recursive(true).mode(0o700).create(FOLDER).map_err(HookError::Folder)?;
    let path = Path::new(FOLDER).join(name.as_str());
    write_atomic(&path, script.as_bytes(), Access::Program)?;
    let finished = Command::new(&Program::at(&path)?).timeout(*timeout).finish();
    fs::remove_file(&path).map_err(HookError::Folder)?;
    let finished = finished?;
    match finished.exit {
        Exit::Code(0) => Ok(()),
        exit @ (Exit::Code(_) | Exit::Signal(_)) => {
            Err(HookError::Failed { exit, tail: finished.stderr_tail })
        }
    }
}
