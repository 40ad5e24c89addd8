//! What is wrong with a machine, how bad it is, and what to do: `DoctorFacts → diagnose → [Finding]`.
//!
//! A finding is something that somebody should do something about. What is only unusual is in `status` or in the bundle of logs.
//!
//! Not here: looking (`basalt-agent`), and deciding whether a boot is good (`health`).

mod facts;
#[cfg(test)]
mod tests;

pub use facts::{Clock, Crash, DoctorFacts, Interface, KernelLog, Network, Room};

use std::fmt::Write as _;

use serde::Serialize;

use crate::{health::Answer, reconcile::Report, status::Warning};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its name, for programs: it stays when the words change.
    pub code: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The machine does not do what it is for, or will soon not.
    Critical,
    /// It works, and something that it needs one day does not.
    Warning,
    /// Somebody should know it.
    Notice,
}

/// Less memory than this share is little.
const LITTLE_MEMORY: u64 = 5;
/// Less of the ESP than this has no room for another release's UKI.
const LITTLE_ESP: u64 = 64 << 20;
/// Fewer names than this share are few.
const FEW_NAMES: u64 = 5;
/// So many of several lines are shown.
const SHOWN: usize = 3;

/// Everything that is wrong, the worst first.
pub fn diagnose(facts: &DoctorFacts) -> Vec<Finding> {
    let DoctorFacts {
        warnings,
        configuration,
        gates,
        not_active,
        clock,
        network,
        memory,
        esp,
        names,
        kernel,
        crashes,
        crash_store: _,
        watchdog: _,
        journal_kept: _,
    } = facts;
    let mut findings = Findings::default();
    warnings.iter().for_each(|warning| findings.warning(warning));
    configuration.iter().for_each(|report| findings.configuration(report));
    for gate in gates.iter().flatten() {
        findings.gate(&gate.name, &gate.answer);
    }
    for unit in not_active {
        let next = format!("`systemctl status {unit}` says why; `systemctl start {unit}`");
        findings.add(Severity::Warning, "notLookedAfter", format!("{unit} does not run"), next);
    }
    clock.known().iter().for_each(|clock| findings.clock(**clock));
    findings.network(network);
    if let Some(room) = memory.known().filter(|room| room.is_below(LITTLE_MEMORY)) {
        let what = format!("only {} of memory are left", room.left_bytes().human());
        findings.add(Severity::Warning, "littleMemory", what, "`systemd-cgtop -m` shows who has it");
    }
    if let Some(room) = esp.known().filter(|room| room.left < LITTLE_ESP) {
        let what = format!("the ESP has only {} left: an upgrade has no room", room.left_bytes().human());
        let next = "`basalt-agent upgrade --check` says what it needs; remove what is not the boot loader's";
        findings.add(Severity::Warning, "espFull", what, next);
    }
    if let Some(Some(_)) = names.known().map(|room| room.filter(|room| room.is_below(FEW_NAMES))) {
        let what = "/var can hardly take another file, however small";
        findings.add(
            Severity::Critical,
            "noNames",
            what,
            "`du --inodes -xh /var | sort -h | tail` shows where they are",
        );
    }
    kernel.known().iter().for_each(|log| findings.kernel(log));
    crashes.iter().for_each(|crash| findings.crash(crash));
    findings.provisions(facts);
    findings.0.sort_by_key(|finding| finding.severity);
    findings.0
}

/// For people.
pub fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing is wrong, as far as one can see from inside\n".to_owned();
    }
    let mut text = String::new();
    for Finding { severity, code: _, what, next } in findings {
        let severity = match severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        };
        // Writing to a text can't fail.
        match writeln!(text, "{severity:<9} {what}\n          next: {next}") {
            Ok(()) | Err(std::fmt::Error) => {}
        }
    }
    text
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        what: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.0.push(Finding { severity, code, what: what.into(), next: next.into() });
    }

    fn warning(&mut self, warning: &Warning) {
        let (severity, code) = match warning {
            Warning::RootCorrupted => (Severity::Critical, "rootCorrupted"),
            Warning::RootNotVerified => (Severity::Critical, "rootNotVerified"),
            Warning::Recovery => (Severity::Critical, "recoveryRuns"),
            Warning::NoTriesLeft { .. } => (Severity::Critical, "noTriesLeft"),
            Warning::NoData => (Severity::Critical, "noData"),
            Warning::DataFull { .. } => (Severity::Critical, "dataFull"),
            Warning::GivenUp { .. } => (Severity::Warning, "releaseGivenUp"),
            Warning::FailedUnits { .. } => (Severity::Warning, "failedUnits"),
        };
        self.add(severity, code, warning.to_string(), warning.hint());
    }

    fn configuration(&mut self, report: &Report) {
        for condition in &report.conditions {
            let (kind, said) = (condition.kind.as_str(), condition.message.clone());
            match (kind, condition.status) {
                ("Valid", false) => {
                    let next =
                        "`basalt-agent config validate FILE` of each document; `basalt-agent config show`";
                    self.add(
                        Severity::Critical,
                        "configurationInvalid",
                        format!("the documents are not followed: {said}"),
                        next,
                    );
                }
                ("Applied", false) => {
                    let next = "`basalt-agent plan` says what to do of each; `journalctl -u basalt-agent`";
                    self.add(
                        Severity::Warning,
                        "configurationNotApplied",
                        format!("not as the documents say: {said}"),
                        next,
                    );
                }
                ("RebootNeeded", true) => {
                    self.add(
                        Severity::Notice,
                        "rebootNeeded",
                        format!("a reboot is needed: {said}"),
                        "`systemctl reboot`",
                    );
                }
                // Those of extensions are a part of what is not applied.
                (_, _) => {}
            }
        }
    }

    fn gate(&mut self, name: &str, answer: &Answer) {
        let why = match answer {
            Answer::Good => return,
            Answer::NotYet(why) | Answer::Bad(why) => why,
        };
        let next = "`basalt-agent health` asks again; a release on trial is given up for it";
        self.add(Severity::Warning, "checkFails", format!("the check {name} fails: {why}"), next);
    }

    fn clock(&mut self, clock: Clock) {
        let Clock { now, not_before, synchronized } = clock;
        if now < not_before {
            let next = "`timedatectl` shows it; set `network.ntp`, or change the battery: certificates are not valid yet";
            self.add(Severity::Critical, "clockWrong", "the clock is older than the image that runs", next);
        } else if synchronized == Some(false) {
            let next = "`timedatectl timesync-status` says whom it asks; is the server reached (UDP 123)?";
            self.add(Severity::Notice, "clockAlone", "the clock follows no time server", next);
        }
    }

    fn network(&mut self, network: &Network) {
        let Network { interfaces, default_route, name_servers } = network;
        let next = "`networkctl status --all` says what each interface waits for";
        if !interfaces.is_empty() && interfaces.iter().all(|one| one.addresses.is_empty()) {
            let dark = interfaces.iter().all(|one| !one.carrier);
            let why = if dark { "no cable is in" } else { "none was given or written" };
            self.add(Severity::Critical, "noAddress", format!("the machine has no address: {why}"), next);
        } else if interfaces.iter().any(|one| !one.addresses.is_empty()) && !default_route {
            self.add(Severity::Notice, "noRoute", "nothing leads beyond the machine's own networks", next);
        } else if *default_route && !name_servers {
            let next = "`resolvectl status` shows what it knows; write `network.dns.servers`";
            self.add(Severity::Warning, "noNameServer", "no server of names is known", next);
        }
    }

    fn kernel(&mut self, log: &KernelLog) {
        let KernelLog { out_of_memory, device_errors, file_system_errors } = log;
        if !out_of_memory.is_empty() {
            let what = format!("memory ran out; ended were {}", some(out_of_memory));
            let next = "`systemd-cgtop -m`; give the unit a `MemoryMax=`, or the machine more";
            self.add(Severity::Warning, "outOfMemory", what, next);
        }
        if !device_errors.is_empty() {
            let next = "`journalctl -k -b`; move the work away and change the part";
            self.add(
                Severity::Critical,
                "deviceErrors",
                format!("the hardware fails: {}", some(device_errors)),
                next,
            );
        }
        if !file_system_errors.is_empty() {
            let next = "restart: file systems are checked before they are mounted; then `journalctl -b -u basalt-provision`";
            self.add(
                Severity::Critical,
                "fileSystemErrors",
                format!("a file system has errors: {}", some(file_system_errors)),
                next,
            );
        }
    }

    fn crash(&mut self, crash: &Crash) {
        let Crash { path, at: _, what } = crash;
        let what = what.as_ref().map_or(String::new(), |what| format!(": {what}"));
        let next = format!("`basalt-agent logs bundle` takes it along; then `rm -r {path}`");
        self.add(
            Severity::Warning,
            "crashed",
            format!("the kernel crashed; what it said is in {path}{what}"),
            next,
        );
    }

    /// What is not there and would be missed when something goes wrong.
    fn provisions(&mut self, facts: &DoctorFacts) {
        if !facts.watchdog {
            let next = "switch the machine's watchdog on in its firmware; a virtual machine needs one (QEMU: i6300esb)";
            self.add(
                Severity::Notice,
                "noWatchdog",
                "no hardware watchdog restarts this machine when it hangs",
                next,
            );
        }
        if facts.crash_store.is_none() {
            let next = "boot by UEFI with variables that can be written, or reserve memory for ramoops; there is no kdump";
            self.add(
                Severity::Notice,
                "noCrashStore",
                "a crash of the kernel would leave nothing behind",
                next,
            );
        }
        if !facts.journal_kept {
            let next = "`/var` must be mounted and have /var/log/journal; see `systemctl status systemd-journal-flush`";
            self.add(Severity::Warning, "journalLost", "what is logged is forgotten at the next boot", next);
        }
    }
}

/// The first ones, and how many more.
fn some(lines: &[String]) -> String {
    let shown = lines.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match lines.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
