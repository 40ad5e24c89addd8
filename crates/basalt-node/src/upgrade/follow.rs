use std::fmt;

use basalt_spec::node::{UpgradeMode, words::Window};
use basalt_types::ImageVersion;
use serde::{Deserialize, Serialize};

use super::{Opening, Rfc3339, UpgradeNote, UpgradePlan, UpgradeRefusal, UpgradeStep, opening};

/// What the machine's documents say of moving to another release.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// How far it goes by itself.
    pub mode: UpgradeMode,
    /// When it may restart; at any time if there is none.
    pub window: Option<&'a Window>,
}

/// What to do now to run the release that the documents want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Nothing.
    Nothing(Standing),
    /// The steps of the plan, and then what is said.
    Write(Standing),
    /// The steps of the plan if there are some, and then restart.
    Restart(Standing),
}

/// Where the machine stands with the release that its documents want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum Standing {
    /// It runs.
    Runs {
        /// Which.
        version: ImageVersion,
    },
    /// There is another one, and `mode: check` says to leave it at that.
    Available {
        /// Which.
        version: ImageVersion,
    },
    /// It is in its slot, and `mode: stage` leaves the restart to somebody else.
    Staged {
        /// Which.
        version: ImageVersion,
    },
    /// It is in its slot, and the machine restarts.
    Restarts {
        /// Which.
        version: ImageVersion,
    },
    /// It is in its slot, and the window is closed.
    Waits {
        /// Which.
        version: ImageVersion,
        /// When it opens, in seconds since 1970.
        opens: i64,
    },
    /// Nobody could be asked for it now; that says nothing of this machine.
    Unreachable {
        /// Why.
        why: String,
    },
    /// It is none, or must not be taken.
    Refused {
        /// Why.
        why: String,
    },
}

/// Decides what to do about the release that is wanted: `plan` says how to get to it, `set_aside` whether somebody went back from it.
/// `now` is in seconds since 1970.
pub fn follow(
    policy: Policy<'_>,
    plan: Result<&UpgradePlan, &[UpgradeRefusal]>,
    set_aside: bool,
    now: i64,
) -> Follow {
    let plan = match plan {
        Ok(plan) => plan,
        Err(refusals) => {
            let why: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            return Follow::Nothing(Standing::Refused { why: why.join("; ") });
        }
    };
    let version = plan.to.version.clone();
    if plan.notes.contains(&UpgradeNote::Runs) {
        return Follow::Nothing(Standing::Runs { version });
    }
    if set_aside {
        let why = format!("somebody went back from {version}; `basalt-agent upgrade` takes it all the same");
        return Follow::Nothing(Standing::Refused { why });
    }
    let opening = match policy.window.map(|window| opening(window, now)) {
        None => Opening::Open,
        Some(Ok(opening)) => opening,
        // Nothing restarts at a time that nobody allowed.
        Some(Err(error)) => return Follow::Nothing(Standing::Refused { why: error.to_string() }),
    };
    let then =
        |standing| if plan.steps.is_empty() { Follow::Nothing(standing) } else { Follow::Write(standing) };
    match (policy.mode, opening) {
        (UpgradeMode::Check, _) => Follow::Nothing(Standing::Available { version }),
        (UpgradeMode::Stage, _) => then(Standing::Staged { version }),
        (UpgradeMode::Auto, Opening::Open) => Follow::Restart(Standing::Restarts { version }),
        (UpgradeMode::Auto, Opening::Opens(opens)) => then(Standing::Waits { version, opens }),
    }
}

impl Follow {
    /// The steps to do now.
    pub fn steps<'p>(&self, plan: &'p UpgradePlan) -> &'p [UpgradeStep] {
        match self {
            Self::Nothing(_) => &[],
            Self::Write(_) | Self::Restart(_) => &plan.steps,
        }
    }

    /// Where the machine stands when that is done.
    pub const fn standing(&self) -> &Standing {
        match self {
            Self::Nothing(standing) | Self::Write(standing) | Self::Restart(standing) => standing,
        }
    }
}

impl Standing {
    /// Whether somebody should look at it.
    pub const fn is_good(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs { version } => write!(f, "{version} is wanted and runs"),
            Self::Available { version } => {
                write!(f, "{version} is wanted; `mode: check` leaves it to `basalt-agent upgrade`")
            }
            Self::Staged { version } => write!(f, "{version} is in its slot: the next boot tries it"),
            Self::Restarts { version } => write!(f, "{version} is in its slot: the machine restarts"),
            Self::Waits { version, opens } => {
                let opens = Rfc3339(u64::try_from(*opens).unwrap_or(0));
                write!(f, "{version} is in its slot: the machine restarts when its window opens, {opens}")
            }
            Self::Unreachable { why } => write!(f, "nobody could be asked for the wanted release: {why}"),
            Self::Refused { why } => write!(f, "the wanted release is not taken: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use basalt_types::{Digest, Slot};

    use super::{
        super::{Release, Removal, Running},
        *,
    };
    use crate::BootSlot;

    fn plan(steps: Vec<UpgradeStep>, notes: Vec<UpgradeNote>) -> UpgradePlan {
        let [old, new] =
            ["1.0", "2.0"].map(|version| (version.parse().unwrap(), Digest::of(version.as_bytes())));
        let from = Running { version: old.0, root_hash: old.1, slot: BootSlot::A };
        let to = Release { version: new.0, root_hash: new.1, slot: Slot::B };
        UpgradePlan { from, to, steps, notes }
    }

    fn steps() -> Vec<UpgradeStep> {
        vec![UpgradeStep::RemoveEntry { file: "edge_0.9.efi".into(), why: Removal::Replaced }]
    }

    /// 2026-11-22, a Sunday, 03:00 in UTC.
    const NOW: i64 = 1_795_316_400;

    #[track_caller]
    fn check(mode: UpgradeMode, window: Option<&str>, plan: &UpgradePlan, expected: &Follow) {
        let window: Option<Window> = window.map(|window| window.parse().unwrap());
        let policy = Policy { mode, window: window.as_ref() };
        assert_eq!(follow(policy, Ok(plan), false, NOW), *expected);
    }

    #[test]
    fn the_mode_and_the_window_say_how_far_it_goes() {
        let (version, opens): (ImageVersion, _) = ("2.0".parse().unwrap(), NOW + 7 * 86_400 - 3600);
        let (restarts, waits) = (
            Follow::Restart(Standing::Restarts { version: version.clone() }),
            Standing::Waits { version: version.clone(), opens },
        );
        let closed = Some("Sun 02:00-03:00");
        for (plan, done) in [(plan(steps(), vec![]), false), (plan(vec![], vec![]), true)] {
            let write = |standing| if done { Follow::Nothing(standing) } else { Follow::Write(standing) };
            check(UpgradeMode::Auto, None, &plan, &restarts);
            check(UpgradeMode::Auto, Some("Sun 02:00-03:01"), &plan, &restarts);
            check(UpgradeMode::Auto, closed, &plan, &write(waits.clone()));
            check(UpgradeMode::Stage, None, &plan, &write(Standing::Staged { version: version.clone() }));
            let available = Standing::Available { version: version.clone() };
            check(UpgradeMode::Check, None, &plan, &Follow::Nothing(available));
        }
        let runs = plan(vec![], vec![UpgradeNote::Runs]);
        check(UpgradeMode::Auto, None, &runs, &Follow::Nothing(Standing::Runs { version: version.clone() }));
        assert_eq!(
            waits.to_string(),
            "2.0 is in its slot: the machine restarts when its window opens, 2026-11-29T02:00:00Z"
        );
    }

    #[test]
    fn what_is_refused_and_what_nobody_understands_restarts_nothing() {
        let policy = Policy { mode: UpgradeMode::Auto, window: None };
        let refusals = [UpgradeRefusal::RunningHasNoEntry];
        let why = refusals[0].to_string();
        assert_eq!(follow(policy, Err(&refusals), false, NOW), Follow::Nothing(Standing::Refused { why }));
        let why = "somebody went back from 2.0; `basalt-agent upgrade` takes it all the same".to_owned();
        let plan = plan(steps(), vec![]);
        assert_eq!(follow(policy, Ok(&plan), true, NOW), Follow::Nothing(Standing::Refused { why }));
        let unknown: Window = "daily 03:00-04:00 Mars/Base".parse().unwrap();
        let policy = Policy { window: Some(&unknown), ..policy };
        let why = "no time zone is called `Mars/Base`".to_owned();
        assert_eq!(follow(policy, Ok(&plan), false, NOW), Follow::Nothing(Standing::Refused { why }));
    }
}
