//! A Debian trixie tree with tools that are newer than the host's: systemd-dissect, ukify, erofs-utils 1.8, mkosi.

#![allow(clippy::panic, reason = "a test fails by panicking, with the command that provides what is missing")]

use basalt_exec::command::{Command, Finished};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::fixtures::{from_environment, require_tool};

/// The tree that `cargo xtask test` makes under `target/peers/trixie`.
#[derive(Clone, Debug)]
pub struct Trixie {
    tree: PathBuf,
}

/// Enters the tree in a mount namespace of its own, so nothing stays mounted, and by `pivot_root`, so that programs in it
/// may make user namespaces (the kernel refuses them to a chrooted process). Arguments: the tree, a folder that is seen
/// inside under the same path, then the program.
const ENTER: &str = r#"
set -eu
tree=$1 share=$2; shift 2
mount --bind "$tree" "$tree"
for folder in proc sys dev; do mount --rbind "/$folder" "$tree/$folder"; done
for folder in run tmp; do mount -t tmpfs tmpfs "$tree/$folder"; done
[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf > "$tree/etc/resolv.conf"
mkdir -p "$tree$share" "$tree/run/before"
mount --rbind "$share" "$tree$share"
cd "$tree"
pivot_root . run/before
cd /
umount -l /run/before
exec "$@"
"#;

impl Trixie {
    /// The shared tree.
    ///
    /// # Panics
    /// When `BASALT_TRIXIE_TREE` is unset.
    #[track_caller]
    pub fn from_environment() -> Self {
        Self::at(from_environment("BASALT_TRIXIE_TREE"))
    }

    /// A tree at `tree`.
    pub fn at(tree: impl Into<PathBuf>) -> Self {
        Self { tree: tree.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.tree
    }

    /// Plans a run of `program` inside (needs root); `share` is a folder seen there under the same path.
    ///
    /// # Panics
    /// When the host has no `unshare`.
    #[track_caller]
    pub fn command(&self, share: &Path, program: &str) -> Command {
        Command::new(&require_tool("unshare", "util-linux"))
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"])
            .args([&self.tree, share])
            .arg(program)
            .timeout(Duration::from_secs(3600))
    }

    /// Runs `program` inside to its end, whatever its exit status.
    ///
    /// # Panics
    /// When it can't be started.
    #[track_caller]
    pub fn run(&self, share: &Path, program: &str, args: &[&str]) -> Finished {
        match self.command(share, program).args(args).finish() {
            Ok(finished) => finished,
            Err(error) => panic!("{error}"),
        }
    }
}
