//! `cargo xtask tidy`: what the compiler does not check. Every rule is a pure function from facts to complaints, each of
//! which says what to do.

mod facts;
mod rules;
#[cfg(test)]
mod tests;

use crate::{
    error::{Done, TaskError},
    report::say,
};

use facts::Facts;

/// A rule: its name, and what breaks it.
type Rule = (&'static str, fn(&Facts) -> Vec<String>);

const RULES: [Rule; 9] = [
    ("walls between crates", rules::walls),
    ("every crate has the workspace's lints", rules::lints),
    ("clippy.toml files agree", rules::clippy),
    ("modules have at most 800 lines", rules::sizes),
    ("unsafe code is basalt-exec's", rules::unsafe_code),
    ("no test is ignored", rules::ignored_tests),
    ("no host of a registry or mirror is named", rules::hosts),
    ("generated files are current", rules::generated),
    ("documents exist and are linked", rules::documents),
];

/// Runs the task.
pub(crate) fn run() -> Done {
    let facts = Facts::observe()?;
    let complaints: Vec<String> = RULES.iter().flat_map(|(_, rule)| rule(&facts)).collect();
    if complaints.is_empty() {
        say(format!("tidy: {} rules hold for {} files", RULES.len(), facts.files.len()));
        return Ok(());
    }
    Err(TaskError::Untidy(complaints))
}
