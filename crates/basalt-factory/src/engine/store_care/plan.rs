//! What goes, and why: pure.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use basalt_types::ByteSize;
use serde::Serialize;

use super::{Area, Contents, Entry, State};

/// How much may stay. Leftovers of the dead go in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most that the cache may take on the disk.
    pub max_size: Option<ByteSize>,
    /// How long something may lie unused.
    pub older_than: Option<Duration>,
}

/// Why an entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Because {
    /// Its owner is dead.
    Leftover,
    /// It was not used for so many whole days.
    Unused {
        /// Days.
        days: u64,
    },
    /// The cache is larger than it may be, and everything else was used later.
    Room,
}

/// One entry that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Which.
    #[serde(flatten)]
    pub entry: Entry,
    /// Why.
    #[serde(flatten)]
    pub because: Because,
}

/// What a sweep will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepPlan {
    /// In the order of removal.
    pub removals: Vec<Removal>,
    /// The bytes of all entries.
    pub before: u64,
    /// The bytes of those that stay.
    pub after: u64,
    /// The bytes of those that stay because they are used.
    pub in_use: u64,
    /// How many bytes too many stay, because they are used.
    pub excess: u64,
}

/// Decides. Equal contents, limits and time give an equal plan.
pub fn plan(contents: &Contents, limits: Limits, now: SystemTime) -> SweepPlan {
    let Limits { max_size, older_than } = limits;
    let before = contents.size(|_| true);
    let mut plan = SweepPlan { before, after: before, ..SweepPlan::default() };
    plan.in_use = contents.size(|entry| entry.state == State::InUse);
    let mut free = Vec::new();
    for entry in &contents.entries {
        match entry.state {
            State::InUse => {}
            State::Dead => plan.remove(entry, Because::Leftover),
            State::Free => free.push(entry),
        }
    }
    // A clock that was set back makes ages negative: those are none.
    let age = |entry: &Entry| now.duration_since(entry.used).unwrap_or_default();
    free.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    for entry in free {
        let age = age(entry);
        if older_than.is_some_and(|most| age > most) {
            plan.remove(entry, Because::Unused { days: age.as_secs() / 86_400 });
        } else if max_size.is_some_and(|most| plan.after > most.get()) {
            plan.remove(entry, Because::Room);
        }
    }
    plan.excess = max_size.map_or(0, |most| plan.after.saturating_sub(most.get()));
    plan
}

impl SweepPlan {
    /// Whether nothing goes.
    pub fn is_empty(&self) -> bool {
        self.removals.is_empty()
    }

    fn remove(&mut self, entry: &Entry, because: Because) {
        self.after -= entry.size;
        self.removals.push(Removal { entry: entry.clone(), because });
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leftover => f.write_str("left by a process that is no more"),
            Self::Unused { days: 1 } => f.write_str("not used for 1 day"),
            Self::Unused { days } => write!(f, "not used for {days} days"),
            Self::Room => f.write_str("makes room; what stays was used later"),
        }
    }
}

impl fmt::Display for SweepPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let human = |bytes: u64| ByteSize::bytes(bytes).human();
        for Removal { entry, because } in &self.removals {
            let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
            writeln!(
                f,
                "{:>9}  {}/{}  {because}",
                human(entry.size),
                entry.area.folder(),
                short(entry.area, &name)
            )?;
        }
        let Self { removals, before, after, in_use, excess } = self;
        if removals.is_empty() {
            writeln!(f, "nothing to remove")?;
        }
        writeln!(f, "{} → {}, {} of it in use", human(*before), human(*after), human(*in_use))?;
        if *excess > 0 {
            writeln!(f, "{} more than allowed stay because builds use them", human(*excess))?;
        }
        Ok(())
    }
}

/// Names by digest are recognised by their start.
fn short(area: Area, name: &str) -> String {
    match (area, name.split_once('.')) {
        (Area::Steps | Area::Outputs, Some((key, kind))) if key.len() == 64 => {
            format!("{}….{kind}", &key[..12])
        }
        (Area::Downloads, None) if name.len() == 64 => format!("{}…", &name[..12]),
        _ => name.to_owned(),
    }
}
