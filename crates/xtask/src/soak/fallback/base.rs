//! The disk that every row starts from.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_testkit::{Login, Shell, TestImage, patience, second_release};
use basalt_vm::{Disk, Machine, Vm};

use crate::{
    demo::Shared,
    error::{Done, TaskError},
    report::say,
    tool,
};

/// A machine's disk after an upgrade and before the reboot into it.
pub(super) struct Base {
    /// A raw image with holes.
    disk: PathBuf,
    /// Where rows keep theirs.
    work: PathBuf,
    /// Who may log in.
    pub(super) login: Login,
}

impl Base {
    /// A disk that [`Base::make`] made before.
    pub(super) fn at(disk: PathBuf, work: &Path, shared: &Shared) -> Self {
        Self { disk, work: work.to_owned(), login: TestImage::in_folder(&shared.image).login() }
    }

    /// Boots the image, upgrades it to a second release, and keeps the disk.
    pub(super) fn make(shared: &Shared, work: &Path) -> Done<Self> {
        say("soak: building the second release, and upgrading a machine to it");
        let release = work.join("release");
        tool::remove_folder(&release)?;
        tool::create_folder(&release)?;
        let image = TestImage::in_folder(&shared.image);
        let mut machine = Machine::uefi(image.disk());
        machine.disks.push(Disk::raw(second_release(&shared.factory, &release)));
        let vm = Vm::prepare(&machine)?;
        let mut running = vm.boot()?;
        let within = patience(&running, Duration::from_secs(60));
        let login = image.login();
        let mut shell = Shell::login(&mut running, &login)?;
        shell.become_root(&login)?;
        shell.run_within("systemctl is-system-running --wait", within)?;
        shell.check("echo kept >/var/kept && mkdir /run/release && mount -o ro /dev/disk/by-id/virtio-basalt1 /run/release")?;
        let upgraded = shell.run_within("basalt-agent upgrade oci:/run/release", within)?;
        if upgraded.status != 0 {
            return Err(TaskError::Broken(format!("the upgrade failed: {}", upgraded.text)));
        }
        shell.type_line("systemctl poweroff")?;
        running.wait_exit(within)?;
        let disk = work.join("base.raw");
        let overlay = vm.disk(0).ok_or_else(|| TaskError::Broken("the machine has no disk".to_owned()))?;
        let convert = tool::plan("qemu-img", "qemu-utils")?.args(["convert", "-O", "raw", "-S", "64k"]);
        tool::watch(convert.arg(overlay).arg(&disk))?;
        Ok(Self { disk, work: work.to_owned(), login })
    }

    /// The disk itself.
    pub(super) fn disk(&self) -> &Path {
        &self.disk
    }

    /// A copy of it for one row.
    pub(super) fn copy(&self, name: &str) -> Done<PathBuf> {
        let copy = self.work.join(format!("{name}.raw"));
        let plan = tool::plan("cp", "coreutils")?.args(["--sparse=always", "--"]);
        tool::watch(plan.arg(&self.disk).arg(&copy))?;
        Ok(copy)
    }

    /// Removes a row's copy.
    pub(super) fn forget(disk: &Path) -> Done {
        fs::remove_file(disk).map_err(TaskError::io("remove", disk))
    }
}
