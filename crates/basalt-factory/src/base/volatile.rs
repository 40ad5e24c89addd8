//! What is left out of a collected tree: that which differs from run to run, or belongs to one machine.

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays as it is.
    Keep,
    /// It goes, with all below it.
    Drop,
    /// It stays as an empty directory.
    Empty,
    /// It stays as an empty file.
    Blank,
}

/// A rule: paths that match the pattern get the verdict.
#[derive(Debug, Clone, Copy)]
pub struct Volatile {
    /// A path from the root without a leading slash; `*` stands for any part of one name.
    pub pattern: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: &'static str,
}

/// The rules; the first that matches counts.
pub const VOLATILE: &[Volatile] = &[
    rule("dev", Verdict::Empty, "devices are the running kernel's"),
    rule("proc", Verdict::Empty, "a mount point"),
    rule("sys", Verdict::Empty, "a mount point"),
    rule("run", Verdict::Empty, "a tmpfs at run time"),
    rule("tmp", Verdict::Empty, "temporary by definition"),
    rule("var/tmp", Verdict::Empty, "temporary by definition"),
    rule("var/log/dpkg.log", Verdict::Drop, "holds the time of the build"),
    rule("var/log/alternatives.log", Verdict::Drop, "holds the time of the build"),
    rule("var/log/bootstrap.log", Verdict::Drop, "holds the time of the build"),
    rule("var/log/fontconfig.log", Verdict::Drop, "holds the time of the build"),
    rule("var/log/apt/*", Verdict::Drop, "holds the time of the build"),
    rule("var/cache/ldconfig/aux-cache", Verdict::Drop, "holds inode numbers and times of the build"),
    rule("var/cache/apt/*.bin", Verdict::Drop, "rebuilt by apt, holds the time of the build"),
    rule("var/cache/debconf/*-old", Verdict::Drop, "an earlier state of the file beside it"),
    rule("var/lib/dpkg/*-old", Verdict::Drop, "an earlier state of the file beside it"),
    rule("var/lib/apt/lists", Verdict::Empty, "a snapshot of the mirror"),
    rule("var/lib/systemd/random-seed", Verdict::Drop, "a secret of one machine"),
    rule("var/lib/systemd/credential.secret", Verdict::Drop, "a secret of one machine"),
    rule("var/lib/dbus/machine-id", Verdict::Drop, "the identity of one machine"),
    rule("etc/machine-id", Verdict::Blank, "the identity of one machine"),
    rule("etc/ssh/ssh_host_*_key", Verdict::Drop, "a secret of one machine"),
    rule("etc/ssh/ssh_host_*_key.pub", Verdict::Drop, "the identity of one machine"),
];

const fn rule(pattern: &'static str, verdict: Verdict, reason: &'static str) -> Volatile {
    Volatile { pattern, verdict, reason }
}

/// The verdict on a path, given without a leading slash.
pub(super) fn verdict(path: &str) -> Verdict {
    VOLATILE.iter().find(|rule| matches(rule.pattern, path)).map_or(Verdict::Keep, |rule| rule.verdict)
}

/// Whether `path` has the form of `pattern`, whose `*` stand for any characters but `/`.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if matches_name(pattern, name) => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
    }
}
