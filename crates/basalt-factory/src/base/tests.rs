use super::{
    volatile::{VOLATILE, Verdict, verdict},
    work::memory_for,
};

#[test]
fn volatile_paths_are_told_apart() {
    let cases = [
        ("etc/machine-id", Verdict::Blank),
        ("etc/ssh/ssh_host_ed25519_key", Verdict::Drop),
        ("etc/ssh/ssh_host_ed25519_key.pub", Verdict::Drop),
        ("etc/ssh/ssh_config", Verdict::Keep),
        ("var/lib/dpkg/status-old", Verdict::Drop),
        ("var/lib/dpkg/info/x-old", Verdict::Keep),
        ("var/log/apt/history.log", Verdict::Drop),
        ("var/log/apt", Verdict::Keep),
        ("run", Verdict::Empty),
        ("runner", Verdict::Keep),
        ("", Verdict::Keep),
    ];
    for (path, expected) in cases {
        assert_eq!(verdict(path), expected, "{path}");
    }
}

#[test]
fn every_rule_has_a_reason_and_a_plain_pattern() {
    for rule in VOLATILE {
        assert!(!rule.reason.is_empty() && !rule.pattern.starts_with('/'), "{rule:?}");
        assert!(rule.pattern.split('/').all(|name| name.matches('*').count() <= 1), "{rule:?}");
    }
}

#[test]
fn a_tree_is_in_memory_only_when_it_is_small_and_there_is_plenty() {
    let available = |mib: u64| format!("MemTotal: 1 kB\nMemAvailable:   {} kB\n", mib << 10);
    assert_eq!(memory_for(400 << 20, &available(4000)), Some(2000 << 20));
    assert_eq!(memory_for(400 << 20, &available(1900)), None);
    assert_eq!(memory_for(700 << 20, &available(90_000)), None);
    assert_eq!(memory_for(1, "nothing known"), None);
}
