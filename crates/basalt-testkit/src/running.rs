//! A machine that has finished starting, as every test of a machine wants it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, with what the machine said"
)]

use std::time::Duration;

use basalt_vm::Running;

use crate::{
    fixtures::{Login, patience},
    shell::Shell,
};

/// A root shell on a machine that has finished starting, with nothing failed.
///
/// # Panics
/// When nobody can log in, or systemd does not say `running`: with the journal of what failed.
#[track_caller]
pub fn root_shell<'a>(machine: &'a mut Running, login: &Login) -> Shell<'a> {
    let settled = patience(machine, Duration::from_secs(60));
    let mut shell = Shell::login(machine, login).unwrap();
    shell.become_root(login).unwrap();
    let state = shell.run_within("systemctl is-system-running --wait", settled).unwrap();
    let failed = shell.check("systemctl --failed --no-legend --plain").unwrap();
    let units: String = failed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|unit| format!(" -u {unit}"))
        .collect();
    let journal = shell.run(&format!("journalctl --no-pager -n 60{units}")).unwrap().text;
    assert_eq!((state.text.trim(), failed.trim()), ("running", ""), "{journal}");
    shell
}
