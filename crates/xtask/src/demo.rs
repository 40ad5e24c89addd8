//! `cargo xtask demo`: from a checkout to a machine that one can look at.

use basalt_testkit::{Factory, Shell, TestImage};
use basalt_vm::Machine;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    dist::{self, Speed},
    error::{Done, TaskError},
    paths,
    report::{Stages, say},
    setup, tool,
};

/// Runs the task.
pub(crate) fn run() -> Done {
    let out = paths::root().join("out");
    let mut stages = Stages::default();
    stages.run("set up the host", setup::run)?;
    let dist = stages.run("build the programs", dist::run)?;
    stages.run("build the image", || build_image(&dist, &out, &[]))?;
    stages.run("boot it", || show(&TestImage::in_folder(&out)))?;
    stages.report();
    report_artifacts(&out)
}

/// `basalt build` of the example into `out`.
pub(crate) fn build_image(dist: &Path, out: &Path, environment: &[(&str, PathBuf)]) -> Done {
    let basalt = basalt_exec::command::Program::at(dist.join("bin/basalt"))?;
    let command = basalt_exec::command::Command::new(&basalt)
        .directory(paths::root())
        .timeout(Duration::from_secs(3600))
        .arg("build")
        .arg(paths::example_recipe())
        .arg("-o")
        .arg(out);
    let inherited = std::env::vars_os().fold(command, |command, (name, value)| command.env(name, value));
    tool::watch(environment.iter().fold(inherited, |command, (name, value)| command.env(name, value)))
}

/// What tests and soaks share: the example's image in a folder of its own, and the factory that built it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) factory: Factory,
    pub(crate) image: PathBuf,
}

/// Builds `target/test-image` with programs that are compiled as tests are; quick when nothing changed.
pub(crate) fn shared() -> Done<Shared> {
    let factory = Factory { dist: dist_for_tests()?, cache: paths::target().join("test-cache") };
    let image = paths::target().join("test-image");
    build_image(&factory.dist, &image, &[("BASALT_CACHE", factory.cache.clone())])?;
    Ok(Shared { factory, image })
}

/// Programs for a test or a demonstration of them, compiled as tests are.
pub(crate) fn dist_for_tests() -> Done<PathBuf> {
    dist::build(Speed::Dev)
}

fn show(image: &TestImage) -> Done {
    let mut machine = basalt_vm::boot(&Machine::uefi(image.disk()))?;
    if !machine.is_kvm() {
        say("emulated, because KVM does not work here: a boot takes minutes instead of seconds");
    }
    let login = image.login();
    let mut shell = Shell::login(&mut machine, &login)?;
    shell.become_root(&login)?;
    shell.run_within("systemctl is-system-running --wait", Duration::from_secs(600))?;
    let status = shell.run("basalt-agent status")?;
    shell.type_line("systemctl poweroff")?;
    machine.wait_exit(Duration::from_secs(300))?;
    say(last_screen(&machine.console()?.text(), &login.user));
    say(format!("{}$ sudo basalt-agent status\n{}", login.user, status.text));
    match status.status {
        0 => Ok(()),
        code => Err(TaskError::Broken(format!("`basalt-agent status` ended with {code}"))),
    }
}

/// What a person at the console saw: the banner before the login prompt, and what greeted the login.
fn last_screen(console: &str, user: &str) -> String {
    let Some(prompt) = console.find("login: ") else { return String::new() };
    let before: Vec<&str> = console[..prompt].lines().rev().take(8).collect();
    let banner = before.into_iter().rev().collect::<Vec<_>>().join("\n");
    let after = console[prompt..].split(&format!("{user}@")).next().unwrap_or_default();
    format!("{banner}{after}")
}

fn report_artifacts(out: &Path) -> Done {
    say(format!("\nartifacts in {}:", out.display()));
    let entries = fs::read_dir(out).map_err(TaskError::io("list", out))?;
    for entry in entries {
        let entry = entry.map_err(TaskError::io("list", out))?;
        let size = entry.metadata().map_err(TaskError::io("measure", entry.path()))?.len();
        say(format!("  {:<32}{:>10.1} MiB", entry.file_name().display(), mib(size)));
    }
    say("boot it yourself: target/dist/bin/basalt run out/edge.raw --headless");
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "one decimal of a size for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::last_screen;

    #[test]
    fn the_screen_is_the_banner_and_the_greeting() {
        let greeting = "Basalt edge\n\nedge login: admin\nPassword: \nWelcome\n";
        let console = format!("1\n2\n3\n4\n5\n6\n{greeting}admin@edge:~$ stty");
        assert_eq!(last_screen(&console, "admin"), format!("2\n3\n4\n5\n6\n{greeting}"));
    }
}
