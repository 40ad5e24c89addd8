//! Observing the host: which programs and firmware files it has.

use crate::{error::HostError, probe::KvmState};
use serde::Serialize;
use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What machines are made with on this host. A field is `None` when the thing is absent; that is refused only when a
/// machine needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// `qemu-system-x86_64`.
    pub qemu: Option<PathBuf>,
    /// `qemu-img`.
    pub qemu_img: Option<PathBuf>,
    /// `swtpm`.
    pub swtpm: Option<PathBuf>,
    /// `setpriv` of util-linux: gives a child a parent-death signal without `unsafe` code of ours.
    pub setpriv: Option<PathBuf>,
    /// OVMF code and its matching empty variable store.
    pub ovmf: Option<(PathBuf, PathBuf)>,
    /// The same of the build that enforces Secure Boot.
    pub ovmf_secure: Option<(PathBuf, PathBuf)>,
    /// Whether KVM runs guest code.
    pub kvm: KvmState,
}

/// Something a machine needs from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Tool {
    /// The emulator.
    Qemu,
    /// The disk image tool.
    QemuImg,
    /// The TPM emulator.
    Swtpm,
    /// The parent-death helper.
    Setpriv,
    /// UEFI firmware files.
    Ovmf,
    /// Those that enforce Secure Boot.
    OvmfSecure,
}

/// Where distributions keep 4 MiB OVMF builds without enforced Secure Boot: (code, empty variables).
const OVMF: [(&str, &str); 7] = [
    // Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora
    ("/usr/share/edk2/ovmf/OVMF_CODE_4M.fd", "/usr/share/edk2/ovmf/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    // openSUSE
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
];

/// The builds that enforce Secure Boot once keys are enrolled, which need system management mode.
const OVMF_SECURE: [(&str, &str); 5] = [
    // Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    // Fedora
    ("/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch
    ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    // openSUSE
    ("/usr/share/qemu/ovmf-x86_64-smm-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-vars.bin"),
];

/// The first pair whose files are both there.
fn firmware(places: &[(&str, &str)]) -> Option<(PathBuf, PathBuf)> {
    let pairs = places.iter().map(|(code, vars)| (PathBuf::from(code), PathBuf::from(vars)));
    pairs.into_iter().find(|(code, vars)| code.is_file() && vars.is_file())
}

impl Host {
    /// Looks once per process; the KVM probe runs a guest for at most five seconds.
    pub fn observe() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| {
            let qemu = find("qemu-system-x86_64");
            Self {
                kvm: crate::probe::probe(qemu.as_deref()),
                qemu,
                qemu_img: find("qemu-img"),
                swtpm: find("swtpm"),
                setpriv: setpriv().cloned(),
                ovmf: firmware(&OVMF),
                ovmf_secure: firmware(&OVMF_SECURE),
            }
        })
    }

    /// Which of the needed things are absent; empty when the machine can be made.
    pub fn missing(&self, needed: impl IntoIterator<Item = Tool>) -> Vec<Tool> {
        needed.into_iter().filter(|tool| !self.has(*tool)).collect()
    }

    /// Refuses when any of the needed things is absent.
    ///
    /// # Errors
    /// [`HostError::Missing`] names all of them and the packages that carry them.
    pub fn require(&self, needed: impl IntoIterator<Item = Tool>) -> Result<(), HostError> {
        let missing = self.missing(needed);
        if missing.is_empty() { Ok(()) } else { Err(HostError::Missing(missing)) }
    }

    fn has(&self, tool: Tool) -> bool {
        match tool {
            Tool::Qemu => self.qemu.is_some(),
            Tool::QemuImg => self.qemu_img.is_some(),
            Tool::Swtpm => self.swtpm.is_some(),
            Tool::Setpriv => self.setpriv.is_some(),
            Tool::Ovmf => self.ovmf.is_some(),
            Tool::OvmfSecure => self.ovmf_secure.is_some(),
        }
    }
}

impl Tool {
    /// What a person calls it.
    pub fn what(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86_64",
            Self::QemuImg => "qemu-img",
            Self::Swtpm => "swtpm",
            Self::Setpriv => "setpriv",
            Self::Ovmf => "OVMF firmware",
            Self::OvmfSecure => "OVMF firmware with Secure Boot",
        }
    }

    /// The package of Debian and Ubuntu.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86",
            Self::QemuImg => "qemu-utils",
            Self::Swtpm => "swtpm",
            Self::Setpriv => "util-linux",
            Self::Ovmf | Self::OvmfSecure => "ovmf",
        }
    }

    /// The package of Fedora.
    pub fn fedora(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86-core",
            Self::QemuImg => "qemu-img",
            Self::Swtpm => "swtpm",
            Self::Setpriv => "util-linux",
            Self::Ovmf | Self::OvmfSecure => "edk2-ovmf",
        }
    }

    /// The package of Arch.
    pub fn arch(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86",
            Self::QemuImg => "qemu-img",
            Self::Swtpm => "swtpm",
            Self::Setpriv => "util-linux",
            Self::Ovmf | Self::OvmfSecure => "edk2-ovmf",
        }
    }
}

/// `setpriv`, looked up once.
pub(crate) fn setpriv() -> Option<&'static PathBuf> {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    SETPRIV.get_or_init(|| find("setpriv")).as_ref()
}

/// Looks a program up in `PATH`, then where administrators' programs live (an ordinary user's `PATH` may lack them).
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
