//! `cargo xtask soak`: dangerous things, many times. Each run adds a dated line to `docs/results/`.

use basalt_exec::command::{Command, Program};
use basalt_testkit::{Shell, TestImage};
use basalt_vm::{Machine, Vm};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    error::{Done, TaskError},
    paths,
    report::say,
};

/// What to repeat.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Cut the power at a random moment of the first boot, boot again, expect a healthy machine
    Boots {
        /// How often
        #[arg(long, default_value_t = 20)]
        count: u32,
        /// The folder with the image
        #[arg(long, default_value = "out")]
        image: PathBuf,
        /// The longest time before the cut, in seconds; the default is the time that an uncut first boot takes
        #[arg(long)]
        window: Option<u64>,
    },
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Done {
    match arguments {
        Arguments::Boots { count, image, window } => {
            boots(*count, &TestImage::in_folder(paths::root().join(image)), *window)
        }
    }
}

fn boots(count: u32, image: &TestImage, window: Option<u64>) -> Done {
    let machine = Machine::uefi(image.disk());
    let window = match window {
        Some(seconds) => Duration::from_secs(seconds),
        None => first_boot(&machine, image)?,
    };
    say(format!("soak: cutting the power within {:.0} s of the first boot", window.as_secs_f64()));
    for round in 1..=count {
        let cut = random_below(window)?;
        let vm = Vm::prepare(&machine)?;
        let mut first = vm.boot()?;
        // A machine that ends by itself before the cut is as good: it is then cut in a reboot.
        match first.wait_exit(cut) {
            Ok(_) | Err(basalt_vm::VmError::Late { .. }) => {}
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
    record(&format!(
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

fn random_below(limit: Duration) -> Done<Duration> {
    let mut bytes = [0; 4];
    let source = "/dev/urandom";
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(TaskError::io("read", source))?;
    Ok(limit.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)))
}

fn record(result: &str) -> Done {
    let git = Command::new(&Program::find("git", "git")?).directory(paths::root());
    let commit = git.args(["rev-parse", "--short", "HEAD"]).run()?;
    let date = Command::new(&Program::find("date", "coreutils")?).args(["-u", "+%F"]).run()?;
    let path = paths::root().join("docs/results/soak-boots.md");
    let mut file =
        OpenOptions::new().create(true).append(true).open(&path).map_err(TaskError::io("open", &path))?;
    let line = format!(
        "- {}, {}: {result}\n",
        String::from_utf8_lossy(&date).trim(),
        String::from_utf8_lossy(&commit).trim()
    );
    file.write_all(line.as_bytes()).map_err(TaskError::io("write", &path))
}
