//! Power cuts in an upgrade: a machine whose memory was saved right before it, started again and again.

use std::{
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use basalt_testkit::{Login, Shell, TestImage, VERSIONS, patience, second_release};
use basalt_vm::{Disk, Machine, Running, Vm, VmError};

use super::chance;
use crate::{
    demo::{self, Shared},
    error::{Done, TaskError},
    paths,
    report::say,
    tool,
};

/// An emulated machine keeps a processor busy.
const AT_A_TIME: usize = 2;
/// The longest time before a cut, in times that an upgrade takes: some come right behind the end, before anything else.
const LONGEST: f64 = 1.1;
/// What its memory is saved under.
const READY: &str = "ready";
const UPGRADE: &str = "basalt-agent upgrade oci:/run/release";

/// A machine that waits at a root shell with the second release on its second disk, and how long its upgrade takes.
struct Ready {
    vm: Vm,
    login: Login,
    takes: Duration,
}

/// What the cuts left behind.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    old: u32,
    new: u32,
}

/// Kills QEMU `count` times while an upgrade runs. Each time the next boot must be of the old or of the new release, with its
/// data, and the upgrade asked for again must finish.
pub(super) fn run(count: u32) -> Done<String> {
    let Shared { factory, image } = demo::shared()?;
    let image = TestImage::in_folder(image);
    let work = paths::target().join("soak/upgrades");
    tool::remove_folder(&work)?;
    tool::create_folder(&work)?;
    let release = second_release(&factory, &work);
    let rounds = Mutex::new(1..=count);
    let take = || rounds.lock().ok()?.next();
    let worker = || -> Done<Count> {
        let ready = Ready::make(&image, &release)?;
        let mut counted = Count::default();
        while let Some(round) = take() {
            let cut = chance::moment(ready.takes.mul_f64(LONGEST))?;
            let found = ready.cut(cut)?;
            say(format!("soak: {round}/{count}: cut after {:.1} s, then {found}", cut.as_secs_f64()));
            if found == VERSIONS[0] {
                counted.old += 1;
            } else {
                counted.new += 1;
            }
        }
        Ok(counted)
    };
    let counted = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_fold(Count::default(), |sum, worker| match worker.join() {
            Ok(done) => done.map(|Count { old, new }| Count { old: sum.old + old, new: sum.new + new }),
            Err(_panic) => Err(TaskError::Broken("a worker panicked".to_owned())),
        })
    })?;
    tool::remove_folder(&work)?;
    let Count { old, new } = counted;
    Ok(format!(
        "{count} upgrades killed: {old} machines booted the old release, {new} the new one, and all finished the upgrade afterwards"
    ))
}

impl Ready {
    fn make(image: &TestImage, release: &Path) -> Done<Self> {
        let mut machine = Machine::uefi(image.disk());
        machine.disks.push(Disk::raw(release));
        let (vm, login) = (Vm::prepare(&machine)?, image.login());
        let mut running = vm.boot()?;
        let within = patience(&running, Duration::from_secs(60));
        let mut shell = root_shell(&mut running, &login)?;
        shell.check("echo kept >/var/kept && sync")?;
        mount(&mut shell)?;
        running.save(READY)?;
        let start = Instant::now();
        finish(&mut Shell::resume(&mut running)?, within)?;
        let takes = start.elapsed();
        running.kill()?;
        say(format!("soak: an upgrade takes {:.1} s", takes.as_secs_f64()));
        Ok(Self { vm, login, takes })
    }

    /// Cuts one upgrade, and gives the release that the next boot found.
    fn cut(&self, moment: Duration) -> Done<String> {
        let mut running = self.vm.boot()?;
        running.load(READY)?;
        Shell::resume(&mut running)?.type_line(UPGRADE)?;
        match running.wait_exit(moment) {
            Ok(()) => return Err(TaskError::Broken("the machine ended by itself".to_owned())),
            Err(VmError::Late { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        running.kill()?;
        let mut running = self.vm.boot()?;
        let within = patience(&running, Duration::from_secs(60));
        let mut shell = root_shell(&mut running, &self.login)?;
        let status = shell.run("basalt-agent status")?.text;
        let found = VERSIONS.into_iter().find(|version| status.contains(&format!("edge {version} ")));
        let found = found.ok_or_else(|| TaskError::Broken(format!("neither release runs:\n{status}")))?;
        let kept = shell.check("cat /var/kept")?;
        if kept.trim() != "kept" {
            return Err(TaskError::Broken(format!("/var/kept says {kept}")));
        }
        mount(&mut shell)?;
        finish(&mut shell, within)?;
        running.kill()?;
        Ok(found.to_owned())
    }
}

fn mount(shell: &mut Shell<'_>) -> Done {
    shell.check("mkdir -p /run/release && mount -o ro /dev/disk/by-id/virtio-basalt1 /run/release")?;
    Ok(())
}

fn finish(shell: &mut Shell<'_>, within: Duration) -> Done {
    let done = shell.run_within(UPGRADE, within)?;
    let said = ["runs after the next boot", "this release runs"];
    if done.status == 0 && said.iter().any(|said| done.text.contains(said)) {
        return Ok(());
    }
    Err(TaskError::Broken(format!("the upgrade ended with {}: {}", done.status, done.text)))
}

fn root_shell<'r>(running: &'r mut Running, login: &Login) -> Done<Shell<'r>> {
    let within = patience(running, Duration::from_secs(60));
    let mut shell = Shell::login(running, login)?;
    shell.become_root(login)?;
    shell.run_within("systemctl is-system-running --wait", within)?;
    Ok(shell)
}
