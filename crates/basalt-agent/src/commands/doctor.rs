//! `doctor`: what is wrong with this machine, and what to do. Observe, diagnose, report.

use std::process::ExitCode;

use basalt_node::doctor::{self, Finding};

use super::config::node_spec;
use crate::{
    error::{AgentResult, Kind, OrFail as _},
    observe, report,
};

/// Exit code 1 when something was found. Documents that can't be read are a finding of their own: how they are followed says so.
pub(crate) fn doctor(json: bool) -> AgentResult<ExitCode> {
    let findings = findings();
    let text = if json {
        serde_json::to_string_pretty(&findings).or_fail(Kind::Host)? + "\n"
    } else {
        doctor::text(&findings)
    };
    report::print(text.as_bytes())?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(super) fn findings() -> Vec<Finding> {
    let facts = match node_spec() {
        Ok(spec) => observe::doctor(Some(&spec)),
        Err(_) => observe::doctor(None),
    };
    doctor::diagnose(&facts)
}
