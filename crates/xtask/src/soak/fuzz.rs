//! Hostile images for the reader of EROFS: `crates/basalt-formats/benches/fuzz_erofs.rs` does it, optimised.

use crate::{
    error::{Done, TaskError},
    tool,
};

/// Runs so many executions and gives what the program says of them.
pub(super) fn run(executions: u64, seed: u64) -> Done<String> {
    let bench = ["bench", "--quiet", "--package", "basalt-formats", "--bench", "fuzz_erofs", "--"];
    let numbers = [executions, seed].map(|number| number.to_string());
    let said = tool::cargo(bench)?.args(numbers).timeout(std::time::Duration::from_secs(7200)).run()?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if said.is_empty() { Err(TaskError::Broken("the fuzzer said nothing".to_owned())) } else { Ok(said) }
}
