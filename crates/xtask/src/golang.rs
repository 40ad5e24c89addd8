//! Other people's tools that are written in Go and not in Debian 12: programs under `target/peers/go/bin`.

use std::path::{Path, PathBuf};

use basalt_exec::command::Command;

use crate::{error::Done, peers, tool};

/// A client of registries, and the program that signs as we do.
const PACKAGES: [&str; 2] =
    ["oras.land/oras/cmd/oras@v1.3.6", "github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5"];

/// The tree; see [`peers::kept`].
pub(crate) fn tree() -> Done<PathBuf> {
    peers::kept("go", "BASALT_GO_TREE", &PACKAGES, |tree| {
        go(Path::new("/"))?;
        peers::begin(tree)?;
        tool::create_folder(tree)?;
        let run = |arguments: &[&str]| tool::watch(go(tree)?.args(arguments));
        run(&["mod", "init", "basalt.invalid/peers"])?;
        for package in PACKAGES {
            run(&["get", "-tool", package])?;
        }
        run(&["build", "-trimpath", "-o", "bin/", "tool"])
    })
}

/// Plans a run of Go: 1.24 or later, which knows `-tool`. Its own archive is not in the search path, and Debian 12's is too old.
fn go(folder: &Path) -> Done<Command> {
    let own = Path::new("/usr/local/go/bin/go");
    let name = if own.exists() { &own.display().to_string() } else { "go" };
    Ok(tool::plan(name, "golang-1.24-go, of bookworm-backports or later")?
        .directory(folder)
        .env("CGO_ENABLED", "0"))
}
