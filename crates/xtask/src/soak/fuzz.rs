//! Hostile bytes for our readers: `crates/basalt-formats/benches/fuzz_*.rs` do it, optimised.

use crate::{
    error::{Done, TaskError},
    tool,
};

/// What is fuzzed by a program of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Readers {
    /// The reader of EROFS images
    Erofs,
    /// Every other parser of what somebody else may have written
    Parsers,
}

impl Readers {
    /// The name of its program, without `fuzz_`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Parsers => "parsers",
        }
    }
}

/// Runs so many executions and gives what the program says of them.
pub(super) fn run(readers: Readers, executions: u64, seed: u64) -> Done<String> {
    let program = format!("fuzz_{}", readers.name());
    let bench = ["bench", "--quiet", "--package", "basalt-formats", "--bench", &program, "--"];
    let numbers = [executions, seed].map(|number| number.to_string());
    let said = tool::cargo(bench)?.args(numbers).timeout(std::time::Duration::from_secs(7200)).run()?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if said.is_empty() { Err(TaskError::Broken("the fuzzer said nothing".to_owned())) } else { Ok(said) }
}
