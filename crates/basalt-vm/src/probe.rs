//! Does KVM really run guest code here? The device node, its API version and even a created virtual CPU prove nothing
//! (nested and seccomp'ed hosts pass all of that and then stall), so a guest is run: the host's own BIOS and a boot sector
//! of ours that writes one byte to QEMU's `isa-debug-exit` port.

use crate::child::{Child, Stderr};
use serde::Serialize;
use std::{fs, io, path::Path, time::Duration};

/// What the probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum KvmState {
    /// Guest code ran.
    Works,
    /// It did not, and why.
    #[serde(rename_all = "camelCase")]
    Unusable {
        /// One line for people.
        reason: String,
    },
}

const DEADLINE: Duration = Duration::from_secs(5);
/// `isa-debug-exit` ends QEMU with `(value << 1) | 1`.
const MARKER: u8 = 0x2a;
const EXIT_CODE: i32 = ((MARKER as i32) << 1) | 1;

/// A floppy's boot sector: `mov al, MARKER; out 0xf4, al; hlt; jmp $-1`, and the BIOS's signature in its last two bytes.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..7].copy_from_slice(&[0xb0, MARKER, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Runs the probe; takes at most five seconds, a tenth of one when KVM works.
pub(crate) fn probe(qemu: Option<&Path>) -> KvmState {
    let Some(qemu) = qemu else {
        return unusable("qemu-system-x86_64 is not installed");
    };
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        let kind = error.kind();
        return unusable(if kind == io::ErrorKind::NotFound {
            "there is no /dev/kvm".to_owned()
        } else if kind == io::ErrorKind::PermissionDenied {
            "no permission to open /dev/kvm (is the user in the group `kvm`?)".to_owned()
        } else {
            format!("/dev/kvm can't be opened: {error}")
        });
    }
    match run_guest(qemu, "kvm", "host") {
        Ok(()) => KvmState::Works,
        Err(reason) => unusable(reason),
    }
}

/// Runs the boot sector under `accel`; the error is one line for people.
pub(crate) fn run_guest(qemu: &Path, accel: &str, cpu: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let floppy = folder.path().join("probe.img");
    fs::write(&floppy, boot_sector()).map_err(|error| format!("can't write the probe: {error}"))?;
    let argv = [
        "-machine",
        "pc",
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-m",
        "16",
        "-nodefaults",
        "-display",
        "none",
        "-nic",
        "none",
        "-no-reboot",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
        "-drive",
    ];
    let mut argv: Vec<String> = argv.map(str::to_owned).to_vec();
    argv.push(format!("file={},format=raw,if=floppy,readonly=on", crate::plan::escape(&floppy)));
    let mut child = Child::start(qemu, &argv, None, Stderr::Keep(folder.path().join("stderr")))
        .map_err(|error| format!("QEMU does not start: {error}"))?;
    match child.wait(DEADLINE) {
        Ok(Some(status)) if status.code() == Some(EXIT_CODE) => Ok(()),
        Ok(Some(status)) => {
            Err(format!("a test guest ended with {status}: {}", last_line(&child.stderr_tail())))
        }
        Ok(None) => Err(format!("a test guest did not run within {} s", DEADLINE.as_secs())),
        Err(error) => Err(format!("a test guest can't be watched: {error}")),
    }
}

fn unusable(reason: impl Into<String>) -> KvmState {
    KvmState::Unusable { reason: reason.into() }
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message")
}
