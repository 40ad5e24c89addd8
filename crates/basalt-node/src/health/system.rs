use super::Answer;

/// What systemd says of itself (systemctl(1), `is-system-running`, `list-units --failed`, `list-jobs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemState {
    /// `SystemState` of the manager: `starting`, `running`, `degraded`, `maintenance`, …
    pub state: String,
    /// The units that failed.
    pub failed: Vec<String>,
    /// The units that are being started now, without the one that asks. Those that wait for it are not among them: they have
    /// jobs that wait.
    pub starting: Vec<String>,
}

impl SystemState {
    /// What that comes to. `starting` while only others wait for the one that asks is as good as `running`.
    pub fn answer(&self, may_fail: &[String]) -> Answer {
        let Self { state, failed, starting } = self;
        let failed: Vec<&str> =
            failed.iter().filter(|unit| !may_fail.contains(unit)).map(String::as_str).collect();
        match state.as_str() {
            "maintenance" => {
                let because =
                    if failed.is_empty() { String::new() } else { format!(", {} failed", failed.join(", ")) };
                Answer::Bad(format!("the system is in emergency or rescue mode{because}"))
            }
            "initializing" => Answer::NotYet("the system is still starting".to_owned()),
            "starting" | "running" | "degraded" if !starting.is_empty() => {
                Answer::NotYet(format!("{} still starting", listed(starting)))
            }
            "starting" | "running" | "degraded" if failed.is_empty() => Answer::Good,
            "starting" | "running" | "degraded" => Answer::Bad(format!("failed: {}", failed.join(", "))),
            other => Answer::NotYet(format!("the system is {other}")),
        }
    }
}

/// At most three names: a machine that hangs early has a hundred.
fn listed(units: &[String]) -> String {
    const SHOWN: usize = 3;
    let names = units.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let verb = if units.len() == 1 { "is" } else { "are" };
    match units.len().saturating_sub(SHOWN) {
        0 => format!("{names} {verb}"),
        more => format!("{names} and {more} more {verb}"),
    }
}
