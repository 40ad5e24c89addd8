//! What `cargo xtask test` prepares once and tests share: the image, the programs, other people's tools.

#![allow(clippy::panic, reason = "a test fails by panicking, with the command that provides what is missing")]

use basalt_exec::command::{Command, Finished, Program};
use basalt_vm::Running;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The folder with the image that `cargo xtask test` built from `examples/edge/recipe.yaml`.
#[derive(Clone, Debug)]
pub struct TestImage {
    folder: PathBuf,
    disk: PathBuf,
}

/// Who may log in on the serial console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password in the clear: an example's, published with it.
    pub password: String,
}

/// The user of `examples/edge/recipe.yaml`.
const EXAMPLE_USER: (&str, &str) = ("admin", "basalt");

/// The shared image.
///
/// # Panics
/// When `BASALT_TEST_IMAGE` is unset or its folder holds no single `.raw` file.
#[track_caller]
pub fn test_image() -> TestImage {
    TestImage::in_folder(from_environment("BASALT_TEST_IMAGE"))
}

/// A program of ours (`basalt`, `basalt-agent`, `basalt-init`) from the folder that `cargo xtask dist` fills.
///
/// # Panics
/// When `BASALT_DIST` is unset or lacks it.
#[track_caller]
pub fn basalt_program(name: &str) -> PathBuf {
    let dist = from_environment("BASALT_DIST");
    let found = ["bin", "lib/basalt"].map(|folder| dist.join(folder).join(name));
    let Some(program) = found.into_iter().find(|path| path.is_file()) else {
        panic!("`{}` holds no `{name}`: run `cargo xtask dist`", dist.display());
    };
    program
}

/// Finds a tool of the host; `package` is the Debian package that has it.
///
/// # Panics
/// When it is not installed.
#[track_caller]
pub fn require_tool(name: &str, package: &'static str) -> Program {
    match Program::find(name, package) {
        Ok(program) => program,
        Err(error) => panic!("{error} (or `cargo xtask setup`)"),
    }
}

/// Runs a tool of the host to its end, whatever its exit status.
///
/// # Panics
/// When it is not installed, can't be started or takes more than ten minutes.
#[track_caller]
pub fn run_tool(name: &str, package: &'static str, args: &[&str]) -> Finished {
    match Command::new(&require_tool(name, package)).args(args).finish() {
        Ok(finished) => finished,
        Err(error) => panic!("{error}"),
    }
}

/// How long something may take on this machine that takes `on_kvm` at full speed.
pub fn patience(machine: &Running, on_kvm: Duration) -> Duration {
    // Emulation on a loaded machine with two cores: a boot that takes 10 s takes 2 to 6 minutes.
    if machine.is_kvm() { on_kvm } else { on_kvm * 15 }
}

impl TestImage {
    /// The image in `folder`.
    ///
    /// # Panics
    /// When the folder holds no single `.raw` file.
    #[track_caller]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => panic!("can't read `{}`: {error}; run `cargo xtask test`", folder.display()),
        };
        let mut disks: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "raw"))
            .collect();
        disks.sort();
        match <[PathBuf; 1]>::try_from(disks) {
            Ok([disk]) => Self { folder, disk },
            Err(disks) => panic!("`{}` holds {} .raw files instead of one", folder.display(), disks.len()),
        }
    }

    /// Everything the build wrote.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The raw disk.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// The user of the example recipe.
    pub fn login(&self) -> Login {
        let (user, password) = EXAMPLE_USER;
        Login { user: user.to_owned(), password: password.to_owned() }
    }
}

/// A folder that `cargo xtask test` names in the environment.
#[track_caller]
pub(crate) fn from_environment(name: &str) -> PathBuf {
    match env::var_os(name) {
        Some(folder) => PathBuf::from(folder),
        None => panic!("{name} is not set: run this test through `cargo xtask test`"),
    }
}
