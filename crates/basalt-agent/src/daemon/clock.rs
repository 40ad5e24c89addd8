//! When the daemon looks again, and which moments of a start have come.

use std::{fs, path::Path, time::Duration};

use basalt_exec::command::{Command, Program};
use basalt_spec::node::{NodeSpec, Stage};

use super::run_stage;
use crate::reconcile::{Log, Wish};

/// How long until the network or the end of the start is asked for again.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// What tells a daemon that is started again that a stage of this boot is over.
const MARKS: &str = "/run/basalt/stage-";

/// How long until the next look: the interval, a tenth more or less so that a thousand machines don't ask at once; sooner after
/// a failure.
pub(super) fn pause(interval: Duration, failures: u32, first_retry: Duration) -> Duration {
    let retry = first_retry.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let usual = if failures == 0 { interval } else { retry.min(interval) };
    usual.mul_f64(0.9 + 0.2 * fraction())
}

/// Some number from 0 to 1: the kernel draws it.
fn fraction() -> f64 {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let number = text.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(1 << 31);
    f64::from(number) / f64::from(u32::MAX)
}

/// The stages `network` and `ready` of this boot.
#[derive(Debug, Default)]
pub(super) struct Stages {
    over: [bool; 2],
}

impl Stages {
    /// Runs the scripts of the stages that have come; gives whether one is still waited for.
    pub(super) fn run(&mut self, log: Log<'_>) -> bool {
        let moments = [(Stage::Network, "network"), (Stage::Ready, "ready")];
        let Ok(Wish { spec, .. }) = Wish::observe() else { return false };
        let mut waiting = false;
        for ((stage, name), over) in moments.into_iter().zip(&mut self.over) {
            let mark = format!("{MARKS}{name}");
            *over |= Path::new(&mark).exists();
            if *over || !has_hooks(&spec, stage) {
                continue;
            }
            let has_come = if stage == Stage::Network { has_route() } else { is_ready() };
            if !has_come {
                waiting = true;
                continue;
            }
            // The mark comes first: a script that kills the daemon must not run for ever.
            *over = fs::write(&mark, "").is_ok();
            if let Err(error) = run_stage(stage, log) {
                crate::report::failure(&error);
            }
        }
        waiting
    }
}

fn has_hooks(spec: &NodeSpec, stage: Stage) -> bool {
    spec.hooks.iter().any(|hook| hook.stage == stage)
}

/// Whether some network leads everywhere: a default route of IPv4 (destination 0) or IPv6 (prefix length 0) that is not the
/// loopback's (proc(5), `/proc/net/route`; Linux `net/ipv6/route.c`, `rt6_info_route`).
fn has_route() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let ipv4 = read("/proc/net/route")
        .lines()
        .skip(1)
        .any(|line| line.split_whitespace().nth(1).is_some_and(|target| target == "00000000"));
    let ipv6 = read("/proc/net/ipv6_route").lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00") && fields.last().is_some_and(|device| *device != "lo")
    });
    ipv4 || ipv6
}

fn is_ready() -> bool {
    matches!(system_state().as_str(), "running" | "degraded")
}

/// Whether the machine is on its way down.
pub(crate) fn is_stopping() -> bool {
    system_state() == "stopping"
}

/// What systemctl(1) `is-system-running` says; it exits with 1 for most of it.
fn system_state() -> String {
    let asked = Program::find("systemctl", "systemd")
        .and_then(|program| Command::new(&program).arg("is-system-running").timeout(SOON).finish());
    asked.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_sooner_after_failures_and_never_all_at_once() {
        let (interval, first) = (Duration::from_secs(300), Duration::from_secs(15));
        let seconds = |failures| pause(interval, failures, first).as_secs_f64();
        for _ in 0..20 {
            assert!((270.0..=330.0).contains(&seconds(0)));
            assert!((13.5..=16.5).contains(&seconds(1)));
            assert!((54.0..=66.0).contains(&seconds(3)));
            assert!((270.0..=330.0).contains(&seconds(40)));
        }
        assert_ne!(seconds(0).to_bits(), seconds(0).to_bits());
    }
}
