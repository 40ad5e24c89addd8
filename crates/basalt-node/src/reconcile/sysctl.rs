//! Settings of the kernel, the modules that some of them come with, and the machine's name.

use basalt_spec::node::words::SysctlName;

use super::{Machine, Plan, Record, Refusal, Step, Waiting, wanted::Wanted};

/// The path of a setting below `/proc/sys` (sysctl.d(5)): if the first separator is a `.`, dots and slashes change places.
/// A pattern has none: systemd-sysctl follows it.
pub(super) fn path(name: &SysctlName) -> Option<String> {
    let text = name.as_str();
    if text.contains('*') {
        return None;
    }
    let swap = text.find(['.', '/']).is_some_and(|at| text[at..].starts_with('.'));
    let swapped = |c: char| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    Some(if swap { text.chars().map(swapped).collect() } else { text.to_owned() })
}

/// The kernel separates the numbers of some settings by tabs.
fn same(one: &str, other: &str) -> bool {
    one.split_ascii_whitespace().eq(other.split_ascii_whitespace())
}

/// Modules first: some bring settings.
pub(super) fn plan(wanted: &Wanted, machine: &Machine, record: &Record, plan: &mut Plan) {
    let missing: Vec<&String> = wanted.modules.difference(&machine.modules).collect();
    plan.steps.extend(missing.iter().map(|name| Step::LoadModule { name: (*name).clone() }));
    for name in record.boot.modules.difference(&wanted.modules) {
        plan.waiting.push(Waiting::ModuleLoaded { name: name.clone() });
    }
    plan.record.boot.modules.extend(wanted.modules.iter().cloned());
    for (path, to) in &wanted.sysctls {
        let from = machine.sysctls.get(path);
        match from {
            None if missing.is_empty() => plan.refusals.push(Refusal::NoSysctl { path: path.clone() }),
            Some(from) if same(from, to) => {}
            None | Some(_) => {
                let before = from.cloned().unwrap_or_default();
                plan.record.boot.sysctls.entry(path.clone()).or_insert(before);
                plan.steps.push(Step::SetSysctl { path: path.clone(), from: from.cloned(), to: to.clone() });
            }
        }
    }
    for (path, before) in record.boot.sysctls.iter().filter(|(path, _)| !wanted.sysctls.contains_key(*path)) {
        plan.record.boot.sysctls.remove(path);
        match machine.sysctls.get(path) {
            Some(now) if !before.is_empty() && !same(now, before) => {
                let (from, to) = (Some(now.clone()), before.clone());
                plan.steps.push(Step::SetSysctl { path: path.clone(), from, to });
            }
            Some(_) | None => {}
        }
    }
}

/// The name of the machine, as the kernel has it; the file is one of the document's.
pub(super) fn plan_hostname(wanted: &Wanted, machine: &Machine, record: &Record, plan: &mut Plan) {
    match &wanted.hostname {
        Some(to) if *to != machine.hostname => {
            plan.steps.push(Step::SetHostname { from: machine.hostname.clone(), to: to.clone() });
            plan.record.boot.hostname = true;
        }
        Some(_) => plan.record.boot.hostname = true,
        None if record.boot.hostname => {
            plan.waiting.push(Waiting::Hostname { name: machine.hostname.clone() })
        }
        None => {}
    }
}
