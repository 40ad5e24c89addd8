//! Whether a boot is good, and what follows from it.
//!
//! `NodeFacts → Trial` · `Health (configuration) → gates → [Gate]` · `[GateReport] + Trial + time → judge → Verdict`
//!
//! A boot is good when systemd has started everything, no unit failed, and every check of the configuration succeeded.
//! Only a boot on trial ends in a restart: a release that was found good once stays up whatever its checks say later, and so
//! does one that has no try left, because nothing better is there.
//!
//! Not here: asking systemd, a web server or a program (`basalt-agent`); counting, which is the boot loader's.

mod system;
#[cfg(test)]
mod tests;

pub use system::SystemState;

use std::{fmt, time::Duration};

use basalt_formats::bootentry::{Assessment, EntryName};
use basalt_spec::node::{Health, Probe, words::Span};
use serde::Serialize;

use crate::upgrade::{NodeFacts, Renaming, UpgradeStep, is_set_aside};

/// How long after the kernel's start a boot must have been found good, where the configuration says nothing.
pub const DEADLINE: Duration = Duration::from_secs(600);

/// The longest deadline: the unit that judges is stopped a little later, so that a judge that hangs is none for ever.
pub const LONGEST_DEADLINE: Duration = Duration::from_secs(50 * 60);

/// How long one try of a check may take, where the configuration says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What it is called.
    pub name: String,
    /// What is asked.
    pub ask: Ask,
    /// How long one try may take.
    pub timeout: Duration,
}

/// Whom a gate asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// systemd, whether everything has started and nothing failed.
    System {
        /// Units that may fail.
        may_fail: Vec<String>,
    },
    /// What the configuration says.
    Probe(Probe),
}

/// What came out of one try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "answer", content = "why")]
pub enum Answer {
    /// As it should be.
    Good,
    /// Not yet; it may still come.
    NotYet(String),
    /// Not, and waiting changes nothing.
    Bad(String),
}

/// A gate and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateReport {
    /// The gate's name.
    pub name: String,
    /// What is asked, for people.
    pub asks: String,
    /// What came out.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Whether this boot is a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "trial")]
pub enum Trial {
    /// The boot loader counts: unless the boot is found good, it takes another release after the last try.
    OnTrial {
        /// The boot entry.
        #[serde(serialize_with = "as_text")]
        entry: EntryName,
    },
    /// No try is left, and the boot loader took the release because it had nothing else.
    LastResort {
        /// The boot entry.
        #[serde(serialize_with = "as_text")]
        entry: EntryName,
    },
    /// Nobody counts: found good before, set aside, or started by something else than a boot entry.
    None,
}

/// What is done about a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep the release.
    Good,
    /// Ask again.
    Wait,
    /// Give this boot up.
    NotGood {
        /// Why, each for people.
        reasons: Vec<String>,
        /// Whether the machine restarts.
        restart: bool,
    },
}

/// Whether the boot of this machine is a trial.
///
/// An entry without a try left is either in its last try, or the boot loader had nothing else. It takes any other entry first
/// that is not bad: where there is one now, this is the last try.
pub fn trial(facts: &NodeFacts) -> Trial {
    let Some(own) = facts.entries_of(&facts.boot.root_hash).into_iter().next() else { return Trial::None };
    let another = facts.in_boot_order().first().is_some_and(|next| !next.name.is_bad());
    let entry = own.name.clone();
    match entry.assessment() {
        Assessment::Good => Trial::None,
        Assessment::Bad if is_set_aside(&entry) => Trial::None,
        Assessment::Indeterminate => Trial::OnTrial { entry },
        Assessment::Bad if another => Trial::OnTrial { entry },
        Assessment::Bad => Trial::LastResort { entry },
    }
}

/// The step after which the boot loader keeps what runs; none where it does not count.
pub fn keep(facts: &NodeFacts) -> Option<UpgradeStep> {
    let own = facts.entries_of(&facts.boot.root_hash).into_iter().next()?;
    let counted = !own.name.is_good() && !is_set_aside(&own.name);
    let to = own.name.clone().with_tries(None);
    counted.then(|| UpgradeStep::RenameEntry { from: own.file.clone(), to, why: Renaming::Keep })
}

/// What is asked of a boot: the system first, then the configuration's checks in their order.
pub fn gates(health: &Health) -> Vec<Gate> {
    let Health { deadline: _, checks, may_fail } = health;
    let may_fail = may_fail.iter().map(ToString::to_string).collect();
    let system = Gate { name: "system".to_owned(), ask: Ask::System { may_fail }, timeout: PATIENCE * 2 };
    let checks = checks.iter().map(|check| Gate {
        name: check.name.to_string(),
        ask: Ask::Probe(check.probe.clone()),
        timeout: check.timeout.map_or(PATIENCE, Span::duration),
    });
    std::iter::once(system).chain(checks).collect()
}

/// How long after the kernel's start a boot must have been found good.
pub fn deadline(health: &Health) -> Duration {
    health.deadline.map_or(DEADLINE, Span::duration).min(LONGEST_DEADLINE)
}

/// What the answers come to, `elapsed` after the kernel's start.
pub fn judge(trial: &Trial, reports: &[GateReport], elapsed: Duration, deadline: Duration) -> Verdict {
    let late = elapsed >= deadline;
    let mut reasons = Vec::new();
    let mut waiting = false;
    for GateReport { name, asks: _, answer } in reports {
        match answer {
            Answer::Good => {}
            Answer::NotYet(why) if late => {
                reasons.push(format!("{name}: {why}, {} s after the start", elapsed.as_secs()));
            }
            Answer::NotYet(_) => waiting = true,
            Answer::Bad(why) => reasons.push(format!("{name}: {why}")),
        }
    }
    match (reasons.is_empty(), waiting) {
        (true, true) => Verdict::Wait,
        (true, false) => Verdict::Good,
        (false, true | false) => {
            Verdict::NotGood { reasons, restart: matches!(trial, Trial::OnTrial { .. }) }
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { may_fail } if may_fail.is_empty() => {
                f.write_str("everything has started, and nothing failed")
            }
            Self::System { may_fail } => {
                write!(f, "everything has started, and nothing failed but {}", may_fail.join(", "))
            }
            Self::Probe(Probe::Unit(unit)) => write!(f, "{unit} is active"),
            Self::Probe(Probe::Http(url)) => write!(f, "{url} answers with 2xx"),
            Self::Probe(Probe::Tcp(port)) => write!(f, "{port} takes a connection"),
            Self::Probe(Probe::Command(words)) => write!(f, "`{}` ends with code 0", words.join(" ")),
            Self::Probe(Probe::NodeReady) => f.write_str("the cluster says that this node is ready"),
        }
    }
}

impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, asks, answer } = self;
        match answer {
            Answer::Good => write!(f, "good     {name}: {asks}"),
            Answer::NotYet(why) => write!(f, "not yet  {name}: {why} (asked: {asks})"),
            Answer::Bad(why) => write!(f, "bad      {name}: {why} (asked: {asks})"),
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnTrial { entry } => write!(f, "on trial ({entry})"),
            Self::LastResort { entry } => write!(f, "the last resort: no try is left ({entry})"),
            Self::None => f.write_str("not on trial"),
        }
    }
}

fn as_text<S: serde::Serializer>(name: &EntryName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
