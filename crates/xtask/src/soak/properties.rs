//! Property tests: each run draws new cases; what fails is kept by proptest beside the test, to be run first next time.

use super::super::{error::Done, report::say, tool};

/// The crates without effects.
const CRATES: [&str; 6] =
    ["basalt-types", "basalt-formats", "basalt-debian", "basalt-spec", "basalt-image", "basalt-node"];

/// Runs them `count` times.
pub(super) fn run(count: u32, cases: u32) -> Done<String> {
    let packages = CRATES.iter().flat_map(|name| ["--package", name]);
    let cargo = tool::cargo(["test", "--quiet", "--lib", "--test", "*propert*"])?.args(packages);
    for round in 1..=count {
        tool::watch(cargo.clone().env("PROPTEST_CASES", cases.to_string()))?;
        say(format!("soak: {round}/{count}"));
    }
    Ok(format!("{count} runs of the unit and property tests of {} crates: no failure", CRATES.len()))
}
