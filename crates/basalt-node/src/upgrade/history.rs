//! What happened to a machine's releases: one JSON object a line, in a file that every release reads.

use std::fmt;

use basalt_types::{ByteSize, Digest, ImageVersion, Slot};
use serde::{Deserialize, Serialize};

use super::{NodeFacts, compare_versions, is_set_aside};

/// Where the records are: on the data partition, which no upgrade touches.
pub const HISTORY: &str = "/var/lib/basalt/history.jsonl";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When, in seconds since 1970, by the machine's clock.
    pub time: u64,
    /// What.
    #[serde(flatten)]
    pub event: Happened,
}

/// What happened. A release that is newer than this program may know more; its lines are shown as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum Happened {
    /// A release was put into the other slot and will be tried.
    Upgraded {
        /// What ran.
        from: ImageVersion,
        /// What will be tried.
        to: ImageVersion,
        /// Where.
        slot: Slot,
        /// Where it came from.
        source: String,
        /// The digest of its manifest.
        manifest: Digest,
        /// Bytes that were fetched.
        fetched: ByteSize,
    },
    /// A release was put into the other slot, and nothing tries it yet.
    Staged {
        /// The release.
        version: ImageVersion,
        /// Where.
        slot: Slot,
    },
    /// Somebody went back.
    RolledBack {
        /// What ran.
        from: ImageVersion,
        /// What runs after the next boot.
        to: ImageVersion,
    },
    /// The machine started.
    Booted {
        /// What runs.
        version: ImageVersion,
        /// From where.
        slot: Slot,
    },
    /// A boot of a release on trial was found good: the boot loader keeps it.
    FoundGood {
        /// The release.
        version: ImageVersion,
        /// Seconds from the kernel's start until then.
        after: u64,
    },
    /// A boot of a release on trial was found not to be good, and the machine restarted.
    NotGood {
        /// The release.
        version: ImageVersion,
        /// The entry, whose counter says which try this was.
        entry: String,
        /// What was wrong.
        reasons: Vec<String>,
        /// Seconds from the kernel's start until then.
        after: u64,
    },
    /// What ran became the recovery system.
    Promoted {
        /// The release.
        version: ImageVersion,
    },
    /// The boot loader has given up a newer release.
    FellBack {
        /// What it gave up.
        from: ImageVersion,
        /// What runs instead.
        to: ImageVersion,
        /// The entry, whose counter says how often it was tried.
        entry: String,
        /// What its boots said, as far as they came to say something. Older records have none.
        #[serde(default)]
        why: Option<String>,
    },
}

/// What this boot adds to what is recorded: that it happened, and which newer releases were given up, each once.
pub fn boot_records(facts: &NodeFacts, known: &[Record]) -> Vec<Happened> {
    let running = &facts.image.version;
    let mut events = Vec::new();
    for entry in facts.in_boot_order() {
        let Some((name, version)) = entry.name.image().filter(|_| entry.name.is_bad()) else { continue };
        let newer = compare_versions(&version, running).is_gt();
        if name != facts.image.name || !newer || is_set_aside(&entry.name) {
            continue;
        }
        let told = known.iter().rev().take_while(|record| !record.event.begins_trial_of(&version));
        let told: Vec<&Happened> = told.map(|record| &record.event).collect();
        let (to, file) = (running, &entry.file);
        let known = told.iter().any(|event| {
            matches!(event, Happened::FellBack { from, to: then, entry, why: _ }
                if (from, then, entry) == (&version, to, file))
        });
        if !known {
            let tries = entry.name.tries().and_then(|tries| tries.done).unwrap_or(0);
            let (to, entry) = (to.clone(), entry.file.clone());
            events.push(Happened::FellBack {
                why: Some(why(&version, tries, &told)),
                from: version,
                to,
                entry,
            });
        }
    }
    let booted = facts.running_slot().map(|slot| Happened::Booted { version: running.clone(), slot });
    events.into_iter().chain(booted).collect()
}

/// What the boots of a release that was given up said, the latest first.
fn why(given_up: &ImageVersion, tries: u32, told: &[&Happened]) -> String {
    let words: Vec<String> = told.iter().filter_map(|event| event.words_of(given_up)).collect();
    let silent = usize::try_from(tries).unwrap_or(usize::MAX).saturating_sub(words.len());
    let ended = "ended before it could say anything";
    match (words.first(), silent) {
        (None, 0 | 1) => format!("its boot {ended}"),
        (None, _) => format!("each of its {silent} boots {ended}"),
        (Some(last), 0) => last.clone(),
        (Some(last), 1) => format!("{last}; another boot of it {ended}"),
        (Some(last), _) => format!("{last}; {silent} other boots of it ended before they could say anything"),
    }
}

impl Happened {
    /// Whether from here on a release gets new tries: what was said of it before is another story.
    pub(super) fn begins_trial_of(&self, version: &ImageVersion) -> bool {
        match self {
            Self::Upgraded { to, .. } | Self::RolledBack { to, .. } => to == version,
            Self::Staged { .. }
            | Self::Booted { .. }
            | Self::FoundGood { .. }
            | Self::NotGood { .. }
            | Self::Promoted { .. }
            | Self::FellBack { .. } => false,
        }
    }

    /// What was wrong with a boot of this release.
    fn words_of(&self, given_up: &ImageVersion) -> Option<String> {
        match self {
            Self::NotGood { version, reasons, entry: _, after: _ } if version == given_up => {
                Some(reasons.join("; "))
            }
            Self::Upgraded { .. }
            | Self::Staged { .. }
            | Self::RolledBack { .. }
            | Self::Booted { .. }
            | Self::FoundGood { .. }
            | Self::NotGood { .. }
            | Self::Promoted { .. }
            | Self::FellBack { .. } => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, event } = self;
        write!(f, "{} {event}", Rfc3339(*time))
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upgraded { from, to, slot, source, manifest: _, fetched } => {
                let fetched = fetched.human();
                write!(f, "upgraded    {from} → {to} in slot {slot}, {fetched} fetched from {source}")
            }
            Self::Staged { version, slot } => write!(f, "staged      {version} in slot {slot}"),
            Self::RolledBack { from, to } => write!(f, "rolled back {from} → {to}"),
            Self::Booted { version, slot } => write!(f, "booted      {version} from slot {slot}"),
            Self::FoundGood { version, after } => write!(f, "found good  {version} after {after} s"),
            Self::NotGood { version, entry, reasons, after } => {
                write!(f, "not good    {version} ({entry}) after {after} s: {}", reasons.join("; "))
            }
            Self::Promoted { version } => write!(f, "promoted    {version} is the recovery system"),
            Self::FellBack { from, to, entry, why } => {
                write!(f, "fell back   {from} → {to}: no boot of it was found good ({entry})")?;
                why.iter().try_for_each(|why| write!(f, ": {why}"))
            }
        }
    }
}

/// Seconds since 1970 as a date and time in UTC (RFC 3339).
pub(super) struct Rfc3339(pub(super) u64);

impl fmt::Display for Rfc3339 {
    /// Days to a date in the Gregorian calendar: years begin in March, so that a leap day is a year's last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / 86_400 + 719_468, self.0 % 86_400);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + late;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_439_162, "2026-11-23T13:06:02Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Rfc3339(seconds).to_string(), text);
        }
    }

    #[test]
    fn records_are_lines_that_come_back() {
        let event = Happened::Upgraded {
            from: "1.0".parse().unwrap(),
            to: "2.0".parse().unwrap(),
            slot: Slot::B,
            source: "oci:/mnt".into(),
            manifest: Digest::of(b"manifest"),
            fetched: ByteSize::mib(3),
        };
        let record = Record { time: 951_782_400, event };
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        assert_eq!(
            record.to_string(),
            "2000-02-29T00:00:00Z upgraded    1.0 → 2.0 in slot b, 3 MiB fetched from oci:/mnt"
        );
    }
}
