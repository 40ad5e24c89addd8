use std::time::Duration;

use basalt_exec::command::{Command, Exit, Program};
use basalt_spec::FileSystem;
use basalt_types::Guid;

use super::{ExecuteError, Volume};

/// e2fsck(8): 1 means that errors were corrected, 2 that the machine should be rebooted if it was mounted.
const CORRECTED: i32 = 1 | 2;
/// A check of a large and badly damaged disk takes hours; killing it would help nobody.
const CHECK_TIME: Duration = Duration::from_secs(24 * 3600);

/// Makes a file system over whatever is there.
pub(super) fn make(volume: &Volume, kind: FileSystem, label: &str, uuid: Guid) -> Result<(), ExecuteError> {
    let Volume { path, part } = volume;
    let uuid = uuid.to_string();
    let command = match kind {
        FileSystem::Ext4 => {
            let command = Command::new(&Program::find("mkfs.ext4", "e2fsprogs")?);
            // 1 % for root is enough to log in on a full disk; 5 % of a large one is a waste.
            command.args(["-q", "-F", "-m", "1", "-L", label, "-U", &uuid])
        }
        FileSystem::Xfs => {
            let command = Command::new(&Program::find("mkfs.xfs", "xfsprogs")?);
            command.args(["-q", "-f", "-L", label, "-m", &format!("uuid={uuid}")])
        }
        FileSystem::Btrfs => {
            let command = Command::new(&Program::find("mkfs.btrfs", "btrfs-progs")?);
            command.args(["-q", "-f", "-L", label, "-U", &uuid])
        }
    };
    let command = match part {
        None => command.arg(path),
        Some((start, size)) => {
            command.arg("-E").arg(format!("offset={start}")).arg(path).arg(format!("{}k", size / 1024))
        }
    };
    command.run()?;
    Ok(())
}

/// Repairs what can be repaired without asking. XFS and btrfs do it themselves when they are mounted.
pub(super) fn check(volume: &Volume, kind: FileSystem) -> Result<(), ExecuteError> {
    match kind {
        FileSystem::Ext4 => check_ext4(volume),
        FileSystem::Xfs | FileSystem::Btrfs => Ok(()),
    }
}

fn check_ext4(volume: &Volume) -> Result<(), ExecuteError> {
    let target = match volume.part {
        None => volume.path.clone().into_os_string(),
        Some((start, _)) => format!("{}?offset={start}", volume.path.display()).into(),
    };
    let e2fsck = Program::find("e2fsck", "e2fsprogs")?;
    let finished = Command::new(&e2fsck).arg("-p").arg(&target).timeout(CHECK_TIME).finish()?;
    match finished.exit {
        Exit::Code(code) if code & !CORRECTED == 0 => Ok(()),
        Exit::Code(code) | Exit::Signal(code) => Err(ExecuteError::Broken {
            program: "e2fsck",
            path: volume.path.clone(),
            code,
            said: last_words(&finished.stdout, &finished.stderr_tail),
        }),
    }
}

fn last_words(output: &[u8], errors: &str) -> String {
    let output = String::from_utf8_lossy(output);
    let lines: Vec<&str> =
        output.lines().chain(errors.lines()).filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}
