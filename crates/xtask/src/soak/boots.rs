//! Power cuts in the first boot.

use basalt_testkit::{Shell, TestImage};
use basalt_vm::{Machine, Vm};
use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::chance;
use crate::{
    error::{Done, TaskError},
    paths,
    report::say,
};

/// Cuts `count` first boots within `window` seconds, or within the time that an uncut one takes.
pub(super) fn run(count: u32, folder: &Path, window: Option<u64>) -> Done<String> {
    let image = TestImage::in_folder(paths::root().join(folder));
    let machine = Machine::uefi(image.disk());
    let window = match window {
        Some(seconds) => Duration::from_secs(seconds),
        None => first_boot(&machine, &image)?,
    };
    say(format!("soak: cutting the power within {:.0} s of the first boot", window.as_secs_f64()));
    for round in 1..=count {
        let cut = chance::moment(window)?;
        let vm = Vm::prepare(&machine)?;
        let mut first = vm.boot()?;
        // A machine that ends by itself before the cut is as good: it is then cut in a reboot.
        match first.wait_exit(cut) {
            Ok(()) | Err(basalt_vm::VmError::Late { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        first.kill()?;
        let mut second = vm.boot()?;
        let mut shell = Shell::login(&mut second, &image.login())?;
        let health = shell.run_within("systemctl is-system-running --wait", Duration::from_secs(600))?;
        say(format!("soak: {round}/{count}: cut after {:.1} s, then {}", cut.as_secs_f64(), health.text));
        if health.text.trim() != "running" {
            let failed = shell.check("systemctl --failed --no-pager")?;
            return Err(TaskError::Broken(format!("cut after {cut:?}: {}\n{failed}", health.text)));
        }
    }
    Ok(format!(
        "{count} first boots cut within {:.0} s: all healthy after the next boot",
        window.as_secs_f64()
    ))
}

/// How long an uncut first boot takes.
fn first_boot(machine: &Machine, image: &TestImage) -> Done<Duration> {
    let start = Instant::now();
    let mut running = basalt_vm::boot(machine)?;
    Shell::login(&mut running, &image.login())?;
    Ok(start.elapsed())
}
