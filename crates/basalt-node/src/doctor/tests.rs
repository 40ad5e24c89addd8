use basalt_types::ByteSize;

use super::*;
use crate::{health::GateReport, reconcile::Condition, status::Fact};

/// A machine of which nobody has to do anything.
fn healthy() -> DoctorFacts {
    let eth0 = Interface { name: "eth0".into(), carrier: true, addresses: vec!["192.0.2.7/24".into()] };
    DoctorFacts {
        warnings: Vec::new(),
        configuration: Some(Report {
            conditions: vec![condition("Applied", true), condition("RebootNeeded", false)],
            ..Report::default()
        }),
        gates: Some(vec![GateReport { name: "system".into(), asks: String::new(), answer: Answer::Good }]),
        not_active: Vec::new(),
        clock: Fact::Known(Clock { now: 1_800_000_000, not_before: 1_700_000_000, synchronized: Some(true) }),
        network: Network { interfaces: vec![eth0], default_route: true, name_servers: true },
        memory: Fact::Known(Room { left: 1 << 30, all: 4 << 30 }),
        esp: Fact::Known(Room { left: 900 << 20, all: 1 << 30 }),
        names: Fact::Known(Some(Room { left: 900, all: 1000 })),
        kernel: Fact::Known(KernelLog::default()),
        crashes: Vec::new(),
        crash_store: Some("efi_pstore".into()),
        watchdog: true,
        journal_kept: true,
    }
}

fn condition(kind: &str, status: bool) -> Condition {
    Condition { kind: kind.into(), status, reason: "Why".into(), message: "the message".into() }
}

#[test]
fn a_healthy_machine_has_no_finding() {
    assert_eq!(diagnose(&healthy()), []);
    assert_eq!(text(&[]), "nothing is wrong, as far as one can see from inside\n");
    let unknown = crate::status::Unknown::NeedsRoot;
    let blind = DoctorFacts {
        configuration: None,
        gates: None,
        clock: Fact::unknown(unknown),
        network: Network::default(),
        memory: Fact::unknown(unknown),
        esp: Fact::unknown(unknown),
        names: Fact::unknown(unknown),
        kernel: Fact::unknown(unknown),
        ..healthy()
    };
    assert_eq!(diagnose(&blind), [], "what is not known is not wrong");
}

/// One thing is wrong: that is what is found, and nothing else.
#[test]
fn each_thing_that_is_wrong_is_found_alone() {
    type Change = fn(&mut DoctorFacts);
    let cases: [(&str, Severity, Change); 24] = [
        ("rootCorrupted", Severity::Critical, |facts| facts.warnings = vec![Warning::RootCorrupted]),
        ("dataFull", Severity::Critical, |facts| {
            facts.warnings = vec![Warning::DataFull { left: ByteSize::mib(1) }];
        }),
        ("failedUnits", Severity::Warning, |facts| {
            facts.warnings = vec![Warning::FailedUnits { units: vec!["a.service".into()] }];
        }),
        ("configurationInvalid", Severity::Critical, |facts| conditions(facts, "Valid", false)),
        ("configurationNotApplied", Severity::Warning, |facts| conditions(facts, "Applied", false)),
        ("rebootNeeded", Severity::Notice, |facts| conditions(facts, "RebootNeeded", true)),
        ("checkFails", Severity::Warning, |facts| {
            for gate in facts.gates.iter_mut().flatten() {
                gate.answer = Answer::Bad("no".into());
            }
        }),
        ("notLookedAfter", Severity::Warning, |facts| facts.not_active = vec!["basalt-agent.service".into()]),
        ("clockWrong", Severity::Critical, |facts| clock(facts, 5, Some(false))),
        ("clockAlone", Severity::Notice, |facts| clock(facts, 1_800_000_000, Some(false))),
        ("noAddress", Severity::Critical, |facts| facts.network.interfaces[0].addresses.clear()),
        ("noRoute", Severity::Notice, |facts| facts.network.default_route = false),
        ("noNameServer", Severity::Warning, |facts| facts.network.name_servers = false),
        ("littleMemory", Severity::Warning, |facts| {
            facts.memory = Fact::Known(Room { left: 1, all: 1 << 30 })
        }),
        ("espFull", Severity::Warning, |facts| facts.esp = Fact::Known(Room { left: 1 << 20, all: 1 << 30 })),
        ("noNames", Severity::Critical, |facts| facts.names = Fact::Known(Some(Room { left: 1, all: 1000 }))),
        ("outOfMemory", Severity::Warning, |facts| {
            kernel(facts, "Out of memory: Killed process 7 (java) total-vm:1kB");
        }),
        ("deviceErrors", Severity::Critical, |facts| {
            kernel(facts, "I/O error, dev sda, sector 1 op 0x0:(READ)")
        }),
        ("fileSystemErrors", Severity::Critical, |facts| {
            kernel(facts, "device-mapper: verity: 254:2: data block 7 is corrupted");
        }),
        ("crashed", Severity::Warning, |facts| {
            facts.crashes = vec![Crash { path: "/var/x".into(), at: 0, what: Some("Kernel panic".into()) }];
        }),
        ("noWatchdog", Severity::Notice, |facts| facts.watchdog = false),
        ("noCrashStore", Severity::Notice, |facts| facts.crash_store = None),
        ("journalLost", Severity::Warning, |facts| facts.journal_kept = false),
        ("fileSystemErrors", Severity::Critical, |facts| kernel(facts, "EXT4-fs error (device vda8): x")),
    ];
    for (code, severity, change) in cases {
        let mut facts = healthy();
        change(&mut facts);
        let found = diagnose(&facts);
        let [finding] = &found[..] else { panic!("{code}: {found:?}") };
        assert_eq!((finding.code, finding.severity), (code, severity));
        assert!(finding.next.contains('`') || finding.next.contains(' '), "{}", finding.next);
    }
}

fn conditions(facts: &mut DoctorFacts, kind: &str, status: bool) {
    facts.configuration = Some(Report { conditions: vec![condition(kind, status)], ..Report::default() });
}

fn clock(facts: &mut DoctorFacts, now: u64, synchronized: Option<bool>) {
    facts.clock = Fact::Known(Clock { now, not_before: 1_700_000_000, synchronized });
}

fn kernel(facts: &mut DoctorFacts, line: &str) {
    facts.kernel = Fact::Known(KernelLog::parse(&format!("usb 1-1: new device\n{line}\nx\n")));
}

#[test]
fn the_worst_comes_first_and_many_lines_are_counted() {
    let mut facts = healthy();
    facts.watchdog = false;
    facts.not_active = vec!["basalt-agent.service".into()];
    let lines = (1..6).map(|sector| format!("I/O error, dev sda, sector {sector}\n")).collect::<String>();
    facts.kernel = Fact::Known(KernelLog::parse(&lines));
    insta::assert_snapshot!(text(&diagnose(&facts)));
}
