use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use basalt_exec::command::{Command, Program};
use basalt_node::{HostKey, Step};

use super::ExecuteError;

/// Makes host keys in a directory.
#[derive(Debug)]
pub(crate) struct SshKeygen {
    pub(crate) directory: PathBuf,
}

impl SshKeygen {
    /// Does one step of making the identity.
    pub(crate) fn execute(&self, step: &Step) -> Result<(), ExecuteError> {
        match step {
            Step::GenerateHostKey { kind } => self.generate(*kind),
            Step::WriteTable { .. }
            | Step::AddPartition(_)
            | Step::ResizePartition(_)
            | Step::MakeFileSystem { .. }
            | Step::FinishPartition { .. }
            | Step::CheckFileSystem { .. }
            | Step::LinkData { .. }
            | Step::WriteCredential { .. } => Err(ExecuteError::NotMine(step.to_string())),
        }
    }

    /// The key is made in a directory of its own, flushed, and renamed into place: the public half first, for the
    /// private one decides whether the key is there.
    fn generate(&self, kind: HostKey) -> Result<(), ExecuteError> {
        let program = Program::find("ssh-keygen", "openssh-client")?;
        let fresh = self.directory.join(format!(".new-{kind}"));
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(failed("remove", &fresh))?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&fresh).map_err(failed("make", &fresh))?;
        let private = fresh.join(kind.file_name());
        Command::new(&program)
            .args(["-q", "-t", kind.name(), "-N", "", "-C", "", "-f"])
            .arg(&private)
            .run()?;
        let public = private.with_extension("pub");
        for file in [&public, &private] {
            File::open(file).and_then(|file| file.sync_all()).map_err(failed("flush", file))?;
        }
        for file in [&public, &private] {
            if let Some(name) = file.file_name() {
                let place = self.directory.join(name);
                fs::rename(file, &place).map_err(failed("make", &place))?;
            }
        }
        fs::remove_dir(&fresh).map_err(failed("remove", &fresh))?;
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(failed("flush", &self.directory))
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExecuteError {
    let path = path.to_owned();
    move |source| ExecuteError::File { action, path, source }
}
