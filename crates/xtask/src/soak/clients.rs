//! oras and cosign with our registry and our signatures: `crates/basalt-factory/benches/clients.rs` does it.

use std::time::Duration;

use crate::{
    demo,
    error::{Done, TaskError},
    golang, tool,
};

/// Runs both and gives what the program says of them.
pub(super) fn run() -> Done<String> {
    let factory = demo::shared()?.factory;
    let bench = ["bench", "--quiet", "--profile", "dev", "--package", "basalt-factory", "--bench", "clients"];
    let command = tool::cargo(bench)?
        .env("BASALT_NODE_DIR", factory.dist.join("lib/basalt"))
        .env("BASALT_CACHE", factory.cache)
        .env("BASALT_GO_TREE", golang::tree()?)
        .timeout(Duration::from_secs(3600));
    let said = String::from_utf8_lossy(&command.run()?).trim().to_owned();
    if said.is_empty() { Err(TaskError::Broken("the clients said nothing".to_owned())) } else { Ok(said) }
}
